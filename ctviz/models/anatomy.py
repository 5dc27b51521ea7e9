"""A loaded model seen as a graph: its blocks, projections and norms, found through its family.

`Anatomy(model)` resolves the module paths of the family's table once; the engine hooks and slices
through it and knows no family by name.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ctviz.circuits.graph import Graph
from ctviz.errors import UnsupportedModel
from ctviz.models.activations import fused, written_out
from ctviz.models.config import check_causal, check_family, longest
from ctviz.models.families import FAMILIES, Table
from ctviz.models.hooks import hooked
from ctviz.models.mlp_blocks import cut
from ctviz.models.mode import evaluating
from ctviz.models.parts import Block, LinearModule, Norm, Projection, in_out
from ctviz.models.workspace import Workspace
from ctviz.progress import listened, tick

__all__ = ["Anatomy"]

ROWS = 8192  # of the unembedding that are in float32 at a time
PLAIN = ("torch.nn.", "transformers.pytorch_utils", "transformers.models.")  # modules of theirs


class Anatomy:
    """A causal language model's blocks, norms and graph.

    ``mlp_block``: neurons in each of the nodes that an MLP is cut into; 0: it is one node. Block n
    has the neurons from n * mlp_block on. What it writes is their activation times their rows of
    the output projection, whose bias belongs to no block.

    Raises OutOfRange for a block size that does not divide the neurons of an MLP or makes more
    nodes than there is memory for.
    Raises UnsupportedModel if the model's family has no table, if it is not causal, or if a module
    that the table names is missing or of another kind than it says.
    """

    def __init__(self, model: PreTrainedModel, *, mlp_block: int = 0) -> None:
        config = model.config
        check_family(config.model_type, f"This {type(model).__name__}")
        check_causal(config, f"This {type(model).__name__}")
        family = FAMILIES[config.model_type]
        unembedding = model.get_output_embeddings()
        if unembedding is None:
            raise UnsupportedModel(
                f"{type(model).__name__} has no unembedding, so it predicts no next token. Load "
                "the model with AutoModelForCausalLM."
            )
        self.model = model
        self.workspace = Workspace()  # for whoever computes with the model, one at a time
        self._activations = written_out(model)
        self.family = family.model_type
        self.table: Table = family.table(config)
        self.d_model: int = config.hidden_size
        n_heads: int = config.num_attention_heads
        n_kv_heads: int = (
            self.table.kv_heads or getattr(config, "num_key_value_heads", None) or n_heads
        )
        self.d_head: int = getattr(config, "head_dim", None) or self.d_model // n_heads
        self.graph = Graph(
            config.num_hidden_layers, n_heads, n_kv_heads, parallel=self.table.parallel
        )
        self.mlp_block = mlp_block
        self.final_norm = self._norm(model, self.table.final_norm)
        self.unembedding = cast(nn.Linear, _plain(unembedding, "The unembedding"))
        self.blocks = [
            self._block(block)
            for block in cast(nn.ModuleList, self._module(model, self.table.blocks))
        ]
        if mlp_block:
            self.graph, self.blocks = cut(self.graph, self.blocks, mlp_block)

    def cut_into(self, mlp_block: int) -> Anatomy:
        """The same model with its MLPs cut into blocks of so many neurons (0: whole)."""
        return self if mlp_block == self.mlp_block else Anatomy(self.model, mlp_block=mlp_block)

    @property
    def device(self) -> torch.device:
        """Device of the model's parameters."""
        return self.model.device

    @property
    def context(self) -> int | None:
        """The most tokens that the model reads, see `ctviz.models.config.longest`."""
        return longest(self.model.config)

    @property
    def neurons(self) -> int:
        """Neurons of the first layer's MLP."""
        return in_out(self.blocks[0].mlp_out).shape[0]

    @property
    def vocabulary(self) -> int:
        """The number of tokens for which the model has an embedding: ids are below it."""
        return cast(nn.Embedding, self.model.get_input_embeddings()).weight.shape[0]

    def hidden(
        self, ids: Tensor, first: Tensor | None = None, *, past: Cache | None = None
    ) -> Tensor:
        """Final hidden states, after the final norm: [batch, position] -> [batch, position, d].

        ``first`` [batch] is the position of each prompt's first token, None if all begin at 0.
        Padding on the right is not masked: a causal model's earlier positions cannot see it.
        ``past``: keys and values of the tokens in front of these, none at first; those of these
        come to them. Not together with ``first``.
        """
        positions = None
        before = past.get_seq_length() if past is not None else 0
        seen = ids.new_ones((ids.shape[0], before + ids.shape[1]))
        if first is not None:
            place = torch.arange(ids.shape[1], device=ids.device) - first[:, None]
            seen = (place >= 0).to(ids.dtype)
            positions = place.clamp(min=0)
        with fused(self._activations), evaluating(self.model), self.ticking():
            output = self.model.base_model(
                input_ids=ids,
                attention_mask=seen,
                position_ids=positions,
                past_key_values=past,
                use_cache=past is not None,
                return_dict=True,
            )
        return cast(Tensor, output.last_hidden_state)

    def ticking(self) -> AbstractContextManager[None]:
        """Tick at each block that the model runs through, and on the way back through it."""
        if not listened():
            return nullcontext()
        return hooked(before=[(block.module, _tick) for block in self.blocks])

    def logits_at(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Next-token logits at some positions of each example.

        [batch, position, d_model], int [batch, n] -> [batch, n, vocabulary]
        """
        rows = torch.arange(hidden.shape[0], device=hidden.device)[:, None]
        return self.unembedded(hidden[rows, positions])

    def unembedded(self, hidden: Tensor) -> Tensor:
        """Next-token logits: [..., d_model] -> [..., vocabulary].

        Of a model in bfloat16 they are float32: logits of 16 or more would else be off by 0.06.
        """
        if self.unembedding.weight.dtype == torch.bfloat16 and not torch.is_grad_enabled():
            logits = self._unembedded_in_float32(hidden)
        else:
            logits = cast(Tensor, self.unembedding(hidden))
        cap = self.table.softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _unembedded_in_float32(self, hidden: Tensor) -> Tensor:
        weight, bias = self.unembedding.weight, self.unembedding.bias
        pieces = [hidden.float() @ piece.float().T for piece in weight.split(ROWS)]
        logits = torch.cat(pieces, dim=-1)
        return logits if bias is None else logits + bias

    # ------------------------------------------------------------------ resolving

    def _module(self, parent: nn.Module, path: str) -> nn.Module:
        try:
            return parent.get_submodule(path)
        except AttributeError:
            raise UnsupportedModel(
                f"{type(self.model).__name__} is listed as {self.family!r}, but has no "
                f"module {path!r}."
            ) from None

    def _block(self, block: nn.Module) -> Block:
        table = self.table
        out = self._linear(block, table.attention_out)
        post = self._optional_norm(block, table.attention_post_norm)
        if post is not None and (out.bias is not None or post.centred):
            raise UnsupportedModel(
                f"{table.attention_out} of this {self.family} model has a bias in front of a norm, "
                "so what its heads write does not add up to what attention writes."
            )
        q, k, v = self._projections(block)
        write = self._module(block, table.mlp_write)
        normed = isinstance(write, nn.LayerNorm) or type(write).__name__.endswith("RMSNorm")
        return Block(
            module=block,
            attention_norm=self._optional_norm(block, table.attention_norm),
            q=q,
            k=k,
            v=v,
            attention_out=out,
            attention_post_norm=post,
            mlp_norm=self._optional_norm(block, table.mlp_norm),
            mlp_read=self._module(block, table.mlp_read),
            mlp_in=tuple(self._linear(block, path) for path in table.mlp_in),
            mlp_out=self._linear(block, table.mlp_out),
            mlp_write=write,
            mlp_post_norm=self._norm(block, table.mlp_write) if normed else None,
        )

    def _projections(self, block: nn.Module) -> list[Projection]:
        table, graph, d_head = self.table, self.graph, self.d_head
        heads, groups, each = graph.n_heads, graph.kv_heads, graph.group_size
        if len(table.qkv) == 3:
            counts = (heads, groups, groups)
            return [
                Projection(self._linear(block, path), tuple(range(count)), d_head)
                for path, count in zip(table.qkv, counts, strict=True)
            ]
        fused = self._linear(block, table.qkv[0])
        if table.fused == "kinds":
            slices = list(range(heads + 2 * groups))
            kinds = slices[:heads], slices[heads : heads + groups], slices[heads + groups :]
        else:
            wide = each + 2  # slices of a group: its query heads, its key, its value
            slices = list(range(groups * wide))
            queries = [i for i in slices if i % wide < each]
            kinds = queries, slices[each::wide], slices[each + 1 :: wide]
        return [Projection(fused, tuple(chosen), d_head) for chosen in kinds]

    def _linear(self, block: nn.Module, path: str) -> LinearModule:
        return _plain(self._module(block, path), path)

    def _optional_norm(self, parent: nn.Module, path: str | None) -> Norm | None:
        return None if path is None else self._norm(parent, path)

    def _norm(self, parent: nn.Module, path: str) -> Norm:
        module = self._module(parent, path)
        kind = self.table.norm
        named = type(module).__name__
        fits = isinstance(module, nn.LayerNorm) if kind == "layer" else named.endswith("RMSNorm")
        if not fits:
            raise UnsupportedModel(
                f"{path} is a {named}, but the table of {self.family!r} expects a {kind} norm."
            )
        return Norm(module, kind)


def _plain(module: nn.Module, path: str) -> LinearModule:
    """A module that computes nothing but its weight times its input plus its bias."""
    made = type(module)
    if isinstance(module, nn.Linear | Conv1D) and made.__module__.startswith(PLAIN):
        return module
    raise UnsupportedModel(
        f"{path} is a {made.__name__} of {made.__module__}, not a plain Linear or Conv1D, so its "
        "weight is not all that it computes. Merge adapters into the weights first "
        "(merge_and_unload of peft); load a quantized model in floating point."
    )


def _tick(x: Tensor) -> None:
    """At a block's input."""
    tick()
    if x.requires_grad:
        x.register_hook(lambda _: tick())
