"""What a job will take, in words: the same in a terminal and on a page."""

from __future__ import annotations

from ctviz.runs.estimate import Estimate
from ctviz.views.naming import duration

__all__ = ["estimate_lines"]

NAMES = {
    "fetch": "downloads",
    "load": "loading the model",
    "baseline": "measuring it before",
    "discovery": "discovery",
    "steps": "steps",
    "snapshots": "snapshots",
    "evaluation": "testing the circuit",
    "final evaluation": "measuring it after",
    "first": "measuring the first one",
    "last": "measuring the last one",
    "nodes": "each update alone and taken back",
    "sets": "the search for the needed ones",
    "checks": "checking them",
}


def estimate_lines(estimate: Estimate) -> list[str]:
    """Time with its parts, memory, disk, and what there is too little of."""
    each = ", ".join(
        f"{NAMES[name]} {duration(seconds)}"
        for name, seconds in estimate.seconds.items()
        if seconds >= 0.05
    )
    lines = [f"time: about {duration(estimate.total)} ({each})"]
    if estimate.memory is not None and estimate.available is not None:
        lines.append(
            f"memory: about {_size(estimate.memory)} at the most, of {_size(estimate.available)} "
            "available"
        )
    if estimate.disk is not None and estimate.disk_most is not None:
        free = f", of {_size(estimate.disk_free)} free" if estimate.disk_free is not None else ""
        lines.append(
            f"disk: about {_size(estimate.disk)} in the end, {_size(estimate.disk_most)} at the "
            f"most{free}"
        )
    return [*lines, *estimate.problems]


def _size(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"
