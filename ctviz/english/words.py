"""A few words each for tasks that need a small closed vocabulary.

All of them are in the lexicon, so that each is one token, after a space, for the bundled model and
in ordinary English vocabularies too.
"""

from typing import Final

from ctviz.english.lexicon import NAMES

FEW_THINGS: Final[tuple[str, ...]] = (
    *("key", "book", "letter", "box", "lamp", "picture", "cup", "plate"),
    *("bottle", "basket", "bag", "hat", "coat", "shoe", "ring"),
)

FEW_PEOPLE: Final[tuple[str, ...]] = tuple(
    name.text
    for gender, n in (("female", 8), ("male", 7))
    for name in [name for name in NAMES if name.gender == gender][:n]
)

OPPOSITES: Final[tuple[tuple[str, str], ...]] = (
    ("old", "new"),
    ("big", "small"),
    ("happy", "sad"),
    ("rich", "poor"),
    ("heavy", "light"),
    ("clean", "dirty"),
    ("wet", "dry"),
)
