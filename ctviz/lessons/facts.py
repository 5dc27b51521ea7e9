"""What a stored run says, as lessons need it: numbers by name, and the words to write them in."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ctviz.circuits.graph import Graph, kind_of
from ctviz.errors import DamagedRun, UnknownName
from ctviz.runs import Run
from ctviz.runs.changes import NOISE_BAND, edge_states
from ctviz.runs.snapshot import ProbeReading, Snapshot
from ctviz.views.numbers import percent
from ctviz.views.recorded import random_circuits

__all__ = [
    "Facts",
    "bound",
    "drawn",
    "many",
    "percent",
    "plain",
    "ratio",
    "reader",
    "signed",
    "source",
    "words",
]


class Facts:
    """A run, asked by names. Steps are training steps and must be those of a snapshot.

    Raises DamagedRun if the run has no snapshot or one of its snapshots cannot be read.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        damaged: list[DamagedRun] = []
        self.snapshots: tuple[Snapshot, ...] = tuple(run.snapshots(damaged=damaged))
        if damaged:
            raise damaged[0]
        graph = run.graph
        if graph is None or not self.snapshots:
            raise DamagedRun(f"{Path(run.folder)} has no snapshots, so there is nothing to show.")
        self.graph: Graph = graph
        self.steps = tuple(snapshot.step for snapshot in self.snapshots)
        self.first, self.last = self.steps[0], self.steps[-1]

    @property
    def randomly(self) -> str:
        """The random circuits that the run compares with, in words."""
        return random_circuits(self.run.config)

    @cached_property
    def _by_step(self) -> dict[int, Snapshot]:
        return {snapshot.step: snapshot for snapshot in self.snapshots}

    def at(self, step: int) -> Snapshot:
        """The snapshot of a step; raises UnknownName."""
        if step not in self._by_step:
            raise UnknownName("snapshot", str(step), [str(known) for known in self.steps])
        return self._by_step[step]

    # ------------------------------------------------------------------ edges

    def circuit(self, step: int) -> list[str]:
        """The circuit's edges, largest |score| first."""
        snapshot = self.at(step)
        edges = [tuple(place) for place in np.argwhere(snapshot.circuit)]
        edges.sort(key=lambda place: -abs(float(snapshot.scores[place])))
        return [self.graph.edge_name(row, column) for row, column in edges]

    def score(self, edge: str, step: int) -> float:
        """The score of an edge, in units of the metric."""
        return float(self.at(step).scores[self.graph.edge(edge)])

    def error(self, edge: str, step: int) -> float:
        """Its standard error over examples; NaN if it was not stored."""
        error = self.at(step).error
        return float("nan") if error is None else float(error[self.graph.edge(edge)])

    def inside_noise(self, step: int) -> list[str]:
        """The circuit's edges whose score is no larger than two standard errors."""
        return [
            edge
            for edge in self.circuit(step)
            if not abs(self.score(edge, step)) > NOISE_BAND * self.error(edge, step)
        ]

    def turnover(self) -> tuple[int, int]:
        """How often an edge entered or left from one snapshot to the next: all times, and those at
        which its score changed by no more than two standard errors of the difference."""
        times = quiet = 0
        for before, after in zip(self.snapshots, self.snapshots[1:], strict=False):
            found = edge_states(
                (before.circuit, after.circuit),
                (before.scores, after.scores),
                (before.error, after.error),
            )
            turned = found.entered | found.left
            times += int(turned.sum())
            quiet += int((turned & found.noise).sum())
        return times, quiet

    def against(self, step: int) -> list[str]:
        """The circuit's edges of negative score, largest first."""
        return [edge for edge in self.circuit(step) if self.score(edge, step) < 0]

    def into(self, node: str, step: int) -> list[str]:
        """The circuit's edges into a node, largest |score| first."""
        fed = self.graph.node(node)
        return [
            edge for edge in self.circuit(step) if self.graph.feeds[self.graph.edge(edge)[1], fed]
        ]

    def out_of(self, node: str, step: int) -> list[str]:
        """The circuit's edges out of a node, largest |score| first."""
        return [edge for edge in self.circuit(step) if source(edge) == node]

    def path(self, step: int) -> tuple[str, ...]:
        """Nodes from input to logits: back from the logits, always along the strongest edge."""
        nodes = ["logits"]
        while incoming := self.into(nodes[0], step):
            nodes.insert(0, source(incoming[0]))
        return tuple(nodes)

    def strongest_head(self, step: int) -> str:
        """The head with the largest total |score| of its edges in the circuit, in and out."""
        heads = [node for node in self.graph.nodes if node.startswith("a")]

        def weight(node: str) -> float:
            edges = {*self.into(node, step), *self.out_of(node, step)}
            return sum(abs(self.score(edge, step)) for edge in edges)

        return max(heads, key=weight)

    # ------------------------------------------------------------------ numbers

    def metric(self, name: str, step: int) -> float:
        """A number that was measured at a step, such as ``accuracy``; raises UnknownName."""
        metrics = self.at(step).metrics
        if name not in metrics:
            raise UnknownName("metric", name, metrics)
        return float(metrics[name])

    def column(self, name: str) -> np.ndarray:
        """What was recorded of one number at each training step where it was."""
        values: np.ndarray = self.run.metrics()[name].dropna().to_numpy(dtype=float)
        return values

    def grade(self, when: Literal["before", "after"], name: str) -> float:
        """What was measured on test examples before or after the run."""
        return float(self.run.about[when][name])

    def degrees(self, node: str) -> int:
        """D: the incoming edges of a node in the full graph."""
        return int(self.graph.degrees[self.graph.node(node)])

    def redundancy(self, node: str, estimator: str, step: int) -> float:
        """(D - d) / D of a node."""
        return float(self.at(step).redundancy[estimator][self.graph.node(node)])

    def needed(self, node: str, estimator: str, step: int) -> int:
        """d: the incoming edges that a node needs."""
        degrees = self.degrees(node)
        return round(degrees * (1 - self.redundancy(node, estimator, step)))

    def mean_redundancy(self, estimator: str, step: int) -> float:
        """Mean over the nodes that have incoming edges."""
        return float(np.nanmean(self.at(step).redundancy[estimator]))

    def head(self, score: str, node: str, step: int) -> float:
        """What a head does on repeated words: ``previous``, ``matching`` or ``copying``."""
        heads = self.at(step).heads
        if score not in heads:
            raise UnknownName("score of heads", score, heads)
        return float(heads[score][self.graph.node(node)])

    def best_head(self, score: str, step: int) -> str:
        """The head that does most of it."""
        heads = [node for node in self.graph.nodes if kind_of(node) == "head"]
        return max(heads, key=lambda node: self.head(score, node, step))

    # ------------------------------------------------------------------ probes

    def probe(self, index: int, step: int) -> ProbeReading:
        """What one of the fixed prompts did."""
        return self.at(step).probes[index]

    def looks_at(self, head: str, probe: int, step: int) -> tuple[str, float]:
        """The word that a head attends to most from the last word of a probe, and how much."""
        row = self.looks(head, probe, step)
        best = int(np.argmax(row))
        return self.probe(probe, step).tokens[best].strip(), float(row[best])

    def looks(self, head: str, probe: int, step: int) -> np.ndarray:
        """How much a head attends to each word of a probe, from its last."""
        layer, unit = (int(part) for part in head[1:].split(".h"))
        row: np.ndarray = self.probe(probe, step).attention[layer, unit, -1].astype(float)
        return row


