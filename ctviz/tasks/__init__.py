"""Tasks: what a model should do, as examples in text.

A task is a plain value in `TASKS`, made in a file of its own; `ctviz.tasks.batch` and
`ctviz.tasks.texts` turn its examples into tensors. Importing this module does not import torch.
"""

from __future__ import annotations

from ctviz.errors import UnknownName
from ctviz.paths import absolute
from ctviz.tasks import (
    agreement,
    arithmetic,
    capitals,
    docstrings,
    gender,
    greater_than,
    ioi,
    known_answers,
    logic,
    reading,
    word_problems,
)
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files import file_task, is_file, refuse_ending
from ctviz.tasks.task import GRADES, Split, Task

__all__ = [
    "GRADES",
    "TASKS",
    "Example",
    "Pair",
    "Split",
    "Task",
    "find_task",
    "is_file",
    "located_task",
]

TASKS: dict[str, Task] = {
    task.key: task
    for task in (
        *agreement.TASKS,
        *gender.TASKS,
        *arithmetic.TASKS,
        *word_problems.TASKS,
        *logic.TASKS,
        *reading.TASKS,
        *ioi.TASKS,
        *greater_than.TASKS,
        *capitals.TASKS,
        *docstrings.TASKS,
        *known_answers.TASKS,
    )
}


def located_task(name: str) -> str:
    """A task's name as it can be stored: a file's from the root, with its columns; others as they
    are."""
    if not is_file(name):
        return name
    file, question, said = name.partition("?")
    parts = [
        f"ids={absolute(part[4:])}" if part.startswith("ids=") and "/" in part else part
        for part in said.split("&")
    ]
    return f"{absolute(file)}{question}{'&'.join(parts)}"


def find_task(name: str) -> Task:
    """The task of that name: ``sva``, ``sva:clause`` or a file of examples.

    Raises UnknownName, and BadTask for a file that cannot be used as it is.
    """
    if is_file(name):
        return file_task(name)
    refuse_ending(name)
    key, _, level = name.partition(":")
    if key not in TASKS:
        raise UnknownName("task", key, TASKS)
    return TASKS[key].at(level) if level else TASKS[key]
