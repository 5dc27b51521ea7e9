"""The words that the bundled corpus and the built-in tasks share.

Everything here is plain data. Words are everyday ones, chosen so that each form, with a leading
space, is one token both in the bundled tokenizer and in ordinary English byte-pair vocabularies.
No spelling is shared by two entries: a form such as "watches" is never both a noun and a verb.
"""

import functools
import hashlib
from dataclasses import dataclass
from typing import Final, Literal

Number = Literal["singular", "plural"]
Gender = Literal["female", "male"]
Kind = Literal["person", "animal", "object", "thing", "place"]
Complement = Literal["be", "have", "linking", "bare"]

NUMBERS: Final[tuple[Number, ...]] = ("singular", "plural")
KINDS: Final[tuple[Kind, ...]] = ("person", "animal", "object", "thing", "place")

HELD_OUT_SHARE: Final = 0.1
PARTS: Final = (("train", 0.6), ("dev", 0.2), ("test", 0.2))


# Each entry below is there once, so it is compared and hashed by identity, which is quick.


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A countable noun.

    `kind` says what it can do in a sentence: an "object" can be carried and given, a "thing" is
    too large for that, a "place" is somewhere to go.
    """

    singular: str
    plural: str
    kind: Kind

    @property
    def lemma(self) -> str:
        """The dictionary form, used in held-out keys."""
        return self.singular

    def form(self, number: Number) -> str:
        """The spelling for one grammatical number."""
        return self.singular if number == "singular" else self.plural


@dataclass(frozen=True, slots=True, eq=False)
class Verb:
    """A verb in its two third-person forms.

    `kinds` are the kinds of subject it goes with; `complement` says what may follow it.
    """

    singular: str
    plural: str
    kinds: tuple[Kind, ...]
    complement: Complement

    @property
    def lemma(self) -> str:
        """The plural form, used in held-out keys ("are" and "were" count as two verbs)."""
        return self.plural

    def form(self, number: Number) -> str:
        """The spelling for one grammatical number of the subject."""
        return self.singular if number == "singular" else self.plural


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A first name with the gender that the pronouns of the corpus give it."""

    text: str
    gender: Gender


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective and the kinds of noun it describes."""

    text: str
    kinds: tuple[Kind, ...]


def held_out(*words: str) -> bool:
    """Whether a combination of words is kept out of the training corpus.

    About a tenth of all combinations are. The answer depends only on the words, in the order
    given, so it is the same on every machine and in every process.
    """
    if not words:
        raise ValueError("held_out needs at least one word")
    digest = hashlib.sha256("\x1f".join(words).encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


@functools.cache
def part_of(word: str) -> str:
    """Which of "train", "dev" and "test" a content word belongs to: 60, 20 and 20 % of all words.

    Depends only on the word, so that no two tasks put it into different parts.
    """
    digest = hashlib.sha256(f"part of {word}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    for part, size in PARTS:
        if share < size:
            return part
        share -= size
    return PARTS[-1][0]


def with_article(phrase: str) -> str:
    """A noun phrase with its indefinite article: "an old key", "a ring"."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _nouns(kind: Kind, text: str) -> tuple[Noun, ...]:
    nouns = []
    for entry in text.split():
        singular, _, plural = entry.partition("/")
        nouns.append(Noun(singular, plural or f"{singular}s", kind))
    return tuple(nouns)


def _verbs(complement: Complement, kinds: tuple[Kind, ...], text: str) -> tuple[Verb, ...]:
    verbs = []
    for entry in text.split():
        plural, _, singular = entry.partition("/")
        verbs.append(Verb(singular or f"{plural}s", plural, kinds, complement))
    return tuple(verbs)


def _adjectives(kinds: tuple[Kind, ...], text: str) -> tuple[Adjective, ...]:
    return tuple(Adjective(word, kinds) for word in text.split())


NOUNS: Final[tuple[Noun, ...]] = (
    *_nouns(
        "person",
        """author boy girl teacher doctor king queen farmer driver singer writer soldier student
        child/children man/men woman/women friend lawyer nurse pilot worker player dancer actor
        guest neighbor sailor brother sister cousin father mother manager officer guard judge
        artist leader chef scientist poet captain hunter visitor lady/ladies clerk customer
        engineer reporter priest""",
    ),
    *_nouns(
        "animal",
        """dog cat horse bird cow pig duck rabbit bear lion tiger wolf/wolves mouse/mice chicken
        goat monkey elephant snake frog spider puppy/puppies turtle dragon""",
    ),
    *_nouns(
        "object",
        """key book letter box/boxes lamp picture cup plate bottle basket bag hat coat shoe shirt
        ring clock camera guitar knife/knives mirror coin ticket map toy ball doll balloon drum
        bell candle apple cake egg cookie potato/potatoes flower button rope bucket jacket
        dress/dresses glass/glasses pot drink gift card phone""",
    ),
    *_nouns(
        "thing",
        """cabinet door table chair car window boat ship train bus/buses truck wall tree stone gate
        computer bed desk wheel bike plane machine engine statue fence""",
    ),
    *_nouns(
        "place",
        """house garden river lake mountain hill field room tower school church/churches shop
        market hotel village city/cities town farm castle island office kitchen store park station
        museum library/libraries beach/beaches restaurant hospital bank road bridge forest""",
    ),
)

