"""Pairs of prompts as tensors: what the engine runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ctviz.config import Metric
from ctviz.errors import BadTask
from ctviz.tasks.example import Pair

__all__ = ["IGNORED", "Batch", "Fitting", "encode", "fitting"]

IGNORED = -100  # in ``Batch.answer``: no token


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Clean and corrupt prompts of equal token length.

    ``clean``, ``corrupt``: int64 [example, position]. ``last``: int64 [example], the position of
    each prompt's last token. ``answer``: int64 [example, n], token ids that should come next; the
    last of them is predicted at ``last``, the one before it one position earlier, and so on
    (answers shorter than n have IGNORED in front). Of an answer of several tokens, all but the last
    therefore stand at the end of both prompts. ``foil``: int64 [example], a token that should not
    come where the answer's last one does. ``first``: int64 [example], the position of each prompt's
    first token, or None if all begin at 0.

    Raises BadTask, naming the example, for prompts of different shape, for a row of nothing but
    padding and for an answer that would be predicted in front of its prompt.
    """

    clean: Tensor
    corrupt: Tensor
    last: Tensor
    answer: Tensor
    foil: Tensor
    first: Tensor | None = None

    def __post_init__(self) -> None:
        if self.clean.shape != self.corrupt.shape:
            raise BadTask(
                f"clean is {list(self.clean.shape)} and corrupt {list(self.corrupt.shape)} [example"
                ", position], but an edge can be corrupted only where both have the same tokens."
            )
        n, width = self.clean.shape
        for name, tensor in (("last", self.last), ("answer", self.answer), ("foil", self.foil)):
            if len(tensor) != n:
                raise BadTask(f"The batch has {n} examples, but {name} has {len(tensor)}.")
        if not n:
            raise BadTask("The batch has no examples.")
        if self.answer.ndim != 2:
            raise BadTask(f"answer is {list(self.answer.shape)}, but must be [example, n].")
        first = torch.zeros_like(self.last) if self.first is None else self.first
        begin = self.last - (self.answer != IGNORED).sum(dim=1) + 1
        for wrong, what in (
            ((self.last < first) | (first < 0), "is nothing but padding"),
            (self.last >= width, f"ends after the {width} positions of the batch"),
            (begin < first, "has an answer that is predicted in front of its first token"),
        ):
            if bool(wrong.any()):
                raise BadTask(f"Example {int(wrong.nonzero()[0])} {what}.")

    def __len__(self) -> int:
        return self.clean.shape[0]

    @property
    def real(self) -> Tensor:
        """bool [example, position]: true where a prompt has a token, false in the padding."""
        position = torch.arange(self.clean.shape[1], device=self.last.device)
        real = position <= self.last[:, None]
        return real if self.first is None else real & (position >= self.first[:, None])

    @property
    def positions(self) -> Tensor:
        """int64 [example, n]: where each answer token is predicted (0 for IGNORED ones)."""
        n = self.answer.shape[1]
        back = torch.arange(1 - n, 1, device=self.last.device)
        return (self.last[:, None] + back).clamp(min=0)

    @property
    def answer_tokens(self) -> Tensor:
        """int64 [n]: the places of ``positions`` in example * position, each once, in order."""
        start = torch.arange(len(self), device=self.last.device) * self.clean.shape[1]
        return torch.unique(self.positions + start[:, None])

    @property
    def changed_from(self) -> int:
        """First position at which any example's clean and corrupt tokens differ."""
        differs = (self.clean != self.corrupt).any(dim=0)
        return int(differs.int().argmax()) if bool(differs.any()) else self.clean.shape[1]

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """Some of the examples, without padding on the right that none of them needs."""
        last = self.last[rows]
        width = int(last.max()) + 1
        return Batch(
            clean=self.clean[rows, :width],
            corrupt=self.corrupt[rows, :width],
            last=last,
            answer=self.answer[rows],
            foil=self.foil[rows],
            first=None if self.first is None else self.first[rows],
        )

    def split(self, size: int) -> Iterator[Batch]:
        """Consecutive micro-batches of at most ``size`` examples."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(
            clean=self.clean.to(device),
            corrupt=self.corrupt.to(device),
            last=self.last.to(device),
            answer=self.answer.to(device),
            foil=self.foil.to(device),
            first=None if self.first is None else self.first.to(device),
        )


@dataclass(frozen=True, slots=True)
class Fitting:
    """Pairs that a model's tokenizer can encode, and why others were left out."""

    pairs: tuple[Pair, ...]
    dropped: tuple[tuple[Pair, str], ...]


