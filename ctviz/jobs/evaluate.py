"""What a circuit, found or read from a file, carries of a behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ctviz.circuits.choices import Ablation, Metric
from ctviz.circuits.eap_json import load_eap_json
from ctviz.circuits.scores import Circuit
from ctviz.errors import BadCircuitFile
from ctviz.interventions.faithfulness import Evaluation
from ctviz.jobs.result import asked, carried, check_draws, plain
from ctviz.models.loading import Loaded
from ctviz.tasks.fitting import encode_task

__all__ = ["evaluate", "evaluate_circuit"]


def evaluate(
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
    check_draws(draws)  # all that can be is said before anything is read
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
    check_draws(draws)
    graph = loaded.anatomy.graph
    if circuit.graph != graph:
        raise BadCircuitFile(
            f"{name} is a circuit of a model with {_shape(circuit)}, but {loaded.name} has "
            f"{_shape(Circuit(graph, graph.exists))}."
        )
    batch, _ = encode_task(loaded, task, examples, split="dev", seed=seed, metric=metric)
    evaluation = Evaluation(loaded.anatomy, batch, ablation=ablation, metric=metric)
    found = evaluation.compare(circuit, seed=seed, draws=draws)
    rest = evaluation.completeness(circuit)
    result: dict[str, Any] = {
        **asked(loaded, task, metric=metric, ablation=ablation, seed=seed, examples=len(batch)),
        "circuit": name,
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        **carried(found, draws=draws),
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


def _shape(circuit: Circuit) -> str:
    graph = circuit.graph
    groups = "" if graph.kv_heads == graph.n_heads else f" ({graph.kv_heads} key/value heads)"
    kind = "parallel " if graph.parallel else ""
    return f"{graph.n_layers} {kind}layers of {graph.n_heads} heads{groups}"
