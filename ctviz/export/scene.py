"""What a still picture of a run shows: the player's layout and marks, as arrays, without drawing.

Coordinates are those of ``ctviz.views.layout`` (about pixels, y downwards), stretched to the panel
as ``ctviz/player/geometry.js`` does; MLPs that are cut into blocks are open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ctviz.look import look
from ctviz.runs.changes import edge_states
from ctviz.views.packing import pack
from ctviz.views.timeline import Timeline
from ctviz.views.view import View

__all__ = ["Box", "Mark", "Moment", "Scene"]

Mark = Literal["", "entered", "left", "entered~", "left~", "strengthened", "weakened", "reversed"]
LOOK = look()
THIN, THICK = LOOK["edges"]["thin"], LOOK["edges"]["thick"]  # weakest and strongest edge
QUANTILE, STRETCH = LOOK["edges"]["quantile"], LOOK["stretch"]
PORTS, FAN, BEND = LOOK["ports"], LOOK["fan"], LOOK["bend"]


@dataclass(frozen=True, slots=True)
class Box:
    """The extent of the drawn graph, its (layer, y) rows and the radius of a head."""

    left: float
    top: float
    width: float
    height: float
    radius: float
    rows: tuple[tuple[int, float], ...]

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
        x, y, box = ("wx", "wy", "whole_box") if view.whole else ("x", "y", "box")
        cut = payload["shape"]["blocks"] > 1
        nodes = [  # an MLP that is cut is drawn as its blocks
            node | {"x": None if cut and node["kind"] == "mlp" else node[x], "y": node[y]}
            for node in payload["nodes"]
        ]
        whole = _around_blocks(payload[box], nodes)
        sx, sy = _stretch(whole, aspect)
        self.box = _box(whole, sx, sy)
        self.nodes: list[dict[str, Any]] = [
            node | ({} if node["x"] is None else {"x": node["x"] * sx, "y": node["y"] * sy})
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
        self.curves = [self._curve(edge) for edge in range(len(self.rows))]
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
        most = self.view.edges if self.view.edges is not None else len(self.rows)
        here = self.rank[at] < most
        before = self.rank[base] < most if base is not None else np.zeros_like(here)
        left = before & ~self.member[at]
        edges = np.flatnonzero(here | left)
        scores = np.where(here[edges], self.scores[at, edges], 0.0)
        if base is not None:
            scores = np.where(here[edges], scores, self.scores[base, edges])
        share = np.minimum(1.0, np.abs(scores) / self.widest)
        widths = np.where(here[edges], THIN + (THICK - THIN) * share, 0.0)
        marks = self._marks(at, base)[edges].tolist()
        return Moment(at, base, edges, scores, widths, marks)

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

    def extent(self, node: dict[str, Any]) -> tuple[float, float]:
        """Width and height of a node."""
        if node["kind"] == "head":
            return 2 * self.box.radius, 2 * self.box.radius
        size = LOOK["nodes"][node["kind"]]
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
        source, target = self.nodes[self.rows[edge]], self.nodes[slot["node"]]
        ax, ay = self._exit(source, target["x"])
        bx, by = self._port(target, slot["kind"], source["x"])
        rise = ay - by
        pull = max(BEND["least"], min(BEND["share"] * rise, BEND["gaps"] * box.gap))
        # An edge that runs up its own column would pass behind the nodes there: bend it aside.
        near = abs(ax - bx) < BEND["near"] and rise > BEND["far"] * box.gap
        aside = min(BEND["most"], BEND["side"] + BEND["aside"] * rise)
        side = (1 if edge % 2 else -1) * aside if near else 0.0
        return np.array([[ax, ay], [ax + side, ay - pull], [bx + side, by + pull], [bx, by]])

    def _exit(self, node: dict[str, Any], toward: float) -> tuple[float, float]:
        top = node["y"] - self.extent(node)[1] / 2
        return (node["x"], top) if node["kind"] == "head" else (node["x"] + _fan(node, toward), top)

    def _port(self, node: dict[str, Any], kind: str, toward: float) -> tuple[float, float]:
        """Where an edge enters a node: q, k and v from left to right below a head."""
        if node["kind"] == "head":
            dx = PORTS["head"].get(kind, 0)
            return node["x"] + dx, node["y"] + math.sqrt(self.box.radius**2 - dx * dx)
        bottom = node["y"] + self.extent(node)[1] / 2
        if node["kind"] == "kv":
            return node["x"] + PORTS["kv"][kind], bottom
        return node["x"] + _fan(node, toward), bottom


def _fan(node: dict[str, Any], toward: float) -> float:
    """The ends are wide, so edges fan out along them instead of meeting in one point."""
    width = LOOK["nodes"][node["kind"]]["width"]
    spread = FAN.get(node["kind"], width / 2 - FAN["margin"])
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
    )
