"""Discovery, and what can be asked of a circuit, written into a folder.

Each function writes its files and returns a summary in plain values, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.attribute import attribute
from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.circuits.eap_json import load_eap_json
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit
from ctviz.circuits.selection import SELECTIONS, check_edges
from ctviz.errors import BadCircuitFile, OutOfRange, UndefinedMetric, UnknownName
from ctviz.extras import need
from ctviz.files import write_bytes, write_json
from ctviz.interventions.audit import audit, incoming_edges
from ctviz.interventions.curve import curve_of_random, curve_of_scores
from ctviz.interventions.faithfulness import Evaluation
from ctviz.jobs.curve_figure import draw_curves
from ctviz.jobs.discovery import find, in_words, measured, plain, write_found, write_scores
from ctviz.models.loading import Loaded
from ctviz.tasks.fitting import encode_task

__all__ = [
    "audit_redundancy",
    "discover",
    "evaluate_circuit",
    "evaluate_file",
    "faithfulness_curves",
]


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
    )
    write_scores(found, folder, eap_json=eap_json)
    try:
        found = measured(found, loaded, batch)
    except UndefinedMetric as error:
        raise UndefinedMetric(f"{error} The scores are kept in {folder}.") from error
    return write_found(found, folder)


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
    """`evaluate_circuit` on a circuit in EAP-IG's JSON.

    Raises BadCircuitFile for a file that cannot be read or is of a model of another shape.
    """
    _, circuit = load_eap_json(file, n_kv_heads=loaded.anatomy.graph.kv_heads)
    return evaluate_circuit(
        loaded,
        task,
        circuit,
        name=str(file),
        metric=metric,
        ablation=ablation,
        examples=examples,
        seed=seed,
        draws=draws,
        minimality=minimality,
    )


def evaluate_circuit(
    loaded: Loaded,
    task: str,
    circuit: Circuit,
    *,
    name: str = "The circuit",
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 64,
    seed: int = 0,
    draws: int = 5,
    minimality: bool = False,
) -> dict[str, Any]:
    """Faithfulness and completeness of a circuit on dev pairs, with minimality if asked for.

    ``name`` is what messages call it. Raises BadCircuitFile for one of a model of another shape.
    """
    _check_draws(draws)
    graph = loaded.anatomy.graph
    if circuit.graph != graph:
        raise BadCircuitFile(
            f"{name} is a circuit of a model with {_shape(circuit)}, but {loaded.name} has "
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
        "circuit": name,
        "metric": in_words(metric, task),
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
        "faithfulness_error": plain(whole.error),
        "random_faithfulness": float(np.mean(random)),
        "random_spread": plain(np.std(random, ddof=1)) if draws > 1 else None,
        "draws": draws,
        "completeness": rest.value,
        "completeness_error": plain(rest.error),
    }
    if minimality:
        lost = evaluation.minimality(circuit)
        order = sorted(lost.items(), key=lambda item: item[1].value)
        result["minimality"] = [
            {"edge": edge, "lost": share.value, "error": plain(share.error)}
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
        "metric": in_words(metric, task),
        "metric_name": metric,
        "ablation": ablation,
        "seed": seed,
        "examples": len(dev),
        "estimator": found.estimator,
        "redundant": found.redundant,
        "needed": found.needed,
        "metric_clean": float(evaluation.full.mean()),
        "metric_corrupt": float(evaluation.empty.mean()),
        "rows": [{k: plain(v) for k, v in asdict(row).items()} for row in found.rows],
    }


def _check_draws(draws: int) -> None:
    """Nothing is said of a circuit that is not said of random ones too."""
    if draws < 1:
        raise OutOfRange("draws", draws, 1, None)


def _shape(circuit: Circuit) -> str:
    graph = circuit.graph
    groups = "" if graph.kv_heads == graph.n_heads else f" ({graph.kv_heads} key/value heads)"
    kind = "parallel " if graph.parallel else ""
    return f"{graph.n_layers} {kind}layers of {graph.n_heads} heads{groups}"
