"""A run as the player shows it: the Timeline, and ``pack``, which makes it small enough to send.

The browser gets everything once and owns the clock; nothing is fetched while it plays. So the
payload is kept below about 2 MB: only edges that are in the circuit at some snapshot, scores as
int16 with one scale a snapshot, membership as bits, attention as compressed bytes and only for
heads that touch a kept edge. Everything in it is JSON: numbers, strings, lists, and base64 text.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ctviz.circuits.graph import Graph, layer_of
from ctviz.runs.changes import NOISE_BAND
from ctviz.runs.groups import NodeGroup
from ctviz.views.layout import Placement, group_of, place

__all__ = [
    "Curve",
    "Probe",
    "Timeline",
    "pack",
    "unpack_attention",
    "unpack_bits",
    "unpack_redundancy",
    "unpack_scores",
]

VERSION = 2
UNDEFINED = 65535  # redundancy of a node that has none, such as ``input``
MISSING = -32768  # attribution that is not defined, such as that of ``logits``


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line over training steps; ``values`` holds NaN where nothing was measured.

    ``panel`` groups curves on one axis, such as ``metric``, ``faithfulness``, ``loss`` or
    ``retention``. A ``reference`` is what a curve is compared with, such as a random circuit of the
    same size. ``series`` tells the runs of a comparison apart; ``note`` says in a sentence where
    the numbers come from.
    """

    key: str
    label: str
    panel: str
    steps: np.ndarray
    values: np.ndarray
    kind: Literal["main", "reference"] = "main"
    series: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What the model does with one fixed prompt at every snapshot.

    ``predictions[t]``: (token, probability) of the likeliest next tokens. ``attention``: float
    [snapshot, layer, head, query, key], causal. ``attribution``: float [snapshot, node], what a
    node adds directly to logit(answer) - logit(foil); NaN where undefined.
    """

    label: str
    tokens: list[str]
    answer: str
    foil: str
    predictions: list[list[tuple[str, float]]]
    attention: np.ndarray
    attribution: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Everything that the player shows of a run.

    ``n_edges`` is the circuit's size; ``steps`` the training step of each of the T snapshots;
    ``scores`` float and ``circuit`` bool [T, source, slot]; ``updated`` bool [T, node], whether the
    step changed parameters that the node owns; ``redundancy`` float [T, node] by estimator
    (``circuit``, ``mass``), NaN where undefined. ``source`` says in a sentence how the scores were
    computed, and ``metric`` names what they are in units of.

    ``errors``: the scores' standard errors, float [T, source, slot]; ``split``: float [T, head, 3]
    by estimator, the redundancy of each head's query, key and value; ``quality``: float [T, 3],
    faithfulness, that of random circuits of the size, and the standard error of the first; each
    None where it is not known. ``groups``: named sets of nodes. ``provenance``: sentences that say
    where numbers come from, by what they are (``scores``, ``redundancy``, ``quality``, ``probes``).
    """

    run: str
    title: str
    model: str
    task: str
    method: str
    metric: str
    state: str
    examples: int
    source: str
    graph: Graph
    n_edges: int
    steps: list[int]
    scores: np.ndarray
    circuit: np.ndarray
    updated: np.ndarray
    redundancy: dict[str, np.ndarray]
    curves: tuple[Curve, ...] = ()
    probes: tuple[Probe, ...] = ()
    errors: np.ndarray | None = None
    split: dict[str, np.ndarray] | None = None
    quality: np.ndarray | None = None
    groups: tuple[NodeGroup, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_snapshots, graph = len(self.steps), self.graph
        matrix = (n_snapshots, len(graph.sources), len(graph.slots))
        vector = (n_snapshots, len(graph.nodes))
        _check("scores", self.scores, matrix)
        _check("circuit", self.circuit, matrix)
        _check("updated", self.updated, vector)
        for key, values in self.redundancy.items():
            _check(f"redundancy {key!r}", values, vector)
        if self.errors is not None:
            _check("errors", self.errors, matrix)
        for key, values in (self.split or {}).items():
            _check(f"split {key!r}", values, (n_snapshots, graph.n_layers * graph.n_heads, 3))
        if self.quality is not None:
            _check("quality", self.quality, (n_snapshots, 3))
        for probe in self.probes:
            n, label = len(probe.tokens), f"of probe {probe.label!r}"
            heads = (n_snapshots, graph.n_layers, graph.n_heads, n, n)
            _check(f"attention {label}", probe.attention, heads)
            _check(f"attribution {label}", probe.attribution, vector)
            if len(probe.predictions) != n_snapshots:
                raise ValueError(
                    f"predictions {label} are {len(probe.predictions)}, but must have "
                    f"{n_snapshots}, one a snapshot."
                )
        if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps must increase, but are {self.steps}.")

    def on_clock(self, steps: list[int], at: Sequence[int]) -> Timeline:
        """The same run on another clock, without probes: ``steps[i]`` shows its snapshot ``at[i]``.

        Curves stay as they were measured.
        """
        index = np.array(at, dtype=int)
        return replace(
            self,
            steps=steps,
            scores=self.scores[index],
            circuit=self.circuit[index],
            updated=self.updated[index],
            redundancy={key: values[index] for key, values in self.redundancy.items()},
            probes=(),
            errors=None if self.errors is None else self.errors[index],
            split={key: values[index] for key, values in self.split.items()}
            if self.split is not None
            else None,
            quality=None if self.quality is None else self.quality[index],
        )


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise unless an array has the shape that the graph and the steps ask for."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but must have {shape}.")


