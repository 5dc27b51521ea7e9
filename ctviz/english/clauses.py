"""Sentences whose verb agrees with its subject, often across a noun of the other number."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ctviz.english.lexicon import (
    MANNERS,
    NOUNS,
    NUMBERS,
    PAST_TIMES,
    TIMES,
    TRANSITIVE,
    VERBS,
    WAS,
    Kind,
    Noun,
    Number,
    Verb,
    adjectives,
    nouns,
    with_article,
)
from ctviz.english.lexicon import held_out as is_held_out

AgreementKind = Literal[
    "simple", "adjective", "pp", "pp_adjective", "object_relative", "subject_relative"
]

AGREEMENT_KINDS: Final[tuple[AgreementKind, ...]] = (
    "simple",
    "adjective",
    "pp",
    "pp_adjective",
    "object_relative",
    "subject_relative",
)
ATTRACTOR_KINDS: Final[tuple[AgreementKind, ...]] = AGREEMENT_KINDS[2:]


@dataclass(frozen=True, slots=True)
class Agreement:
    """One sentence in two versions: subject singular and subject plural.

    `singular` and `plural` stop right before the verb. The attractor, a noun between subject and
    verb, has the same number in both versions, so it misleads in exactly one of them: see
    `misleading`. In kind "subject_relative" the verb inside the clause agrees with the subject
    too; in every other kind the two versions differ in the subject alone.
    """

    singular: str
    plural: str
    verb: Verb
    ending: str
    subject: Noun
    attractor: Noun | None
    attractor_number: Number | None
    kind: AgreementKind

    @property
    def key(self) -> tuple[str, str, str]:
        """The combination that `held_out` judges: subject, attractor ("-" if none), verb."""
        return agreement_key(self.subject, self.attractor, self.verb)

    @property
    def misleading(self) -> Number | None:
        """The subject number for which the attractor has the opposite number."""
        if self.attractor_number is None:
            return None
        return opposite(self.attractor_number)

    def prompt(self, number: Number) -> str:
        """The text up to the verb, for a subject of this number."""
        return self.singular if number == "singular" else self.plural

    def answer(self, number: Number) -> str:
        """The verb form that agrees, with its leading space."""
        return f" {self.verb.form(number)}"

    def foil(self, number: Number) -> str:
        """The verb form that does not agree, with its leading space."""
        return f" {self.verb.form(opposite(number))}"

    def sentence(self, number: Number) -> str:
        """The whole grammatical sentence."""
        return f"{self.prompt(number)}{self.answer(number)}{self.ending}"


def opposite(number: Number) -> Number:
    """The other grammatical number."""
    return "plural" if number == "singular" else "singular"


def agreement_key(subject: Noun, attractor: Noun | None, verb: Verb) -> tuple[str, str, str]:
    """The combination of lemmas that is either in the corpus or held out."""
    return (subject.lemma, attractor.lemma if attractor else "-", verb.lemma)


def agreement(
    rng: random.Random,
    *,
    held_out: bool | None,
    kinds: Sequence[AgreementKind] = AGREEMENT_KINDS,
    attractor: Number | None = None,
) -> Agreement:
    """Draw one agreement item.

    `held_out=True` draws only combinations that the training corpus never uses, False only the
    others, None both. `attractor` fixes the attractor's number; left out, it is random. To test a
    subject against an attractor of the opposite number, use the item's `misleading` version.
    """
    while True:
        number = rng.choice(NUMBERS) if attractor is None else attractor
        item = _draw(rng, rng.choice(kinds), number)
        if held_out is None or is_held_out(*item.key) == held_out:
            return item


def _draw(rng: random.Random, kind: AgreementKind, attractor_number: Number) -> Agreement:
    living = kind == "subject_relative"
    subject = rng.choice(nouns("person", "animal") if living else NOUNS)
    verb = _main_verb(rng, subject)
    head, tail, attractor = _phrase(rng, kind, subject, attractor_number)
    return Agreement(
        singular=f"The {head('singular')}{tail('singular')}",
        plural=f"The {head('plural')}{tail('plural')}",
        verb=verb,
        ending=_ending(rng, verb, subject, attractor),
        subject=subject,
        attractor=attractor,
        attractor_number=attractor_number if attractor else None,
        kind=kind,
    )


def _main_verb(rng: random.Random, subject: Noun) -> Verb:
    # Half of all sentences use a form of "be" or "have", as in real text.
    complements = ("be", "have") if rng.random() < 0.5 else ("linking", "bare")
    return rng.choice([v for v in VERBS if v.complement in complements and subject.kind in v.kinds])


_Form = Callable[[Number], str]


def _phrase(
    rng: random.Random, kind: AgreementKind, subject: Noun, attractor_number: Number
) -> tuple[_Form, _Form, Noun | None]:
    """The words after "The": head and tail as functions of the subject's number."""
    if kind == "simple":
        return subject.form, _fixed(""), None
    if kind == "adjective":
        words = " ".join(rng.sample(adjectives(subject.kind), rng.choice((1, 1, 2))))
        return (lambda number: f"{words} {subject.form(number)}"), _fixed(""), None
    if kind in ("pp", "pp_adjective"):
        preposition, attractor = _attachment(rng, subject)
        words = f"{rng.choice(adjectives(attractor.kind))} " if kind == "pp_adjective" else ""
        tail = f" {preposition} the {words}{attractor.form(attractor_number)}"
        return subject.form, _fixed(tail), attractor
    if kind == "object_relative":
        attractor = _other(rng, nouns("person", "animal"), subject)
        verb = rng.choice([v for v in TRANSITIVE if attractor.kind in v.kinds])
        inner = f"{attractor.form(attractor_number)} {verb.form(attractor_number)}"
        return subject.form, _fixed(f" that the {inner}"), attractor
    attractor = _other(rng, NOUNS, subject)
    verb = rng.choice([v for v in TRANSITIVE if subject.kind in v.kinds])
    noun = attractor.form(attractor_number)
    return subject.form, (lambda number: f" that {verb.form(number)} the {noun}"), attractor


