"""Discovery: the scores of every edge, a circuit, and how much of the behaviour it carries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.circuits.eap_json import save_eap_json
from ctviz.circuits.graph import Graph
from ctviz.circuits.redundancy import Redundancy, check_tau, circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, NodeScores, Scores
from ctviz.circuits.selection import SELECTIONS, check_edges
from ctviz.errors import OutOfRange, UndefinedMetric, UnknownName
from ctviz.files import write_bytes, write_json, write_tensors
from ctviz.interventions.faithfulness import faithfulness
from ctviz.jobs.result import asked, carried, check_draws, plain
from ctviz.models.loading import Loaded
from ctviz.paths import absolute
from ctviz.tasks.fitting import encode_task

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
    started = time.perf_counter()
    graph = loaded.anatomy.graph
    _check(loaded, select, edges=edges, threshold=threshold, draws=draws, tau=tau)
    batch, chosen = encode_task(loaded, task, examples, split="dev", seed=seed, metric=metric)
    scores = attribute(loaded.anatomy, batch, method=method, ablation=ablation, metric=metric)
    scored = time.perf_counter() - started
    selection = SELECTIONS[select]
    amount = threshold if selection.amount == "threshold" else edges
    circuit = selection.choose(scores, amount, prune=prune)
    if method == "exact":
        nodes = exact_node_scores(loaded.anatomy, batch, ablation=ablation, metric=metric)
    else:
        nodes = scores.nodes()
    table = _edges_by_size(scores, circuit)
    _write(folder, scores, circuit, table, nodes)
    if eap_json:
        d_model = loaded.anatomy.d_model
        save_eap_json(folder / "circuit.json", scores, circuit, d_model=d_model)
    try:
        found = faithfulness(
            loaded.anatomy, batch, circuit, ablation=ablation, metric=metric, seed=seed, draws=draws
        )
    except UndefinedMetric as error:
        raise UndefinedMetric(f"{error} The scores are kept in {folder}.") from error
    result = {
        **asked(loaded, task, metric=metric, ablation=ablation, seed=seed, examples=len(batch)),
        "method": method,
        "select": select,
        "tau": tau,
        "examples_dropped": len(chosen.dropped),
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        **carried(found, draws=draws),
        "largest_score": float(np.abs(scores.values).max()),
        "device": str(loaded.anatomy.device),
        "seconds_scores": round(scored, 4),
        "seconds": round(time.perf_counter() - started, 4),
        "scores": str(absolute(folder / "scores.safetensors")),
    }
    redundancy = (circuit_redundancy(circuit), mass_redundancy(scores, tau=tau))
    details = {"circuit": circuit.edges(), "redundancy": _by_node(redundancy)}
    write_json(folder / "scores.json", result | _names(graph) | details)
    strongest = table.head(5).to_dict("records")
    return result | {"strongest": [{k: plain(v) for k, v in row.items()} for row in strongest]}


def _check(
    loaded: Loaded, select: str, *, edges: int, threshold: float, draws: int, tau: float
) -> None:
    """All that can be said before anything is computed; raises UnknownName and OutOfRange."""
    if select not in SELECTIONS:
        raise UnknownName("selection", select, SELECTIONS)
    if select != "threshold":
        check_edges(loaded.anatomy.graph, edges, hint=f"({loaded.name})")
    elif not 0 <= threshold < np.inf:
        raise OutOfRange("threshold", threshold, 0, None, hint="It must be finite.")
    check_draws(draws)
    check_tau(tau)


def _write(
    folder: Path, scores: Scores, circuit: Circuit, table: pd.DataFrame, nodes: NodeScores
) -> None:
    """Scores and circuit as tensors, edges and nodes as tables."""
    tensors = {"values": scores.values, "circuit": circuit.mask}
    if scores.error is not None:
        tensors["error"] = scores.error
    write_tensors(folder / "scores.safetensors", tensors, _names(scores.graph))
    write_bytes(folder / "circuit.csv", table.to_csv(index=False).encode())
    write_bytes(folder / "nodes.csv", nodes.frame().to_csv(index=False).encode())


def _names(graph: Graph) -> dict[str, tuple[str, ...]]:
    return {"sources": graph.sources, "slots": graph.slot_names}


def _by_node(estimates: Sequence[Redundancy]) -> dict[str, dict[str, float | None]]:
    """Redundancy of each node by each estimator; None where a node has no incoming edges."""
    return {
        each.estimator: {
            node: plain(round(float(value), 6))
            for node, value in zip(each.graph.nodes, each.values, strict=True)
        }
        for each in estimates
    }


def _edges_by_size(scores: Scores, circuit: Circuit) -> pd.DataFrame:
    """The circuit's edges as a table, largest \\|score\\| first."""
    rows, columns = np.nonzero(scores.graph.exists)
    table = scores.frame()[circuit.mask[rows, columns]]
    return table.sort_values("score", key=np.abs, ascending=False, kind="stable")