def source(edge: str) -> str:
    """The source of an edge's name."""
    return edge.partition("->")[0]


def reader(edge: str) -> str:
    """The node or shared key/value head that an edge's name leads to."""
    return edge.partition("->")[2].partition("<")[0]


# ---------------------------------------------------------------------- how numbers are written


def plain(value: float) -> str:
    """A number with about three digits; the sign is a minus, not a hyphen."""
    size = abs(value)
    if size == 0:
        return "0"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    if 0 < size < 0.001:
        return f"{value:.0e}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """The same with a plus in front of what is positive."""
    return f"+{plain(value)}" if value > 0 else plain(value)


def ratio(value: float) -> str:
    """A number such as faithfulness with two digits; what is nearly zero is 0.00 without a sign."""
    text = f"{value:.2f}".replace("-", "−")
    return "0.00" if text == "−0.00" else text


def bound(size: float) -> str:
    """The smallest power of ten that is not below a positive size, such as 0.00001."""
    power = math.ceil(math.log10(size))
    return f"{10.0**power:.{max(0, -power)}f}"


def drawn(node: str) -> str:
    """How the picture shows a node: ``circle h1 of layer 2``, ``box MLP of layer 3``, ``input``."""
    layer, _, head = node[1:].partition(".")
    if kind_of(node) == "head":
        return f"circle {head} of layer {layer}"
    return f"box MLP of layer {layer}" if kind_of(node) == "mlp" else node


def many(count: int, one: str) -> str:
    """``1 edge``, ``3 edges``."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def words(reading: ProbeReading) -> str:
    """A probe's prompt as text."""
    return "".join(reading.tokens).strip()
