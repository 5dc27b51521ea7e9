"""Faithfulness over circuit sizes, and the two areas that sum it up.

As the Mechanistic Interpretability Benchmark defines them (Mueller et al. 2025, arXiv 2504.13151):
circuits of the shares p of all edges in ``SHARES``, pruned of what leads nowhere; CPR is the area
under faithfulness f over p, by the trapezoid rule on a linear axis, and CMD the area under
|1 - f| in the same way. Its CPR is taken from circuits that are chosen by the scores themselves
(``signed``), its CMD from those chosen by their size. A constant f = 1 has CPR 0.999 and CMD 0,
since the axis begins at 0.001.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.scores import Circuit, Scores
from ctviz.circuits.selection import prune_dead_ends, top_edges
from ctviz.interventions.faithfulness import Evaluation, Share
from ctviz.progress import parts

__all__ = ["SHARES", "Curve", "curve_of_random", "curve_of_scores"]

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """Faithfulness at each of ``SHARES``.

    ``edges``: how many edges the circuits have, after pruning; ``points``: what they carry.
    """

    edges: tuple[int, ...]
    points: tuple[Share, ...]

    @property
    def values(self) -> np.ndarray:
        """Faithfulness, float [share]."""
        return np.array([point.value for point in self.points])

    @property
    def cpr(self) -> float:
        """The area under faithfulness."""
        return float(np.trapezoid(self.values, SHARES))

    @property
    def cmd(self) -> float:
        """The area between faithfulness and 1."""
        return float(np.trapezoid(np.abs(1 - self.values), SHARES))

    def frame(self) -> pd.DataFrame:
        """Tidy table: one row a size: share, edges, faithfulness, error."""
        return pd.DataFrame(
            {
                "share": SHARES,
                "edges": self.edges,
                "faithfulness": self.values,
                "error": [point.error for point in self.points],
            }
        )


def curve_of_scores(evaluation: Evaluation, scores: Scores, *, signed: bool) -> Curve:
    """The curve of circuits of the largest scores (``signed``) or of the largest \\|scores\\|."""

    def choose(n_edges: int) -> Circuit:
        return top_edges(scores, n_edges, prune=True, signed=signed)

    return _curve(evaluation, choose)


def curve_of_random(evaluation: Evaluation, *, seed: int) -> Curve:
    """The curve of random circuits: what a method has to beat."""

    def choose(n_edges: int) -> Circuit:
        return prune_dead_ends(random_circuit(evaluation.graph, n_edges, seed=seed))

    return _curve(evaluation, choose)


def _curve(evaluation: Evaluation, choose: Callable[[int], Circuit]) -> Curve:
    def measured() -> Iterator[tuple[int, Share]]:
        n_edges = evaluation.graph.n_edges
        for share in parts(SHARES[:-1]):
            wanted = int(share * n_edges)
            circuit = choose(wanted) if wanted else None
            if circuit is None or not circuit.n_edges:
                yield 0, evaluation.share(evaluation.empty)
            else:
                yield circuit.n_edges, evaluation.faithfulness(circuit)
        yield n_edges, evaluation.share(evaluation.full)

    edges, points = zip(*measured(), strict=True)
    return Curve(edges, points)
