"""What a circuit, found or read from a file, carries of a behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ctviz.circuits.eap_json import load_eap_json
from ctviz.circuits.scores import Circuit
from ctviz.errors import BadCircuitFile
from ctviz.jobs.question import Question, carried, plain
from ctviz.models.loading import Loaded

__all__ = ["evaluate"]


def evaluate(
    loaded: Loaded, question: Question, circuit: Circuit | Path, *, minimality: bool = False
) -> dict[str, Any]:
    """Faithfulness and completeness of a circuit on dev pairs, with minimality if asked for.

    ``circuit`` may be a file in EAP-IG's JSON. Raises BadCircuitFile for one that cannot be read or
    is of a model of another shape.
    """
    graph = loaded.anatomy.graph
    if isinstance(circuit, Path):
        name = str(circuit)
        _, circuit = load_eap_json(circuit, n_kv_heads=graph.kv_heads)
    else:
        name = "The circuit"
    if circuit.graph != graph:
        raise BadCircuitFile(
            f"{name} is a circuit of a model with {_shape(circuit)}, but {loaded.name} has "
            f"{_shape(Circuit(graph, graph.exists))}."
        )
    batch, _ = question.pairs(loaded, "dev")
    evaluation = question.evaluation(loaded, batch)
    found = evaluation.compare(circuit, seed=question.seed, draws=question.draws)
    rest = evaluation.completeness(circuit)
    result: dict[str, Any] = {
        **question.about(loaded, examples=len(batch)),
        "circuit": name,
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        **carried(found),
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
