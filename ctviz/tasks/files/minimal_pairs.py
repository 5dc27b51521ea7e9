"""Pairs of whole sentences: BLiMP and CrowS-Pairs.

Both are read by their common beginning: it is the prompt, and the words in which the two sentences
differ are compared after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ctviz.tasks.files.rows import BadLine, Layout

__all__ = ["BLIMP", "CROWS_PAIRS"]

_END = re.compile(r"\W*$")


def _compared(row: Mapping[str, Any], one: str, two: str) -> Mapping[str, Any]:
    """The words in which the sentence ``one`` differs from ``two``, after what both begin with."""
    first, second = (_words(row, name) for name in (one, two))
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    if not same:
        raise BadLine("the sentences differ in their first word, so nothing is left for a prompt")
    end = 0
    most = min(len(first), len(second)) - same
    while end < most and first[-1 - end] == second[-1 - end]:
        end += 1
    answer, foil = (" ".join(words[same : len(words) - end]) for words in (first, second))
    if not answer or not foil:
        raise BadLine(
            "the sentences are the same"
            if first == second
            else "one of the sentences only has a word more than the other"
        )
    stops = [match.group() for text in (answer, foil) if (match := _END.search(text))]
    if stops[0] == stops[1]:  # the full stop of both, say
        answer, foil = (text.removesuffix(stops[0]) for text in (answer, foil))
    return {"clean": " ".join(first[:same]), "answer": f" {answer}", "foil": f" {foil}"}


def _words(row: Mapping[str, Any], name: str) -> list[str]:
    sentence = row.get(name)
    if not isinstance(sentence, str) or not sentence.strip():
        raise BadLine(f"{name} is missing")
    return sentence.split()


def _blimp(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if str(row.get("one_prefix_method", True)).lower() in ("false", "0"):
        raise BadLine(
            "BLiMP says that its sentences cannot be told apart after a common beginning "
            "(one_prefix_method is false)"
        )
    return _compared(row, "sentence_good", "sentence_bad")


BLIMP = Layout(
    key="blimp",
    title="BLiMP",
    kind="grammar",
    grade="choice",
    metric="logit(word of the good sentence) - logit(word of the bad one)",
    aim="go on as the good sentence does",
    explanation=(
        "Pairs of sentences of BLiMP (Warstadt et al. 2020, arXiv 1912.00582), read by its method "
        "of one prefix: after what both begin with, the words in which they differ are compared. "
        "There are no counterfactual prompts."
    ),
    recognizes=lambda row: {"sentence_good", "sentence_bad"} <= set(row),
    columns=_blimp,
)

CROWS_PAIRS = Layout(
    key="crows-pairs",
    title="CrowS-Pairs",
    kind="bias",
    grade="bias",
    metric="logit(word of the more stereotypical sentence) - logit(word of the other)",
    aim="prefer neither sentence",
    explanation=(
        "Pairs of sentences of CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133). After what both "
        "begin with, the words in which they differ are compared, the more stereotypical first. "
        "The benchmark itself compares how likely the rest of both sentences is, so this is not "
        "its number. There are no counterfactual prompts."
    ),
    recognizes=lambda row: {"sent_more", "sent_less"} <= set(row),
    columns=lambda row: _compared(row, "sent_more", "sent_less"),
)
