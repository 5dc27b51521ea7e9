"""Whether nodes really do without what is called redundant."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ctviz.attribution.attribute import attribute
from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.circuits.redundancy import check_tau, circuit_redundancy, mass_redundancy
from ctviz.circuits.selection import SELECTIONS, check_edges
from ctviz.errors import UnknownName
from ctviz.interventions.audit import audit as audit_claim
from ctviz.interventions.audit import incoming_edges
from ctviz.interventions.faithfulness import Evaluation
from ctviz.jobs.result import asked, check_draws, plain
from ctviz.models.loading import Loaded
from ctviz.tasks.fitting import encode_task

__all__ = ["audit"]


def audit(
    loaded: Loaded,
    task: str,
    *,
    estimator: str = "mass",
    tau: float = 0.9,
    edges: int = 40,
    node: str | None = None,
    method: Attribution = "eap",
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 64,
    seed: int = 0,
    draws: int = 5,
) -> dict[str, Any]:
    """Corrupt what a node, or every node, is said to do without; see
    `ctviz.interventions.audit.audit`.

    The claim comes from train pairs, the effect from dev pairs.
    """
    check_draws(draws)  # all that can be is said before anything is computed
    incoming_edges(loaded.anatomy.graph, node)
    if estimator == "circuit":
        check_edges(loaded.anatomy.graph, edges, hint=f"({loaded.name})")
    elif estimator != "mass":
        raise UnknownName("estimator", estimator, ("circuit", "mass"))
    else:
        check_tau(tau)
    train, dev = (
        encode_task(loaded, task, examples, split=split, seed=seed, metric=metric)[0]
        for split in ("train", "dev")
    )
    scores = attribute(loaded.anatomy, train, method=method, ablation=ablation, metric=metric)
    if estimator == "mass":
        redundancy = mass_redundancy(scores, tau=tau)
    else:
        redundancy = circuit_redundancy(SELECTIONS["top"].choose(scores, edges))
    evaluation = Evaluation(loaded.anatomy, dev, ablation=ablation, metric=metric)
    found = audit_claim(evaluation, redundancy, node, draws=draws, seed=seed)
    return {
        **asked(loaded, task, metric=metric, ablation=ablation, seed=seed, examples=len(dev)),
        "node": node,
        "method": method,
        "draws": draws,
        "estimator": found.estimator,
        "redundant": found.redundant,
        "needed": found.needed,
        "metric_clean": float(evaluation.full.mean()),
        "metric_corrupt": float(evaluation.empty.mean()),
        "rows": [{k: plain(v) for k, v in asdict(row).items()} for row in found.rows],
    }
