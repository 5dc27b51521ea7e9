"""Texts with a pattern to continue: spans of years, and lists that start over."""

import random
from dataclasses import dataclass
from typing import Final

from ctviz.english.lexicon import COLORS, NAMES, nouns
from ctviz.english.lexicon import held_out as is_held_out

FIRST_CENTURY: Final = 11
LAST_CENTURY: Final = 19


@dataclass(frozen=True, slots=True)
class Years:
    """Something lasts from one year to a later one in the same century.

    `prompt` stops after the century of the second year ("... from 1732 to 17"), and the two
    digits that follow must be greater than `start`. `corrupt` starts in year 01 instead, after
    which almost every continuation is right.
    """

    noun: str
    century: int
    start: int
    end: int
    before: str
    between: str
    ending: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The combination that `held_out` judges: noun, century, first year."""
        return (self.noun, str(self.century), f"{self.start:02d}")

    @property
    def prompt(self) -> str:
        """The text up to the last two digits."""
        return self.prompt_from(self.start)

    @property
    def corrupt(self) -> str:
        """The prompt with 01 as the first year's last two digits."""
        return self.prompt_from(1)

    @property
    def later(self) -> tuple[str, ...]:
        """The two-digit continuations that are right."""
        return tuple(f"{year:02d}" for year in range(self.start + 1, 100))

    @property
    def earlier(self) -> tuple[str, ...]:
        """The two-digit continuations that are wrong."""
        return tuple(f"{year:02d}" for year in range(self.start + 1))

    @property
    def sentence(self) -> str:
        """The whole sentence."""
        return f"{self.prompt}{self.end:02d}{self.ending}"

    def prompt_from(self, start: int) -> str:
        """The text up to the last two digits when the first year ends in `start`."""
        return f"{self.before}{self.century}{start:02d}{self.between}{self.century}"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A list of unrelated words that starts over and stops before the next word.

    `prompt` is "Words: red blue green red blue"; the answer is the word that followed last time.
    `corrupt` has another word, the foil, at the answer's first place.
    """

    words: tuple[str, ...]
    stop: int
    replacement: str
    lead: str

    @property
    def key(self) -> tuple[str, ...]:
        """The combination that `held_out` judges: the words in their order."""
        return self.words

    @property
    def prompt(self) -> str:
        """The text up to the repeated word."""
        return f"{self.lead} {' '.join((*self.words, *self.words[: self.stop]))}"

    @property
    def corrupt(self) -> str:
        """The prompt in which the foil is the word that followed."""
        changed = (*self.words[: self.stop], self.replacement, *self.words[self.stop + 1 :])
        return f"{self.lead} {' '.join((*changed, *self.words[: self.stop]))}"

    @property
    def answer(self) -> str:
        """The word that comes next, with its leading space."""
        return f" {self.words[self.stop]}"

    @property
    def foil(self) -> str:
        """The word that comes next after `corrupt`, with its leading space."""
        return f" {self.replacement}"

    @property
    def sentence(self) -> str:
        """The whole list, said twice."""
        return f"{self.lead} {' '.join(self.words * 2)}."


_EVENTS: Final = (
    "war",
    "journey",
    "storm",
    "project",
    "festival",
    "strike",
    "trial",
    "season",
    "voyage",
)
_YEAR_FORMS: Final = (
    ("The NOUN lasted from ", " to ", "."),
    ("The NOUN lasted from the year ", " to the year ", "."),
    ("The NOUN began in ", " and ended in ", "."),
    ("A long NOUN started in ", " and lasted until ", "."),
)


def years(rng: random.Random, *, held_out: bool | None) -> Years:
    """Draw one span of years within a century, starting between 02 and 98.

    `held_out=True` draws only combinations of noun, century and first year that the training
    corpus never uses, False only the others, None both.
    """
    while True:
        noun = rng.choice(_EVENTS)
        start = rng.randint(2, 98)
        before, between, ending = rng.choice(_YEAR_FORMS)
        item = Years(
            noun=noun,
            century=rng.randint(FIRST_CENTURY, LAST_CENTURY),
            start=start,
            end=rng.randint(start + 1, 99),
            before=before.replace("NOUN", noun),
            between=between,
            ending=ending,
        )
        if held_out is None or is_held_out(*item.key) == held_out:
            return item


_LEADS: Final = ("Words:", "List:", "Again:", "Say:")
_POOL: Final = (
    *COLORS,
    *(noun.singular for noun in nouns("person", "animal", "object", "place")),
    *(name.text for name in NAMES),
)


def repeat(rng: random.Random, *, held_out: bool | None) -> Repeat:
    """Draw one repeated list of three to eight random words.

    `held_out=True` draws only lists that the training corpus never uses, False only the others,
    None both.
    """
    while True:
        *words, replacement = rng.sample(_POOL, rng.randint(3, 8) + 1)
        stop = rng.randint(1, len(words) - 1)
        item = Repeat(tuple(words), stop, replacement, rng.choice(_LEADS))
        if held_out is None or is_held_out(*item.key) == held_out:
            return item
