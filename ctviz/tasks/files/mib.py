"""Data of the Mechanistic Interpretability Benchmark (Mueller et al. 2025, arXiv 2504.13151)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ctviz.tasks.files.rows import BadLine, Layout, counted

__all__ = ["LAYOUT"]

_SUFFIX: Final = "_counterfactual"
# What MIB's circuit track takes for its tasks, where a row has several.
_USUAL: Final = ("s2_io_flip", "symbol", "random")


def _counterfactuals(row: Mapping[str, Any]) -> list[str]:
    """The names of a row's counterfactuals, the one that is taken first."""
    names = [
        name.removesuffix(_SUFFIX)
        for name, value in row.items()
        if name.endswith(_SUFFIX) and isinstance(value, dict) and value.get("prompt")
    ]
    return sorted(names, key=lambda name: (name not in _USUAL, name))


def _choices(row: Mapping[str, Any], what: str) -> list[Any]:
    """The choices of a row or of a counterfactual, the right one first; letters where it has any.

    Raises BadLine if it is not clear which is right.
    """
    choices = row.get("choices")
    if isinstance(choices, dict):
        choices = choices.get("label")
    key = row.get("answerKey")
    if not isinstance(choices, list) or len(choices) < 2:
        raise BadLine(f"choices of {what} must be a list of at least two")
    if isinstance(key, str) and key.isdigit():
        key = int(key)
    if isinstance(key, str) and key in choices:
        key = choices.index(key)
    if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < len(choices):
        raise BadLine(f"answerKey of {what} is {key!r}, but must be from 0 to {len(choices) - 1}")
    return [choices[key], *choices[:key], *choices[key + 1 :]]


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The foil is the other of two choices, or what is right after the counterfactual prompt."""
    right, *others = _choices(row, "the prompt")
    names = _counterfactuals(row)
    if not names:
        raise BadLine(f"there is no counterfactual: no field that ends in {_SUFFIX}")
    other = row[names[0] + _SUFFIX]
    foil = others[0]
    if len(others) > 1:
        foil = _choices(other, f"{names[0]}{_SUFFIX}")[0]
        if foil == right:
            raise BadLine(f"{right!r} is also right after its {names[0]}{_SUFFIX}")
    return {
        "clean": row.get("prompt"),
        "corrupt": other["prompt"],
        "answer": right,
        "foil": foil,
        **({"choices": [right, *others]} if len(others) > 1 else {}),
    }


def _notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    found = [names for row in rows if (names := _counterfactuals(row))]
    several = sum(len(names) > 1 for names in found)
    if several:
        taken = ", ".join(f"{name}{_SUFFIX}" for name in sorted({names[0] for names in found}))
        yield (
            f"{counted(several, 'row has', 'rows have')} several counterfactuals; the one that is "
            f"read is {taken}."
        )


LAYOUT = Layout(
    key="mib",
    title="MIB",
    kind="own",
    grade="choice",
    metric="logit(right choice) - logit(foil)",
    aim="say the right choice",
    explanation=(
        "Rows of the Mechanistic Interpretability Benchmark with “prompt”, “choices”, “answerKey” "
        "and counterfactuals. The right choice is compared with the other one; where there are "
        "more than two, with the one that is right after the counterfactual prompt."
    ),
    recognizes=lambda row: (
        {"prompt", "choices", "answerKey"} <= set(row)
        and any(name.endswith(_SUFFIX) for name in row)
    ),
    columns=_columns,
    notes=_notes,
)
