"""Discovery into a folder: scores, circuit, tables, and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.errors import UndefinedMetric
from ctviz.jobs.discovery import find, measured, write_found, write_scores
from ctviz.models.loading import Loaded

__all__ = ["discover"]


def discover(
    loaded: Loaded,
    task: str,
    folder: Path,
    *,
    method: Attribution = "eap",
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    select: str = "top",
    edges: int = 40,
    threshold: float = 0.0,
    prune: bool = False,
    examples: int = 64,
    seed: int = 0,
    draws: int = 3,
    tau: float = 0.9,
    eap_json: bool = False,
) -> dict[str, Any]:
    """Score every edge on dev pairs, select and evaluate the circuit.

    ``folder`` gets ``scores.safetensors`` (``values``, ``error`` and ``circuit``, all [source,
    slot], names in the header), ``scores.json`` (names, circuit edges, node redundancy, and what is
    returned), ``circuit.csv`` (its edges with scores and standard errors), ``nodes.csv`` (what
    corrupting each node as a whole does, by the same method) and, with ``eap_json``,
    ``circuit.json`` for EAP-IG and the MIB circuit track. ``draws``: random circuits beside it,
    drawn from ``seed``; ``tau``: the share of a node's mass that it needs (node redundancy).
    """
    found, batch = find(
        loaded,
        task,
        method=method,
        metric=metric,
        ablation=ablation,
        select=select,
        edges=edges,
        threshold=threshold,
        prune=prune,
        examples=examples,
        seed=seed,
        draws=draws,
        tau=tau,
    )
    write_scores(found, folder, eap_json=eap_json)
    try:
        found = measured(found, loaded, batch)
    except UndefinedMetric as error:
        raise UndefinedMetric(f"{error} The scores are kept in {folder}.") from error
    return write_found(found, folder)
