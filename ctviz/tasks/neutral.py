"""Ordinary text on which tuning should change nothing: what retention is measured on."""

from __future__ import annotations

import random

from ctviz.english import indirect_object, pronoun, repeat

__all__ = ["neutral_texts"]


def neutral_texts(n: int, *, seed: int = 0) -> list[str]:
    """``n`` sentences that turn on no subject-verb agreement: givers, pronouns, repeated lists."""
    rng = random.Random(f"neutral {seed}")
    kinds = (indirect_object, pronoun, repeat)
    return [kinds[i % len(kinds)](rng, held_out=True).sentence for i in range(n)]
