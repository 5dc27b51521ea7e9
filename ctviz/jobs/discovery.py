"""Finding a circuit without writing anything, and writing what was found into a folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.circuits.eap_json import save_eap_json
from ctviz.circuits.redundancy import check_tau, circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, NodeScores, Scores
from ctviz.circuits.selection import SELECTIONS, check_edges
from ctviz.errors import OutOfRange, UnknownName
from ctviz.files import write_bytes, write_json, write_tensors
from ctviz.interventions.faithfulness import faithfulness
from ctviz.jobs.result import asked, carried, check_draws, plain
from ctviz.models.loading import Loaded
from ctviz.paths import absolute
from ctviz.tasks.batch import Batch
from ctviz.tasks.fitting import encode_task

__all__ = ["Found", "find", "measured", "write_found", "write_scores"]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The scores of all edges on a task, and the circuit that was chosen from them.

    ``nodes``: what corrupting each node as a whole does, by the same method. ``about``: what was
    asked and measured, in plain values; ``d_model`` is the model's.
    """

    scores: Scores
    circuit: Circuit
    nodes: NodeScores
    d_model: int
    about: dict[str, Any]

    def frame(self) -> pd.DataFrame:
        """The circuit's edges, largest \\|score\\| first, with the columns of `Scores.frame`."""
        rows, columns = np.nonzero(self.scores.graph.exists)
        table = self.scores.frame()[self.circuit.mask[rows, columns]]
        return table.sort_values("score", key=np.abs, ascending=False, kind="stable")


def find(
    loaded: Loaded,
    task: str,
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
) -> tuple[Found, Batch]:
    """Score every edge on dev pairs and choose the circuit; the pairs, for `measured`.

    ``draws``: random circuits that `measured` draws from ``seed``; ``tau``: the share of a node's
    mass that it needs, for its redundancy.
    """
    started = time.perf_counter()
    graph = loaded.anatomy.graph
    if select not in SELECTIONS:  # all that can be is said before anything is computed
        raise UnknownName("selection", select, SELECTIONS)
    if select != "threshold":
        check_edges(graph, edges, hint=f"({loaded.name})")
    elif not 0 <= threshold < np.inf:
        raise OutOfRange("threshold", threshold, 0, None, hint="It must be finite.")
    check_draws(draws)
    check_tau(tau)
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
    about = {
        **asked(loaded, task, metric=metric, ablation=ablation, seed=seed, examples=len(batch)),
        "method": method,
        "select": select,
        "tau": tau,
        "draws": draws,
        "examples_dropped": len(chosen.dropped),
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        "largest_score": float(np.abs(scores.values).max()),
        "device": str(loaded.anatomy.device),
        "seconds_scores": round(scored, 4),
        "seconds": round(time.perf_counter() - started, 4),
    }
    return Found(scores, circuit, nodes, loaded.anatomy.d_model, about), batch


def measured(found: Found, loaded: Loaded, batch: Batch) -> Found:
    """The same with the circuit's faithfulness in ``about``, beside that of random ones.

    Raises UndefinedMetric where clean and corrupt do not differ.
    """
    started, about = time.perf_counter(), found.about
    share = faithfulness(
        loaded.anatomy,
        batch,
        found.circuit,
        ablation=about["ablation"],
        metric=about["metric_name"],
        seed=about["seed"],
        draws=about["draws"],
    )
    measures = carried(share, draws=about["draws"])
    seconds = round(about["seconds"] + time.perf_counter() - started, 4)
    return replace(found, about=about | measures | {"seconds": seconds})


def write_scores(found: Found, folder: Path, *, eap_json: bool = False) -> None:
    """``scores.safetensors``, ``circuit.csv``, ``nodes.csv``, and ``circuit.json`` if asked for."""
    scores, circuit, graph = found.scores, found.circuit, found.scores.graph
    tensors = {"values": scores.values, "circuit": circuit.mask}
    if scores.error is not None:
        tensors["error"] = scores.error
    names = {"sources": graph.sources, "slots": graph.slot_names}
    write_tensors(folder / "scores.safetensors", tensors, names)
    write_bytes(folder / "circuit.csv", found.frame().to_csv(index=False).encode())
    write_bytes(folder / "nodes.csv", found.nodes.frame().to_csv(index=False).encode())
    if eap_json:
        save_eap_json(folder / "circuit.json", scores, circuit, d_model=found.d_model)


def write_found(found: Found, folder: Path) -> dict[str, Any]:
    """``scores.json``, beside what `write_scores` has written; returns the summary."""
    graph = found.scores.graph
    result = found.about | {"scores": str(absolute(folder / "scores.safetensors"))}
    tau = found.about["tau"]
    redundancy = {
        each.estimator: {
            node: plain(round(float(value), 6))
            for node, value in zip(graph.nodes, each.values, strict=True)
        }
        for each in (
            circuit_redundancy(found.circuit),
            mass_redundancy(found.scores, tau=tau),
        )
    }
    names = {"sources": graph.sources, "slots": graph.slot_names}
    details = {"circuit": found.circuit.edges(), "redundancy": redundancy}
    write_json(folder / "scores.json", result | names | details)
    strongest = found.frame().head(5).to_dict("records")
    return result | {"strongest": [{k: plain(v) for k, v in row.items()} for row in strongest]}
