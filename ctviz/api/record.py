"""Record weights that are there already as a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ctviz.api.run import Run, run_folder
from ctviz.api.words import AnyTask, as_task
from ctviz.errors import CtvizError
from ctviz.runs.config import TuneConfig
from ctviz.runs.revisions import of_revisions
from ctviz.runs.series import Series, of_checkpoints, of_models

__all__ = ["record"]


def record(
    series: Series | str | os.PathLike[str] | Sequence[str],
    task: AnyTask,
    *,
    base: str = "",
    revisions: str | Sequence[str] = (),
    at_most: int = 0,
    keep_downloads: bool = False,
    tokenizer: str = "",
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> Run:
    """Record the circuits of a series of weights as a run, which plays like one of tuning.

    ``series``: a folder with checkpoints, such as a Trainer's ``output_dir``; a list of models, by
    name, folder or hub id; with ``revisions`` or ``at_most`` a hub id; or a
    `ctviz.runs.series.Series`. ``base``: of a folder, what was trained, as step 0. ``revisions``,
    ``at_most`` and ``keep_downloads`` are what `ctviz.runs.revisions.of_revisions` takes: names and
    patterns such as ``step*``, how many of them, and whether each stays in the hub's cache when it
    was recorded. ``tokenizer``: whose tokenizer all take. ``settings`` are those of
    `ctviz.runs.config.TuneConfig` that say what is measured, such as ``edges``, ``examples``,
    ``attribution``, ``evaluate`` or ``mlp_block``. ``out`` and ``progress`` are as for
    `ctviz.tune`, the latter counting members.

    A member that cannot be read is in ``run.about["skipped"]``. Raises what `ctviz.jobs.record`
    raises: MissingModel where there is no series, CtvizError if fewer than two can be recorded;
    and of revisions what `of_revisions` raises.
    """
    from ctviz.jobs.record import record as record_into

    wanted = as_task(task)
    of_hub = bool(revisions or at_most or keep_downloads)
    if isinstance(series, Series):
        if base or tokenizer or of_hub:
            raise CtvizError(
                "A Series has its members, base and tokenizer: leave base, tokenizer, revisions, "
                "at_most and keep_downloads out."
            )
    elif of_hub:
        if base or not isinstance(series, str):
            raise CtvizError(
                "revisions, at_most and keep_downloads are of one model of the hub: give its id "
                "instead of a folder or a list, and no base."
            )
        series = of_revisions(
            series,
            [revisions] if isinstance(revisions, str) else revisions,
            at_most=at_most,
            tokenizer=tokenizer,
            keep_downloads=keep_downloads,
        )
    elif isinstance(series, str | os.PathLike):
        series = of_checkpoints(os.fspath(series), base=base, tokenizer=tokenizer)
    else:
        series = of_models([*([base] if base else []), *series], tokenizer=tokenizer)
    first = series.members[0].model
    config = TuneConfig.from_dict({**settings, "model": first, "task": wanted.name})
    config.check_startable()
    folder = run_folder(out, f"{wanted.slug}-{series.slug}-recorded")
    record_into(series, config, folder, progress=progress)
    return Run(folder)
