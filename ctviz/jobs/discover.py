"""Discovery, and what can be asked of a circuit, written into a folder.

Each function writes its files and returns a summary in plain values, ready for JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.circuits.eap_json import load_eap_json, save_eap_json
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.circuits.selection import SELECTIONS, check_edges
from ctviz.errors import BadCircuitFile, OutOfRange, UndefinedMetric, UnknownName
from ctviz.extras import need
from ctviz.files import write_bytes, write_json, write_tensors
from ctviz.interventions.audit import audit, incoming_edges
from ctviz.interventions.curve import curve_of_random, curve_of_scores
from ctviz.interventions.faithfulness import Evaluation, faithfulness
from ctviz.models.loading import Loaded
from ctviz.tasks import find_task
from ctviz.tasks.fitting import encode_task

__all__ = ["audit_redundancy", "discover", "evaluate_file", "faithfulness_curves"]

DRAWS = 3  # random circuits beside a discovered one
METRIC_WORDS = {
    "probability_difference": "p(answer) - p(foil)",
    "log_probability": "log p(answer), in nats",
    "kl": "-KL(clean run || this run), in nats",
}


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
    eap_json: bool = False,
) -> dict[str, Any]:
    """Score every edge on dev pairs, select and evaluate the circuit.

    ``folder`` gets ``scores.safetensors`` (``values``, ``error`` and ``circuit``, all [source,
    slot], names in the header), ``scores.json`` (names, circuit edges, node redundancy, and what is
    returned), ``circuit.csv`` (its edges with scores and standard errors), ``nodes.csv`` (what
    corrupting each node as a whole does, by the same method) and, with ``eap_json``,
    ``circuit.json`` for EAP-IG and the MIB circuit track.
    """
    started = time.perf_counter()
    graph = loaded.anatomy.graph
    if select not in SELECTIONS:  # all that can be is said before anything is computed
        raise UnknownName("selection", select, SELECTIONS)
    if select != "threshold":
        check_edges(graph, edges, hint=f"({loaded.name})")
    elif not 0 <= threshold < np.inf:
        raise OutOfRange("threshold", threshold, 0, None, hint="It must be finite.")
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
    names = {"sources": graph.sources, "slots": graph.slot_names}
    file = folder / "scores.safetensors"
    tensors = {"values": scores.values, "circuit": circuit.mask}
    if scores.error is not None:
        tensors["error"] = scores.error
    write_tensors(file, tensors, names)
    table = _edges_by_size(scores, circuit)
    write_bytes(folder / "circuit.csv", table.to_csv(index=False).encode())
    write_bytes(folder / "nodes.csv", nodes.frame().to_csv(index=False).encode())
    if eap_json:
        d_model = loaded.anatomy.d_model
        save_eap_json(folder / "circuit.json", scores, circuit, d_model=d_model)
    try:
        found = faithfulness(
            loaded.anatomy, batch, circuit, ablation=ablation, metric=metric, seed=seed, draws=DRAWS
        )
    except UndefinedMetric as error:
        raise UndefinedMetric(f"{error} The scores are kept in {folder}.") from error
    result = {
        "model": loaded.name,
        "revision": loaded.revision,
        "task": task,
        "method": method,
        "metric": _words(metric, task),
        "metric_name": metric,
        "ablation": ablation,
        "select": select,
        "seed": seed,
        "examples": len(batch),
        "examples_dropped": len(chosen.dropped),
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        "metric_clean": found.metric_full,
        "metric_corrupt": found.metric_empty,
        "metric_circuit": found.metric_circuit,
        "faithfulness": found.faithfulness,
        "faithfulness_error": _plain(found.error),
        "random_faithfulness": found.random,
        "random_spread": _plain(found.random_spread),
        "draws": DRAWS,
        "largest_score": float(np.abs(scores.values).max()),
        "device": str(loaded.anatomy.device),
        "seconds_scores": round(scored, 4),
        "seconds": round(time.perf_counter() - started, 4),
        "scores": str(file),
    }
    redundancy = {
        found.estimator: {
            node: _plain(round(float(value), 6))
            for node, value in zip(graph.nodes, found.values, strict=True)
        }
        for found in (circuit_redundancy(circuit), mass_redundancy(scores))
    }
    details = {"circuit": circuit.edges(), "redundancy": redundancy}
    write_json(folder / "scores.json", result | names | details)
    strongest = table.head(5).to_dict("records")
    return result | {"strongest": [{k: _plain(v) for k, v in row.items()} for row in strongest]}


def evaluate_file(
    loaded: Loaded,
    task: str,
    file: Path,
    *,
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 64,
    seed: int = 0,
    draws: int = 5,
    minimality: bool = False,
) -> dict[str, Any]:
    """Faithfulness and completeness of a circuit in EAP-IG's JSON, with minimality if asked for.

    Raises BadCircuitFile for a file that cannot be read or is of a model of another shape.
    """
    _check_draws(draws)
    graph = loaded.anatomy.graph
    _, circuit = load_eap_json(file, n_kv_heads=graph.kv_heads)
    if circuit.graph != graph:
        raise BadCircuitFile(
            f"{file} is a circuit of a model with {_shape(circuit)}, but {loaded.name} has "
            f"{_shape(Circuit(graph, graph.exists))}."
        )
    batch, _ = encode_task(loaded, task, examples, split="dev", seed=seed, metric=metric)
    evaluation = Evaluation(loaded.anatomy, batch, ablation=ablation, metric=metric)
    inside = evaluation.run(circuit)
    whole, rest = evaluation.share(inside), evaluation.completeness(circuit)
    random = evaluation.random(circuit.n_edges, seed=seed, draws=draws)
    result: dict[str, Any] = {
        "model": loaded.name,
        "task": task,
        "circuit": str(file),
        "metric": _words(metric, task),
        "metric_name": metric,
        "ablation": ablation,
        "seed": seed,
        "examples": len(batch),
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        "metric_clean": float(evaluation.full.mean()),
        "metric_corrupt": float(evaluation.empty.mean()),
        "metric_circuit": float(inside.mean()),
        "faithfulness": whole.value,
        "faithfulness_error": _plain(whole.error),
        "random_faithfulness": float(np.mean(random)),
        "random_spread": _plain(np.std(random, ddof=1)) if draws > 1 else None,
        "draws": draws,
        "completeness": rest.value,
        "completeness_error": _plain(rest.error),
    }
    if minimality:
        lost = evaluation.minimality(circuit)
        order = sorted(lost.items(), key=lambda item: item[1].value)
        result["minimality"] = [
            {"edge": edge, "lost": share.value, "error": _plain(share.error)}
            for edge, share in order
        ]
    return result


def faithfulness_curves(
    loaded: Loaded,
    tasks: Sequence[str],
    folder: Path,
    *,
    methods: Sequence[Attribution] = ("eap", "eap-ig"),
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 32,
    seed: int = 0,
    draws: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Curves of faithfulness over circuit sizes, of each method beside random circuits.

    Scores come from train pairs, faithfulness from dev pairs. ``folder`` gets ``curves.csv`` (one
    row a task, method, selection and size), ``curves.json`` (what is returned) and the figure as
    ``curves.svg`` and ``curves.png``. Raises MissingExtra without what draws it.
    """
    need("pictures", "The figure of the curves")
    from ctviz.jobs.curve_figure import draw_curves

    _check_draws(draws)
    frames: list[pd.DataFrame] = []
    areas: list[dict[str, Any]] = []
    for task in tasks:
        train, dev = (
            encode_task(loaded, task, examples, split=split, seed=seed, metric=metric)[0]
            for split in ("train", "dev")
        )
        evaluation = Evaluation(loaded.anatomy, dev, ablation=ablation, metric=metric)
        for method in methods:
            progress(f"{task}: {method}")
            scores = attribute(
                loaded.anatomy, train, method=method, ablation=ablation, metric=metric
            )
            size = curve_of_scores(evaluation, scores, signed=False)
            signed = curve_of_scores(evaluation, scores, signed=True)
            for selection, curve in (("absolute", size), ("signed", signed)):
                about = {"task": task, "method": method, "selection": selection, "draw": 0}
                frames.append(curve.frame().assign(**about))
            found = {"cpr": signed.cpr, "cmd": size.cmd}
            areas.append({"task": task, "method": method, "examples": len(dev)} | found)
        random = []
        for draw in range(draws):
            progress(f"{task}: random {draw + 1} of {draws}")
            random.append(curve_of_random(evaluation, seed=seed + draw))
            about = {"task": task, "method": "random", "selection": "random", "draw": draw}
            frames.append(random[-1].frame().assign(**about))
        areas.append(
            {
                "task": task,
                "method": "random",
                "examples": len(dev),
                "cpr": float(np.mean([curve.cpr for curve in random])),
                "cmd": float(np.mean([curve.cmd for curve in random])),
            }
        )
        table = pd.concat(frames, ignore_index=True)  # after each task: a later one may fail
        write_bytes(folder / "curves.csv", table.to_csv(index=False).encode())
    title = f"{loaded.name}, {metric.replace('_', ' ')}, {ablation} ablation"
    for suffix in ("svg", "png"):
        write_bytes(folder / f"curves.{suffix}", draw_curves(table, areas, suffix, title=title))
    result = {
        "model": loaded.name,
        "revision": loaded.revision,
        "metric_name": metric,
        "ablation": ablation,
        "examples": examples,
        "draws": draws,
        "seed": seed,
        "areas": areas,
        "figure": str(folder / "curves.svg"),
        "table": str(folder / "curves.csv"),
    }
    write_json(folder / "curves.json", result)
    return result


