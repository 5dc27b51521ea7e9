"""What runs, their tasks and their methods are called on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ctviz.runs import Run
from ctviz.runs.config import Method
from ctviz.tasks import is_file

__all__ = ["METHODS", "run_names", "task_name"]

METHODS: dict[Method, str] = {
    "circuit": "circuit-tuning",
    "frozen-circuit": "a frozen circuit",
    "random": "random parts",
    "full": "full fine-tuning",
    "lora": "LoRA",
}


def task_name(run: Run) -> str:
    """The run's task; of a file its name without the folder."""
    name = run.config.task
    return Path(name).name if is_file(name) else name


def run_names(runs: Mapping[str, Run], samples: Iterable[str]) -> dict[str, str]:
    """What each run is called in a list of all, by its id.

    All differ, and none changes while its run goes on: Streamlit tells options apart by them.
    """
    said: dict[str, str] = {}
    for name, run in runs.items():
        label = f"{task_name(run)} on {Path(run.config.model).name}, {METHODS[run.config.method]}"
        created = str(run.about.get("created", ""))[:19].replace("T", " ")
        label = f"Sample: {label}" if name in samples else f"{label} · {created}"
        said[name] = label if label not in said.values() else f"{label} ({name})"
    return said