def pack(
    timeline: Timeline,
    *,
    beside: Timeline | None = None,
    max_edges: int = 2500,
    attention_bytes: int = 900_000,
) -> dict[str, Any]:
    """The wire payload of the player: a JSON-able dict without NaN.

    Edges are the union over snapshots of the circuit's edges; of more than ``max_edges`` the
    strongest by largest \\|score\\| over time are kept, and ``whole`` says how many were not;
    ``counts`` are of the whole circuit all the same.
    ``attention_bytes`` bounds the encoded attention of all probes together; heads are served in
    order of their strongest edge.

    ``beside``: another run on the same graph and the same clock. The edges of its circuit are kept
    as well, and ``other`` holds what it says of all kept edges, in the same encodings.
    """
    graph = timeline.graph
    rows, columns, n_union = _kept_edges((timeline, beside) if beside else (timeline,), max_edges)
    scores = np.nan_to_num(timeline.scores[:, rows, columns].astype(np.float64))
    member = timeline.circuit[:, rows, columns]
    quantised, scales = _quantise(scores)

    slot_ids = sorted({int(c) for c in columns})
    groups = frozenset(g for c in slot_ids if (g := group_of(graph.slots[c].name)) is not None)
    active = np.zeros(len(graph.nodes), dtype=bool)
    active[rows] = True
    active[np.flatnonzero(graph.feeds[slot_ids].any(axis=0))] = True
    placement = place(graph, active, groups)
    everything = place(graph, np.ones_like(active), groups)

    names = [*graph.nodes, *sorted(groups)]
    index = {name: i for i, name in enumerate(names)}
    nodes = []
    for i, name in enumerate(names):
        x, y = placement.xy.get(name, (None, None))
        wx, wy = everything.xy[name]
        degree = int(graph.degrees[i]) if i < len(graph.nodes) else 0
        nodes.append(
            {
                "name": name,
                "kind": _kind(name),
                "layer": layer_of(name, graph.n_layers),
                "unit": int(name.split(".")[1][1:]) if "." in name else 0,
                "x": None if x is None else round(x, 2),
                "y": None if y is None else round(y, 2),
                "wx": round(wx, 2),
                "wy": round(wy, 2),
                "degree": degree,
            }
        )
    slots = []
    for c in slot_ids:
        slot = graph.slots[c]
        owner = group_of(slot.name) or slot.feeds[0]
        slots.append(
            {
                "name": slot.name,
                "kind": slot.kind,
                "node": index[owner],
                "feeds": [index[name] for name in slot.feeds],
            }
        )
    slot_at = {c: i for i, c in enumerate(slot_ids)}

    payload = {
        "version": VERSION,
        "run": timeline.run,
        "title": timeline.title,
        "model": timeline.model,
        "task": timeline.task,
        "method": timeline.method,
        "metric": timeline.metric,
        "state": timeline.state,
        "examples": int(timeline.examples),
        "source": timeline.source,
        "n_edges": int(timeline.n_edges),
        "steps": [int(step) for step in timeline.steps],
        "whole": {
            "edges": graph.n_edges,
            "union": n_union,
            "kept": len(rows),
            "dropped": n_union - len(rows),
        },
        "counts": _counts(timeline.circuit),
        "noise_band": NOISE_BAND,
        "shape": {"layers": graph.n_layers, "heads": graph.n_heads, "kv_heads": graph.kv_heads},
        "box": _box(placement),
        "whole_box": _box(everything),
        "nodes": nodes,
        "slots": slots,
        "edges": [[int(r), slot_at[int(c)]] for r, c in zip(rows, columns, strict=True)],
        "scores": _text(quantised.astype("<i2")),
        "scales": [_short(scale, 7) for scale in scales],
        "member": _bits(member),
        "updated": _bits(timeline.updated),
        "errors": None if timeline.errors is None else _errors(timeline.errors[:, rows, columns]),
        "redundancy": {key: _shares(value) for key, value in timeline.redundancy.items()},
        "split": {key: _shares(value) for key, value in (timeline.split or {}).items()},
        "quality": None
        if timeline.quality is None
        else [[_short(float(value), 4) for value in row] for row in timeline.quality],
        "groups": [{"name": g.name, "nodes": list(g.nodes)} for g in timeline.groups],
        "provenance": timeline.provenance,
        "curves": [_pack_curve(curve) for curve in timeline.curves],
        "probes": _pack_probes(timeline, rows, columns, scores, attention_bytes),
    }
    if beside is not None:
        payload["other"] = _pack_other(timeline, beside, rows, columns)
    return payload


