"""What a circuit, found or read from a file, carries of a behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ctviz.circuits.eap_json import StoredCircuit, load_eap_json
from ctviz.circuits.scores import Circuit
from ctviz.errors import BadCircuitFile
from ctviz.jobs.discovery import Found
from ctviz.jobs.question import Question, carried, plain
from ctviz.models.loading import Loaded
from ctviz.tasks import located_task

__all__ = ["evaluate"]


def evaluate(
    loaded: Loaded, question: Question, circuit: Circuit | Found | Path, *, minimality: bool = False
) -> dict[str, Any]:
    """Faithfulness and completeness of a circuit, with minimality if asked for.

    ``circuit`` may be a file in EAP-IG's JSON. The result says in ``in_sample`` whether these are
    the very pairs on which it was found; None if nothing is known of that. Raises BadCircuitFile
    for a file that cannot be read or is of a model of another shape.
    """
    graph = loaded.anatomy.graph
    if isinstance(circuit, Path):
        file = load_eap_json(circuit, n_kv_heads=graph.kv_heads)
        name, circuit = str(circuit), file.circuit
    elif isinstance(circuit, Found):
        file = StoredCircuit(circuit.circuit, found_on=circuit.found_on)
        name, circuit = "The circuit", circuit.circuit
    else:
        file, name = StoredCircuit(circuit), "The circuit"
    if circuit.graph != graph:
        raise BadCircuitFile(
            f"{name} is a circuit of a model with {_shape(circuit)}, but {loaded.name} has "
            f"{_shape(Circuit(graph, graph.exists))}."
        )
    batch, _ = question.pairs(loaded, question.judged_on)
    evaluation = question.evaluation(loaded, batch)
    found = question.compared(evaluation, circuit)
    rest = evaluation.completeness(circuit)
    result: dict[str, Any] = {
        **question.about(loaded, examples=len(batch)),
        "circuit": name,
        "found_on": None if file.found_on is None else dict(file.found_on),
        "in_sample": _in_sample(file, question),
        "joined": file.joined,
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


def _in_sample(file: StoredCircuit, question: Question) -> bool | None:
    """Whether a circuit is tested on the split of the task on which it was found."""
    if file.found_on is None:
        return None
    found = file.found_on.get("task"), file.found_on.get("scored_split")
    return found == (located_task(question.task), question.judged_on)


def _shape(circuit: Circuit) -> str:
    graph = circuit.graph
    groups = "" if graph.kv_heads == graph.n_heads else f" ({graph.kv_heads} key/value heads)"
    kind = "parallel " if graph.parallel else ""
    return f"{graph.n_layers} {kind}layers of {graph.n_heads} heads{groups}"