def _fixed(text: str) -> _Form:
    return lambda number: text


def _other(rng: random.Random, pool: Sequence[Noun], *taken: Noun | None) -> Noun:
    while True:
        noun = rng.choice(pool)
        if noun not in taken:
            return noun


_NEAR: Final = ("near", "behind", "beside", "next to", "in front of")

# Nouns with a preposition of their own, and the kinds of noun that follow it.
_OWN_PREPOSITIONS: Final[dict[str, tuple[str, tuple[Kind, ...]]]] = {
    "key": ("to", ("thing", "place")),
    "door": ("to", ("place",)),
    "gate": ("to", ("place",)),
    "road": ("to", ("place",)),
    "bridge": ("to", ("place",)),
    "ticket": ("to", ("place",)),
    "letter": ("to", ("person",)),
    "gift": ("for", ("person",)),
    "card": ("for", ("person",)),
    "author": ("of", ("object",)),
    "picture": ("of", ("person", "animal", "place")),
    "statue": ("of", ("person", "animal")),
    "map": ("of", ("place",)),
    "king": ("of", ("place",)),
    "queen": ("of", ("place",)),
    "captain": ("of", ("thing",)),
    "driver": ("of", ("thing",)),
    "manager": ("of", ("place",)),
    "leader": ("of", ("person",)),
    "friend": ("of", ("person",)),
    "box": ("of", ("object",)),
    "basket": ("of", ("object",)),
    "bag": ("of", ("object",)),
}


def _attachment(rng: random.Random, subject: Noun) -> tuple[str, Noun]:
    """A preposition and the noun it attaches to `subject`."""
    own = _OWN_PREPOSITIONS.get(subject.lemma)
    if own and rng.random() < 0.6:
        preposition, kinds = own
        return preposition, _other(rng, nouns(*kinds), subject)
    if subject.kind == "person" and rng.random() < 0.4:
        preposition = rng.choice(("with", "from"))
        pool = nouns("place") if preposition == "from" else nouns("animal", "object")
        return preposition, _other(rng, pool, subject)
    if subject.kind == "object" and rng.random() < 0.3:
        return "of", _other(rng, nouns("person"), subject)
    return rng.choice(_NEAR), _other(rng, NOUNS, subject)


def _ending(rng: random.Random, verb: Verb, subject: Noun, attractor: Noun | None) -> str:
    if verb.complement == "have":
        return f" {with_article(_possession(rng, subject, attractor))}."
    adjective = rng.choice(adjectives(subject.kind))
    if verb.complement == "linking":
        return f" {adjective}."
    if verb.complement == "be":
        words = adjective if rng.random() < 0.5 else _location(rng, subject, attractor)
        time = f" {rng.choice(PAST_TIMES)}" if verb is WAS and rng.random() < 0.3 else ""
        return f" {words}{time}."
    choice = rng.random()
    if choice < 0.4:
        return f" {rng.choice(TIMES)}."
    if choice < 0.7:
        return f" {rng.choice(MANNERS)}."
    return f" {_location(rng, subject, attractor)}."


def _possession(rng: random.Random, subject: Noun, attractor: Noun | None) -> str:
    if subject.kind == "person":
        owned = _other(rng, nouns("object"), attractor)
        return f"{rng.choice(adjectives('object'))} {owned.singular}"
    feature = {
        "animal": ("home", "voice", "face"),
        "object": ("smell", "color", "shape"),
        "thing": ("name", "color", "shape"),
        "place": ("name", "history", "roof"),
    }[subject.kind]
    return f"{rng.choice(('new', 'old', 'strange', 'beautiful', 'famous'))} {rng.choice(feature)}"


def _location(rng: random.Random, subject: Noun, attractor: Noun | None) -> str:
    place = _other(rng, nouns("place"), subject, attractor).singular
    if subject.kind == "place":
        return f"{rng.choice(('near', 'behind', 'beside'))} the {place}"
    if rng.random() < 0.3:
        table = _other(rng, nouns("thing"), subject, attractor).singular
        return f"{rng.choice(('near', 'behind', 'beside'))} the {table}"
    return f"{rng.choice(('in', 'near', 'behind'))} the {place}"
