"""The prompts of auto-circuit (github.com/UFO-101/auto-circuit)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctviz.tasks.files.rows import BadLine, Layout, counted

__all__ = ["LAYOUT"]

_NAMES = ("clean", "corrupt", "answers", "wrong_answers")


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "clean": row.get("clean"),
        "corrupt": row.get("corrupt"),
        "answer": _first(row, "answers"),
        "foil": _first(row, "wrong_answers"),
        "verbatim": True,
    }


def _first(row: Mapping[str, Any], name: str) -> Any:
    values = row.get(name)
    if not isinstance(values, list) or not values:
        raise BadLine(f"{name} must be a list of texts")
    return values[0]


def _notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    several = sum(
        any(isinstance(row.get(name), list) and len(row[name]) > 1 for name in _NAMES[2:])
        for row in rows
    )
    if several:
        yield (
            f"{counted(several, 'prompt has', 'prompts have')} several answers or wrong answers. "
            "Only the first of each is compared, while auto-circuit takes the mean over all of "
            "them: the metric is not the same number."
        )


LAYOUT = Layout(
    key="auto-circuit",
    title="Prompts of auto-circuit",
    kind="own",
    grade="choice",
    metric="logit(answer) - logit(foil)",
    aim="say the answer of each prompt",
    explanation=(
        "Prompts of auto-circuit with their counterfactuals: the first of “answers” is compared "
        "with the first of “wrong_answers”, as they are written."
    ),
    recognizes=lambda row: set(_NAMES) <= set(row),
    columns=_columns,
    notes=_notes,
)
