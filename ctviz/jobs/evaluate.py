"""What a circuit, found or read from a file, carries of a behaviour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ctviz.circuits.eap_json import StoredCircuit, load_eap_json
from ctviz.circuits.scores import Circuit
from ctviz.errors import BadCircuitFile
from ctviz.jobs.discovery import Found
from ctviz.jobs.question import Question, carried, in_sample, plain
from ctviz.models.loading import Loaded
from ctviz.progress import phase, share
from ctviz.tasks import located_task
from ctviz.tasks.batch import Fitting

__all__ = ["evaluate"]

COMPARED = 0.85  # of the time of an evaluation, for the circuit beside random ones


def evaluate(
    loaded: Loaded, question: Question, circuit: Circuit | Found | Path, *, minimality: bool = False
) -> dict[str, Any]:
    """Faithfulness and completeness of a circuit, with minimality if asked for.

    ``circuit`` may be a file in EAP-IG's JSON. The MLPs of the model are cut as the circuit's are.
    The result says in ``in_sample`` whether any of
    these are pairs on which it was found, in ``examples_in_sample`` how many, and in
    ``other_model`` whether it was found on another model or other weights; each is None if that is
    not known. Raises BadCircuitFile for a file that cannot be read or is of a model of another
    shape.
    """
    graph = loaded.anatomy.graph
    if isinstance(circuit, Path):
        file = load_eap_json(circuit)
        theirs = file.circuit.graph
        of_each_head = replace(graph.whole, n_kv_heads=None)
        if theirs != graph and theirs.whole == of_each_head:
            file = load_eap_json(circuit, n_kv_heads=graph.kv_heads)
        name, circuit = str(circuit), file.circuit
    elif isinstance(circuit, Found):
        file = StoredCircuit(circuit.circuit, found_on=circuit.found_on)
        name, circuit = "The circuit", circuit.circuit
    else:
        file, name = StoredCircuit(circuit), "The circuit"
    loaded = _cut_alike(loaded, circuit)
    graph = loaded.anatomy.graph
    if circuit.graph != graph:
        raise BadCircuitFile(
            f"{name} is a circuit of a model with {_shape(circuit)}, but {loaded.name} has "
            f"{_shape(Circuit(graph, graph.exists))}."
        )
    batch, chosen = question.pairs(loaded, question.judged_on)
    with phase("evaluation"):
        with share(0.0, COMPARED):
            evaluation = question.evaluation(loaded, batch)
            found = question.compared(evaluation, circuit)
        rest = evaluation.completeness(circuit)
    result: dict[str, Any] = {
        **question.about(loaded, examples=len(batch)),
        "circuit": name,
        **_origin(file, question, loaded, chosen),
        "joined": file.joined,
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        **carried(found),
        "completeness": rest.value,
        "completeness_error": plain(rest.error),
    }
    if minimality:
        with phase("minimality"):
            lost = evaluation.minimality(circuit)
        order = sorted(lost.items(), key=lambda item: item[1].value)
        result["minimality"] = [
            {"edge": edge, "lost": share.value, "error": plain(share.error)}
            for edge, share in order
        ]
    return result


def _cut_alike(loaded: Loaded, circuit: Circuit) -> Loaded:
    """The model with its MLPs cut into as many blocks as a circuit knows."""
    blocks, anatomy = circuit.graph.mlp_blocks, loaded.anatomy
    if blocks == anatomy.graph.mlp_blocks or anatomy.neurons % blocks:
        return loaded
    return loaded.cut_into(anatomy.neurons // blocks if blocks > 1 else 0)


def _origin(
    file: StoredCircuit, question: Question, loaded: Loaded, chosen: Fitting
) -> dict[str, Any]:
    """What a circuit was found on, and whether that is what it is tested on."""
    about = file.found_on
    if about is None:
        names = ("found_on", "in_sample", "examples_in_sample", "other_model")
        return dict.fromkeys(names)
    prompts = about.get("prompts")
    if isinstance(prompts, list) and prompts:
        same = in_sample(chosen, [str(each) for each in prompts])
    else:
        where = about.get("task"), about.get("scored_split")
        known = where == (located_task(question.task), question.judged_on)
        same = {"in_sample": known, "examples_in_sample": None}
    tuned = bool(about.get("step"))  # its weights have no revision of their own
    other = None if tuned else about.get("revision") != loaded.revision
    kept = {name: value for name, value in about.items() if name != "prompts"}
    return {"found_on": kept, **same, "other_model": other}


def _shape(circuit: Circuit) -> str:
    graph = circuit.graph
    groups = "" if graph.kv_heads == graph.n_heads else f" ({graph.kv_heads} key/value heads)"
    kind = "parallel " if graph.parallel else ""
    cut = f" and MLPs of {graph.mlp_blocks} blocks" if graph.mlp_blocks > 1 else ""
    return f"{graph.n_layers} {kind}layers of {graph.n_heads} heads{groups}{cut}"
