"""Pairs of prompts as tensors: what the engine runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ctviz.circuits.choices import Metric
from ctviz.errors import BadTask
from ctviz.tasks.example import Pair
from ctviz.tasks.files.rows import counted
from ctviz.tasks.tokens import Cut, Tokens, pair_problem

__all__ = ["IGNORED", "Batch", "Fitting", "encode", "fitting", "misfit", "padded", "problem"]

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
    first token, or None if all begin at 0. ``right``, ``wrong``: int64 [example, k], all tokens
    that may come there and all that may not, IGNORED where there are fewer than k; None where
    answer and foil are all there are.

    Raises BadTask, naming the example, for prompts of different shape, for a row of nothing but
    padding and for an answer that would be predicted in front of its prompt.
    """

    clean: Tensor
    corrupt: Tensor
    last: Tensor
    answer: Tensor
    foil: Tensor
    first: Tensor | None = None
    right: Tensor | None = None
    wrong: Tensor | None = None

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
        places: Tensor = torch.unique(self.positions + start[:, None])
        return places

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
            right=None if self.right is None else self.right[rows],
            wrong=None if self.wrong is None else self.wrong[rows],
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
            right=None if self.right is None else self.right.to(device),
            wrong=None if self.wrong is None else self.wrong.to(device),
        )


@dataclass(frozen=True, slots=True)
class Fitting:
    """Pairs that a model's tokenizer can encode, and why others were left out."""

    pairs: tuple[Pair, ...]
    dropped: tuple[tuple[Pair, str], ...]

    @property
    def first_dropped(self) -> str:
        """The first of ``dropped`` in words; empty if there is none."""
        return f"{self.dropped[0][0].clean!r}: {self.dropped[0][1]}" if self.dropped else ""


def fitting(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    metric: Metric = "logit_difference",
    limit: int | None = None,
    longest: int | None = None,
    vocabulary: int | None = None,
) -> Fitting:
    """The first ``limit`` pairs that `encode` would take; raises BadTask if there is none.

    With ``longest``, pairs of more tokens than that are left out too, and with ``vocabulary``, the
    number of tokens for which the model has embeddings, those that have another one.
    """
    tokens = Tokens(tokenizer, vocabulary)
    kept: list[Pair] = []
    dropped: list[tuple[Pair, str]] = []
    for pair in pairs:
        if limit is not None and len(kept) == limit:
            break
        if reason := misfit(tokens, pair, metric, longest):
            dropped.append((pair, reason))
        else:
            kept.append(pair)
    found = Fitting(tuple(kept), tuple(dropped))
    if not kept:
        if pairs and not any(tokens.continuation("", pair.clean) for pair, _ in dropped):
            raise BadTask(
                f"The tokenizer makes no tokens of any of {len(dropped)} prompts, the first of "
                f"them {dropped[0][0].clean!r}: it has a vocabulary of "
                f"{counted(len(tokenizer), 'token')}. Give the tokenizer that belongs to the model."
            )
        first = f" First: {found.first_dropped}." if dropped else ""
        raise BadTask(
            f"None of {len(dropped)} pairs fits this model's tokenizer: clean and corrupt must "
            f"have the same number of tokens, and answer and foil must differ in one.{first}"
        )
    return found


