"""Tasks of the models whose circuit is known by construction (`ctviz.models.handmade`).

Their counterfactuals change every part of what the model must put together, so that each edge of
its circuit carries a difference between the prompts. Their words are few and ordinary: other
models can be asked the same.
"""

from __future__ import annotations

import functools
import random

from ctviz.english import FEW_PEOPLE, FEW_THINGS, OPPOSITES, part_of
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Split, Task

__all__ = ["TASKS"]

_OPPOSITE = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])}
_WORDS = tuple(_OPPOSITE)


def _continue_bigram(rng: random.Random, split: Split, level: str) -> Example:
    """Different words, then one of them again: the answer is the word that followed it.

    "… X B … Y C … X" -> B. In the counterfactual, "… Y C … X B … Y" -> C, the two bigrams have
    changed places and the other one is asked for. So the word asked for, the word that stands in
    front of the answer's place and the answer differ; the place is the same. Either bigram may come
    first.
    """
    (x, b), (y, c) = _two_bigrams(rng, FEW_THINGS, FEW_THINGS, split)
    rest = rng.sample([word for word in FEW_THINGS if word not in (x, b, y, c)], 5)
    start, middle, end = rest[:1], rest[1 : rng.randint(1, 3)], rest[3 : rng.randint(3, 5)]
    asked_first = rng.random() < 0.5

    def prompt(asked: tuple[str, str], other: tuple[str, str]) -> str:
        first, second = (asked, other) if asked_first else (other, asked)
        return " ".join([*start, *first, *middle, *second, *end, asked[0]])

    one, two = (x, b), (y, c)
    return Example.of(Pair(prompt(one, two), prompt(two, one), answer=f" {b}", foil=f" {c}"))


def _say_opposite(rng: random.Random, split: Split, level: str) -> Example:
    """Three people with a word each, then one of them again: the answer is the word's opposite.

    "Mary big Anna heavy Tom clean Anna" -> "light". In the counterfactual, "Mary big Tom clean Anna
    heavy Tom" -> "dirty", two people have changed places, with their words, and the other of the
    two is asked for. The first person is never asked for.
    """
    while True:
        one, two = _two_bigrams(rng, FEW_PEOPLE, _WORDS, split)
        if _OPPOSITE[one[1]] != two[1]:
            break
    used = {*one, *two, _OPPOSITE[one[1]], _OPPOSITE[two[1]]}
    first = (
        rng.choice([person for person in FEW_PEOPLE if person not in used]),
        rng.choice([word for word in _WORDS if word not in used]),
    )
    asked_last = rng.random() < 0.5

    def prompt(asked: tuple[str, str], other: tuple[str, str]) -> str:
        second, third = (other, asked) if asked_last else (asked, other)
        return " ".join([*first, *second, *third, asked[0]])

    answer, foil = (f" {_OPPOSITE[word]}" for word in (one[1], two[1]))
    return Example.of(Pair(prompt(one, two), prompt(two, one), answer, foil))


def _say_again(rng: random.Random, split: Split, level: str) -> Example:
    """Different words: the answer is the last one once more.

    The counterfactual has other words in all places but the first.
    """
    last, other = rng.choice(_bigrams(FEW_THINGS, FEW_THINGS, split))
    n = rng.randint(2, 5)
    start, *rest = rng.sample([w for w in FEW_THINGS if w not in (last, other)], 1 + 2 * n)
    return Example.of(
        Pair(
            " ".join([start, *rest[:n], last]),
            " ".join([start, *rest[n:], other]),
            answer=f" {last}",
            foil=f" {other}",
        )
    )


@functools.cache
def _bigrams(
    first: tuple[str, ...], second: tuple[str, ...], split: Split
) -> list[tuple[str, str]]:
    """The two-word combinations of one split."""
    pairs = ((one, two) for one in first for two in second if one != two)
    return [(one, two) for one, two in pairs if part_of(f"{one} {two}") == split]


def _two_bigrams(
    rng: random.Random, first: tuple[str, ...], second: tuple[str, ...], split: Split
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two of them that share no word."""
    while True:
        one, two = rng.sample(_bigrams(first, second, split), 2)
        if len({*one, *two}) == 4:
            return one, two


SHARED = "all words: they are few; no combination of two that is asked for is in two splits"

TASKS: tuple[Task, ...] = (
    Task(
        key="induction",
        title="Induction: continue as before",
        kind="classic",
        metric="logit(word that followed last time) - logit(word that followed the other)",
        aim="after a word that was there before, say what followed it",
        explanation=(
            "A few different words, then one of them again: “… hat key … lamp cup … hat” goes "
            "on with “key”. In the counterfactual prompt the two word pairs have changed "
            "places and the other one is asked for: “… lamp cup … hat key … lamp”. The model "
            "`induction` was built for this; others can be asked too."
        ),
        source=Generated(_continue_bigram),
        shared=SHARED,
        repeats=FEW_THINGS,
    ),
    Task(
        key="opposite",
        title="Induction, then the opposite",
        kind="known",
        metric="logit(opposite of the right word) - logit(opposite of another's word)",
        aim="say the opposite of the word that followed a name",
        explanation=(
            "“Mary big Anna heavy Tom clean Anna” goes on with “light”: find what followed "
            "“Anna”, and say the opposite. In the counterfactual prompt Anna and Tom have "
            "changed places, with their words, and Tom is asked for. The model "
            "`induction-mlp` was built for this; no other model is expected to do it."
        ),
        source=Generated(_say_opposite),
        shared=SHARED,
    ),
    Task(
        key="echo",
        title="Say the last word again",
        kind="known",
        metric="logit(last word) - logit(last word of the counterfactual)",
        aim="say the last word of the prompt once more",
        explanation=(
            "“key lamp bag plate” goes on with “plate”: not a behaviour of interest, but what "
            "a GPT-2 with random weights does, since its embeddings are also its unembedding. "
            "The counterfactual prompt has other words in all places but the first. The model "
            "`few-heads` was built for this."
        ),
        source=Generated(_say_again),
        shared=SHARED,
    ),
)
