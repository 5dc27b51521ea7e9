"""Tasks: what a model should do, as pairs of prompts.

A task is a plain value in `TASKS`; `ctviz.tasks.batch` turns its pairs into tensors. Importing
this module does not import torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ctviz.errors import OutOfRange, UnknownName
from ctviz.tasks import agreement
from ctviz.tasks.pair import Pair

__all__ = ["TASKS", "Pair", "Split", "Task", "find_task"]

Split = Literal["train", "dev", "test"]
_SEEDS = {"train": 0, "dev": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Task:
    """A task: ``draw(rng, held_out=...)`` makes one pair.

    ``metric`` says in words what logit(answer) - logit(foil) means here; ``aim`` what tuning does;
    ``explanation`` is for the page.
    """

    key: str
    title: str
    metric: str
    aim: str
    explanation: str
    draw: Callable[..., Pair]

    def pairs(self, n: int, *, split: Split, seed: int = 0) -> list[Pair]:
        """``n`` pairs, different ones as far as the task has them; the same seed, the same pairs.

        The splits share no combination of content words that the bundled model was trained on:
        ``train`` draws from those that its corpus has, ``dev`` and ``test`` from those it never
        had.
        """
        if n < 1:
            raise OutOfRange("examples", n, 1, None)
        rng = random.Random(f"{self.key} {split} {seed} {_SEEDS[split]}")
        held_out = split != "train"
        found: dict[Pair, None] = {}
        for _ in range(20 * n):
            found.setdefault(self.draw(rng, held_out=held_out))
            if len(found) == n:
                break
        return list(found)


TASKS: dict[str, Task] = {
    task.key: task
    for task in (
        Task(
            key="sva",
            title="Subject-verb agreement",
            metric="logit(agreeing verb) - logit(disagreeing verb)",
            aim="agree with the subject, whatever stands between",
            explanation=(
                "In “The keys to the cabinet …” the verb must agree with “keys”, although "
                "“cabinet” stands next to it. The counterfactual prompt has the other subject "
                "number: “The key to the cabinet …”."
            ),
            draw=agreement.agree,
        ),
        Task(
            key="sva-flip",
            title="Subject-verb disagreement",
            metric="logit(disagreeing verb) - logit(agreeing verb)",
            aim="disagree with the subject: “The keys to the cabinet is …”",
            explanation=(
                "The same sentences, but the wrong verb form is the answer: a behaviour that no "
                "text teaches, so that every change is the tuning's work. The metric is negative "
                "before tuning and positive after."
            ),
            draw=agreement.disagree,
        ),
    )
}


def find_task(key: str) -> Task:
    """The task of that name; raises UnknownName with near misses."""
    if key not in TASKS:
        raise UnknownName("task", key, TASKS)
    return TASKS[key]
