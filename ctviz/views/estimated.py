"""What a job will take, in words: the same in a terminal and on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ctviz.runs.estimate import Estimate, GradeBefore
from ctviz.tasks.files.rows import counted
from ctviz.views.naming import duration
from ctviz.views.numbers import percent

__all__ = ["beside_line", "estimate_lines", "grade_words"]

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
    """Time with its parts, memory, disk, the grade before, and what there is too little of."""
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
    if estimate.grade is not None:
        lines.append(grade_words(estimate.grade))
    return [*lines, *estimate.problems]


def grade_words(found: GradeBefore) -> str:
    """How well the model does the task before, and what that means where guessing is known.

    Better or worse than guessing: by more than two standard errors of as many guesses.
    """
    name = found.name.replace("_", " ")
    on = counted(found.examples, f"{found.split} example")
    said = f"before tuning: {name} {percent(found.value)} on {on}"
    if found.guessing is None:
        return said
    share = found.guessing
    error = 2 * math.sqrt(share * (1 - share) / max(1, found.examples))
    if found.value > share + error:
        verdict = "so the model does the task, and there is something to explain"
    elif found.value < share - error:
        verdict = "so it does the opposite, which tuning has to turn around"
    else:
        verdict = "so it does not do the task yet: there may be no circuit to find"
    return f"{said}, guessing {percent(share)}, {verdict}"


def beside_line(names: Sequence[str], alone: float | None = None) -> str:
    """What a run that is started beside others does to the time that each is said to take; empty
    if there is none. ``names``: what is under way; ``alone``: seconds of the new one by itself.

    >>> beside_line(["sva on tiny, full fine-tuning"], 20.0)
    'Under way here: sva on tiny, full fine-tuning. Runs beside one another share the processor, so that each takes longer than is said of it alone: up to about 2 times as long, here 40 s instead of 20 s.'
    """  # noqa: E501
    if not names:
        return ""
    times = len(names) + 1
    here = ""
    if alone:
        here = f", here {duration(times * alone)} instead of {duration(alone)}"
    return (
        f"Under way here: {'; '.join(names)}. Runs beside one another share the processor, so that "
        f"each takes longer than is said of it alone: up to about {times} times as long{here}."
    )


def _size(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"
