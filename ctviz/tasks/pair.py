"""One example of a task, as text."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A clean prompt, its counterfactual, and what should come next.

    ``answer`` and ``foil`` are continuations of ``clean`` with their leading space: the metric is
    logit(answer) - logit(foil) at the last position, and tuning aims at ``answer``. On ``corrupt``
    their roles are swapped.
    """

    clean: str
    corrupt: str
    answer: str
    foil: str
