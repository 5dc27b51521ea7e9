"""Whether scores agree with exact patching, and which method to take for a model.

Scores of edges are estimates, and how good they are depends on the model: first-order scores of an
MLP in an early layer can even have the wrong sign. Exactly patching a few nodes takes one run of
the model each, which is little beside what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.circuits.choices import Ablation, Attribution, Metric, PathEnd
from ctviz.circuits.scores import NodeScores, Scores
from ctviz.models.anatomy import Anatomy
from ctviz.progress import parts, share
from ctviz.tasks.batch import Batch

__all__ = ["AGREES", "Agreement", "Trial", "try_methods"]

NODES = 20  # that are patched exactly
PAIRS = 16  # on which they are
AGREES = 0.8  # a correlation with exact patching from which on eap is good enough


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Scores of some nodes by a method, float [node], beside exact ones, on the same pairs.

    ``correlation`` is Pearson's; None where it is not defined, as for scores that are all the same.
    """

    method: Attribution
    nodes: tuple[str, ...]
    estimate: np.ndarray
    exact: np.ndarray

    @property
    def correlation(self) -> float | None:
        """-1 to 1."""
        a, b = self.estimate - self.estimate.mean(), self.exact - self.exact.mean()
        size = float(np.sqrt((a @ a) * (b @ b)))
        return float(a @ b) / size if size > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The method that was chosen, what was asked for, and how the methods tried agree with exact
    patching on ``pairs`` pairs; the exact method is not tried. ``scores``: by the method that was
    chosen, if the trial had all pairs that it was given."""

    method: Attribution
    asked: str
    pairs: int
    tried: tuple[Agreement, ...]
    scores: Scores | None = None

    def about(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "method": self.method,
            "asked": self.asked,
            "pairs": self.pairs,
            "nodes": len(self.tried[0].nodes) if self.tried else 0,
            "correlation": {each.method: each.correlation for each in self.tried},
        }


def try_methods(
    anatomy: Anatomy,
    batch: Batch,
    *,
    asked: Attribution | None = None,
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_difference",
    end: PathEnd = "clean",
    seed: int = 0,
) -> Trial:
    """Compare a method with exact patching of `NODES` nodes on the first `PAIRS` pairs.

    Half of the nodes are those of the largest scores, half are drawn with ``seed`` from the others.
    With ``asked`` None the method is chosen: eap, the cheaper one by far, if it correlates with
    exact patching by `AGREES` at least, else the better of eap and eap-ig.
    """
    if asked == "exact":
        return Trial("exact", "exact", 0, ())
    few = batch[:PAIRS]
    rows = np.zeros(0, dtype=int)
    exact: NodeScores | None = None
    tried: list[Agreement] = []
    found: dict[Attribution, Scores] = {}
    first: Attribution = "eap-ig" if metric == "kl" else "eap"  # eap finds nothing with kl
    for method in parts((asked,) if asked else tuple(dict.fromkeys((first, "eap-ig")))):
        with share(0.0, 0.3):
            scores = attribute(
                anatomy, few, method=method, ablation=ablation, metric=metric, end=end
            )
        nodes, found[method] = scores.nodes(), scores
        if exact is None:
            rows = _chosen(nodes, seed)
            exact = exact_node_scores(anatomy, few, ablation=ablation, metric=metric, rows=rows)
        names = tuple(anatomy.graph.sources[row] for row in rows)
        tried.append(Agreement(method, names, nodes.values[rows], exact.values[rows]))
        if (tried[-1].correlation or 0.0) >= AGREES:
            break
    best = max(tried, key=lambda each: each.correlation or 0.0)
    scores_of_all = found[best.method] if len(few) == len(batch) else None
    return Trial(best.method, asked or "auto", len(few), tuple(tried), scores_of_all)


def _chosen(nodes: NodeScores, seed: int) -> np.ndarray:
    """Rows of sources, in order."""
    order = np.argsort(-np.abs(nodes.values), kind="stable")
    top, rest = order[: NODES // 2], order[NODES // 2 :]
    drawn = np.random.default_rng(seed).permutation(rest)[: NODES - len(top)]
    return np.sort(np.concatenate([top, drawn]))
