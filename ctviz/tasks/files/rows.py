"""What reading a file of examples gives: the examples, and every line that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctviz.tasks.example import Example
from ctviz.tasks.task import Kind, Split

__all__ = [
    "BadLine",
    "Document",
    "Fix",
    "Format",
    "Layout",
    "Parsed",
    "Problem",
    "counted",
]

Fix = Literal["", "drop", "pad"]


class BadLine(ValueError):
    """What is wrong with a line or an entry, in words; whoever reads the file lists it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of file that can be read as a task: what is said of it, as in `Task`."""

    key: str
    title: str
    kind: Kind
    grade: str
    metric: str
    aim: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Format):
    """A format with a text of its own.

    ``recognizes(text)`` looks at the beginning of a file (some thousand characters); ``read(file,
    text)`` reads all of it and raises nothing: what is wrong is in the problems.
    """

    recognizes: Callable[[str], bool]
    read: Callable[[Path, str], Parsed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Format):
    """A format of rows, however they are written, that another tool gives names of its own.

    ``recognizes`` looks at the first row; ``columns`` makes a row into one with the columns of
    `ctviz.tasks.files.columns`, or raises BadLine. ``notes`` says what is to be said of all rows.
    Examples of which ``together`` gives the same stay in one split.
    """

    recognizes: Callable[[Mapping[str, Any]], bool]
    columns: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    notes: Callable[[Sequence[Mapping[str, Any]]], Iterable[str]] = lambda rows: ()
    together: Callable[[Example], str] = lambda example: example.prompt


def counted(n: int, one: str, many: str = "") -> str:
    """A number with what is counted, in singular or plural.

    >>> counted(1, "line"), counted(1200, "line")
    ('1 line', '1,200 lines')
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"