def audit_redundancy(
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
    _check_draws(draws)  # all that can be is said before anything is computed
    incoming_edges(loaded.anatomy.graph, node)
    if estimator == "circuit":
        check_edges(loaded.anatomy.graph, edges, hint=f"({loaded.name})")
    elif estimator != "mass":
        raise UnknownName("estimator", estimator, ("circuit", "mass"))
    elif not 0 < tau <= 1:
        raise OutOfRange("tau", tau, 0, 1, hint="0 itself is excluded.")
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
    found = audit(evaluation, redundancy, node, draws=draws, seed=seed)
    return {
        "model": loaded.name,
        "task": task,
        "node": node,
        "method": method,
        "metric": _words(metric, task),
        "metric_name": metric,
        "ablation": ablation,
        "seed": seed,
        "examples": len(dev),
        "estimator": found.estimator,
        "redundant": found.redundant,
        "needed": found.needed,
        "metric_clean": float(evaluation.full.mean()),
        "metric_corrupt": float(evaluation.empty.mean()),
        "rows": [{k: _plain(v) for k, v in asdict(row).items()} for row in found.rows],
    }


def _edges_by_size(scores: Scores, circuit: Circuit) -> pd.DataFrame:
    """The circuit's edges as a table, largest \\|score\\| first."""
    rows, columns = np.nonzero(scores.graph.exists)
    table = scores.frame()[circuit.mask[rows, columns]]
    return table.sort_values("score", key=np.abs, ascending=False, kind="stable")


def _words(metric: Metric, task: str) -> str:
    """What a metric means for a task, in words."""
    return METRIC_WORDS.get(metric, find_task(task).metric)


def _check_draws(draws: int) -> None:
    """Nothing is said of a circuit that is not said of random ones too."""
    if draws < 1:
        raise OutOfRange("draws", draws, 1, None)


def _plain(value: Any) -> Any:
    """A number for JSON: NaN becomes None."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value


def _shape(circuit: Circuit) -> str:
    graph = circuit.graph
    groups = "" if graph.kv_heads == graph.n_heads else f" ({graph.kv_heads} key/value heads)"
    kind = "parallel " if graph.parallel else ""
    return f"{graph.n_layers} {kind}layers of {graph.n_heads} heads{groups}"
