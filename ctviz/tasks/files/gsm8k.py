"""GSM8K: grade school word problems with a worked answer (Cobbe et al. 2021, arXiv 2110.14168)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ctviz.tasks.answers import last_number
from ctviz.tasks.files.parsing import text_in
from ctviz.tasks.files.rows import BadLine, Layout

__all__ = ["LAYOUT"]

_MARK = "####"
_ANNOTATION = re.compile(r"<<.*?>>")
_ONE_NUMBER = re.compile(r"[-+]?\$?-?\d[\d,]*(?:\.\d+)?\s*[%.]?")


def _recognizes(row: Mapping[str, Any]) -> bool:
    """Whether there are a question and an answer with its result after ####."""
    return "question" in row and isinstance(row.get("answer"), str) and _MARK in row["answer"]


def _text(row: Mapping[str, Any], field: str) -> str:
    """The text of a field; raises BadLine with what is wrong."""
    if field not in row:
        raise BadLine(f'there is no "{field}"')
    if not (text := text_in(row, field)):
        raise BadLine(f'"{field}" is "", but must be a text')
    return text


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    question = " ".join(_text(row, "question").split())
    working, mark, result = _text(row, "answer").rpartition(_MARK)
    result = result.strip()
    if not mark:
        raise BadLine(f'the answer has no last line "{_MARK} 42" with the result')
    number = last_number(result.replace("$", ""))
    if number is None or not _ONE_NUMBER.fullmatch(result):
        raise BadLine(f"after {_MARK} there must be one number, but there is {result[:40]!r}")
    sentences = [" ".join(part.split()) for part in _ANNOTATION.sub("", working).splitlines()]
    said = [s if s[-1] in ".!?" else f"{s}." for s in sentences if s]
    return {
        "prompt": f"Question: {question}\nAnswer:",
        "target": f" {' '.join([*said, f'The answer is {number}.'])}\n",
        "accepted": [number],
        "verbatim": True,
    }


LAYOUT = Layout(
    key="gsm8k",
    title="Word problems (GSM8K)",
    kind="mathematics",
    grade="exact",
    metric="logit(answer) - logit(foil); the file has no counterfactual prompts",
    aim="work out word problems and give the right number",
    explanation=(
        "Rows with “question” and “answer”, whose last line is “#### 42”. The model is asked "
        "“Question: … Answer:” and taught the worked answer on one line, without the calculator's "
        "notes in “<<…>>”, up to “The answer is 42.” The last number of what it says is compared. "
        "There are no counterfactual prompts, so the examples are for tuning and not for discovery."
    ),
    recognizes=_recognizes,
    columns=_columns,
)
