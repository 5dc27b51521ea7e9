"""What came of a run that has ended, in a line, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np

from ctviz.errors import CtvizError
from ctviz.runs import Run
from ctviz.runs.config import METHOD_NAMES, Method
from ctviz.runs.snapshot import Snapshot
from ctviz.tasks.files.rows import counted
from ctviz.views.compared import link
from ctviz.views.numbers import number, percent
from ctviz.views.recorded import read_once

__all__ = ["Outcome", "outcome", "strongest_head"]

OTHER: dict[str, Method] = {"full": "circuit"}  # what a method is compared with, else "full"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``grade``: how the task's grade changed; ``rest``: what was updated and what else changed;
    ``links``: what to do next, words and an address among the pages."""

    grade: str
    rest: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def outcome(run: Run, others: Iterable[Run]) -> Outcome | None:
    """What a finished run says of itself; None of any other, or if it holds no grades.

    ``others``: runs that it may be compared with, newest first.
    """
    about, config = run.about, run.config
    before, after = about.get("before") or {}, about.get("after") or {}
    name = about.get("task", {}).get("judged_by", "accuracy")
    if run.status().state != "finished" or not {name} <= before.keys() & after.keys():
        return None
    recording = config.method == "recorded"
    better = " (lower is better)" if about["task"].get("better") == "lower" else ""
    count = before.get("test_examples")
    where = "test examples" if count is None else counted(count, "test example")
    grade = (
        f"{'First model to last: ' if recording else ''}{name.replace('_', ' ')} "
        f"{percent(before[name])} → {percent(after[name])}{better} on {where}"
    )
    rest = _elsewhere(before, after, config.start)
    if not recording:
        rest = [*_updated(run), *rest]
    return Outcome(grade, tuple(rest), tuple(_links(run, others)))


def _updated(run: Run) -> list[str]:
    moved = run.metrics().reindex(columns=["trained_fraction"])["trained_fraction"].mean()
    return [] if math.isnan(moved) else [f"a step moved {percent(moved)} of the parameters"]


def _elsewhere(before: Mapping[str, Any], after: Mapping[str, Any], start: str) -> list[str]:
    """What became of everything else."""
    said = []
    if after.get("retention_kl") is not None:
        said.append(f"KL from {start} {number(after['retention_kl'])} nats a token")
    one, last = before.get("perplexity"), after.get("perplexity")
    if one and last is not None:
        said.append(f"perplexity on English {100 * (last / one - 1):+.0f} %".replace("-", "−"))
    one, last = before.get("other_accuracy"), after.get("other_accuracy")
    if one is not None and last is not None:
        said.append(f"other tasks {percent(one)} → {percent(last)}")
    return said


def strongest_head(last: Snapshot, names: Iterable[str]) -> str:
    """The head whose edges out of it in the circuit have the largest sum of |score|; "" without."""
    size = np.abs(np.nan_to_num(last.scores) * last.circuit).sum(axis=1)
    heads = {name: float(size[row]) for row, name in enumerate(names) if name.startswith("a")}
    best = max(heads, key=heads.__getitem__, default="")
    return best if best and heads[best] > 0 else ""


def _links(run: Run, others: Iterable[Run]) -> list[tuple[str, str]]:
    config, found = run.config, []
    files, graph = run.snapshot_files(), run.graph
    if files and graph is not None:
        try:
            last = read_once(files[-1], graph)
        except CtvizError:
            last = None  # Watch says what is wrong with it
        if last is not None and (head := strongest_head(last, graph.sources)):
            there = urlencode({"run": run.id, "step": last.step, "node": head})
            found.append((f"Inspect {head}, its strongest head", f"inspect?{there}"))
    if config.method == "recorded":
        return found
    other = OTHER.get(config.method, "full")
    beside = next((each for each in others if _is_beside(each, run, other)), None)
    words = METHOD_NAMES[other]
    if beside is not None:
        there = urlencode(link([run.id, beside.id]))
        found.append((f"Compare with {words}", f"compare?{there}"))
    else:
        there = urlencode({"model": config.model, "task": config.task, "method": other})
        found.append((f"Run {words} to compare with", f"run?{there}"))
    return found


def _is_beside(each: Run, run: Run, method: Method) -> bool:
    """Whether a finished run has the same model and task, and that method."""
    try:
        mine, theirs = run.config, each.config
        same = (theirs.model, theirs.task, theirs.method) == (mine.model, mine.task, method)
        return same and each.status().state == "finished"
    except CtvizError:
        return False
