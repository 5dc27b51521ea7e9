"""Tasks of the models whose circuit is known by construction (`ctviz.models.handmade`).

Their counterfactuals change every part of what the model must put together, so that each edge of
its circuit carries a difference between the prompts. Their words are few and ordinary: other
models can be asked the same.
"""

from __future__ import annotations

import functools
import random

from ctviz.english import FEW_PEOPLE, FEW_THINGS, OPPOSITES
from ctviz.english import held_out as is_held_out
from ctviz.tasks.pair import Pair

__all__ = ["continue_bigram", "say_again", "say_opposite"]

_OPPOSITE = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])}
_WORDS = tuple(_OPPOSITE)


def continue_bigram(rng: random.Random, *, held_out: bool) -> Pair:
    """Different words, then one of them again: the answer is the word that followed it.

    "… X B … Y C … X" -> B. In the counterfactual, "… Y C … X B … Y" -> C, the two bigrams have
    changed places and the other one is asked for. So the word asked for, the word that stands in
    front of the answer's place and the answer differ; the place is the same. Either bigram may come
    first.
    """
    (x, b), (y, c) = _two_bigrams(rng, FEW_THINGS, FEW_THINGS, held_out)
    rest = rng.sample([word for word in FEW_THINGS if word not in (x, b, y, c)], 5)
    start, middle, end = rest[:1], rest[1 : rng.randint(1, 3)], rest[3 : rng.randint(3, 5)]
    asked_first = rng.random() < 0.5

    def prompt(asked: tuple[str, str], other: tuple[str, str]) -> str:
        first, second = (asked, other) if asked_first else (other, asked)
        return " ".join([*start, *first, *middle, *second, *end, asked[0]])

    one, two = (x, b), (y, c)
    return Pair(prompt(one, two), prompt(two, one), answer=f" {b}", foil=f" {c}")


def say_opposite(rng: random.Random, *, held_out: bool) -> Pair:
    """Three people with a word each, then one of them again: the answer is the word's opposite.

    "Mary big Anna heavy Tom clean Anna" -> "light". In the counterfactual, "Mary big Tom clean Anna
    heavy Tom" -> "dirty", two people have changed places, with their words, and the other of the
    two is asked for. The first person is never asked for.
    """
    while True:
        one, two = _two_bigrams(rng, FEW_PEOPLE, _WORDS, held_out)
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

    return Pair(
        prompt(one, two),
        prompt(two, one),
        answer=f" {_OPPOSITE[one[1]]}",
        foil=f" {_OPPOSITE[two[1]]}",
    )


def say_again(rng: random.Random, *, held_out: bool) -> Pair:
    """Different words: the answer is the last one once more.

    The counterfactual has other words in all places but the first.
    """
    last, other = rng.choice(_bigrams(FEW_THINGS, FEW_THINGS, held_out))
    n = rng.randint(2, 5)
    start, *rest = rng.sample([w for w in FEW_THINGS if w not in (last, other)], 1 + 2 * n)
    return Pair(
        " ".join([start, *rest[:n], last]),
        " ".join([start, *rest[n:], other]),
        answer=f" {last}",
        foil=f" {other}",
    )


@functools.cache
def _bigrams(
    first: tuple[str, ...], second: tuple[str, ...], held_out: bool
) -> list[tuple[str, str]]:
    """The two-word combinations of one half: about a tenth are held out, as everywhere."""
    pairs = ((one, two) for one in first for two in second if one != two)
    return [pair for pair in pairs if is_held_out(*pair) == held_out]


def _two_bigrams(
    rng: random.Random, first: tuple[str, ...], second: tuple[str, ...], held_out: bool
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two of them that share no word."""
    while True:
        one, two = rng.sample(_bigrams(first, second, held_out), 2)
        if len({*one, *two}) == 4:
            return one, two
