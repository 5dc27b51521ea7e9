"""Tasks: what a model should do, as examples in text.

A task is a plain value in `TASKS`, made in a file of its own; `ctviz.tasks.batch` and
`ctviz.tasks.texts` turn its examples into tensors. Importing this module does not import torch.
"""

from __future__ import annotations

from ctviz.errors import UnknownName
from ctviz.tasks import agreement, giving, known_answers
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import SCORES, Split, Task

__all__ = ["SCORES", "TASKS", "Example", "Pair", "Split", "Task", "find_task"]

TASKS: dict[str, Task] = {
    task.key: task
    for task in (
        *agreement.TASKS,
        *giving.TASKS,
        *known_answers.TASKS,
    )
}


def find_task(name: str) -> Task:
    """The task of that name, such as ``sva`` or ``sva:clause``; raises UnknownName."""
    key, _, level = name.partition(":")
    if key not in TASKS:
        raise UnknownName("task", key, TASKS)
    return TASKS[key].at(level) if level else TASKS[key]