def _counts(circuit: np.ndarray) -> dict[str, list[int]]:
    """Edges of each snapshot's circuit, and how many entered and left since the one before."""
    before = circuit[:-1]
    entered = (circuit[1:] & ~before).sum(axis=(1, 2))
    left = (before & ~circuit[1:]).sum(axis=(1, 2))
    first = [0] * min(1, len(circuit))
    return {
        "size": [int(count) for count in circuit.sum(axis=(1, 2))],
        "entered": first + [int(count) for count in entered],
        "left": first + [int(count) for count in left],
    }


def _pack_other(
    timeline: Timeline, beside: Timeline, rows: np.ndarray, columns: np.ndarray
) -> dict[str, Any]:
    quantised, scales = _quantise(np.nan_to_num(beside.scores[:, rows, columns].astype(np.float64)))
    both = (timeline.circuit & beside.circuit).sum(axis=(1, 2))
    return {
        "counts": {**_counts(beside.circuit), "both": [int(count) for count in both]},
        "member": _bits(beside.circuit[:, rows, columns]),
        "scores": _text(quantised.astype("<i2")),
        "scales": [_short(scale, 7) for scale in scales],
        "redundancy": {key: _shares(value) for key, value in beside.redundancy.items()},
    }


def _box(placement: Placement) -> dict[str, Any]:
    return {
        "left": placement.left,
        "top": placement.top,
        "width": placement.width,
        "height": placement.height,
        "radius": placement.radius,
        "rows": [[layer, y] for layer, y in placement.rows],
    }


def _errors(errors: np.ndarray) -> dict[str, Any]:
    """Standard errors [T, E] as uint16: error = largest of its snapshot x code / 65534.

    65535 stands for one that is not known.
    """
    known = np.nan_to_num(errors.astype(np.float64))
    largest = known.max(axis=1, initial=0.0)
    shares = known / np.where(largest > 0, largest, 1.0)[:, None]
    codes = np.rint((UNDEFINED - 1) * shares).astype("<u2")
    codes[~np.isfinite(errors)] = UNDEFINED
    return {"codes": _text(codes), "largest": [_short(float(value), 7) for value in largest]}


def _kept_edges(runs: Sequence[Timeline], max_edges: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(rows, columns, size of the union) of the edges to send, in row order."""
    union = np.any([run.circuit.any(axis=0) for run in runs], axis=0)
    rows, columns = np.nonzero(union)
    n_union = len(rows)
    if n_union > max_edges:
        sizes = [np.nan_to_num(np.abs(run.scores[:, rows, columns])).max(axis=0) for run in runs]
        strength = np.max(sizes, axis=0)
        keep = np.sort(np.argsort(-strength, kind="stable")[:max_edges])
        rows, columns = rows[keep], columns[keep]
    return rows, columns, n_union


def _quantise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int16 [T, E] and a float scale a snapshot, so that value = integer x scale."""
    largest = np.abs(values).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / 32767, 1.0)
    return np.rint(values / scales[:, None]).astype(np.int16), scales


def _pack_curve(curve: Curve) -> dict[str, Any]:
    return {
        "key": curve.key,
        "label": curve.label,
        "panel": curve.panel,
        "kind": curve.kind,
        "series": curve.series,
        "note": curve.note,
        "steps": [int(step) for step in curve.steps],
        "values": [_short(float(value)) for value in curve.values],
    }


