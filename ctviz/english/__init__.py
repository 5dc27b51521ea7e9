"""The English that the bundled corpus and the built-in tasks share.

Items are drawn with a `random.Random` and come in two halves that never overlap: combinations of
words that the training corpus uses, and about a tenth that it never uses (`held_out`).
"""

from ctviz.english.clauses import (
    AGREEMENT_KINDS,
    ATTRACTOR_KINDS,
    Agreement,
    AgreementKind,
    agreement,
    opposite,
)
from ctviz.english.lexicon import (
    ADJECTIVES,
    COLORS,
    KINDS,
    NAMES,
    NOUNS,
    NUMBERS,
    TRANSITIVE,
    VERBS,
    Adjective,
    Gender,
    Kind,
    Name,
    Noun,
    Number,
    Verb,
    held_out,
    names,
    nouns,
    part_of,
    word_forms,
)
from ctviz.english.parts import WordsOf
from ctviz.english.people import IndirectObject, Pronoun, indirect_object, pronoun
from ctviz.english.sequences import Repeat, Years, repeat, years
from ctviz.english.words import FEW_PEOPLE, FEW_THINGS, OPPOSITES

__all__ = [
    "ADJECTIVES",
    "AGREEMENT_KINDS",
    "ATTRACTOR_KINDS",
    "COLORS",
    "FEW_PEOPLE",
    "FEW_THINGS",
    "KINDS",
    "NAMES",
    "NOUNS",
    "NUMBERS",
    "OPPOSITES",
    "TRANSITIVE",
    "VERBS",
    "Adjective",
    "Agreement",
    "AgreementKind",
    "Gender",
    "IndirectObject",
    "Kind",
    "Name",
    "Noun",
    "Number",
    "Pronoun",
    "Repeat",
    "Verb",
    "WordsOf",
    "Years",
    "agreement",
    "held_out",
    "indirect_object",
    "names",
    "nouns",
    "opposite",
    "part_of",
    "pronoun",
    "repeat",
    "word_forms",
    "years",
]
