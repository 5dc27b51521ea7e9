"""Where an export comes from, and which snapshot of its run it shows."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from ctviz import __version__, paths
from ctviz.errors import CtvizError, DamagedRun
from ctviz.runs import Run
from ctviz.runs.config import METHOD_NAMES
from ctviz.runs.groups import NodeGroup, read_groups
from ctviz.tasks import is_file
from ctviz.tasks.files import path_of
from ctviz.views.recorded import RUNS, recorded
from ctviz.views.timeline import Timeline

__all__ = ["origin", "sentence", "timeline_of"]


def timeline_of(run: Run, *, damaged: list[DamagedRun] | None = None) -> Timeline:
    """A run as the player shows it, its named groups too, without folders of this machine in names.

    Damaged snapshots and groups are left out and put into ``damaged``. Raises CtvizError if no
    snapshot is left.
    """
    nothing = CtvizError(
        f"{run.id} has no snapshot that can be read: there is nothing to export yet. "
        "`ctviz show` says how far it is."
    )
    if not run.snapshot_files():
        raise nothing
    home = run.folder.parent
    shipped = home.resolve() == (paths.shipped_runs()).resolve()
    groups: tuple[NodeGroup, ...] = ()
    try:
        groups = read_groups(run, paths.runs() if shipped else home)
    except DamagedRun as error:
        if damaged is not None:
            damaged.append(error)
    timeline = recorded(run, damaged=damaged, groups=groups)
    if timeline is None or not timeline.steps:
        raise nothing
    return _portable(timeline)


@lru_cache(maxsize=RUNS)
def _portable(timeline: Timeline) -> Timeline:
    return replace(timeline, task=_short(timeline.task), model=_short(timeline.model))


def origin(run: Run) -> dict[str, Any]:
    """What was run, as plain values."""
    about, config = run.about, run.config.to_dict()
    model, task = about.get("model", {}), about.get("task", {})
    return {
        "run": run.id,
        "created": about.get("created"),
        "state": run.status().state,
        "model": {**model, "name": _short(str(model.get("name", config["model"])))},
        "task": {
            key: _short(value) if isinstance(value, str) else value for key, value in task.items()
        },
        "examples": about.get("examples"),
        "attribution": about.get("attribution"),
        "pairs": {k: v for k, v in about.get("pairs", {}).items() if k != "prompts"},
        "config": {
            **config,
            "model": _short(config["model"]),
            "task": _short(config["task"]),
        },
        "versions": about.get("versions", {}),
        "written_by": f"ctviz {__version__}",
    }


def sentence(run: Run) -> str:
    """Run, model, task, method, date and version on one line."""
    found = origin(run)
    revision = found["model"].get("revision")
    model = found["model"]["name"] + (f" ({revision})" if revision else "")
    created = str(found["created"] or "")[:10]
    parts = [
        f"run {run.id}{f' of {created}' if created else ''}",
        model,
        found["config"]["task"],
        METHOD_NAMES[run.config.method],
        found["written_by"],
    ]
    return " · ".join(parts)


def _short(name: str) -> str:
    """The name of a file of examples or of a model's folder, without where it lies."""
    path = path_of(name)
    return path.name if is_file(name) or path.is_absolute() else name
