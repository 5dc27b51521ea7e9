"""What counts as the same answer, in free text."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

__all__ = ["exact_match", "last_number", "normalized", "overlap"]

NO_ANSWER = "no answer"
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text: str) -> str | None:
    """The last number in a text, in plain digits: "so it is 1,250.0." -> "1250"; None without one.

    >>> last_number("7 + 5 = 12. The answer is 12.")
    '12'
    """
    found = _NUMBER.findall(text)
    if not found:
        return None
    plain = found[-1].replace(",", "")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def normalized(text: str) -> list[str]:
    """The words of an answer without case, punctuation and articles, as SQuAD compares them.

    >>> normalized("The old bridge.")
    ['old', 'bridge']
    """
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def exact_match(said: str, accepted: Iterable[str]) -> bool:
    """Whether the words said are those of an accepted answer."""
    words = normalized(said)
    return any(words == normalized(answer) for answer in accepted)


def overlap(said: str, accepted: Iterable[str]) -> float:
    """F1 of the words said against the best accepted answer, 0 to 1 (Rajpurkar et al. 2018).

    >>> round(overlap("in the old bridge", ["the old bridge"]), 2)
    0.8
    """
    best = 0.0
    for answer in accepted:
        one, other = normalized(said), normalized(answer)
        if not one or not other:
            best = max(best, float(one == other))
            continue
        shared = sum((Counter(one) & Counter(other)).values())
        if shared:
            best = max(best, 2 * shared / (len(one) + len(other)))
    return best
