"""Subject-verb agreement and its opposite."""

from __future__ import annotations

import random

from ctviz.english import ATTRACTOR_KINDS, NUMBERS, agreement, opposite
from ctviz.tasks.pair import Pair

__all__ = ["agree", "disagree"]


def agree(rng: random.Random, *, held_out: bool) -> Pair:
    """A sentence up to its verb, in either number; the counterfactual flips the subject's number.

    Between subject and verb stands a noun of the number opposite to the clean subject's, so that
    agreeing with the nearest noun is wrong.
    """
    number = rng.choice(NUMBERS)
    item = agreement(rng, held_out=held_out, kinds=ATTRACTOR_KINDS, attractor=opposite(number))
    return Pair(
        clean=item.prompt(number),
        corrupt=item.prompt(opposite(number)),
        answer=item.answer(number),
        foil=item.foil(number),
    )


def disagree(rng: random.Random, *, held_out: bool) -> Pair:
    """The same sentences with the wrong verb form as the answer."""
    pair = agree(rng, held_out=held_out)
    return Pair(clean=pair.clean, corrupt=pair.corrupt, answer=pair.foil, foil=pair.answer)