_ALL: Final[tuple[Kind, ...]] = KINDS
_LIVING: Final[tuple[Kind, ...]] = ("person", "animal")
_PERSON: Final[tuple[Kind, ...]] = ("person",)
_MOVABLE: Final[tuple[Kind, ...]] = ("object", "thing")

BE: Final = Verb("is", "are", _ALL, "be")
WAS: Final = Verb("was", "were", _ALL, "be")
HAVE: Final = Verb("has", "have", _ALL, "have")

VERBS: Final[tuple[Verb, ...]] = (
    BE,
    WAS,
    HAVE,
    *_verbs("linking", _ALL, "look seem remain"),
    *_verbs("bare", _ALL, "change/changes appear"),
    *_verbs(
        "bare",
        _LIVING,
        """run walk jump play/plays wait sit rest hide eat live fight wake return arrive travel
        sing dance cry/cries stay/stays""",
    ),
    *_verbs("bare", _PERSON, "smile work talk listen read write speak study/studies win lose"),
    *_verbs("bare", _MOVABLE, "break burn roll float spin crack sink fall move shine stop"),
    *_verbs("bare", ("thing", "place"), "open close"),
)

# Verbs of relative clauses; kept apart from VERBS so that no main verb is seen inside one.
TRANSITIVE: Final[tuple[Verb, ...]] = (
    *_verbs("bare", _LIVING, "like see know follow watch/watches hear find want need love fear"),
    *_verbs("bare", _PERSON, "help remember miss/misses visit trust"),
)


def _names(gender: Gender, text: str) -> tuple[Name, ...]:
    return tuple(Name(word, gender) for word in text.split())


NAMES: Final[tuple[Name, ...]] = (
    *_names(
        "female",
        """Mary Anna Sarah Emma Lisa Kate Jane Alice Lucy Emily Laura Julia Rachel Susan Linda
        Karen Nancy Helen Maria Amy Jessica Jennifer Nicole Rebecca Elizabeth Diana Clara Sophie
        Claire Anne Hannah Julie""",
    ),
    *_names(
        "male",
        """John Tom James David Peter Paul Jack Sam Ben Adam Luke Henry George Robert Michael
        Daniel Andrew Kevin Brian Eric Steve Joe Tim Bob Mike Jim Max Simon Arthur William Thomas
        Richard""",
    ),
)

ADJECTIVES: Final[tuple[Adjective, ...]] = (
    *_adjectives(_ALL, "old new big small strange famous quiet beautiful"),
    *_adjectives(
        _LIVING, "happy sad angry tired hungry loud young brave clever funny lazy calm proud strong"
    ),
    *_adjectives(_PERSON, "tall rich poor busy ready nice"),
    *_adjectives(
        _MOVABLE, "heavy light clean dirty dry wet soft hard broken shiny expensive cheap wooden"
    ),
    *_adjectives(("thing", "place"), "huge tiny"),
    *_adjectives(("place",), "empty dark bright safe cold warm"),
)
COLORS: Final[tuple[str, ...]] = (
    "red",
    "blue",
    "green",
    "black",
    "white",
    "yellow",
    "brown",
    "pink",
    "purple",
    "gray",
)

TIMES: Final[tuple[str, ...]] = (
    "every day",
    "in the morning",
    "at night",
    "after lunch",
    "before dinner",
    "all day",
    "on Sunday",
    "again",
)
PAST_TIMES: Final[tuple[str, ...]] = ("yesterday", "last night", "last week", "in the morning")
MANNERS: Final[tuple[str, ...]] = (
    "quickly",
    "slowly",
    "quietly",
    "often",
    "together",
    "alone",
    "outside",
    "well",
    "today",
    "now",
    "here",
    "there",
)
COUNTS: Final[tuple[str, ...]] = (
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
)


@functools.cache
def nouns(*kinds: Kind) -> tuple[Noun, ...]:
    """The nouns of the given kinds, in a fixed order."""
    return tuple(noun for noun in NOUNS if noun.kind in kinds)


@functools.cache
def names(gender: Gender) -> tuple[Name, ...]:
    """The names of one gender, in a fixed order."""
    return tuple(name for name in NAMES if name.gender == gender)


@functools.cache
def adjectives(kind: Kind) -> tuple[str, ...]:
    """The adjectives that describe one kind of noun, colours included where they fit."""
    plain = tuple(adjective.text for adjective in ADJECTIVES if kind in adjective.kinds)
    return (*plain, *COLORS) if kind in ("object", "thing") else plain


def word_forms() -> tuple[str, ...]:
    """Every spelling of the lexicon, once each; all of them follow a space in a sentence."""
    forms: list[str] = []
    for noun in NOUNS:
        forms += [noun.singular, noun.plural]
    for verb in (*VERBS, *TRANSITIVE):
        forms += [verb.singular, verb.plural]
    forms += [name.text for name in NAMES]
    forms += [adjective.text for adjective in ADJECTIVES]
    forms += [*COLORS, *MANNERS, *COUNTS]
    return tuple(dict.fromkeys(forms))
