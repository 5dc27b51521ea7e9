"""Sentences about people: who receives what, and which pronoun stands for whom."""

import random
from dataclasses import dataclass
from typing import Final

from ctviz.english.lexicon import NAMES, Name, names, nouns, with_article
from ctviz.english.lexicon import held_out as is_held_out


@dataclass(frozen=True, slots=True)
class IndirectObject:
    """Two people are named, one of them gives, and the other one receives.

    `prompt` stops right before the receiver. `third_person` is the usual counterfactual, in which
    somebody else gives, so that the prompt no longer says which of the two receives; `swapped` is
    the one in which the receiver gives instead, so that answer and foil change places.
    """

    receiver: Name
    giver: Name
    other: Name
    receiver_first: bool
    scene: str
    action: str
    ending: str

    @property
    def key(self) -> tuple[str, str]:
        """The combination that `held_out` judges: the two names, in alphabetical order."""
        return pair_key(self.receiver, self.giver)

    @property
    def prompt(self) -> str:
        """The text up to the receiver: "When Mary and John ..., John gave a drink to"."""
        return self.prompt_with(self.giver)

    @property
    def third_person(self) -> str:
        """The prompt with a third name in place of the repeated one."""
        return self.prompt_with(self.other)

    @property
    def swapped(self) -> str:
        """The prompt with the other one of the two names repeated."""
        return self.prompt_with(self.receiver)

    @property
    def answer(self) -> str:
        """The receiver's name, with its leading space."""
        return f" {self.receiver.text}"

    @property
    def foil(self) -> str:
        """The giver's name, with its leading space."""
        return f" {self.giver.text}"

    @property
    def sentence(self) -> str:
        """The whole sentence."""
        return f"{self.prompt}{self.answer}{self.ending}"

    def prompt_with(self, giver: Name) -> str:
        """The text up to the receiver when `giver` is the one who gives."""
        first, second = self.receiver.text, self.giver.text
        if not self.receiver_first:
            first, second = second, first
        scene = self.scene.format(first=first, second=second)
        return f"{scene} {giver.text} {self.action} to"


@dataclass(frozen=True, slots=True)
class Pronoun:
    """Somebody is named, and a pronoun of the matching gender follows.

    `prompt` stops right before the pronoun. `other` is a name of the opposite gender for the
    counterfactual prompt, whose right answer is the foil.
    """

    name: Name
    other: Name
    before: str
    after: str
    answer: str
    foil: str
    ending: str
    key: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """The text up to the pronoun: "Mary lost the key because"."""
        return f"{self.before}{self.name.text}{self.after}"

    @property
    def corrupt(self) -> str:
        """The prompt with a name of the opposite gender."""
        return f"{self.before}{self.other.text}{self.after}"

    @property
    def sentence(self) -> str:
        """The whole sentence."""
        return f"{self.prompt}{self.answer}{self.ending}"


def pair_key(one: Name, two: Name) -> tuple[str, str]:
    """Two names in alphabetical order."""
    first, second = sorted((one.text, two.text))
    return (first, second)


_SCENES: Final = (
    "When {first} and {second} went to the PLACE,",
    "When {first} and {second} came to the PLACE,",
    "When {first} and {second} got home from the PLACE,",
    "After {first} and {second} went to the PLACE,",
    "After {first} and {second} met at the PLACE,",
    "While {first} and {second} were at the PLACE,",
    "While {first} and {second} were working at the PLACE,",
    "Then {first} and {second} went to the PLACE, and",
    "Then, {first} and {second} had a long day at the PLACE.",
    "One day {first} and {second} met at the PLACE.",
    "{first} and {second} were walking to the PLACE, and",
    "{first} and {second} were friends.",
    "Nobody was in the PLACE when {first} and {second} came there.",
    "In the morning {first} and {second} found a OBJECT at the PLACE.",
)
_GAVE: Final = ("gave", "gave", "gave", "handed", "sent", "showed", "sold", "brought", "offered")
_PLACES: Final = tuple(noun.singular for noun in nouns("place"))
_OBJECTS: Final = tuple(noun.singular for noun in nouns("object"))
_AFTER: Final = (".", ".", ".", " before dinner.", " after lunch.", " in the morning.", " again.")


