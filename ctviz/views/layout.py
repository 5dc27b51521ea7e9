"""Where each node of the circuit graph is drawn; pure and deterministic.

The picture reads like the model: ``input`` at the bottom, ``logits`` on top, a row a layer. A small
model is shown whole: one column a head, and the MLP of a layer to the right of its heads and a
little above them, because it reads what they wrote. A larger one is laid out along its residual
stream, which all edges follow: heads that take part on its left, packed, the MLP on its right, and
layers without any of them folded into a thin line. One of many layers lies on its side, from left
to right, with heads above the stream and MLPs below it.

An MLP that is cut has a place as a whole, and its blocks that take part have theirs beside it, for
when it is opened. Units are roughly pixels at zoom 1; y grows downwards, as on a screen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ctviz.circuits.graph import Graph, layer_of
from ctviz.look import look

__all__ = ["Placement", "group_of", "place"]

RADIUS = 15.0  # of a head
MIN_COLUMN, MAX_COLUMN = 46.0, 190.0  # distance between columns
MIN_ROW, TIGHT_ROW, MAX_ROW = 54.0, 38.0, 132.0  # distance between layers
ROOMY = 800.0  # height up to which layers keep MIN_ROW; deeper models move them together
GROUP_ROW = 22.0  # extra distance where shared key/value heads are drawn below their heads
ASPECT = 1.25  # width over height of the panel that the graph should fill; the browser
# stretches the rest of the way, whichever side has room
BESIDE = look()["blocks"]  # distance of an MLP's first block from it, and of the blocks
ALWAYS_LAYERS, ALWAYS_HEADS = 8, 12  # a model up to this size is shown whole
STREAM = look()["stream"]  # distances of a larger one


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Positions of the drawn nodes.

    ``xy`` maps a node name (or the name of a shared key/value head, ``a3.g1``, or of an MLP that is
    cut, ``m3``) to its centre; ``rows`` are (layer, y) of the drawn layers, bottom to top;
    ``folds`` are (first layer, last layer, y) of those that were folded; ``width`` and ``height``
    are the extent of everything but blocks, ``left`` and ``top`` its corner; ``stream``: whether
    edges follow the residual stream, which is at x = 0; ``across``: whether it is to be turned to
    run from left to right, so that (x, y) is drawn at (-y, x).
    """

    xy: dict[str, tuple[float, float]]
    rows: list[tuple[int, float]]
    left: float
    top: float
    width: float
    height: float
    radius: float
    folds: list[tuple[int, int, float]] = field(default_factory=list)
    stream: bool = False
    across: bool = False


def group_of(slot_name: str) -> str | None:
    """Name of the shared key/value head of a slot: ``a3.g1`` for ``a3.g1<k>``, else None."""
    owner = slot_name.partition("<")[0]
    return owner if ".g" in owner else None


def place(graph: Graph, active: np.ndarray, groups: frozenset[str] = frozenset()) -> Placement:
    """Positions of the nodes that take part in some kept edge.

    ``active``: bool [node], in the order of ``graph.nodes``. ``groups``: the shared key/value heads
    that some kept edge reaches. Heads without any active node take no room and layers hardly any,
    except in a model of at most 8 layers and 12 heads, which is shown whole but for the blocks of
    its MLPs. ``input`` and ``logits`` are always placed.
    """
    if active.shape != (len(graph.nodes),):
        raise ValueError(f"active has shape {active.shape}, but there are {len(graph.nodes)} nodes")
    whole = graph.n_layers <= ALWAYS_LAYERS and graph.n_heads <= ALWAYS_HEADS
    grouped = _members(graph, groups)
    heads: dict[int, set[int]] = {}
    blocks: dict[int, list[str]] = {}  # of the MLPs that are drawn; none of one that is not cut
    for name, on in zip(graph.nodes, active, strict=True):
        layer = layer_of(name, graph.n_layers)
        if not (whole or on):
            continue
        if name.startswith("m"):
            blocks.setdefault(layer, []).extend([name] if on and graph.mlp_blocks > 1 else [])
        elif name.startswith("a"):
            heads.setdefault(layer, set()).add(int(name.split(".h")[1]))
    for group, members in grouped.items():
        heads.setdefault(layer_of(group, graph.n_layers), set()).update(members)
    if not whole:
        return _along(graph, heads, blocks, grouped)

    layers = sorted(heads.keys() | blocks.keys())
    columns = {head: i for i, head in enumerate(sorted(set().union(*heads.values(), set())))}
    column, row = _gaps(len(columns) + 1, len(layers) + 2, bool(grouped))

    xy: dict[str, tuple[float, float]] = {}
    rows: list[tuple[int, float]] = []
    for level, layer in enumerate(layers, start=1):
        y = -level * row
        rows.append((layer, y))
        for head in sorted(heads.get(layer, ())):
            xy[f"a{layer}.h{head}"] = (columns[head] * column, y)
        if layer in blocks:
            xy[f"m{layer}"] = ((len(columns) + 0.25) * column, y - 0.34 * min(row, 84.0))
    for group, members in grouped.items():
        layer = layer_of(group, graph.n_layers)
        y = -(layers.index(layer) + 1) * row
        middle = float(np.mean([columns[head] for head in members]))
        xy[group] = (middle * column, y + RADIUS + 0.62 * GROUP_ROW)
    centre = 0.5 * len(columns) * column
    xy["input"] = (centre, 0.0)
    xy["logits"] = (centre, -(len(layers) + 1) * row - 0.2 * row)

    xs, ys = zip(*xy.values(), strict=True)
    side = max(2.2 * RADIUS, 78.0 - (max(xs) - min(xs)) / 2)
    left, right = min(xs) - 2.0 * RADIUS, max(xs) + side
    top, bottom = min(ys) - 1.6 * RADIUS, max(ys) + 1.6 * RADIUS
    for layer, names in blocks.items():
        x, y = xy[f"m{layer}"]
        for place, name in enumerate(names):
            xy[name] = (x + BESIDE["first"] + place * BESIDE["step"], y)
    return Placement(xy, rows, left, top, right - left, bottom - top, RADIUS)


