"""What the second of two models does differently."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ctviz.api.run import Run, run_folder
from ctviz.api.words import AnyTask, as_task
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
    folder = run_folder(out, f"{wanted.slug}-{series.slug}-compared")
    record(series, config, folder, compared=True, progress=progress)
    return Run(folder)
