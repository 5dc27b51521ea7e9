"""Draw only words of one part, so that train, dev and test share no content words."""

import random
from collections.abc import Sequence
from typing import Any, Final

from ctviz.english.lexicon import (
    ADJECTIVES,
    BE,
    COLORS,
    HAVE,
    NAMES,
    NOUNS,
    TRANSITIVE,
    VERBS,
    WAS,
    Name,
    Noun,
    Verb,
    part_of,
)

_WORDS: Final = frozenset(
    [noun.singular for noun in NOUNS]
    + [verb.plural for verb in (*VERBS, *TRANSITIVE)]
    + [name.text for name in NAMES]
    + [adjective.text for adjective in ADJECTIVES]
    + list(COLORS)
)


class WordsOf(random.Random):
    """A source of random choices that passes over the content words of all other parts.

    Nouns, names, adjectives and verbs belong to one part each; "be" and "have" belong to all, as
    does everything that is no word of the lexicon. Raises LookupError where a pool has nothing
    left to choose from.
    """

    def __init__(self, rng: random.Random, part: str) -> None:
        super().__init__(rng.getrandbits(64))
        self.part = part

    def choice(self, seq: Sequence[Any]) -> Any:  # type: ignore[override]
        """One that this part may use."""
        return super().choice(self._of(seq))

    def sample(self, population: Sequence[Any], k: int, **settings: Any) -> list[Any]:
        """Several different ones that this part may use."""
        allowed = self._of(population)
        if len(allowed) < k:
            raise LookupError(f"{self.part} has {len(allowed)} words here, not {k}")
        return super().sample(allowed, k, **settings)

    def _of(self, pool: Sequence[Any]) -> Sequence[Any]:
        allowed = [item for item in pool if _part(item) in (None, self.part)]
        if not allowed:
            raise LookupError(f"{self.part} has none of these {len(pool)} words")
        return allowed


def _part(item: Any) -> str | None:
    """The part that an entry of a pool belongs to, None for all of them."""
    if isinstance(item, Noun):
        return part_of(item.lemma)
    if isinstance(item, Verb):
        return None if item in (BE, WAS, HAVE) else part_of(item.lemma)
    if isinstance(item, Name):
        return part_of(item.text)
    return part_of(item) if isinstance(item, str) and item in _WORDS else None
