"""`pack`: a Timeline as the payload that the player is sent.

The browser gets everything once and owns the clock; nothing is fetched while it plays. So the
payload is kept small (below 4 MB for a model of 30 layers in blocks and 100 snapshots): only edges
that are in the circuit at some snapshot, scores as int16 with one scale a snapshot, membership as
bits, attention as compressed bytes and only for heads that touch a kept edge. Everything in it is
JSON: numbers, strings, lists, and base64 text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ctviz.circuits.graph import Graph, layer_of
from ctviz.circuits.redundancy import mass_name
from ctviz.runs.changes import NOISE_BAND
from ctviz.runs.config import start_of
from ctviz.runs.monotone import monotone_scores
from ctviz.views.causes import pack_causes
from ctviz.views.encoding import (
    pack_attention,
    pack_attribution,
    pack_bits,
    pack_errors,
    pack_scores,
    pack_shares,
    short,
)
from ctviz.views.layout import Placement, group_of, place
from ctviz.views.timeline import Curve, Timeline

__all__ = ["pack"]

VERSION = 3
EDGES = 2500, 4000  # that are sent: of small circuits over the run, and of one that is larger


def pack(
    timeline: Timeline,
    *,
    beside: Timeline | None = None,
    max_edges: int | None = None,
    attention_bytes: int = 900_000,
) -> dict[str, Any]:
    """The wire payload of the player: a JSON-able dict without NaN.

    Edges are the union over snapshots of the circuit's edges; of more than ``max_edges`` (by
    default 2,500, or as many as the largest circuit has, up to 4,000) the strongest by largest
    \\|score\\| over time are kept, and ``whole`` says how many were not; ``counts`` are of the
    whole circuit all the same.
    ``attention_bytes`` bounds the encoded attention of all probes together; heads are served in
    order of their strongest edge.

    ``beside``: another run on the same graph and the same clock. The edges of its circuit are kept
    as well, and ``other`` holds what it says of all kept edges, in the same encodings.
    """
    graph = timeline.graph
    runs = (timeline, beside) if beside else (timeline,)
    if max_edges is None:
        largest = max(int(run.circuit.sum(axis=(1, 2)).max(initial=0)) for run in runs)
        max_edges = max(EDGES[0], min(EDGES[1], largest))
    rows, columns, n_union = _kept_edges(runs, max_edges)
    slot_ids = sorted({int(c) for c in columns})
    groups = frozenset(g for c in slot_ids if (g := group_of(graph.slots[c].name)) is not None)
    active = np.zeros(len(graph.nodes), dtype=bool)
    active[rows] = True
    active[np.flatnonzero(graph.feeds[slot_ids].any(axis=0))] = True
    placement = place(graph, active, groups)
    everything = place(graph, np.ones_like(active), groups)
    # Behind the graph's own nodes those that are only drawn: shared heads, MLPs that are cut.
    mlps = [f"m{layer}" for layer in range(graph.n_layers)] if graph.mlp_blocks > 1 else []
    names = [*graph.nodes, *sorted(groups), *mlps]
    slot_at = {c: i for i, c in enumerate(slot_ids)}

    payload = {
        "version": VERSION,
        "run": timeline.run,
        "title": timeline.title,
        "model": timeline.model,
        "task": timeline.task,
        "method": timeline.method,
        "start": start_of(timeline.method),
        "metric": timeline.metric,
        "state": timeline.state,
        "ablation": timeline.ablation,
        "mass": mass_name(timeline.tau),
        "examples": int(timeline.examples),
        "source": timeline.source,
        "n_edges": int(timeline.n_edges),
        "steps": [int(step) for step in timeline.steps],
        "names": list(timeline.names),
        "whole": {
            "edges": graph.n_edges,
            "union": n_union,
            "kept": len(rows),
            "dropped": n_union - len(rows),
        },
        "counts": _counts(timeline.circuit),
        "noise_band": NOISE_BAND,
        "shape": {
            "layers": graph.n_layers,
            "heads": graph.n_heads,
            "kv_heads": graph.kv_heads,
            "blocks": graph.mlp_blocks,
        },
        "box": _box(placement),
        "whole_box": _box(everything),
        "nodes": [_node(graph, at, name, placement, everything) for at, name in enumerate(names)],
        "slots": _slots(graph, slot_ids, names),
        "edges": [[int(r), slot_at[int(c)]] for r, c in zip(rows, columns, strict=True)],
        **_edges(timeline, rows, columns),
        "updated": pack_bits(timeline.updated),
        "split": {key: pack_shares(value) for key, value in (timeline.split or {}).items()},
        "quality": None
        if timeline.quality is None
        else [[short(float(value), 4) for value in row] for row in timeline.quality],
        "maps": _maps(timeline),
        "monotone": _monotone(timeline, rows, columns),
        "groups": [{"name": g.name, "nodes": list(g.nodes)} for g in timeline.groups],
        "causes": [pack_causes(each) for each in timeline.causes],
        "provenance": timeline.provenance,
        "curves": [_pack_curve(curve) for curve in timeline.curves],
        "probes": _pack_probes(timeline, rows, columns, attention_bytes),
    }
    if beside is not None:
        payload["other"] = _pack_other(timeline, beside, rows, columns)
    return payload


def _maps(timeline: Timeline) -> dict[str, Any]:
    """What is known of all nodes beside their redundancy, [T, node]."""
    known = {
        "effect": timeline.effect,
        "moved": timeline.moved,
        "specific": timeline.specific,
        **timeline.heads,
    }
    return {key: pack_attribution(values) for key, values in known.items() if values is not None}


def _monotone(timeline: Timeline, rows: np.ndarray, columns: np.ndarray) -> list[int]:
    """For each kept edge 1 if it only strengthened over the run, -1 if it only weakened, else 0."""
    scores, errors = timeline.scores[:, rows, columns], timeline.errors
    found = monotone_scores(scores, None if errors is None else errors[:, rows, columns])
    return [int(course) for course in found]


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


def _edges(run: Timeline, rows: np.ndarray, columns: np.ndarray) -> dict[str, Any]:
    """What a run says of the kept edges, how sure that is and, of all nodes, their redundancy."""
    return {
        **pack_scores(run.scores[:, rows, columns]),
        "member": pack_bits(run.circuit[:, rows, columns]),
        "errors": None if run.errors is None else pack_errors(run.errors[:, rows, columns]),
        "redundancy": {key: pack_shares(value) for key, value in run.redundancy.items()},
    }


def _pack_other(
    timeline: Timeline, beside: Timeline, rows: np.ndarray, columns: np.ndarray
) -> dict[str, Any]:
    both = (timeline.circuit & beside.circuit).sum(axis=(1, 2))
    return {
        "counts": {**_counts(beside.circuit), "both": [int(count) for count in both]},
        **_edges(beside, rows, columns),
    }


def _node(
    graph: Graph, at: int, name: str, placement: Placement, everything: Placement
) -> dict[str, Any]:
    """A node and its places: among those that take part, None if it does not, and among all.

    ``at``: its index; behind the graph's own nodes are those without edges and scores of their own.
    """
    x, y = placement.xy.get(name, (None, None))
    wx, wy = everything.xy[name]
    return {
        "name": name,
        "kind": _kind(name),
        "layer": layer_of(name, graph.n_layers),
        "unit": int(name.split(".")[1][1:]) if "." in name else 0,
        "x": None if x is None else round(x, 2),
        "y": None if y is None else round(y, 2),
        "wx": round(wx, 2),
        "wy": round(wy, 2),
        "degree": int(graph.degrees[at]) if at < len(graph.nodes) else 0,
    }


def _slots(graph: Graph, kept: list[int], names: list[str]) -> list[dict[str, Any]]:
    """The slots that kept edges enter, with the node that each is drawn at and those it feeds."""
    index = {name: i for i, name in enumerate(names)}
    slots = []
    for c in kept:
        slot = graph.slots[c]
        owner = group_of(slot.name) or slot.feeds[0]
        feeds = [index[name] for name in slot.feeds]
        slots.append({"name": slot.name, "kind": slot.kind, "node": index[owner], "feeds": feeds})
    return slots


def _box(placement: Placement) -> dict[str, Any]:
    return {
        "left": placement.left,
        "top": placement.top,
        "width": placement.width,
        "height": placement.height,
        "radius": placement.radius,
        "rows": [[layer, y] for layer, y in placement.rows],
    }


def _kind(name: str) -> str:
    if name in ("input", "logits"):
        return name
    if name.startswith("m"):
        return "block" if "." in name else "mlp"
    return "kv" if ".g" in name else "head"


def _pack_curve(curve: Curve) -> dict[str, Any]:
    return {
        "key": curve.key,
        "label": curve.label,
        "panel": curve.panel,
        "kind": curve.kind,
        "series": curve.series,
        "note": curve.note,
        "steps": [int(step) for step in curve.steps],
        "values": [short(float(value)) for value in curve.values],
    }


def _pack_probes(
    timeline: Timeline, rows: np.ndarray, columns: np.ndarray, budget: int
) -> list[dict[str, Any]]:
    """Probes with the attention of as many touched heads as the budget allows."""
    heads = _heads(timeline, rows, columns)
    packed: list[dict[str, Any]] = []
    for probe in timeline.probes:
        packed.append(
            {
                "label": probe.label,
                "tokens": list(probe.tokens),
                "answer": probe.answer,
                "foil": probe.foil,
                "predictions": [
                    [[token, round(float(p), 4)] for token, p in top] for top in probe.predictions
                ],
                **pack_attribution(probe.attribution),
                "attention": {},
            }
        )
    spent = 0
    for name in heads:  # strongest first, so that a budget cuts the least interesting heads
        layer, head = (int(part) for part in name[1:].split(".h"))
        for probe, target in zip(timeline.probes, packed, strict=True):
            if not np.isfinite(probe.attention[:, layer, head]).all():
                continue  # it could not be read
            text = pack_attention(probe.attention[:, layer, head])
            if spent + len(text) > budget:
                return packed
            spent += len(text)
            target["attention"][name] = text
    return packed


def _heads(timeline: Timeline, rows: np.ndarray, columns: np.ndarray) -> list[str]:
    """The heads that kept edges touch, those with the strongest edge first."""
    graph = timeline.graph
    size = np.abs(np.nan_to_num(timeline.scores[:, rows, columns])).max(axis=0, initial=0.0)
    strength = np.zeros(len(graph.nodes))
    np.maximum.at(strength, rows, size)
    for edge, column in enumerate(columns):
        fed = graph.feeds[column]
        strength[fed] = np.maximum(strength[fed], size[edge])
    touched = [int(i) for i in np.argsort(-strength, kind="stable") if strength[i] > 0]
    return [graph.nodes[i] for i in touched if graph.nodes[i].startswith("a")]
