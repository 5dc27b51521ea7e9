"""What a still picture of a run shows: the player's layout and marks, as arrays, without drawing.

Coordinates are those of ``ctviz.views.layout`` (about pixels, y downwards), stretched to the panel
as ``ctviz/player/geometry.js`` does, and turned where a deep model lies on its side; MLPs that are
cut into blocks are open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ctviz.look import look
from ctviz.runs.changes import edge_states
from ctviz.runs.groups import NodeGroup
from ctviz.views.packing import pack
from ctviz.views.timeline import Timeline
from ctviz.views.view import View

__all__ = ["Box", "Mark", "Moment", "Scene"]

Mark = Literal["", "entered", "left", "entered~", "left~", "strengthened", "weakened", "reversed"]
LOOK = look()
THIN, THICK = LOOK["edges"]["thin"], LOOK["edges"]["thick"]  # weakest and strongest edge
QUANTILE, STRETCH = LOOK["edges"]["quantile"], LOOK["stretch"]
BESIDE = (0, -15, 15, -30, 30, -45, 45, -60, 60)  # how far a group may stand from its middle
ROOM = 48.0  # above and below it that is enough
PORTS, FAN, BEND, STREAM = LOOK["ports"], LOOK["fan"], LOOK["bend"], LOOK["stream"]


@dataclass(frozen=True, slots=True)
class Box:
    """The extent of the drawn graph, its (layer, y) rows and the radius of a head.

    ``folds``: (first layer, last layer, y) of layers that are folded; ``stream``: whether edges
    follow the residual stream; ``across``: whether that lies on its side, so that rows and folds
    are at x instead of y.
    """

    left: float
    top: float
    width: float
    height: float
    radius: float
    rows: tuple[tuple[int, float], ...]
    folds: tuple[tuple[int, int, float], ...]
    stream: bool
    across: bool

    @property
    def gap(self) -> float:
        """Distance between two layers."""
        return abs(self.rows[1][1] - self.rows[0][1]) if len(self.rows) > 1 else LOOK["rows"]["gap"]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The edges of one snapshot that are drawn: their indices, scores, widths and marks.

    ``marks`` are against the snapshot ``base`` (an index, None for no comparison): entered and left
    edges, those that grew or shrank beyond the noise band or whose sign turned, and with ``~``
    those within it. Edges that have left have the width 0 and the score that they had.
    """

    at: int
    base: int | None
    edges: np.ndarray
    scores: np.ndarray
    widths: np.ndarray
    marks: list[Mark]


