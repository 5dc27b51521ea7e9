"""Where answers stand in a whole sentence, and the pairs that they make of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from ctviz.tasks.example import Pair
from ctviz.tasks.files.rows import BadLine

__all__ = ["MOST_PLACES", "pairs_in"]

MOST_PLACES = 200  # at which a sentence's answers could stand, before it counts as unclear


def pairs_in(
    text: str, answers: Sequence[str], foils: Sequence[str], corrupt: str
) -> list[Pair | str]:
    """A pair for each answer in a sentence, or what is wrong with that answer.

    ``answers`` and ``foils`` are equally many, in the order in which the answers stand in
    ``text``; ``corrupt`` is the whole counterfactual sentence, "" if there is none. Raises BadLine
    where the answers do not stand in the sentence, or it is not clear where.
    """
    starts = _starts(text, answers, "text")
    others: list[int] = []
    if corrupt:
        starts, others = _aligned(text, answers, corrupt, foils)
    elif starts != _starts(text, answers, "text", last=True):
        raise BadLine(
            f"{_listed(answers)} can stand at more than one place in text; name a column corrupt "
            "with the whole sentence, the foils in place of the answers"
        )
    found: list[Pair | str] = []
    for at, (answer, foil) in enumerate(zip(answers, foils, strict=True)):
        if answer == foil:
            found.append(f"answer and foil are the same ({answer!r})")
            continue
        clean, answer, foil = _cut(text, starts[at], answer, foil)
        other = _cut(corrupt, others[at], foils[at], answers[at])[0] if corrupt else clean
        if not clean.strip() or not other.strip():
            found.append(f"nothing stands in front of {answer.strip()!r}")
        else:
            found.append(Pair(clean, other, answer, foil))
    return found


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words))


def _places(text: str, word: str) -> list[int]:
    """Where a word stands in a text by itself, not as a part of a longer one."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w$", word) else ""
    return [m.start() for m in re.finditer(before + re.escape(word) + after, text)]


def _in_order(text: str, words: Sequence[str]) -> list[list[int]]:
    """For each word, the places that leave room for the words before it and after it.

    A word with nothing in front of it has no prompt, so the text's beginning does not count as a
    place unless the words do not fit otherwise. Empty lists if they do not fit at all.
    """
    opening = len(text) - len(text.lstrip())
    every = [_places(text, word) for word in words]
    for places in ([[at for at in each if at > opening] for each in every], every):
        end = 0
        for k, word in enumerate(words):
            places[k] = [at for at in places[k] if at >= end]
            end = places[k][0] + len(word) if places[k] else len(text) + 1
        begin = len(text) + 1
        for k in reversed(range(len(words))):
            places[k] = [at for at in places[k] if at + len(words[k]) <= begin]
            begin = places[k][-1] if places[k] else -1
        if all(places):
            return places
    return [[] for _ in words]


def _starts(text: str, words: Sequence[str], name: str, *, last: bool = False) -> list[int]:
    """The first (or last) places at which words stand in a text, in their order."""
    places = _in_order(text, words)
    if not all(places):
        how = ", in this order" if len(words) > 1 else ""
        raise BadLine(f"{_listed(words)} not found in {name} as a word{how}")
    return [each[-1 if last else 0] for each in places]


def _aligned(
    text: str, answers: Sequence[str], corrupt: str, foils: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Where the answers stand in a text and the foils in its counterfactual.

    Of all possible places those that cut both into pieces of the most similar lengths, spaces not
    counted; of several that are equally good, the first.
    """
    _starts(corrupt, foils, "corrupt")
    ways = []
    for where, words in ((text, answers), (corrupt, foils)):
        every = itertools.product(*_in_order(where, words))
        some = list(itertools.islice(every, MOST_PLACES + 1))
        if len(some) > MOST_PLACES:
            raise BadLine(f"{_listed(words)} can stand at more than {MOST_PLACES} places")
        cuts = [
            (list(starts), _pieces(where, starts, words))
            for starts in some
            if all(a + len(w) <= b for a, w, b in zip(starts, words, starts[1:], strict=False))
        ]
        ways.append(cuts)
    best = min(
        itertools.product(*ways),
        key=lambda both: sum(
            abs(a - b) for a, b in zip(both[0][1], both[1][1], strict=True)
        ),  # min takes the first of equals
    )
    return best[0][0], best[1][0]


def _pieces(text: str, starts: Sequence[int], words: Sequence[str]) -> list[int]:
    """The lengths of what stands before, between and after words, without spaces."""
    ends = [0, *(at + len(word) for at, word in zip(starts, words, strict=True))]
    begins = [*starts, len(text)]
    return [len("".join(text[a:b].split())) for a, b in zip(ends, begins, strict=True)]


def _cut(text: str, at: int, answer: str, foil: str) -> tuple[str, str, str]:
    """The text in front of an answer, and answer and foil as they go on from it.

    A single space in front of the answer belongs to both. An answer such as "'re" goes on without
    one, and then a foil that is a word of its own gets one ("we've", "we has").
    """
    attached = {word: word[0] in "'’" for word in (answer, foil)}
    if text[at - 1 : at] == " ":
        before, space = text[: at - 1], " "
    else:
        before, space = text[:at], ""
    if attached[answer] and not attached[foil]:
        return before, space + answer, f" {foil}"
    return before, space + answer, foil if attached[foil] else space + foil
