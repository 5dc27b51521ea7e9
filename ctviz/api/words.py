"""What can be said for a model or a task, as what the layers take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from ctviz.tasks import Task, find_task

if TYPE_CHECKING:
    from ctviz.models.loading import Loaded

__all__ = ["AnyTask", "Model", "Name", "as_task", "loaded", "task"]

Name: TypeAlias = str | os.PathLike[str]
Model: TypeAlias = "Name | Loaded"
AnyTask: TypeAlias = Name | Task


def task(name: Name) -> Task:
    """The task of a name (``sva``), a name and level (``sva:clause``) or a file of examples.

    A file is JSONL, JSON or CSV, or an original file of WinoBias, GSM8K or SQuAD; its own names of
    columns are mapped behind it, ``FILE?ours=theirs&...``. ``task.examples(n, split="dev")`` gives
    its examples, ``task.pairs(n, split="dev")`` their counterfactual pairs.

    Raises UnknownName for a name, and BadTask for a file that cannot be used as it is.
    """
    return find_task(os.fspath(name))


def as_task(asked: AnyTask) -> Task:
    """A task, looked up unless it is one; raises as `task` does."""
    return asked if isinstance(asked, Task) else task(asked)


def loaded(model: Model) -> Loaded:
    """A model, loaded unless it is already."""
    from ctviz.models.loading import Loaded, load

    return model if isinstance(model, Loaded) else load(model)
