"""Circuit files that other tools read: the JSON of EAP-IG.

EAP-IG (github.com/hannamw/EAP-IG) writes one JSON object a graph, and the circuit track of the
Mechanistic Interpretability Benchmark takes the same file as ``importances.json``::

    {"cfg":   {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": false, "d_model": 768},
     "nodes": {"input": {"in_graph": true}, "a0.h0": {"in_graph": false}, ...},
     "edges": {"input->a0.h0<q>": {"score": -0.00029, "in_graph": false}, ...}}

Older files have a plain ``true`` or ``false`` for each node and no ``d_model``. A node can also
have a ``score`` and ``neurons``; only edges are read here.

That format knows no shared key or value slots: it has one ``<k>`` and one ``<v>`` for each head.
The edge into a shared slot is written once for each head of the group, with the score that it has
for that head or, where this is not known, with an equal share of the score, so that their sum is
the score; ``head_scores``, a key of ours, says which (``computed`` or ``equal shares``). The key
``n_kv_heads`` in ``cfg``, which is ours as well and which EAP-IG carries along unread, says that
they belong together again. Without it every head has its own.

Nor does it know blocks of neurons. A file with nodes such as ``m0.b3`` says how many blocks an MLP
has in ``mlp_blocks`` of ``cfg``, a third key of ours: it is read here, and by EAP-IG it is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import BadCircuitFile
from ctviz.files import write_bytes

__all__ = ["StoredCircuit", "load_eap_json", "save_eap_json"]

LARGEST = float(np.finfo(np.float32).max)  # scores are float32
MOST_CELLS = 2**28  # of a matrix [source, slot]; 96 layers of 96 heads fit


@dataclass(frozen=True, slots=True, eq=False)
class StoredCircuit:
    """What a file in EAP-IG's JSON holds.

    ``scores`` is None in a file without scores. ``found_on`` is what a circuit of ours was found on
    (task, split, examples, seed, ...), None in a file of another tool. ``joined``: how many shared
    edges were inside for some heads of their group only; they are inside here.
    """

    circuit: Circuit
    scores: Scores | None = None
    found_on: Mapping[str, Any] | None = None
    joined: int = 0


def save_eap_json(
    path: Path,
    scores: Scores,
    circuit: Circuit,
    *,
    d_model: int | None = None,
    found_on: Mapping[str, Any] | None = None,
    ungrouped: np.ndarray | None = None,
) -> None:
    """Write scores and circuit as EAP-IG's JSON; what is there already is replaced at once.

    ``d_model``, which is no part of our graph, goes into ``cfg`` if given. Give it: EAP-IG's newer
    reader needs it. ``found_on`` is kept beside ``cfg``, where other readers do not look.
    ``ungrouped``, [source, slot of each head], are the scores of a model with shared keys and
    values head by head (`ctviz.models.ungrouped`); without them each head of a group is given an
    equal share. Reading the file back gives exactly the same float32 scores, but with ``ungrouped``
    up to rounding, and the same circuit; the scores' errors have no place in it.

    A node counts as in the circuit when it has an edge in and an edge out (``input``: out), and
    ``logits`` always, as EAP-IG counts.
    """
    graph = scores.graph
    if circuit.graph != graph:
        raise ValueError(f"The scores are of {graph}, but the circuit is of {circuit.graph}.")
    if d_model is not None and d_model < 1:
        raise ValueError(f"d_model is {d_model}, but must be at least 1.")
    cfg: dict[str, Any] = {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
    }
    if d_model is not None:
        cfg["d_model"] = d_model
    if graph.kv_heads != graph.n_heads:
        cfg["n_kv_heads"] = graph.kv_heads
    if graph.mlp_blocks > 1:
        cfg["mlp_blocks"] = graph.mlp_blocks
    written = (circuit.mask.any(axis=0) @ graph.feeds) & np.append(circuit.mask.any(axis=1), True)
    written[0] = circuit.mask[0].any()
    written[-1] = True

    plain = _ungrouped(graph)
    slot_of, _ = graph.feed_pairs
    if ungrouped is None:
        values = scores.values.astype(np.float64)[:, slot_of] / np.bincount(slot_of)[slot_of]
    elif ungrouped.shape != plain.exists.shape:
        raise ValueError(
            f"The ungrouped scores are {ungrouped.shape}, but must be {plain.exists.shape}."
        )
    else:
        values = ungrouped.astype(np.float64)
    inside = circuit.mask[:, slot_of]
    names = plain.slot_names
    edges = {
        f"{source}->{names[column]}": {
            "score": float(values[row, column]),
            "in_graph": bool(inside[row, column]),
        }
        for row, source in enumerate(plain.sources)
        for column in np.flatnonzero(plain.exists[row])
    }
    nodes = {n: {"in_graph": bool(x)} for n, x in zip(graph.nodes, written, strict=True)}
    content: dict[str, Any] = {"cfg": cfg, "nodes": nodes, "edges": edges}
    if graph.kv_heads != graph.n_heads:
        content["head_scores"] = "equal shares" if ungrouped is None else "computed"
    if found_on is not None:
        content["found_on"] = dict(found_on)
    write_bytes(path, json.dumps(content, allow_nan=False).encode())


def load_eap_json(path: Path, *, n_kv_heads: int | None = None) -> StoredCircuit:
    """Scores and circuit of EAP-IG's JSON.

    ``n_kv_heads`` is the model's number of key/value heads, for files that do not say so: edges
    into slots that heads share are then taken together. Such an edge is inside if it is for any
    head of the group, and its score is their sum.

    Files with scores and membership (``importances.json``), and files with membership only, as the
    benchmark takes for single circuit sizes, are both read. An edge that the file does not list is
    outside the circuit with score 0, as in EAP-IG. Membership of nodes follows from that of edges,
    so it is checked for form only.

    Raises BadCircuitFile, which names the file and where there is one the edge, for what is not
    JSON, misses a key, names an edge that cannot exist, has a score that is no finite number or has
    scores for some edges only.
    """
    content = _object(_read(path), path, "the file")
    for key in ("cfg", "nodes", "edges"):
        if key not in content:
            raise BadCircuitFile(f"{path} has no {key!r}; a circuit has cfg, nodes and edges.")
    cfg = _object(content["cfg"], path, "cfg")
    if n_kv_heads is not None:
        cfg.setdefault("n_kv_heads", n_kv_heads)
    graph = _graph(cfg, path)
    plain = _ungrouped(graph)
    for name, node in _object(content["nodes"], path, "nodes").items():
        if name not in plain.nodes:
            raise BadCircuitFile(f"{path}: node {name!r} does not exist in {_shape(graph)}.")
        if not isinstance(node, bool):
            _inside(_object(node, path, f"node {name!r}"), path, f"node {name!r}")

    values, mask = _edges(_object(content["edges"], path, "edges"), plain, path)
    slot_of, _ = graph.feed_pairs
    count = np.bincount(slot_of)
    inside = _sum_groups(mask.astype(np.int64), slot_of)
    joined = int(((inside > 0) & (inside < count)).sum())
    circuit = Circuit(graph, inside > 0)
    found_on = content.get("found_on")
    if found_on is not None:
        _object(found_on, path, "found_on")
    if values is None:
        return StoredCircuit(circuit, None, found_on, joined)
    with np.errstate(over="ignore"):
        sums = _sum_groups(values, slot_of).astype(np.float32)
    if not np.isfinite(sums).all():
        row, column = np.argwhere(~np.isfinite(sums))[0]
        raise BadCircuitFile(
            f"{path}: the scores of the heads that share edge {graph.edge_name(row, column)!r} add "
            "up to no finite number."
        )
    return StoredCircuit(circuit, Scores(graph, sums), found_on, joined)


def _ungrouped(graph: Graph) -> Graph:
    """The same model with a key and a value slot for each head, as EAP-IG sees it."""
    return replace(graph, n_kv_heads=None)


def _sum_groups(values: np.ndarray, slot_of: np.ndarray) -> np.ndarray:
    """[source, ungrouped slot] -> [source, slot]; the heads of a group stand side by side."""
    return np.add.reduceat(values, np.flatnonzero(np.diff(slot_of, prepend=-1)), axis=1)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadCircuitFile(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadCircuitFile(f"{path} cannot be read as JSON: {error}.") from error


def _object(value: Any, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadCircuitFile(f"{path}: {what} is a {type(value).__name__}, not a JSON object.")
    return value


def _inside(about: dict[str, Any], path: Path, what: str) -> bool:
    if not isinstance(about.get("in_graph"), bool):
        raise BadCircuitFile(f"{path}: {what} has no 'in_graph' that is true or false.")
    return bool(about["in_graph"])


def _graph(cfg: dict[str, Any], path: Path) -> Graph:
    def whole(key: str) -> int:
        if isinstance(cfg.get(key), bool) or not isinstance(cfg.get(key), int):
            raise BadCircuitFile(f"{path}: cfg has no {key!r} that is a whole number.")
        return int(cfg[key])

    n_layers, n_heads = whole("n_layers"), whole("n_heads")
    n_kv_heads = whole("n_kv_heads") if "n_kv_heads" in cfg else None
    mlp_blocks = whole("mlp_blocks") if "mlp_blocks" in cfg else 1
    if not isinstance(cfg.get("parallel_attn_mlp"), bool):
        raise BadCircuitFile(f"{path}: cfg has no 'parallel_attn_mlp' that is true or false.")
    units = n_heads + mlp_blocks - 1
    if 3 * (n_layers * units) ** 2 > MOST_CELLS:
        cut = f" and {mlp_blocks} blocks" if mlp_blocks > 1 else ""
        raise BadCircuitFile(f"{path}: {n_layers} layers of {n_heads} heads{cut} are too many.")
    try:
        return Graph(n_layers, n_heads, n_kv_heads, cfg["parallel_attn_mlp"], mlp_blocks)
    except ValueError as error:  # OutOfRange is one
        raise BadCircuitFile(f"{path}: {error}") from error


def _edges(edges: dict[str, Any], graph: Graph, path: Path) -> tuple[np.ndarray | None, np.ndarray]:
    """Scores (None if there are none) and membership: float64 and bool [source, slot]."""
    rows = {name: row for row, name in enumerate(graph.sources)}
    columns = {name: column for column, name in enumerate(graph.slot_names)}
    values = np.zeros(graph.exists.shape)
    mask = np.zeros(graph.exists.shape, dtype=bool)
    unscored = []
    for name, edge in edges.items():
        source, _, slot = name.partition("->")
        row, column = rows.get(source, -1), columns.get(slot, -1)
        if row < 0 or column < 0 or row >= graph.slots[column].n_sources:
            raise BadCircuitFile(
                f"{path}: edge {name!r} cannot exist in {_shape(graph)}; an edge reads such as "
                "'a0.h0->m0' or 'm0->a1.h0<q>' and goes from what is written before to what is "
                "read after."
            )
        what = f"edge {name!r}"
        about = _object(edge, path, what)
        mask[row, column] = _inside(about, path, what)
        score = about.get("score")
        if score is None:
            unscored.append(name)
        elif isinstance(score, bool) or not isinstance(score, (int, float)):
            raise BadCircuitFile(f"{path}: the score of {what} is {score!r}, not a number.")
        elif not abs(score) <= LARGEST:
            raise BadCircuitFile(f"{path}: the score of {what} is {score!r}, but must be finite.")
        else:
            values[row, column] = score
    if len(unscored) == len(edges):
        return None, mask
    if unscored:
        raise BadCircuitFile(f"{path}: edge {unscored[0]!r} has no score, but others have one.")
    return values, mask


def _shape(graph: Graph) -> str:
    kind = "parallel " if graph.parallel else ""
    cut = f" and {graph.mlp_blocks} blocks of neurons" if graph.mlp_blocks > 1 else ""
    return f"a model of {graph.n_layers} {kind}layers with {graph.n_heads} heads{cut}"
