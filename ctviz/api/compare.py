"""What the second of two models does differently."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctviz import paths
from ctviz.api.run import Run
from ctviz.api.words import AnyTask, as_task
from ctviz.errors import CtvizError
from ctviz.files import not_written
from ctviz.runs import directory
from ctviz.runs.config import TuneConfig
from ctviz.runs.series import of_models

__all__ = ["compare"]


def compare(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    task: AnyTask,
    *,
    tokenizer: str = "",
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> Run:
    """Record two models as a run and measure what the second does differently on a task.

    ``run.difference()`` is what was found (`ctviz.runs.difference.Difference`): grades, answers,
    and the nodes that differ most, each swapped between the two, in units of the metric. Models are
    names, folders or hub ids; ``tokenizer``: whose both take. ``settings``, ``out`` and
    ``progress`` are as for `ctviz.record`.

    Raises MissingModel and UnknownName for what is no model, BadTask for a task that no example of
    fits, and CtvizError if the two cannot be compared, since their graphs or vocabularies differ.
    """
    from ctviz.jobs.record import record

    wanted = as_task(task)
    series = of_models([os.fspath(first), os.fspath(second)], tokenizer=tokenizer)
    asked = {**settings, "model": series.members[0].model, "task": wanted.name}
    config = TuneConfig.from_dict(asked)
    config.check_startable()
    parent = Path(out).expanduser() if out else paths.runs()
    try:
        folder = directory.new_folder(parent, f"{wanted.slug}-{series.slug}-compared")
    except OSError as error:
        raise error if isinstance(error, CtvizError) else not_written(parent, error) from error
    record(series, config, folder, compared=True, progress=progress)
    return Run(folder)