class Scene:
    """A run laid out for a panel of the given aspect (width over height), seen in a view."""

    def __init__(self, timeline: Timeline, view: View, aspect: float) -> None:
        self.timeline, self.view = timeline, view
        payload = pack(timeline, attention_bytes=0)
        level = payload["level"] if view.level == "auto" else view.level
        self.backbone = payload["backbone"] if level == "backbone" else None
        cut = payload["shape"]["blocks"] > 1
        nodes = []
        for node in payload["nodes"]:  # an MLP that is cut is drawn as its blocks
            place = None if cut and node["kind"] == "mlp" else node["places"][level]
            x, y = place or (None, None)
            nodes.append(node | {"x": x, "y": y})
        whole = _around_blocks(payload["boxes"][level], nodes)
        across = whole["across"]
        sx, sy = _stretch(whole, 1 / aspect if across else aspect)
        self.box = _box(whole, sx, sy)
        self.nodes: list[dict[str, Any]] = [
            node
            | ({} if node["x"] is None else {"x": node["x"] * sx, "y": node["y"] * sy})
            | dict(zip(("w", "h"), self._extent(node), strict=True))
            for node in nodes
        ]
        self.slots: list[dict[str, Any]] = payload["slots"]
        self.dropped: int = payload["whole"]["dropped"]
        graph = timeline.graph
        self.rows = np.array([edge[0] for edge in payload["edges"]], dtype=int)
        self.slot_of = np.array([edge[1] for edge in payload["edges"]], dtype=int)
        columns = np.array([graph.slot(self.slots[s]["name"]) for s in self.slot_of], dtype=int)
        stored = timeline.scores[:, self.rows, columns]
        self.finite = np.isfinite(stored)
        self.scores = np.where(self.finite, stored, 0.0).astype(float)
        self.member = timeline.circuit[:, self.rows, columns]
        self.errors = None if timeline.errors is None else timeline.errors[:, self.rows, columns]
        self.rank = np.full(self.scores.shape, np.iinfo(np.int64).max)
        for t, inside in enumerate(self.member):
            edges = np.flatnonzero(inside)
            order = edges[np.argsort(-np.abs(self.scores[t, edges]), kind="stable")]
            self.rank[t, order] = np.arange(len(order))
        sizes = np.sort(np.abs(self.scores[self.member]))
        widest = float(sizes[int(QUANTILE * (len(sizes) - 1))]) if len(sizes) else 0.0
        self.widest = widest or 1.0
        self.groups = _groups(timeline.groups, self.nodes)
        self.places = list(self.nodes)  # where each node is drawn: its own place, or its group's
        for group in self.groups:
            for n in group["members"]:
                self.places[n] = group
        self.placed = np.array(
            [self._is_placed(edge) for edge in range(len(self.rows))], dtype=bool
        )
        self.curves = [
            self._curve(edge) if placed else np.zeros((4, 2))
            for edge, placed in enumerate(self.placed)
        ]
        if across:
            self._turn()
        known = {node["name"]: n for n, node in enumerate(self.nodes)}
        self.selected = [known[name] for name in view.nodes if name in known]

    def base(self, at: int, shown: list[int]) -> int | None:
        """The snapshot that changes are marked against: the one shown before, or the first."""
        place = shown.index(at)
        if self.view.marks == "start":
            return shown[0] if place else None
        return shown[place - 1] if place else None

    def moment(self, at: int, base: int | None) -> Moment:
        """What is drawn of a snapshot."""
        here = self.placed & (self.rank[at] < self.most(at))
        before = np.zeros_like(here)
        if base is not None:
            before = self.placed & (self.rank[base] < self.most(base))
        left = before & ~self.member[at]
        edges = np.flatnonzero(here | left)
        scores = np.where(here[edges], self.scores[at, edges], 0.0)
        if base is not None:
            scores = np.where(here[edges], scores, self.scores[base, edges])
        share = np.minimum(1.0, np.abs(scores) / self.widest)
        widths = np.where(here[edges], THIN + (THICK - THIN) * share, 0.0)
        marks = self._marks(at, base)[edges].tolist()
        return Moment(at, base, edges, scores, widths, marks)

    def most(self, at: int) -> int:
        """How many edges of a snapshot's circuit are drawn, if it has as many."""
        most = len(self.rows) if self.view.edges is None else self.view.edges
        return most if self.backbone is None else min(most, self.backbone["sizes"][at])

    def _is_placed(self, edge: int) -> bool:
        """Whether both ends of an edge are in the picture, and apart."""
        ends = (self.rows[edge], self.slots[self.slot_of[edge]]["node"])
        source, target = (self.places[n] for n in ends)
        return source is not target and source["x"] is not None and target["x"] is not None

    def _turn(self) -> None:
        """Lay the picture on its side: what is at (x, y) moves to (-y, x)."""
        for node in (*self.nodes, *self.groups):
            if node["x"] is not None:
                node["x"], node["y"] = -node["y"], node["x"]
            if node["kind"] != "group":
                node["w"], node["h"] = node["h"], node["w"]
        self.curves = [np.stack([-curve[:, 1], curve[:, 0]], axis=1) for curve in self.curves]
        box = self.box
        self.box = replace(
            box,
            left=-box.top - box.height,
            top=box.left,
            width=box.height,
            height=box.width,
            rows=tuple((layer, -y) for layer, y in box.rows),
            folds=tuple((first, last, -y) for first, last, y in box.folds),
        )

    def shares(self, at: int) -> np.ndarray:
        """float [node]: redundancy by the view's estimator."""
        found: np.ndarray = self.timeline.redundancy[self.view.estimator][at]
        return found

    def unknown(self, at: int) -> int:
        """How many scores of the circuit are not numbers at a snapshot; they count as 0."""
        return int((self.member[at] & ~self.finite[at]).sum())

    def touches(self, edge: int, nodes: list[int]) -> bool:
        """Whether an edge begins, ends or arrives at one of these nodes."""
        slot = self.slots[self.slot_of[edge]]
        return any(n in (self.rows[edge], slot["node"]) or n in slot["feeds"] for n in nodes)

    def _extent(self, node: dict[str, Any]) -> tuple[float, float]:
        """Width and height of a node, across and along the residual stream."""
        if node["kind"] == "head":
            return 2 * self.box.radius, 2 * self.box.radius
        size = LOOK["nodes"][node["kind"]]
        if self.box.across:
            size = STREAM["nodes"].get(node["kind"], size)
        return size["width"], size["height"]

    def name(self, edge: int) -> str:
        """An edge's name, source->slot."""
        return f"{self.nodes[self.rows[edge]]['name']}->{self.slots[self.slot_of[edge]]['name']}"

    def _marks(self, at: int, base: int | None) -> np.ndarray:
        """The mark of every edge, as an array of `Mark`."""
        if base is None:
            return np.full(len(self.rows), "")
        errors: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
        if self.errors is not None:
            errors = (self.errors[base], self.errors[at])
        circuits, scores = (
            (self.member[base], self.member[at]),
            (self.scores[base], self.scores[at]),
        )
        found = edge_states(circuits, scores, errors)
        marks: list[tuple[np.ndarray, Mark]] = [
            (found.entered & found.noise, "entered~"),
            (found.entered, "entered"),
            (found.left & found.noise, "left~"),
            (found.left, "left"),
            (found.reversed, "reversed"),
            (found.stayed & found.beyond & found.grew, "strengthened"),
            (found.stayed & found.beyond, "weakened"),
        ]
        return np.select([where for where, _ in marks], [mark for _, mark in marks], "")

    def _curve(self, edge: int) -> np.ndarray:
        """The Bezier curve of an edge: its four points, float [4, 2]."""
        box, slot = self.box, self.slots[self.slot_of[edge]]
        source, target = self.places[self.rows[edge]], self.places[slot["node"]]
        ax, ay = self._exit(source, target["x"])
        bx, by = self._port(target, slot["kind"], source["x"])
        rise = ay - by
        pull = max(BEND["least"], min(BEND["share"] * rise, BEND["gaps"] * box.gap))
        if box.stream:  # to the residual stream, along it and out, the nearer the farther it goes
            share = STREAM["pull"] * max(0.0, min(1.0, rise / (STREAM["full"] * box.gap)))
            lane = max(-STREAM["lane"], min(STREAM["lane"], (ax + bx) / 8))
            from_a, from_b = share * (lane - ax), share * (lane - bx)
        else:  # up its own column it would pass behind the nodes there: bend it aside
            near = abs(ax - bx) < BEND["near"] and rise > BEND["far"] * box.gap
            aside = min(BEND["most"], BEND["side"] + BEND["aside"] * rise)
            from_a = from_b = (1 if edge % 2 else -1) * aside if near else 0.0
        return np.array([[ax, ay], [ax + from_a, ay - pull], [bx + from_b, by + pull], [bx, by]])

    def _exit(self, node: dict[str, Any], toward: float) -> tuple[float, float]:
        top = node["y"] - node["h"] / 2
        return (node["x"], top) if node["kind"] == "head" else (node["x"] + _fan(node, toward), top)

    def _port(self, node: dict[str, Any], kind: str, toward: float) -> tuple[float, float]:
        """Where an edge enters a node: q, k and v from left to right below a head."""
        if node["kind"] == "head":
            dx = PORTS["head"].get(kind, 0)
            return node["x"] + dx, node["y"] + math.sqrt(self.box.radius**2 - dx * dx)
        bottom = node["y"] + node["h"] / 2
        if node["kind"] == "kv":
            return node["x"] + PORTS["kv"][kind], bottom
        return node["x"] + _fan(node, toward), bottom


