"""What reading a file of examples gives: the examples, and every line that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ctviz.tasks.example import Example
from ctviz.tasks.task import Kind

__all__ = ["Format", "Parsed", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line, counted from 1; line 0 is the file as a whole."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The examples of a file, each with the line that it came from, and the problems."""

    examples: tuple[tuple[int, Example], ...]
    problems: tuple[Problem, ...]


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
    score: str
    metric: str
    aim: str
    explanation: str
    recognizes: Callable[[str], bool]
    read: Callable[[Path, str], Parsed]
