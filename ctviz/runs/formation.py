"""When the circuits of several tasks form in the course of one training, and what they share.

Runs that are recordings of the same series, one for each task, are laid over each other: of each
when its grade and its circuit had come half of the way, of two of them which edges and nodes both
circuits have. Pure numpy, from what the runs hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from ctviz.circuits.graph import Graph
from ctviz.errors import CtvizError
from ctviz.runs.changes import overlap
from ctviz.runs.directory import Run
from ctviz.runs.series import Series, series_of

__all__ = ["Course", "Shared", "course_of", "formation", "one_series", "shared", "sharing"]

HALF = 0.5  # of the gain of the grade, and of the overlap with the last circuit
CERTAIN = 2.0  # standard errors that a gain has to be larger than


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A task in the course of a training.

    ``steps``: of the snapshots; ``names``: what these are called where that is not their step.
    ``grade``: float [step], of the dev examples, whose number is ``examples``; NaN where it was not
    measured; ``rises``: whether higher is better. ``circuits``: bool [step, source, slot].
    """

    run: str
    task: str
    graph: Graph
    steps: tuple[int, ...]
    grade: np.ndarray
    graded: str
    rises: bool
    examples: int
    circuits: np.ndarray
    names: dict[int, str] = field(default_factory=dict)

    @property
    def with_last(self) -> np.ndarray:
        """float [step]: edges in the circuit of a step and in the last one, by those in either."""
        return overlap(self.circuits, self.circuits[-1:])

    @property
    def formed(self) -> int:
        """The first step at which the circuit's overlap with the last one is at least a half."""
        return self.steps[int(np.argmax(self.with_last >= HALF))]

    @property
    def learned(self) -> int | None:
        """The first step at which the grade has come at least half of the way from its first to its
        last value.

        None if it does not get better by more than two standard errors: of n examples with a mean
        p between 0 and 1 that of the mean is at most sqrt(p (1 - p) / n).
        """
        first, last = float(self.grade[0]), float(self.grade[-1])
        gain = last - first if self.rises else first - last
        error = np.sqrt(sum(max(0.0, p * (1 - p)) / max(1, self.examples) for p in (first, last)))
        if not gain > CERTAIN * error:
            return None
        share = (self.grade - first) / (last - first)
        return self.steps[int(np.argmax(share >= HALF))]

    def called(self, step: int) -> str:
        """What a step is called in a sentence."""
        return self.names.get(step, f"step {step:,}")


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What the circuits of two tasks share at each step at which both were recorded.

    ``edges``, ``nodes``: float [step], those in both circuits by those in either (Jaccard); nodes
    are heads and MLPs with an edge in the circuit. ``by_chance``: of the edges, what two circuits
    of these sizes share on average if their edges are drawn at random.
    """

    tasks: tuple[str, str]
    steps: tuple[int, ...]
    edges: np.ndarray
    nodes: np.ndarray
    by_chance: np.ndarray


def one_series(runs: Sequence[Run]) -> Series | None:
    """The series of which all runs are recordings, each of another task; None if there is none."""
    try:
        found = [series_of(run) for run in runs]
    except CtvizError:
        return None
    tasks = {run.config.task for run in runs}
    cuts = {run.config.mlp_block for run in runs}
    same = len({each.members for each in found}) == 1 and len(cuts) == 1
    return found[0] if same and 1 < len(runs) == len(tasks) else None


def course_of(run: Run, task: str) -> Course:
    """What a recording holds of its task, which is called ``task``.

    Raises CtvizError if it has no snapshot.
    """
    about, graph, snapshots = run.about, run.graph, list(run.snapshots())
    if graph is None or not snapshots:
        raise CtvizError(f"{run.id} has no snapshot yet.")
    asked = about["task"]
    graded = str(asked["judged_by"])
    return Course(
        run=run.id,
        task=task,
        graph=graph,
        steps=tuple(each.step for each in snapshots),
        grade=np.array([each.metrics.get(graded, np.nan) for each in snapshots]),
        graded=graded,
        rises=asked.get("better") != "lower",
        examples=run.config.graded_examples or int(about["examples"]),
        circuits=np.stack([each.circuit for each in snapshots]),
        names={each.step: each.name for each in series_of(run).members if each.name},
    )


def shared(one: Course, other: Course) -> Shared:
    """What two circuits of one graph share, at the steps that both have."""
    steps = sorted(set(one.steps) & set(other.steps))
    first = one.circuits[[one.steps.index(step) for step in steps]]
    second = other.circuits[[other.steps.index(step) for step in steps]]
    sizes = first.sum(axis=(1, 2)), second.sum(axis=(1, 2))
    both = sizes[0] * sizes[1] / one.graph.n_edges
    nodes = [_nodes(one.graph, circuits) for circuits in (first, second)]
    return Shared(
        (one.task, other.task),
        tuple(steps),
        overlap(first, second),
        overlap(nodes[0][:, None], nodes[1][:, None]),
        both / np.maximum(sizes[0] + sizes[1] - both, 1.0),
    )


def sharing(courses: Sequence[Course]) -> list[Shared]:
    """What each two of some courses share."""
    return [shared(one, other) for one, other in combinations(courses, 2)]


def formation(courses: Sequence[Course]) -> dict[str, Any]:
    """All of it in plain values, for JSON."""
    return {
        "tasks": [
            {
                "task": course.task,
                "run": course.run,
                "steps": list(course.steps),
                "grade": course.graded,
                "grades": [None if np.isnan(each) else float(each) for each in course.grade],
                "learned": course.learned,
                "circuit_with_last": course.with_last.round(6).tolist(),
                "formed": course.formed,
            }
            for course in courses
        ],
        "shared": [
            {
                "tasks": list(found.tasks),
                "steps": list(found.steps),
                "edges": found.edges.round(6).tolist(),
                "edges_by_chance": found.by_chance.round(6).tolist(),
                "nodes": found.nodes.round(6).tolist(),
            }
            for found in sharing(courses)
        ],
    }


def _nodes(graph: Graph, circuits: np.ndarray) -> np.ndarray:
    """bool [step, node]: heads and MLPs with an edge in the circuit."""
    inside: np.ndarray = circuits.any(axis=1).astype(int) @ graph.feeds.astype(int) > 0
    inside[:, : len(graph.sources)] |= circuits.any(axis=2)
    inside[:, [graph.node("input"), graph.node("logits")]] = False
    return inside