def _pack_probes(
    timeline: Timeline, rows: np.ndarray, columns: np.ndarray, scores: np.ndarray, budget: int
) -> list[dict[str, Any]]:
    """Probes with the attention of as many touched heads as the budget allows."""
    graph = timeline.graph
    strength = np.zeros(len(graph.nodes))
    size = np.abs(scores).max(axis=0, initial=0.0)
    np.maximum.at(strength, rows, size)
    for edge, column in enumerate(columns):
        fed = graph.feeds[column]
        strength[fed] = np.maximum(strength[fed], size[edge])
    touched = [int(i) for i in np.argsort(-strength, kind="stable") if strength[i] > 0]
    heads = [graph.nodes[i] for i in touched if graph.nodes[i].startswith("a")]

    packed: list[dict[str, Any]] = []
    for probe in timeline.probes:
        finite = np.where(np.isfinite(probe.attribution), probe.attribution, 0.0)
        scale = float(np.abs(finite).max(initial=0.0)) / 32767 or 1.0
        attribution = np.rint(finite / scale).astype(np.int16)
        attribution[~np.isfinite(probe.attribution)] = MISSING
        packed.append(
            {
                "label": probe.label,
                "tokens": list(probe.tokens),
                "answer": probe.answer,
                "foil": probe.foil,
                "predictions": [
                    [[token, round(float(p), 4)] for token, p in top] for top in probe.predictions
                ],
                "attribution": _text(attribution.astype("<i2")),
                "attribution_scale": _short(scale, 7),
                "attention": {},
            }
        )
    spent = 0
    for name in heads:  # strongest first, so that a budget cuts the least interesting heads
        layer, head = (int(part) for part in name[1:].split(".h"))
        for probe, target in zip(timeline.probes, packed, strict=True):
            if not np.isfinite(probe.attention[:, layer, head]).all():
                continue  # it could not be read
            text = _pack_attention(probe.attention[:, layer, head])
            if spent + len(text) > budget:
                return packed
            spent += len(text)
            target["attention"][name] = text
    return packed


def _pack_attention(attention: np.ndarray) -> str:
    """One head's causal attention [T, n, n] as deflated bytes.

    Attention changes slowly over training, so each snapshot is stored as the difference from the
    one before, modulo 256, which is mostly zeros and deflates well.
    """
    n = attention.shape[-1]
    query, key = np.tril_indices(n)
    weights = np.rint(np.clip(np.nan_to_num(attention[:, query, key]), 0, 1) * 255).astype(np.uint8)
    change = weights.copy()
    change[1:] -= weights[:-1]  # uint8 wraps around, and so does the sum that undoes it
    return _text(np.frombuffer(zlib.compress(change.tobytes(), 6), dtype=np.uint8))


def unpack_attention(text: str, n_snapshots: int, n_tokens: int) -> np.ndarray:
    """float [T, query, key] from one packed head; the error is at most 1/510."""
    query, key = np.tril_indices(n_tokens)
    change = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    weights = np.cumsum(change.reshape(n_snapshots, -1), axis=0, dtype=np.uint8)
    full = np.zeros((n_snapshots, n_tokens, n_tokens))
    full[:, query, key] = weights / 255
    return full


def unpack_scores(payload: dict[str, Any]) -> np.ndarray:
    """float [T, E] from a payload; the error is at most half a scale, 1/65534 of the largest."""
    shape = (len(payload["steps"]), len(payload["edges"]))
    integers = np.frombuffer(base64.b64decode(payload["scores"]), dtype="<i2").reshape(shape)
    values: np.ndarray = integers * np.array(payload["scales"])[:, None]
    return values


def unpack_bits(text: str, n_snapshots: int, width: int) -> np.ndarray:
    """bool [T, width] from packed bits; each snapshot starts on a byte."""
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    packed = packed.reshape(n_snapshots, math.ceil(width / 8))
    bits: np.ndarray = np.unpackbits(packed, axis=1, count=width, bitorder="little")
    return bits.astype(bool)


def unpack_redundancy(text: str, n_snapshots: int) -> np.ndarray:
    """float [T, node] from packed shares, NaN where undefined; the error is at most 1/131068."""
    shares = np.frombuffer(base64.b64decode(text), dtype="<u2").reshape(n_snapshots, -1)
    return np.where(shares == UNDEFINED, np.nan, shares / (UNDEFINED - 1))


def _shares(values: np.ndarray) -> str:
    """Numbers from 0 to 1 as uint16, with a mark for NaN."""
    defined = np.isfinite(values)
    clipped = np.clip(np.where(defined, values, 0.0), 0, 1)
    shares = np.rint(clipped * (UNDEFINED - 1)).astype("<u2")
    shares[~defined] = UNDEFINED
    return _text(shares)


def _bits(mask: np.ndarray) -> str:
    return _text(np.packbits(mask.astype(bool), axis=1, bitorder="little"))


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _short(value: float, digits: int = 6) -> float | None:
    """A number with few digits, or None for NaN and infinity, which JSON cannot carry."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def _kind(name: str) -> str:
    if name in ("input", "logits"):
        return name
    if name.startswith("m"):
        return "mlp"
    return "kv" if ".g" in name else "head"
