"""What reading a file of examples gives: the examples, and every line that is none.

Also what formats with one JSON object a line, and others in between, have in common.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctviz.tasks.example import Example
from ctviz.tasks.task import Kind, Split

__all__ = [
    "Fix",
    "Format",
    "Parsed",
    "Problem",
    "counted",
    "first_line",
    "json_record",
    "lines_of",
    "text_in",
    "whole_characters",
]

Fix = Literal["", "drop", "pad"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line, counted from 1; line 0 is the file as a whole.

    ``fix`` is what `ctviz.tasks.files.check` can do about it: leave the example out, pad the
    shorter prompt, or nothing.
    """

    line: int
    text: str
    fix: Fix = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The examples of a file, each with the line that it came from, and the problems.

    ``notes`` say what was done to the text and what the file cannot be used for. ``splits`` and
    ``keys`` are as long as ``examples``, or empty: the split that the file names for each example,
    and a text that keeps the examples which share it together in one split (without ``keys``, each
    example's prompt). ``grade`` is given where it depends on the file rather than on the format.
    """

    examples: tuple[tuple[int, Example], ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ()
    keys: tuple[str, ...] = ()
    grade: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that can be read as a task.

    ``recognizes(text)`` looks at the beginning of a file (some thousand characters); ``read(file,
    text)`` reads all of it and raises nothing: what is wrong is in the problems. The other fields
    are those of `ctviz.tasks.task.Task`.
    """

    key: str
    title: str
    kind: Kind
    grade: str
    metric: str
    aim: str
    explanation: str
    recognizes: Callable[[str], bool]
    read: Callable[[Path, str], Parsed]


def counted(n: int, one: str, many: str = "") -> str:
    """A number with what is counted, in singular or plural.

    >>> counted(1, "line"), counted(1200, "line")
    ('1 line', '1,200 lines')
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers from 1."""
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), start=1):
        if line.strip():
            yield number, line


def first_line(text: str) -> str:
    """The first line that is not empty; "" if there is none."""
    return next((line for line in text.lstrip("\ufeff").splitlines() if line.strip()), "")


def json_record(line: str, having: str) -> dict[str, Any]:
    """The JSON object of a line; raises ValueError for anything else, saying what it should have.

    >>> json_record("3", having="a sentence")
    Traceback (most recent call last):
    ValueError: this is JSON, but not an object with a sentence
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not valid JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"this is JSON, but not an object with {having}")
    return record


def text_in(record: dict[str, Any], field: str) -> str:
    """The text of a field, "" where there is none; raises ValueError for anything but a text."""
    value = record.get(field, "")
    if not isinstance(value, str):
        raise ValueError(f'"{field}" is {json.dumps(value)[:40]}, but must be a text')
    if not whole_characters(value):
        raise ValueError(f'"{field}" has half a surrogate pair, which is no character')
    return value.strip()


def whole_characters(text: str) -> bool:
    """Whether a text can be written: JSON can escape half of a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