def encode(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    metric: Metric = "logit_difference",
    vocabulary: int | None = None,
) -> Batch:
    """Tokenize pairs into a batch, padded on the right.

    Clean and corrupt prompts must have the same number of tokens. Answer and foil are compared at
    the first token in which they differ: the tokens that they begin with alike are put at the end
    of both prompts, those that come later are left out. For the metric ``log_probability`` the
    answer has all its tokens, and the foil is not looked at; for ``probability_difference`` all
    answers and foils of a pair count, each by the token there. ``vocabulary`` is the number of
    tokens for which the model has embeddings. Raises BadTask, naming the first pair that breaks
    this.
    """
    tokens = Tokens(tokenizer, vocabulary)
    if not pairs:
        raise BadTask("There are no pairs to encode.")
    cuts = [tokens.cut(pair) for pair in pairs]
    for index, (pair, parts) in enumerate(zip(pairs, cuts, strict=True)):
        if reason := problem(parts, metric):
            raise BadTask(f"Pair {index} ({pair.clean!r}): {reason}.")
    sides = None
    if metric == "probability_difference" and any(pair.answers or pair.foils for pair in pairs):
        sides = [_sides(tokens, pair, parts) for pair, parts in zip(pairs, cuts, strict=True)]
        for index, (pair, (_, _, reason)) in enumerate(zip(pairs, sides, strict=True)):
            if reason:
                raise BadTask(f"Pair {index} ({pair.clean!r}): {reason}.")
    goals = [_goal(parts, metric) for parts in cuts]
    clean = [parts.clean + goal.shared for parts, goal in zip(cuts, goals, strict=True)]
    corrupt = [parts.corrupt + goal.shared for parts, goal in zip(cuts, goals, strict=True)]
    longest = max(len(goal.answer) for goal in goals)
    return Batch(
        clean=padded(clean, tokenizer),
        corrupt=padded(corrupt, tokenizer),
        last=torch.tensor([len(prompt) - 1 for prompt in clean]),
        answer=torch.tensor([[IGNORED] * (longest - len(g.answer)) + g.answer for g in goals]),
        foil=torch.tensor([goal.foil for goal in goals]),
        right=_rows([right for right, _, _ in sides]) if sides else None,
        wrong=_rows([wrong for _, wrong, _ in sides]) if sides else None,
    )


def _sides(tokens: Tokens, pair: Pair, parts: Cut) -> tuple[list[int], list[int], str]:
    """The tokens that begin a right answer of a pair, those that begin a wrong one, and why they
    cannot be told apart, empty if they can.

    A token that begins both says nothing and is left out.
    """
    at = len(parts.shared)
    begins: list[set[int]] = []
    for texts, own in ((pair.answers, parts.answer), (pair.foils, parts.foil)):
        found = {own[0]}
        for text in texts:
            if wrong := tokens.continuation_problem(pair.clean, text, f"continuation {text!r}"):
                return [], [], wrong
            ids = tokens.continuation(pair.clean, text)
            if ids[:at] != parts.shared or len(ids) == at:
                return [], [], f"{text!r} does not begin as {pair.answer!r} and {pair.foil!r} do"
            found.add(ids[at])
        begins.append(found)
    good, bad = (sorted(begins[k] - begins[1 - k]) for k in (0, 1))
    if not good or not bad:
        return [], [], "the tokens that begin right and wrong answers are the same"
    return good, bad, ""


def _rows(ids: list[list[int]]) -> Tensor:
    """int64 [example, k], IGNORED at the end of shorter ones."""
    most = max(map(len, ids))
    return torch.tensor([each + [IGNORED] * (most - len(each)) for each in ids])


def padded(prompts: list[list[int]], tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """int64 [prompt, position], padded on the right."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    width = max(len(prompt) for prompt in prompts)
    return torch.tensor([prompt + [pad] * (width - len(prompt)) for prompt in prompts])


def misfit(tokens: Tokens, pair: Pair, metric: Metric, longest: int | None = None) -> str:
    """Why a metric cannot be computed on a pair; empty if it can."""
    parts = tokens.cut(pair)
    reason = problem(parts, metric, longest)
    if not reason and metric == "probability_difference":
        reason = _sides(tokens, pair, parts)[2]
    return reason


def problem(parts: Cut, metric: Metric, longest: int | None = None) -> str:
    """Why a pair cannot be encoded; empty if it can."""
    if parts.clean and len(parts.clean) != len(parts.corrupt):
        return (
            f"clean has {len(parts.clean)} tokens and corrupt {len(parts.corrupt)}; "
            "they must be equal"
        )
    return pair_problem(parts, metric=metric, longest=longest)


@dataclass(frozen=True, slots=True)
class _Goal:
    """What both prompts get at their end, and what is then compared."""

    shared: list[int]
    answer: list[int]
    foil: int


def _goal(parts: Cut, metric: Metric) -> _Goal:
    if metric == "log_probability":
        answer, foil = parts.shared + parts.answer, parts.shared + parts.foil
        return _Goal(answer[:-1], answer, foil[0] if foil else 0)
    return _Goal(parts.shared, parts.answer[:1], parts.foil[0])
