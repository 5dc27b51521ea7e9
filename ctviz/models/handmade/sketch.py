"""What the hand-made models are put together from: codes, subspaces, heads and MLPs.

The residual stream is cut into subspaces of 16 dimensions, one for each kind of information. In
each, up to 15 things are told apart by *codes*: the rows of a Hadamard matrix, which are orthogonal
and sum to zero. With codes that sum to zero a LayerNorm has nothing to centre, and with an epsilon
far above any variance it divides everything by the same number, which its weight undoes: it is the
identity up to a few parts in a million, and each subspace can be read as if it were alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from ctviz.circuits.graph import layer_of
from ctviz.errors import OutOfRange
from ctviz.models.handmade.vocabulary import CONTEXT, token

__all__ = ["ONE_BACK", "Sketch", "block_of", "new_model"]

WIDTH: Final = 16  # of a subspace
EPSILON: Final = 1e6


def _hadamard(n: int) -> Tensor:
    """The n x n Hadamard matrix of Sylvester, n a power of two; its first row is constant."""
    matrix = torch.ones(1, 1)
    while len(matrix) < n:
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix


CODES: Final = _hadamard(WIDTH)[1:]  # [15, 16]: entries +1 and -1, orthogonal, each sums to zero
ONE_BACK: Final = CODES[1:].T @ CODES[:-1] / WIDTH  # maps each code to the one before, [16, 16]


def new_model(
    tokenizer: PreTrainedTokenizerFast,
    *,
    layers: int,
    heads: int,
    d_model: int,
    activation: str = "gelu_new",
    epsilon: float = 1e-5,
    tied: bool = False,
) -> GPT2LMHeadModel:
    """A GPT-2 without dropout, with weights that are to be overwritten."""
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=d_model,
        n_layer=layers,
        n_head=heads,
        activation_function=activation,
        layer_norm_epsilon=epsilon,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng(devices=[]):
        model = GPT2LMHeadModel(config)
        model.eval()
        return model


def block_of(model: GPT2LMHeadModel, node: str) -> GPT2Block:
    """The transformer block that a head or MLP is in."""
    return cast(GPT2Block, model.transformer.h[layer_of(node, model.config.n_layer)])


@dataclass(slots=True, eq=False)
class Sketch:
    """A model in the making: every weight is zero, every norm the identity, until something is set.

    ``spaces`` names the subspaces in the order in which they lie in the residual stream. ``seed``
    draws the weights of nodes that are not to matter.
    """

    tokenizer: PreTrainedTokenizerFast
    spaces: tuple[str, ...]
    layers: int
    heads: int
    seed: int
    activation: str = "gelu_new"
    model: GPT2LMHeadModel = field(init=False)
    random: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)
        self.model = new_model(
            self.tokenizer,
            layers=self.layers,
            heads=self.heads,
            d_model=WIDTH * len(self.spaces),
            activation=self.activation,
            epsilon=EPSILON,
        )
        for name, parameter in self.model.named_parameters():
            norm = "ln_" in name and name.endswith("weight")
            parameter.data.fill_(math.sqrt(EPSILON) if norm else 0.0)

    @property
    def d_head(self) -> int:
        """Width of a head; at least that of a code."""
        return self.model.config.n_embd // self.heads

    def space(self, name: str) -> slice:
        """The dimensions of a subspace."""
        start = WIDTH * self.spaces.index(name)
        return slice(start, start + WIDTH)

    # ------------------------------------------------------------------ ends

    def embed_words(self, words: Sequence[str], space: str) -> None:
        """Give each word its code, in a subspace of the residual stream."""
        self.model.transformer.wte.weight.data[self._ids(words), self.space(space)] = self._codes(
            words
        )

    def embed_positions(self, space: str) -> None:
        """Give each of the first 15 positions its code; later ones get none."""
        self.model.transformer.wpe.weight.data[: len(CODES), self.space(space)] = CODES

    def unembed_words(self, words: Sequence[str], space: str, *, logit: float) -> None:
        """A word whose code lies in the subspace gets this logit, all other tokens get zero."""
        weight = self.model.lm_head.weight.data
        weight[self._ids(words), self.space(space)] = self._codes(words) * logit / WIDTH

    def _ids(self, words: Sequence[str]) -> list[int]:
        return cast(list[int], self.tokenizer.convert_tokens_to_ids([token(w) for w in words]))

    def _codes(self, words: Sequence[str]) -> Tensor:
        if len(words) > len(CODES):
            raise OutOfRange("words", len(words), 1, len(CODES))
        return CODES[: len(words)]

    # ------------------------------------------------------------------ heads

    def attend(
        self,
        node: str,
        *,
        query: tuple[str, Tensor | None],
        key: str,
        sharpness: float,
        copy: tuple[str, str],
    ) -> None:
        """Make a head that looks for a code and copies another.

        ``query``: the subspace it reads, and what to make of the code there, [16, 16] (None: look
        for that same code); ``key``: the subspace in which it looks for it. A match has the
        attention score ``sharpness`` and all else 0, so that among n others the match gets the
        share exp(sharpness) / (exp(sharpness) + n): high, but not so near 1 that gradients to
        queries and keys vanish. ``copy``: from which subspace to which.
        """
        reads, change = query
        gain = math.sqrt(sharpness * math.sqrt(self.d_head) / WIDTH)
        q, k, v, o = self._head(node)
        eye = torch.eye(WIDTH)
        q[self.space(reads), :WIDTH] = gain * (eye if change is None else change)
        k[self.space(key), :WIDTH] = gain * eye
        v[self.space(copy[0]), :WIDTH] = eye
        o[:WIDTH, self.space(copy[1])] = eye

    def silence(self, *nodes: str) -> None:
        """Let nodes compute at random and write exactly nothing: their output weights stay zero."""
        for node in nodes:
            if node.startswith("m"):
                self._fill(self._block(node).mlp.c_fc.weight.data)
            else:
                for part in self._head(node)[:3]:
                    self._fill(part)

    def divert(self, space: str, *nodes: str) -> None:
        """Let nodes compute at random and write into a subspace that nothing else reads.

        What they write there sums to zero, like the codes.
        """
        self.silence(*nodes)
        for node in nodes:
            out = (
                self._block(node).mlp.c_proj.weight.data
                if node.startswith("m")
                else self._head(node)[3]
            )
            drawn = self._fill(torch.empty(len(out), WIDTH)) / math.sqrt(len(out))
            out[:, self.space(space)] = drawn - drawn.mean(dim=1, keepdim=True)

    # ------------------------------------------------------------------ MLPs

    def translate(
        self,
        node: str,
        *,
        reads: str,
        writes: str,
        table: Mapping[int, int],
        threshold: float,
    ) -> None:
        """Make an MLP with one ReLU neuron a code that replaces codes by others.

        The neuron of code i is on if more than ``threshold`` of that code is found in the subspace
        ``reads``; it writes code ``table[i]`` to ``writes``, all of it if all of i was found.
        """
        assert self.activation == "relu"
        mlp = self._block(node).mlp
        for neuron, (found, said) in enumerate(sorted(table.items())):
            mlp.c_fc.weight.data[self.space(reads), neuron] = CODES[found] / WIDTH
            mlp.c_fc.bias.data[neuron] = -threshold
            mlp.c_proj.weight.data[neuron, self.space(writes)] = CODES[said] / (1 - threshold)

    # ------------------------------------------------------------------ weights

    def _block(self, node: str) -> GPT2Block:
        return block_of(self.model, node)

    def _head(self, node: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Views of a head's query, key and value weights, [d_model, d_head], and its output's."""
        attention, head, width = self._block(node).attn, int(node.split(".h")[1]), self.d_head
        d_model = width * self.heads
        mine = slice(head * width, (head + 1) * width)
        q, k, v = attention.c_attn.weight.data.split(d_model, dim=1)
        return q[:, mine], k[:, mine], v[:, mine], attention.c_proj.weight.data[mine]

    def _fill(self, weight: Tensor) -> Tensor:
        """Draw a weight at random, so that what is read has about the size of a code."""
        return weight.normal_(std=0.3, generator=self.random)