def _along(
    graph: Graph,
    heads: dict[int, set[int]],
    blocks: dict[int, list[str]],
    grouped: dict[str, list[int]],
) -> Placement:
    """A large model along its residual stream; ``heads`` and ``blocks`` by layer, as in `place`."""
    across = len(heads.keys() | blocks.keys()) > STREAM["layersUpright"]
    row = STREAM["row"] if across else STREAM["rowUpright"]
    row += STREAM["sharedRow"] if grouped else 0
    ranks = -(-max((len(members) for members in heads.values()), default=1) // STREAM["heads"])
    row += (ranks - 1) * STREAM["ranks"]  # heads of a layer stand in several ranks if they are many
    xy: dict[str, tuple[float, float]] = {}
    rows: list[tuple[int, float]] = []
    folds: list[tuple[int, int, float]] = []
    y = 0.0
    for layer in range(graph.n_layers):
        members = sorted(heads.get(layer, ()))
        if not members and layer not in blocks:
            if folds and folds[-1][1] == layer - 1:
                folds[-1] = (folds[-1][0], layer, folds[-1][2])
            else:
                y -= STREAM["fold"]
                folds.append((layer, layer, y))
            continue
        y -= row if rows else 1.25 * row
        rows.append((layer, y))
        for place, head in enumerate(reversed(members)):
            rank, beside = divmod(place, STREAM["heads"])
            x = -STREAM["head"] - beside * STREAM["column"]
            xy[f"a{layer}.h{head}"] = (x, y + (rank - (ranks - 1) / 2) * STREAM["ranks"])
        if layer in blocks:
            xy[f"m{layer}"] = (STREAM["mlp"], y)
    for group, members in grouped.items():
        layer = layer_of(group, graph.n_layers)
        served = [xy[f"a{layer}.h{head}"] for head in members]
        foot = max(y for _, y in served)
        xy[group] = (float(np.mean([x for x, _ in served])), foot + STREAM["shared"])
    xy["input"] = (0.0, 0.0)
    xy["logits"] = (0.0, y - 1.25 * row)
    radius = STREAM["radius"]
    xs, ys = zip(*xy.values(), strict=True)
    side = look()["nodes"]["logits"]["width"] / 2
    left, right = min(-side, min(xs) - radius) - 8, max(side, max(xs) + radius) + 8
    top, bottom = min(ys) - 1.4 * radius, max(ys) + 1.4 * radius
    for layer, names in blocks.items():
        x, at = xy[f"m{layer}"]
        for place, name in enumerate(names):
            xy[name] = (x + BESIDE["first"] + place * BESIDE["step"], at)
    return Placement(xy, rows, left, top, right - left, bottom - top, radius, folds, True, across)


def _members(graph: Graph, groups: frozenset[str]) -> dict[str, list[int]]:
    """Query heads of each shared key/value head, in a fixed order."""
    members: dict[str, list[int]] = {}
    for name in sorted(groups):
        unit = int(name.split(".g")[1])
        members[name] = [unit * graph.group_size + i for i in range(graph.group_size)]
    return members


def _gaps(n_columns: int, n_rows: int, grouped: bool) -> tuple[float, float]:
    """Distances between columns and rows that make the graph about as wide as its panel."""
    row = max(TIGHT_ROW, min(MIN_ROW, ROOMY / n_rows)) + (GROUP_ROW if grouped else 0.0)
    column = MIN_COLUMN
    if n_columns * column > ASPECT * n_rows * row:
        row = min(n_columns * column / ASPECT / n_rows, MAX_ROW)
    else:
        column = min(ASPECT * n_rows * row / n_columns, MAX_COLUMN)
    return column, row