def fitting(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    metric: Metric = "logit_difference",
    limit: int | None = None,
) -> Fitting:
    """The first ``limit`` pairs that `encode` would take; raises BadTask if there is none."""
    tokens = _Tokens(tokenizer)
    kept: list[Pair] = []
    dropped: list[tuple[Pair, str]] = []
    for pair in pairs:
        if limit is not None and len(kept) == limit:
            break
        reason = tokens.problem(pair, metric)
        if reason is None:
            kept.append(pair)
        else:
            dropped.append((pair, reason))
    if not kept:
        first = f" First: {dropped[0][0].clean!r}: {dropped[0][1]}." if dropped else ""
        raise BadTask(
            f"None of {len(dropped)} pairs fits this model's tokenizer: clean and corrupt must "
            f"have the same number of tokens, answer and foil must be one token each.{first}"
        )
    return Fitting(tuple(kept), tuple(dropped))


def encode(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    metric: Metric = "logit_difference",
) -> Batch:
    """Tokenize pairs into a batch, padded on the right.

    Clean and corrupt prompts must have the same number of tokens. Answer and foil must be one token
    each and differ, but for the metric ``log_probability``: there the answer may have several
    tokens, and the foil is not looked at. Raises BadTask, naming the first pair that breaks this.
    """
    tokens = _Tokens(tokenizer)
    if not pairs:
        raise BadTask("There are no pairs to encode.")
    for index, pair in enumerate(pairs):
        reason = tokens.problem(pair, metric)
        if reason is not None:
            raise BadTask(f"Pair {index} ({pair.clean!r}): {reason}.")
    answers = [tokens.continuation(pair.answer) for pair in pairs]
    clean = [tokens.prompt(p.clean) + a[:-1] for p, a in zip(pairs, answers, strict=True)]
    corrupt = [tokens.prompt(p.corrupt) + a[:-1] for p, a in zip(pairs, answers, strict=True)]
    width = max(len(prompt) for prompt in clean)
    longest = max(len(answer) for answer in answers)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def padded(prompts: list[list[int]]) -> Tensor:
        return torch.tensor([prompt + [pad] * (width - len(prompt)) for prompt in prompts])

    return Batch(
        clean=padded(clean),
        corrupt=padded(corrupt),
        last=torch.tensor([len(prompt) - 1 for prompt in clean]),
        answer=torch.tensor([[IGNORED] * (longest - len(a)) + a for a in answers]),
        foil=torch.tensor([(tokens.continuation(pair.foil) or [0])[0] for pair in pairs]),
    )


class _Tokens:
    """A tokenizer that remembers, and what is wrong with a pair for it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.known: dict[tuple[str, bool], list[int]] = {}

    def _ids(self, text: str, *, special: bool) -> list[int]:
        key = (text, special)
        if key not in self.known:
            self.known[key] = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        return self.known[key]

    def prompt(self, text: str) -> list[int]:
        return self._ids(text, special=True)

    def continuation(self, text: str) -> list[int]:
        return self._ids(text, special=False)

    def problem(self, pair: Pair, metric: Metric) -> str | None:
        clean, corrupt = self.prompt(pair.clean), self.prompt(pair.corrupt)
        answer, foil = self.continuation(pair.answer), self.continuation(pair.foil)
        if not clean:
            return "clean has no tokens"
        if len(clean) != len(corrupt):
            return f"clean has {len(clean)} tokens and corrupt {len(corrupt)}; they must be equal"
        if not answer:
            return "the answer has no tokens"
        if metric == "log_probability":
            return None
        if len(answer) != 1 or len(foil) != 1:
            return (
                f"the answer {pair.answer!r} has {len(answer)} tokens and the foil {pair.foil!r} "
                f"{len(foil)}, but {metric} needs one token each"
            )
        if answer == foil:
            return f"answer and foil are the same token ({pair.answer!r})"
        return None
