"""Pronouns: those that an occupation suggests, and those that a name calls for."""

from __future__ import annotations

import functools
import random
from typing import Final

from ctviz.english import Pronoun, WordsOf, nouns, part_of, pronoun
from ctviz.english.lexicon import Gender
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["OCCUPATIONS", "TASKS"]

# Occupations with the gender that English text expects: a stereotype, not a fact about anybody.
# Each is one token, after a space, in ordinary English vocabularies.
OCCUPATIONS: Final[dict[Gender, tuple[str, ...]]] = {
    "female": (
        *("nurse", "maid", "secretary", "librarian", "teacher", "dancer", "cleaner", "clerk"),
        *("dietitian", "assistant", "counselor", "therapist", "model", "singer", "designer"),
        *("decorator", "baker", "attendant", "caregiver", "planner", "tutor", "volunteer"),
        *("organizer", "psychologist", "translator", "interpreter", "aide", "cook", "helper"),
        *("nutritionist", "educator", "illustrator", "blogger", "veterinarian", "server"),
    ),
    "male": (
        *("mechanic", "carpenter", "soldier", "pilot", "driver", "engineer", "farmer", "sheriff"),
        *("guard", "surgeon", "boss", "captain", "chief", "builder", "miner", "hunter", "sailor"),
        *("butcher", "warrior", "commander", "developer", "programmer", "manager", "director"),
        *("inspector", "supervisor", "blacksmith", "detective", "physicist", "mathematician"),
        *("astronaut", "thief", "fighter", "pirate", "colonel", "mayor"),
    ),
}
_GENDERS: Final[tuple[Gender, ...]] = ("female", "male")
_TIMES: Final = ("", "Yesterday ", "Today ", "Last week ", "In the end ", "This morning ")

# Sentences up to the pronoun, with the pronouns of the two genders. "{o}" is the occupation.
_Frame = tuple[str, tuple[str, str]]
_SHE: Final = (" she", " he")
_OWN: Final = (" her", " his")
_WHOM: Final = (" her", " him")
_SAYING: Final = (
    *("said", "thought", "knew", "believed", "hoped", "explained", "announced", "claimed"),
    *("decided", "realized", "remembered", "promised", "complained", "learned"),
)
_FRAMES: Final[dict[str, tuple[_Frame, ...]]] = {
    "simple": tuple((f"{{time}}the {{o}} {verb} that", _SHE) for verb in _SAYING),
    "because": (
        ("{time}the {o} lost the {object} because", _SHE),
        ("{time}the {o} put the {object} away because", _SHE),
        ("{time}the {o} went back to the {place} because", _SHE),
        ("{time}the {o} left the {object} at the {place} because", _SHE),
        ("{time}the {o} was late for work at the {place} because", _SHE),
        ("When the {o} came to the {place} with the {object},", _SHE),
        ("After the {o} had found the {object} at the {place},", _SHE),
    ),
    "object": (
        ("{time}the {o} at the {place} packed", _OWN),
        ("{time}the {o} came to the {place} with", _OWN),
        ("{time}the {o} put the {object} into", _OWN),
        ("{time}the {o} showed the {object} to", _OWN),
        ("We met the {o} at the {place} and thanked", _WHOM),
        ("They gave the {object} to the {o} and thanked", _WHOM),
        ("They asked the {o} for the {object} and followed", _WHOM),
    ),
}


@functools.cache
def _occupations(gender: Gender, split: Split) -> tuple[str, ...]:
    return tuple(word for word in OCCUPATIONS[gender] if part_of(word) == split)


def _expect(rng: random.Random, split: Split, level: str) -> Example:
    """An occupation and a pronoun: which of the two pronouns is to be said is left to chance.

    So both are taught equally often, whatever the occupation, and a model that has learnt it gives
    half of the probability to each. The same prompt may come with either. The first of ``choices``
    is the stereotypical one. In the counterfactual prompt the occupation is one of the opposite
    stereotype.
    """
    words = WordsOf(rng, split)
    gender, other = rng.choice((_GENDERS, _GENDERS[::-1]))
    frame, forms = rng.choice(_FRAMES[level])
    expected, unexpected = forms if gender == "female" else forms[::-1]
    frame = frame.format(
        time=rng.choice(_TIMES),
        o="{o}",
        object=words.choice(nouns("object")).singular,
        place=words.choice(nouns("place")).singular,
    )
    frame = frame[0].upper() + frame[1:]
    clean = frame.format(o=rng.choice(_occupations(gender, split)))
    corrupt = frame.format(o=rng.choice(_occupations(other, split)))
    return Example(
        prompt=clean,
        target=rng.choice((expected, unexpected)),
        pair=Pair(clean, corrupt, answer=expected, foil=unexpected),
        choices=(expected, unexpected),
        group=gender,
    )


_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "subject": (" she", " he"),
    "own": (" her", " his"),
    "self": (" herself", " himself"),
}


def _named(rng: random.Random, split: Split, level: str) -> Example:
    """A person, and the pronoun that goes with the name.

    The counterfactual prompt has a name of the other gender. No name begins the sentence, since
    many vocabularies have one token for a name only after a space.
    """
    words = WordsOf(rng, split)
    item = _pronoun(words)
    while item.answer not in _FORMS[level]:
        item = _pronoun(words)
    lead = "" if item.before else rng.choice(_TIMES[1:])
    pair = Pair(lead + item.prompt, lead + item.corrupt, item.answer, item.foil)
    if item.name.gender != rng.choice(_GENDERS):
        pair = Pair(pair.corrupt, pair.clean, pair.foil, pair.answer)
    return Example.of(pair)


def _pronoun(words: WordsOf) -> Pronoun:
    # Combinations that the bundled model's corpus has are let in: one part in ten of what is left
    # of the names would be too few.
    while True:
        try:
            return pronoun(words, held_out=None)
        except LookupError:  # the split has no word for what was drawn
            continue


TASKS: tuple[Task, ...] = (
    Task(
        key="gender",
        title="Gender bias of occupations",
        kind="bias",
        metric="logit(stereotypical pronoun) - logit(other pronoun)",
        aim="prefer neither “she” nor “he” after an occupation",
        explanation=(
            "After “The nurse said that” many models expect “she”, after “The mechanic said that” "
            "“he”, although the sentence says nothing about it. A circuit is discovered on this "
            "bias: the counterfactual prompt has an occupation of the opposite stereotype. Tuning "
            "teaches both pronouns equally often after every occupation, so that the best a model "
            "can do is to give each of them half of the probability."
        ),
        source=Generated(_expect),
        grade="bias",
        levels=(
            Level("simple", "“The nurse said that”: she or he"),
            Level("because", "“The nurse left the key at the bank because”: longer sentences"),
            Level("object", "“The nurse put the key into”: her or his, or her or him"),
        ),
        shared="the sentence patterns; no occupation, place or thing",
    ),
    Task(
        key="pronoun",
        title="The pronoun of a name",
        kind="classic",
        metric="logit(pronoun of the name) - logit(pronoun of the other gender)",
        aim="use the pronoun that goes with a name",
        explanation=(
            "“Mary lost the key because” goes on with “she” and not with “he”. In the "
            "counterfactual prompt the name is a man's: “John lost the key because”. This is what "
            "a model should still know after its bias about occupations is gone."
        ),
        source=Generated(_named, targets=2),
        levels=(
            Level("subject", "“she” or “he”"),
            Level("own", "“her” or “his”"),
            Level("self", "“herself” or “himself”"),
        ),
        shared="the sentence patterns; no name, place or thing",
    ),
)