def indirect_object(rng: random.Random, *, held_out: bool | None) -> IndirectObject:
    """Draw one indirect-object item with three different names.

    `held_out=True` draws only pairs of names that never meet in the training corpus, False only
    the others, None both.
    """
    receiver, giver = _pair(rng, held_out)
    other = rng.choice([name for name in NAMES if name not in (receiver, giver)])
    scene = rng.choice(_SCENES).replace("PLACE", rng.choice(_PLACES))
    found, given = rng.sample(_OBJECTS, 2)
    scene = scene.replace("a OBJECT", with_article(found))
    thing = with_article(given) if rng.random() < 0.8 else f"the {given}"
    return IndirectObject(
        receiver=receiver,
        giver=giver,
        other=other,
        receiver_first=rng.random() < 0.5,
        scene=scene,
        action=f"{rng.choice(_GAVE)} {thing}",
        ending=rng.choice(_AFTER),
    )


def _pair(rng: random.Random, wanted: bool | None) -> tuple[Name, Name]:
    while True:
        one, two = rng.sample(NAMES, 2)
        if wanted is None or is_held_out(*pair_key(one, two)) == wanted:
            return one, two


# Past-tense verb, and the sentence endings that give a reason for it.
_SUBJECT_VERBS: Final = ("lost", "found", "broke", "cleaned", "sold", "dropped", "fixed", "hid")
_REASONS: Final = (
    " was tired.",
    " was late.",
    " was busy.",
    " was happy.",
    " wanted to go home.",
    " had a new one.",
)
_OWN_VERBS: Final = ("lost", "found", "cleaned", "sold", "dropped", "fixed", "packed", "carried")
_SELF_VERBS: Final = ("looked at", "talked to", "was proud of", "was angry with")


def pronoun(rng: random.Random, *, held_out: bool | None) -> Pronoun:
    """Draw one pronoun item: "she"/"he", "her"/"his" or "herself"/"himself".

    `held_out=True` draws only combinations of name, verb and object that the training corpus
    never uses, False only the others, None both.
    """
    while True:
        item = _draw_pronoun(rng)
        if held_out is None or is_held_out(*item.key) == held_out:
            return item


def _draw_pronoun(rng: random.Random) -> Pronoun:
    name = rng.choice(NAMES)
    other = rng.choice(names("male" if name.gender == "female" else "female"))
    thing, place = rng.choice(_OBJECTS), rng.choice(_PLACES)
    form = rng.choice(("because", "said", "place", "own", "self"))
    if form == "because":
        verb = rng.choice(_SUBJECT_VERBS)
        before, after = "", f" {verb} the {thing} because"
        key: tuple[str, ...] = (name.text, verb, thing)
        forms, ending = ("she", "he"), rng.choice(_REASONS)
    elif form == "said":
        verb = rng.choice(("said", "knew", "thought"))
        before, after, key = "", f" {verb} that", (name.text, verb)
        forms, ending = ("she", "he"), rng.choice(_REASONS)
    elif form == "place":
        lead = rng.choice(("When", "After", "Before"))
        before, after = f"{lead} ", f" came to the {place},"
        key = (name.text, lead.lower(), place)
        forms = ("she", "he")
        ending = f" {rng.choice(_SUBJECT_VERBS)} {with_article(thing)}."
    elif form == "own":
        verb = rng.choice(_OWN_VERBS)
        lead = rng.choice(("", "Yesterday ", f"At the {place} "))
        before, after, key = lead, f" {verb}", (name.text, verb, thing)
        forms, ending = ("her", "his"), f" {thing}{rng.choice(_AFTER)}"
    else:
        verb = rng.choice(_SELF_VERBS)
        lead = rng.choice(("", "Yesterday ", f"At the {place} "))
        before, after, key = lead, f" {verb}", (name.text, verb, place)
        forms, ending = ("herself", "himself"), rng.choice(_AFTER)
    answer, foil = forms if name.gender == "female" else forms[::-1]
    return Pronoun(name, other, before, after, f" {answer}", f" {foil}", ending, key)
