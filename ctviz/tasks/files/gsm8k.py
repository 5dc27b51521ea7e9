"""GSM8K: grade school word problems with a worked answer (Cobbe et al. 2021, arXiv 2110.14168)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ctviz.tasks.answers import last_number
from ctviz.tasks.example import Example
from ctviz.tasks.files.rows import Format, Parsed, Problem

__all__ = ["FORMAT"]

_MARK = "####"
_ANNOTATION = re.compile(r"<<.*?>>")
_ONE_NUMBER = re.compile(r"[-+]?\$?-?\d[\d,]*(?:\.\d+)?\s*[%.]?")


def _recognizes(text: str) -> bool:
    """Whether the first line that is not empty has a question and an answer after ####."""
    first = next((line for line in text.lstrip("\ufeff").splitlines() if line.strip()), "")
    return first.lstrip().startswith("{") and all(
        part in first for part in ('"question"', '"answer"', _MARK)
    )


def _text(record: dict[str, Any], field: str) -> str:
    """The text of a field; raises ValueError with what is wrong."""
    value = record.get(field)
    if field not in record:
        raise ValueError(f'there is no "{field}"')
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'"{field}" is {json.dumps(value)[:40]}, but must be a text')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f'"{field}" has half a surrogate pair, which is no character') from None
    return value.strip()


def _example(line: str) -> Example:
    """The example of a line; raises ValueError with what is wrong."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not valid JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError("this is JSON, but not an object with question and answer")
    question = " ".join(_text(record, "question").split())
    working, mark, result = _text(record, "answer").rpartition(_MARK)
    result = result.strip()
    if not mark:
        raise ValueError(f'the answer has no last line "{_MARK} 42" with the result')
    number = last_number(result.replace("$", ""))
    if number is None or not _ONE_NUMBER.fullmatch(result):
        raise ValueError(f"after {_MARK} there must be one number, but there is {result[:40]!r}")
    sentences = [" ".join(part.split()) for part in _ANNOTATION.sub("", working).splitlines()]
    said = [s if s[-1] in ".!?" else f"{s}." for s in sentences if s]
    return Example(
        prompt=f"Question: {question}\nAnswer:",
        target=f" {' '.join([*said, f'The answer is {number}.'])}\n",
        accepted=(number,),
    )


def _read(file: Path, text: str) -> Parsed:
    """An example a line, empty lines left out."""
    examples: list[tuple[int, Example]] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            examples.append((number, _example(line)))
        except ValueError as error:
            problems.append(Problem(number, str(error)))
    return Parsed(tuple(examples), tuple(problems))


FORMAT = Format(
    key="gsm8k",
    title="Word problems (GSM8K)",
    kind="mathematics",
    score="exact",
    metric="logit(answer) - logit(foil); the file has no counterfactual prompts",
    aim="work out word problems and give the right number",
    explanation=(
        "JSON lines with “question” and “answer”, whose last line is “#### 42”. The model is asked "
        "“Question: … Answer:” and taught the worked answer on one line, without the calculator's "
        "notes in “<<…>>”, up to “The answer is 42.” The last number of what it says is compared. "
        "There are no counterfactual prompts, so the examples are for tuning and not for discovery."
    ),
    recognizes=_recognizes,
    read=_read,
)
