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
from ctviz.tasks import agreement, giving, known_answers
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
        had (its corpus has none of the pairs of `ctviz.tasks.known_answers`, which are divided in
        the same way).
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
        Task(
            key="ioi",
            title="Indirect object identification",
            metric="logit(receiver) - logit(giver)",
            aim="name the one who has not been named twice",
            explanation=(
                "“When Mary and John went to the store, John gave a drink to …” goes on with "
                "“Mary”: the name that does not come again. In the counterfactual prompt the "
                "other one gives: “… Mary gave a drink to”."
            ),
            draw=giving.give,
        ),
        Task(
            key="induction",
            title="Induction: continue as before",
            metric="logit(word that followed last time) - logit(word that followed the other)",
            aim="after a word that was there before, say what followed it",
            explanation=(
                "A few different words, then one of them again: “… hat key … lamp cup … hat” goes "
                "on with “key”. In the counterfactual prompt the two word pairs have changed "
                "places and the other one is asked for: “… lamp cup … hat key … lamp”. The model "
                "`induction` was built for this; others can be asked too."
            ),
            draw=known_answers.continue_bigram,
        ),
        Task(
            key="opposite",
            title="Induction, then the opposite",
            metric="logit(opposite of the right word) - logit(opposite of another's word)",
            aim="say the opposite of the word that followed a name",
            explanation=(
                "“Mary big Anna heavy Tom clean Anna” goes on with “light”: find what followed "
                "“Anna”, and say the opposite. In the counterfactual prompt Anna and Tom have "
                "changed places, with their words, and Tom is asked for. The model "
                "`induction-mlp` was built for this; no other model is expected to do it."
            ),
            draw=known_answers.say_opposite,
        ),
        Task(
            key="echo",
            title="Say the last word again",
            metric="logit(last word) - logit(last word of the counterfactual)",
            aim="say the last word of the prompt once more",
            explanation=(
                "“key lamp bag plate” goes on with “plate”: not a behaviour of interest, but what "
                "a GPT-2 with random weights does, since its embeddings are also its unembedding. "
                "The counterfactual prompt has other words in all places but the first. The model "
                "`few-heads` was built for this."
            ),
            draw=known_answers.say_again,
        ),
    )
}


def find_task(key: str) -> Task:
    """The task of that name; raises UnknownName with near misses."""
    if key not in TASKS:
        raise UnknownName("task", key, TASKS)
    return TASKS[key]
