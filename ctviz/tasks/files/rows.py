"""What reading a file of examples gives: the examples, and every line that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctviz.tasks.example import Example
from ctviz.tasks.task import Kind, Split

__all__ = ["BadLine", "Fix", "Format", "Parsed", "Problem", "counted"]

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
