"""Whether nodes really do without what is called redundant."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.errors import UnknownName
from ctviz.interventions.audit import audit as audit_claim
from ctviz.interventions.audit import incoming_edges
from ctviz.jobs.discovery import Search
from ctviz.jobs.question import in_sample, plain
from ctviz.models.loading import Loaded
from ctviz.progress import phase

__all__ = ["audit"]


def audit(
    loaded: Loaded, search: Search, *, estimator: str = "mass", node: str | None = None
) -> dict[str, Any]:
    """Corrupt what a node, or every node, is said to do without; see
    `ctviz.interventions.audit.audit`.

    The claim comes from train pairs, the effect from dev pairs.
    """
    search.check(loaded)  # all that can be is said before anything is computed
    incoming_edges(loaded.anatomy.graph, node)
    if estimator not in ("circuit", "mass"):
        raise UnknownName("estimator", estimator, ("circuit", "mass"))
    train, claimed = search.pairs(loaded, search.found_on)
    dev, chosen = search.pairs(loaded, search.judged_on)
    trial, scores = search.scores(loaded, train)
    if estimator == "mass":
        redundancy = mass_redundancy(scores, tau=search.tau)
    else:
        redundancy = circuit_redundancy(search.circuit(scores))
    with phase("evaluation"):
        evaluation = search.evaluation(loaded, dev)
        found = audit_claim(evaluation, redundancy, node, draws=search.draws, seed=search.seed)
    return {
        **search.about(loaded, examples=len(dev)),
        "scored_split": search.found_on,
        "scored_examples": len(train),
        **in_sample(chosen, [pair.fingerprint for pair in claimed.pairs]),
        "node": node,
        "method": trial.method,
        "end": search.end if trial.method == "eap-ig" else None,
        "agreement": trial.about(),
        "estimator": found.estimator,
        "redundant": found.redundant,
        "needed": found.needed,
        "metric_clean": float(evaluation.full.mean()),
        "metric_corrupt": float(evaluation.empty.mean()),
        "rows": [{k: plain(v) for k, v in asdict(row).items()} for row in found.rows],
    }
