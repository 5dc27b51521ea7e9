"""Pairs of prompts as tensors: what the engine runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ctviz.errors import BadTask
from ctviz.tasks.pair import Pair

__all__ = ["Batch", "Encoded", "encode"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Clean and corrupt prompts of equal token length, padded on the right.

    ``clean``, ``corrupt``: int64 [example, position]; ``last``: int64 [example], the position of
    each prompt's last token, where the answer is predicted; ``answer``, ``foil``: int64 [example],
    token ids.
    """

    clean: Tensor
    corrupt: Tensor
    last: Tensor
    answer: Tensor
    foil: Tensor

    def __len__(self) -> int:
        return self.clean.shape[0]

    @property
    def real(self) -> Tensor:
        """bool [example, position]: true where a prompt has a token, false in the padding."""
        return torch.arange(self.clean.shape[1], device=self.last.device) <= self.last[:, None]

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """Some of the examples, without padding that none of them needs."""
        last = self.last[rows]
        width = int(last.max()) + 1
        return Batch(
            self.clean[rows, :width],
            self.corrupt[rows, :width],
            last,
            self.answer[rows],
            self.foil[rows],
        )

    def split(self, size: int) -> Iterator[Batch]:
        """Consecutive micro-batches of at most ``size`` examples."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(
            self.clean.to(device),
            self.corrupt.to(device),
            self.last.to(device),
            self.answer.to(device),
            self.foil.to(device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A batch, the pairs it was made of in the same order, and why other pairs were dropped."""

    batch: Batch
    pairs: tuple[Pair, ...]
    dropped: tuple[tuple[Pair, str], ...]


def encode(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, *, limit: int | None = None
) -> Encoded:
    """Tokenize pairs into a batch, keeping the first ``limit`` that fit this tokenizer.

    A pair fits if its clean and corrupt prompts have the same number of tokens, and its answer and
    foil are one token each and differ. Raises BadTask if none fits, naming the first reason.
    """
    kept: list[tuple[Pair, list[int], list[int], int, int]] = []
    dropped: list[tuple[Pair, str]] = []
    tokens: dict[str, list[int]] = {}

    def ids(text: str, *, special: bool) -> list[int]:
        if text not in tokens:
            tokens[text] = tokenizer(text, add_special_tokens=special)["input_ids"]
        return tokens[text]

    for pair in pairs:
        if limit is not None and len(kept) == limit:
            break
        clean, corrupt = ids(pair.clean, special=True), ids(pair.corrupt, special=True)
        answer, foil = ids(pair.answer, special=False), ids(pair.foil, special=False)
        if not clean or len(clean) != len(corrupt):
            dropped.append((pair, f"clean has {len(clean)} tokens and corrupt {len(corrupt)}"))
        elif len(answer) != 1 or len(foil) != 1:
            dropped.append((pair, f"answer has {len(answer)} tokens and foil {len(foil)}"))
        elif answer == foil:
            dropped.append((pair, "answer and foil are the same token"))
        else:
            kept.append((pair, clean, corrupt, answer[0], foil[0]))
    if not kept:
        first = f" First: {dropped[0][0].clean!r}: {dropped[0][1]}." if dropped else ""
        raise BadTask(
            f"None of {len(dropped)} pairs fits this model's tokenizer: clean and corrupt must "
            f"have the same number of tokens, answer and foil must be one token each.{first}"
        )
    width = max(len(clean) for _, clean, _, _, _ in kept)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def padded(prompts: list[list[int]]) -> Tensor:
        return torch.tensor([prompt + [pad] * (width - len(prompt)) for prompt in prompts])

    batch = Batch(
        clean=padded([row[1] for row in kept]),
        corrupt=padded([row[2] for row in kept]),
        last=torch.tensor([len(row[1]) - 1 for row in kept]),
        answer=torch.tensor([row[3] for row in kept]),
        foil=torch.tensor([row[4] for row in kept]),
    )
    return Encoded(batch, tuple(row[0] for row in kept), tuple(dropped))
