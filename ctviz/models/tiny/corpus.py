"""The text that the bundled model is trained on: an endless stream of short documents."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Final

from ctviz.english.clauses import AGREEMENT_KINDS, ATTRACTOR_KINDS, agreement
from ctviz.english.lexicon import (
    COUNTS,
    MANNERS,
    NAMES,
    NUMBERS,
    PAST_TIMES,
    TIMES,
    adjectives,
    held_out,
    nouns,
    with_article,
)
from ctviz.english.people import indirect_object, pair_key, pronoun
from ctviz.english.sequences import repeat, years

MAX_SENTENCES: Final = 4


def documents(seed: int) -> Iterator[str]:
    """Yield documents of one to four sentences without end.

    Only combinations of words that are not held out occur, and every sentence is grammatical.
    The same seed gives the same documents on every machine.
    """
    rng = random.Random(seed)
    while True:
        yield " ".join(sentence(rng) for _ in range(rng.randint(1, MAX_SENTENCES)))


def sentence(rng: random.Random) -> str:
    """One sentence of the corpus, of a random kind."""
    return rng.choices(_MAKERS, _SHARES)[0](rng)


def _agreement(rng: random.Random) -> str:
    kinds = ATTRACTOR_KINDS if rng.random() < 0.7 else AGREEMENT_KINDS
    text = agreement(rng, held_out=False, kinds=kinds).sentence(rng.choice(NUMBERS))
    if rng.random() < 0.15:
        lead = rng.choice(("I know that", "She said that", "He said that", "We think that"))
        return f"{lead} {text[0].lower()}{text[1:]}"
    return text


def _indirect_object(rng: random.Random) -> str:
    item = indirect_object(rng, held_out=False)
    pairs = (pair_key(item.other, item.receiver), pair_key(item.other, item.giver))
    if rng.random() < 0.1 and not any(held_out(*pair) for pair in pairs):
        # Nothing says who receives when a third person gives; both occur equally often.
        receiver = rng.choice((item.answer, item.foil))
        return f"{item.third_person}{receiver}{item.ending}"
    return item.sentence


def _pronoun(rng: random.Random) -> str:
    return pronoun(rng, held_out=False).sentence


def _years(rng: random.Random) -> str:
    item = years(rng, held_out=False)
    if rng.random() < 0.05:
        # The counterfactual prompts start in year 01, so that year occurs too.
        return f"{item.corrupt}{item.end:02d}{item.ending}"
    return item.sentence


def _repeat(rng: random.Random) -> str:
    while True:
        item = repeat(rng, held_out=False)
        listed = [name for name in NAMES if name.text in item.words]
        # Names that are held out as a pair do not meet in a list either.
        if not any(held_out(*pair_key(*pair)) for pair in itertools.combinations(listed, 2)):
            return item.sentence


def _scene(rng: random.Random) -> str:
    """A plain sentence, for variety, with no choice between verb forms to get wrong."""
    place = rng.choice(nouns("place")).singular
    noun = rng.choice(nouns("animal", "object"))
    adjective = rng.choice(adjectives(noun.kind))
    name = rng.choice(NAMES).text
    return rng.choice(
        (
            f"There is {with_article(noun.singular)} in the {place}.",
            f"There are {rng.choice(COUNTS)} {adjective} {noun.plural} in the {place}.",
            f"{name} went to the {place} {rng.choice(PAST_TIMES)}.",
            f"{name} saw {with_article(f'{adjective} {noun.singular}')} near the {place}.",
            f"{name} wanted to walk to the {place} {rng.choice(TIMES)}.",
            f"We can walk to the {place} {rng.choice(MANNERS)}.",
            f"I saw {rng.choice(COUNTS)} {noun.plural} {rng.choice(PAST_TIMES)}.",
            f"It was {with_article(rng.choice(adjectives('place')))} day in the {place}.",
            f"They found the {adjective} {noun.form(rng.choice(NUMBERS))} behind the {place}.",
        )
    )


# What the corpus is made of, as shares of its sentences.
SHARES: Final[dict[str, float]] = {
    "agreement": 0.30,
    "indirect object": 0.30,
    "pronoun": 0.12,
    "years": 0.06,
    "repeat": 0.16,
    "scene": 0.06,
}
_MAKERS: Final[tuple[Callable[[random.Random], str], ...]] = (
    _agreement,
    _indirect_object,
    _pronoun,
    _years,
    _repeat,
    _scene,
)
_SHARES: Final = tuple(SHARES.values())