def _groups(groups: Sequence[NodeGroup], nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One node for each named group, near the middle of its nodes where there is room, as
    ``collapse`` of ``ctviz/player/geometry.js`` has it; none for one of which fewer than two nodes
    are known, or none is drawn."""
    known = {node["name"]: n for n, node in enumerate(nodes)}
    made = []
    for group in groups:
        members = [known[name] for name in group.nodes if name in known]
        at = [nodes[n] for n in members if nodes[n]["x"] is not None]
        if len(members) < 2 or not at:
            continue
        wide = max(64, min(150, 24 + 7 * len(group.name)))
        x, y = (sum(node[key] for node in at) / len(at) for key in ("x", "y"))
        tried = [(x, y + by) for by in BESIDE] + [(node["x"], node["y"]) for node in at]
        others = [n for k, n in enumerate(nodes) if k not in members and n["x"] is not None]

        def room(place: tuple[float, float], others: Any = others, wide: int = wide) -> float:
            near = [n for n in others if abs(n["x"] - place[0]) <= wide / 2 + n["w"] / 2]
            return float(min([ROOM, *(abs(n["y"] - place[1]) for n in near)]))

        x, y = max(tried, key=room)
        place = {"kind": "group", "name": group.name, "members": members, "w": wide, "h": 26}
        made.append({**place, "x": x, "y": y})
    return made


def _fan(node: dict[str, Any], toward: float) -> float:
    """The ends are wide, so edges fan out along them instead of meeting in one point."""
    fixed = FAN.get(node["kind"])
    margin = FAN["margin"] / (1 if fixed is None else 4)
    spread = min(math.inf if fixed is None else fixed, node["w"] / 2 - margin)
    return float(max(-spread, min(spread, FAN["share"] * (toward - node["x"]))))


def _around_blocks(box: dict[str, Any], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """A box, widened to hold the blocks that are drawn."""
    ends = [node["x"] for node in nodes if node["kind"] == "block" and node["x"] is not None]
    right = max(ends, default=-math.inf) + LOOK["blocks"]["margin"]
    return {**box, "width": max(box["width"], right - box["left"])}


def _stretch(box: dict[str, Any], aspect: float) -> tuple[float, float]:
    """How far the graph is pulled apart, each way, to use the room that the panel has."""
    ratio = aspect / (box["width"] / box["height"])
    return max(1.0, min(STRETCH, ratio)), max(1.0, min(STRETCH, 1 / ratio))


def _box(box: dict[str, Any], sx: float, sy: float) -> Box:
    return Box(
        left=box["left"] * sx,
        top=box["top"] * sy,
        width=box["width"] * sx,
        height=box["height"] * sy,
        radius=box["radius"],
        rows=tuple((int(layer), y * sy) for layer, y in box["rows"]),
        folds=tuple((first, last, y * sy) for first, last, y in box["folds"]),
        stream=box["stream"],
        across=box["across"],
    )
