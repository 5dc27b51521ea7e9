"""What runs, their tasks and lengths of time are called on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctviz.runs import Run
from ctviz.runs.config import METHOD_NAMES
from ctviz.runs.series import model_of
from ctviz.tasks import is_file
from ctviz.tasks.files import path_of

__all__ = ["duration", "run_name", "run_names", "task_name"]


def duration(seconds: float) -> str:
    """Seconds in words, with as many digits as an estimate has."""
    if seconds < 99.5:
        return f"{float(f'{seconds:.2g}'):g} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 99.5 else f"{minutes / 60:.1f} hours"


def task_name(run: Run) -> str:
    """The run's task; of a file its name alone."""
    name = run.config.task
    return path_of(name).name if is_file(name) else name


def run_name(run: Run) -> str:
    """Task, model and method of a run; others may be called the same."""
    model = model_of(run.about, run.config.model)
    return f"{task_name(run)} on {model}, {METHOD_NAMES[run.config.method]}"


def run_names(
    runs: Mapping[str, Run], samples: Iterable[str], titles: Mapping[str, str]
) -> dict[str, str]:
    """What each run is called in a list of all, by its id; ``titles``: those that somebody gave.

    All differ, and none changes while its run goes on: Streamlit tells options apart by them.
    """
    said: dict[str, str] = {}
    for name, run in runs.items():
        label = titles.get(name) or run_name(run)
        created = str(run.about.get("created", ""))[:19].replace("T", " ")
        label = f"Sample: {label}" if name in samples else f"{label} · {created}"
        said[name] = label if label not in said.values() else f"{label} ({name})"
    return said
