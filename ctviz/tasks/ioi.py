"""Indirect object identification."""

from __future__ import annotations

import random

from ctviz.english import WordsOf, indirect_object
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Split, Task

__all__ = ["TASKS"]


def _give(rng: random.Random, split: Split, level: str) -> Example:
    """Two people, one of whom gives something to the other, who is the answer.

    In the counterfactual prompt the other one gives, so answer and foil change places. (Wang et al.
    2022, arXiv 2211.00593.)
    """
    words = WordsOf(rng, split)
    while True:
        try:
            item = indirect_object(words, held_out=split != "train")
        except LookupError:
            continue
        pair = Pair(item.prompt, item.prompt_with(item.receiver), item.answer, item.foil)
        return Example.of(pair)


TASKS: tuple[Task, ...] = (
    Task(
        key="ioi",
        title="Indirect object identification",
        kind="classic",
        metric="logit(receiver) - logit(giver)",
        aim="name the one who has not been named twice",
        explanation=(
            "“When Mary and John went to the store, John gave a drink to …” goes on with "
            "“Mary”: the name that does not come again. In the counterfactual prompt the "
            "other one gives: “… Mary gave a drink to”."
        ),
        source=Generated(_give),
        shared="the sentence patterns; no name, place or thing",
    ),
)
