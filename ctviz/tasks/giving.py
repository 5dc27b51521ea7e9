"""Indirect object identification."""

from __future__ import annotations

import random

from ctviz.english import indirect_object
from ctviz.tasks.pair import Pair

__all__ = ["give"]


def give(rng: random.Random, *, held_out: bool) -> Pair:
    """Two people, one of whom gives something to the other, who is the answer.

    In the counterfactual prompt the other one gives, so answer and foil change places. (Wang et al.
    2022, arXiv 2211.00593.)
    """
    item = indirect_object(rng, held_out=held_out)
    return Pair(
        clean=item.prompt,
        corrupt=item.prompt_with(item.receiver),
        answer=item.answer,
        foil=item.foil,
    )
