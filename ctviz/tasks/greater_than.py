"""A later year: the second of two years must be greater than the first."""

from __future__ import annotations

import random
from dataclasses import replace

from ctviz.english import Years, held_out, years
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Split, Task

__all__ = ["TASKS"]


def _split_of(item: Years) -> Split:
    """Train has what the bundled model's corpus may have, dev even and test odd years of the rest.

    Judged by noun, century and first year together.
    """
    if not held_out(*item.key):
        return "train"
    return "dev" if item.start % 2 == 0 else "test"


def _later(rng: random.Random, split: Split, level: str) -> Example:
    """A span of years, up to the last two digits of the second one (Hanna et al. 2023).

    The tens of the answer are greater and those of the foil smaller than the first year's, so that
    the first digit decides where a tokenizer has one token for each. (arXiv 2305.00586.)

    A foil that is too early for the clean prompt cannot be the only right one of the two for
    another first year. In the counterfactual prompt the first year is before the foil, which is
    then as right as the answer, and nearer.
    """
    while True:
        item = years(rng, held_out=split != "train")
        tens = item.start // 10
        if 2 <= tens <= 8 and _split_of(item) == split:
            break
    answer = rng.randint(10 * tens + 10, 99)
    foil = rng.randint(10, 10 * tens - 1)
    while True:
        other = replace(item, start=rng.randint(2, foil // 10 * 10 - 1))
        if _split_of(other) in ("train", split):
            break
    later = tuple(f"{year:02d}" for year in range(item.start + 1, 100))
    earlier = tuple(f"{year:02d}" for year in range(item.start + 1))
    return Example.of(
        Pair(item.prompt, other.prompt, f"{answer:02d}", f"{foil:02d}", later, earlier)
    )


TASKS: tuple[Task, ...] = (
    Task(
        key="greater-than",
        title="Greater-than",
        kind="classic",
        metric="logit(a later year) - logit(an earlier year), at the tens",
        aim="go on with a year that is later than the first one",
        explanation=(
            "“The war lasted from 1752 to 17” must go on with two digits greater than 52: “81”, "
            "not “34”. The tens alone decide, for models that write one digit after the other. In "
            "the counterfactual prompt the first year is so early, “1721”, that both are right. "
            "The metric probability_difference is that of Hanna et al. (2023): the probability of "
            "all later years less that of all others, each at its first token; a token that "
            "begins both, as the tens of the first year do, is left out."
        ),
        source=Generated(_later),
        shared="the sentence patterns and nouns; no combination of noun, century and first year",
    ),
)
