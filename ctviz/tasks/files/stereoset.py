"""StereoSet: sentences with a blank (Nadeem et al. 2021, arXiv 2004.09456)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ctviz.tasks.files.rows import BadLine, Layout

__all__ = ["LAYOUT"]

_BLANK: Final = "BLANK"


def _recognizes(row: Mapping[str, Any]) -> bool:
    sentences = row.get("sentences")
    return (
        "context" in row
        and isinstance(sentences, list)
        and bool(sentences)
        and all(isinstance(each, dict) and "gold_label" in each for each in sentences)
    )


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text in front of the blank, and what stands there in the two sentences."""
    context, sentences = row.get("context"), row.get("sentences")
    if not isinstance(context, str) or context.count(_BLANK) != 1:
        raise BadLine(f"context must be a text with {_BLANK} in it once")
    before, _, after = context.partition(_BLANK)
    if not before.strip():
        raise BadLine(f"{_BLANK} is the first word of its context: nothing is left for a prompt")
    said = {
        each.get("gold_label"): each.get("sentence")
        for each in (sentences if isinstance(sentences, list) else ())
        if isinstance(each, dict)
    }
    space = " " if before[-1].isspace() else ""
    return {
        "clean": before.rstrip(),
        "answer": space + _filled(said.get("stereotype"), before, after),
        "foil": space + _filled(said.get("anti-stereotype"), before, after),
        "group": row.get("bias_type"),
        "verbatim": True,
    }


def _filled(sentence: Any, before: str, after: str) -> str:
    """What stands in the place of the blank."""
    if not isinstance(sentence, str):
        raise BadLine("there must be a sentence stereotype and one anti-stereotype")
    begin, end = len(before), len(sentence) - len(after)
    fits = sentence[:begin].lower() == before.lower() and sentence[end:].lower() == after.lower()
    if not fits or not sentence[begin:end].strip():
        raise BadLine(f"{sentence[:40]!r} is not its context with {_BLANK} filled in")
    return sentence[begin:end].strip()


LAYOUT = Layout(
    key="stereoset",
    title="StereoSet",
    kind="bias",
    grade="bias",
    metric="logit(stereotypical word) - logit(anti-stereotypical word)",
    aim="prefer neither word",
    explanation=(
        "Sentences of StereoSet with a blank: after the text in front of it, the word of the "
        "stereotypical sentence is compared with that of the anti-stereotypical one. What comes "
        "after the blank is not looked at. There are no counterfactual prompts."
    ),
    recognizes=_recognizes,
    columns=_columns,
)
