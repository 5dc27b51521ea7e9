"""Natural sentences with a verb that must agree with its subject, written for this project."""

from __future__ import annotations

import functools
import random
import re
from dataclasses import dataclass

from ctviz import paths
from ctviz.english import NUMBERS, Number, opposite, part_of
from ctviz.tasks.example import Pair
from ctviz.tasks.task import Split

__all__ = ["Sentence", "draw_natural", "sentences"]

_LINE = re.compile(r"([^{}]*)\{(\w+)\|(\w+)\}([^{}]*) \{(\w+)\|(\w+)\}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """The beginning of a sentence, up to a verb that agrees with a subject of either number.

    ``before`` and ``between`` are the text around the subject; ``subject`` and ``verb`` hold the
    singular and the plural form.
    """

    before: str
    subject: tuple[str, str]
    between: str
    verb: tuple[str, str]

    def prompt(self, number: Number) -> str:
        """The text in front of the verb."""
        return f"{self.before}{self.subject[NUMBERS.index(number)]}{self.between}"

    def answer(self, number: Number) -> str:
        """The verb that agrees with a subject of this number, with its leading space."""
        return f" {self.verb[NUMBERS.index(number)]}"

    def pair(self, number: Number) -> Pair:
        """The sentence in one number; the counterfactual has the other."""
        other = opposite(number)
        return Pair(
            clean=self.prompt(number),
            corrupt=self.prompt(other),
            answer=self.answer(number),
            foil=self.answer(other),
        )


@functools.cache
def sentences(split: Split) -> tuple[Sentence, ...]:
    """The sentences of a split, in the order of the file: about 70, 24 and 28 of 120.

    The subject decides: no noun is a subject in two splits. Other words are shared.
    """
    lines = (paths.data() / "english" / "agreement.txt").read_text(encoding="utf-8")
    found = []
    for line in lines.splitlines():
        match = _LINE.fullmatch(line)
        assert match, f"not a sentence with two slots: {line!r}"
        before, one, many, between, singular, plural = match.groups()
        if part_of(one) == split:
            found.append(Sentence(before, (one, many), between, (singular, plural)))
    return tuple(found)


def draw_natural(rng: random.Random, split: Split, level: str) -> Pair:
    """One of the sentences of a split, with a singular or a plural subject.

    All levels are the same. There are two pairs for each sentence, so about 48 for dev.
    """
    return rng.choice(sentences(split)).pair(rng.choice(NUMBERS))
