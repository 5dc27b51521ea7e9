"""One example of a task, as text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["Example", "Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A clean prompt, its counterfactual, and what should come next: what discovery runs on.

    ``answer`` and ``foil`` are continuations of ``clean`` with their leading space: the metric is
    logit(answer) - logit(foil) after ``clean``, at the first token in which the two differ. On
    ``corrupt`` their roles are swapped. Where more than one continuation is right, ``answers`` and
    ``foils`` are all that are right after ``clean`` and all that are wrong: what the metric
    ``probability_difference`` takes the mass of.
    """

    clean: str
    corrupt: str
    answer: str
    foil: str
    answers: tuple[str, ...] = ()
    foils: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Twelve digits that stand for the clean prompt: to know it again without keeping it."""
        return hashlib.sha256(self.clean.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Example:
    """What a model is asked, what tuning teaches it to say, and how an answer is judged.

    ``prompt`` and ``target`` are text to train on: the target continues the prompt, with its own
    leading space. ``pair`` is for discovery; an example without one can only be tuned on.
    ``choices`` are continuations of the prompt that a model chooses among, the right one first;
    ``accepted`` are the answers in free text that count as right. Which of the two is used, the
    task's grade says. ``group`` names a part of the task that is also counted by itself.
    """

    prompt: str
    target: str
    pair: Pair | None = None
    choices: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    group: str = ""

    @classmethod
    def of(cls, pair: Pair) -> Example:
        """The usual case: say ``answer`` rather than ``foil`` after ``clean``."""
        return cls(pair.clean, pair.answer, pair, choices=(pair.answer, pair.foil))
