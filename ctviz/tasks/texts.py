"""Prompts with their targets as tensors: what a model is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ctviz.errors import BadTask
from ctviz.tasks.batch import padded
from ctviz.tasks.example import Example
from ctviz.tasks.tokens import Tokens, text_problem

__all__ = ["Texts", "encode_texts"]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Tokenized prompts, each followed by its target, padded on the right.

    ``ids``: int64 [example, position]; ``last``: int64 [example], position of the last token;
    ``begin``: int64 [example], position of the target's first token, at least 1.
    """

    ids: Tensor
    last: Tensor
    begin: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Texts:
        """Some of the examples, without padding that none of them needs."""
        last = self.last[rows]
        return Texts(self.ids[rows, : int(last.max()) + 1], last, self.begin[rows])

    def split(self, size: int) -> Iterator[Texts]:
        """Consecutive micro-batches of at most ``size`` examples."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Texts:
        """The same texts on a device."""
        return Texts(self.ids.to(device), self.last.to(device), self.begin.to(device))

    def weights(self, *, prompt: float, target: float) -> Tensor:
        """float32 [example, position - 1]: the weight of predicting the next token at a position.

        0 in the padding.
        """
        position = torch.arange(1, self.ids.shape[1], device=self.ids.device)
        told = (position <= self.last[:, None]).float()
        return told * torch.where(position >= self.begin[:, None], target, prompt)


def encode_texts(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    longest: int | None = None,
    vocabulary: int | None = None,
) -> Texts:
    """Tokenize examples to train on.

    Raises BadTask, naming the first example that cannot be used: see
    `ctviz.tasks.tokens.text_problem`. ``longest`` and ``vocabulary`` are as for
    `ctviz.tasks.batch.fitting`.
    """
    tokens = Tokens(tokenizer, vocabulary)
    if not examples:
        raise BadTask("There are no examples to train on.")
    ids, begin = [], []
    for index, example in enumerate(examples):
        if reason := text_problem(example, tokens, longest):
            raise BadTask(f"Example {index} ({example.prompt!r}): {reason}.")
        ids.append(tokens.prompt(example.prompt + example.target))
        begin.append(len(tokens.prompt(example.prompt)))
    last = torch.tensor([len(text) - 1 for text in ids])
    return Texts(padded(ids, tokenizer), last, torch.tensor(begin))
