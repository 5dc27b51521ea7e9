"""The graph of a picture and its legend: nodes, edges and marks as the player draws them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, HPacker, TextArea, VPacker
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle, Wedge
from matplotlib.path import Path as Outline

from ctviz.export.scene import Moment, Scene
from ctviz.export.sheet import INCHES, Color, clean, families, panel, rgba
from ctviz.export.theme import Theme, mix
from ctviz.look import look
from ctviz.views.numbers import number

__all__ = ["ASPECT", "GRAPH", "GraphPanel"]

GRAPH = (0.028, 0.142, 0.566, 0.73)  # left, bottom, width, height of the panel
GUTTER = 50.0  # points at the left of the graph, for the layers' names
WIDTH, HEIGHT = INCHES[0] * 72 * GRAPH[2], INCHES[1] * 72 * GRAPH[3]
ROOM = (WIDTH - GUTTER - 12, HEIGHT - 18)  # points for the nodes
ASPECT = ROOM[0] / ROOM[1]
DISC = 4.6  # radius of the mark of a reversed edge, in units of the layout
DASH = (0, (1.6, 2.6))
NODES, EDGES, ROWS = look()["nodes"], look()["edges"], look()["rows"]
OPACITY, TIP, STREAM = EDGES["opacity"], EDGES["tip"], look()["stream"]


class GraphPanel:
    """A scene of the aspect ``ASPECT`` in the colours of a theme."""

    def __init__(self, scene: Scene, theme: Theme) -> None:
        self.scene, self.theme = scene, theme
        box = scene.box
        # points a unit of the layout
        self.scale = min(ROOM[0] / box.width, ROOM[1] / box.height, 1.25)

    def draw(self, figure: Figure, moment: Moment) -> None:
        """The graph at a moment, and below it what its signs mean."""
        self._graph(figure, moment)
        self._legend(figure, moment)

    def _graph(self, figure: Figure, moment: Moment) -> None:
        theme, box, scale = self.theme, self.scene.box, self.scale
        axes = panel(figure, GRAPH)
        middle = box.left + box.width / 2 - (GUTTER - 12) / 2 / scale
        span = WIDTH / scale
        centre, tall = box.top + box.height / 2, HEIGHT / scale
        left = middle - span / 2
        axes.set_xlim(left, left + span)
        axes.set_ylim(centre + tall / 2, centre - tall / 2)
        self._layers(axes, left, centre + tall / 2)
        frame = Rectangle(
            (0, 0), 1, 1, transform=axes.transAxes, fill=False, ec=rgba(theme.line), lw=1
        )
        frame.set_clip_on(False)
        axes.add_patch(frame)
        self._groups(axes)
        active = self._edges(axes, moment)
        self._nodes(axes, moment, active)
        self._collapsed(axes, moment, active)
        if not len(self.scene.rows):
            axes.text(
                0.5,
                0.5,
                "No edge is in the circuit.",
                transform=axes.transAxes,
                ha="center",
                va="center",
                fontsize=11,
                color=rgba(theme.text),
                bbox={"fc": rgba(theme.bg), "ec": rgba(theme.line), "boxstyle": "round"},
            )

    def _layers(self, axes: Axes, left: float, foot: float) -> None:
        """The layers' bands and names, those that are folded, and the residual stream."""
        theme, box, scale = self.theme, self.scene.box, self.scale
        span, tall, gap = WIDTH / scale, HEIGHT / scale, box.gap
        style: dict[str, Any] = {"fontsize": 7.5, "va": "center"}
        named = gap * scale >= (24 if box.across else 9)
        for place, (layer, at) in enumerate(box.rows):
            if place % 2 == 0:
                corner, size = (left, at - ROWS["above"] * gap), (span, gap)
                if box.across:
                    corner, size = (at - gap / 2, foot - tall), (gap, tall)
                axes.add_patch(Rectangle(corner, *size, color=rgba(theme.band), lw=0))
            if box.across and (gap * scale >= 9 or layer % 5 == 0):
                name = f"layer {layer}" if named else str(layer)
                color = rgba(theme.muted)
                axes.text(at, foot - 9 / scale, name, ha="center", color=color, **style)
            elif not box.across and (named or layer % 5 == 0):
                axes.text(left + 9 / scale, at, f"layer {layer}", color=rgba(theme.muted), **style)
        for first, last, at in box.folds:
            count = last - first + 1
            color = rgba(theme.faint)
            if box.across:
                axes.axvline(at, color=color, lw=0.6, ls=DASH)
                top = foot - tall + 9 / scale
                axes.text(at, top, f"+{count}", ha="center", color=color, **style)
            else:
                axes.axhline(at, color=color, lw=0.6, ls=DASH)
                text = f"+ {count} layer{'s' if count > 1 else ''}"
                axes.text(left + 9 / scale, at, text, color=color, **style)
        if box.stream:
            along = [box.left + 20, box.left + box.width - 20], [0.0, 0.0]
            up = [0.0, 0.0], [box.top + 20, box.top + box.height - 20]
            ends = along if box.across else up
            wide = STREAM["width"] * scale
            axes.plot(
                *ends, color=rgba(theme.line, 0.45), lw=wide, solid_capstyle="butt", zorder=1.1
            )

    def _groups(self, axes: Axes) -> None:
        """Hairlines from a shared key/value head to the heads that it serves."""
        scene, lines, radius = self.scene, [], self.scene.box.radius
        for slot in scene.slots:
            anchor = scene.nodes[slot["node"]]
            if anchor["kind"] != "kv" or anchor["x"] is None:
                continue
            for n in slot["feeds"]:
                head = scene.nodes[n]
                if head["x"] is not None:
                    from_, to = (anchor["x"], anchor["y"] - 4), (head["x"], head["y"] + radius)
                    if scene.box.across:
                        from_, to = (anchor["x"] + 4, anchor["y"]), (head["x"] - radius, head["y"])
                    lines.append([from_, to])
        color = rgba(self.theme.faint)
        axes.add_collection(LineCollection(lines, colors=[color], linewidths=self.scale))

    def _edges(self, axes: Axes, moment: Moment) -> set[int]:
        """Draw the edges, weakest first; returns the nodes that they touch."""
        scene, theme, scale = self.scene, self.theme, self.scale
        active: set[int] = set()
        drawn = int((moment.widths > 0).sum())
        weakest = OPACITY["weakest"] + OPACITY["few"] * min(1.0, OPACITY["many"] / max(1, drawn))
        under = _Strokes()  # entered, left, strengthened
        lines, seams, tips = _Strokes(), _Strokes(), _Tips()
        for k in np.argsort(moment.widths, kind="stable"):
            edge, width, mark = int(moment.edges[k]), float(moment.widths[k]), moment.marks[k]
            color = theme.against if moment.scores[k] < 0 else theme.supports
            curve = scene.curves[edge]
            lit = not scene.selected or scene.touches(edge, scene.selected)
            if mark in ("left", "left~"):
                if lit:
                    faint = mark == "left~"
                    tone = rgba(theme.muted, 0.4) if faint else rgba(color, 0.65)
                    under.add(curve, tone, 1.2 * scale, dashed=True)
                continue
            if not lit:
                under.add(curve, rgba(color, 0.11 if theme.dark else 0.09), 0.8 * scale)
                continue
            slot = scene.slots[scene.slot_of[edge]]
            active |= {int(scene.rows[edge]), slot["node"], *slot["feeds"]}
            if mark == "entered":
                under.add(curve, rgba(color, 0.2), EDGES["glow"] * scale)
            elif mark == "entered~":
                under.add(curve, rgba(theme.muted, 0.13), EDGES["glow"] * scale)
            elif mark == "strengthened":
                under.add(curve, rgba(theme.text, 0.62), (width + 2.6) * scale)
            share = width / EDGES["thick"]
            strength = weakest + OPACITY["by"] * share
            lines.add(curve, rgba(color, min(OPACITY["most"], strength)), width * scale)
            strength = min(OPACITY["tipMost"], weakest + OPACITY["tip"] + OPACITY["by"] * share)
            tips.add(curve, rgba(color, strength), width)
            if mark == "weakened":
                seams.add(curve, rgba(theme.bg, 0.8), (width + 1) * scale, dashed=True)
            elif mark == "reversed":
                middle = np.array([1, 3, 3, 1]) @ curve / 8
                for patch in self._disc(middle, DISC, moment.scores[k] < 0):
                    axes.add_patch(patch)
        under.draw(axes, 2.0)
        lines.draw(axes, 3.0)
        tips.draw(axes, 3.1)
        seams.draw(axes, 3.2)
        return active

    def _nodes(self, axes: Axes, moment: Moment, active: set[int]) -> None:
        scene, theme, scale = self.scene, self.theme, self.scale
        shares = self.scene.shares(moment.at)
        updated = self.scene.timeline.updated[moment.at]
        for n, node in enumerate(scene.nodes):
            if node["x"] is None or scene.places[n] is not node:
                continue
            share = float(shares[n]) if n < len(shares) else math.nan
            chosen = n in scene.selected
            idle = n not in active and not chosen
            faded = NODES["faded"]["far" if scene.selected else "idle"]
            shown = faded if idle else 1.0
            changed = n < len(updated) and bool(updated[n])
            fill = mix(theme.bg, theme.fill(share), shown)
            edge = theme.accent if chosen else theme.text if changed else theme.faint
            width = NODES["outline"]["chosen" if chosen else "updated" if changed else "other"]
            if chosen:
                axes.add_patch(self._shape(node, rgba(theme.accent, 0.25), None, 9 * scale))
            outline = rgba(mix(theme.bg, edge, shown))
            axes.add_patch(self._shape(node, outline, rgba(fill), width * scale))
            size = NODES["letters"][node["kind"]] * scale * 0.92
            if scene.box.across and node["kind"] in STREAM["nodes"]:
                size = STREAM["nodes"]["letters"] * scale * 0.92
            if node["kind"] == "head" and node["unit"] > 9:
                size *= 0.88
            if size >= 4:
                ink = theme.text if idle else theme.label(share)
                axes.text(
                    node["x"],
                    node["y"],
                    _label(node),
                    fontsize=size,
                    fontweight="bold",
                    color=rgba(mix(theme.bg, ink, max(shown, 0.5))),
                    ha="center",
                    va="center_baseline",
                    rotation=90 if node["h"] > 2 * node["w"] else 0,
                    zorder=5,
                )

    def _disc(
        self, middle: tuple[float, float], radius: float, negative: bool
    ) -> tuple[Wedge, Wedge, Circle]:
        """The mark of a reversed edge: left the sign that it had, right the one it has."""
        signs = [rgba(self.theme.supports), rgba(self.theme.against)]
        was, now = signs if negative else reversed(signs)
        ink = rgba(self.theme.text)
        return (
            Wedge(middle, radius, 90, 270, fc=was, ec="none", zorder=3.3),
            Wedge(middle, radius, 270, 90, fc=now, ec="none", zorder=3.3),
            Circle(middle, radius, fill=False, ec=ink, lw=1, zorder=3.3),
        )

    def _collapsed(self, axes: Axes, moment: Moment, active: set[int]) -> None:
        """Named groups, each as one node with the mean redundancy of its own."""
        theme, scale = self.theme, self.scale
        shares = self.scene.shares(moment.at)
        for group in self.scene.groups:
            known = [float(shares[n]) for n in group["members"] if n < len(shares)]
            known = [share for share in known if not math.isnan(share)]
            share = sum(known) / len(known) if known else math.nan
            shown = 1.0 if active & set(group["members"]) else 0.4
            fill = rgba(mix(theme.bg, theme.fill(share), shown))
            axes.add_patch(self._shape(group, rgba(mix(theme.bg, theme.text, shown)), fill, scale))
            name = group["name"] if len(group["name"]) <= 18 else f"{group['name'][:17]}…"
            axes.text(
                group["x"],
                group["y"],
                clean(name),
                fontsize=10.5 * scale,
                fontweight="bold",
                fontfamily=families(name),
                color=rgba(mix(theme.bg, theme.label(share), max(shown, 0.5))),
                ha="center",
                va="center_baseline",
                zorder=5,
            )

    def _shape(
        self, node: dict[str, Any], edge: Color, fill: Color | None, width: float
    ) -> Circle | FancyBboxPatch:
        style: dict[str, Any] = {"ec": edge, "lw": width, "zorder": 4, "fill": fill is not None}
        if fill is not None:
            style["fc"] = fill
        if node["kind"] == "head":
            return Circle((node["x"], node["y"]), self.scene.box.radius, **style)
        w, h = node["w"], node["h"]
        corner = NODES.get(node["kind"], {"corner": 9}).get("corner", min(w, h) / 2)
        round_box = f"round,pad=0,rounding_size={corner}"
        return FancyBboxPatch(
            (node["x"] - w / 2, node["y"] - h / 2), w, h, boxstyle=round_box, **style
        )

    def _legend(self, figure: Figure, moment: Moment) -> None:
        theme = self.theme
        axes = panel(figure, (GRAPH[0], 0.055, GRAPH[2], GRAPH[1] - 0.063))
        plus, ink = rgba(theme.supports), rgba(theme.text)
        muted = rgba(theme.muted)
        first: list[Artist] = [
            self._item("supports", _rule(plus, 2.6)),
            self._item("works against", _rule(rgba(theme.against), 2.6)),
            self._item(
                f"|score|, widest ≥ {number(self.scene.widest)}",
                Polygon([(0, 5), (22, 1.6), (22, 8.4)], fc=muted, ec="none"),
            ),
            self._item("parameters updated", Circle((11, 5), 4.4, fill=False, ec=ink, lw=1.5)),
            self._item("query, key, value", *_ports(muted)),
        ]
        rows = [first]
        if moment.base is not None:
            since = f"since step {self.scene.timeline.steps[moment.base]:,}"
            second: list[Artist] = [
                TextArea(since, textprops={"fontsize": 8, "color": muted}),
                self._item("entered", _rule(rgba(theme.supports, 0.25), 7), _rule(plus, 1.6)),
                self._item("left", _rule(plus, 1.3, DASH)),
            ]
            if self.scene.errors is not None:
                second += [
                    self._item("strengthened", _rule(rgba(theme.text, 0.62), 5), _rule(plus, 2.6)),
                    self._item(
                        "weakened", _rule(plus, 2.8), _rule(rgba(theme.bg, 0.8), 3.2, (0, (1, 2)))
                    ),
                    self._item(
                        "reversed", _rule(rgba(theme.against), 2), *self._disc((11, 5), 4, True)
                    ),
                    self._item(
                        "within noise",
                        _rule(rgba(theme.muted, 0.2), 7),
                        _rule(rgba(theme.muted, 0.6), 1.3, DASH),
                    ),
                ]
            rows.append(second)
        lines: list[Artist] = [HPacker(children=row, pad=0, sep=10, align="center") for row in rows]
        box = VPacker(children=lines, pad=0, sep=5, align="left")
        anchor = AnchoredOffsetbox("upper left", child=box, frameon=False, pad=0, borderpad=0)
        axes.add_artist(anchor)

    def _item(self, text: str, *shapes: Any) -> HPacker:
        icon = DrawingArea(22, 10, 0, 0)
        for shape in shapes:
            icon.add_artist(shape)
        words = TextArea(text, textprops={"fontsize": 8, "color": rgba(self.theme.muted)})
        return HPacker(children=[icon, words], pad=0, sep=5, align="center")


class _Strokes:
    """Curves to be stroked, in order."""

    def __init__(self) -> None:
        self.paths: list[Outline] = []
        self.colors: list[Color] = []
        self.widths: list[float] = []
        self.dashes: list[Any] = []

    def add(self, curve: np.ndarray, color: Color, width: float, *, dashed: bool = False) -> None:
        codes = [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4]
        self.paths.append(Outline(curve, codes))
        self.colors.append(color)
        self.widths.append(width)
        self.dashes.append((0, (2.4 / max(width, 0.8), 3.6 / max(width, 0.8))) if dashed else "-")

    def draw(self, axes: Axes, order: float) -> None:
        if not self.paths:
            return
        axes.add_collection(
            PathCollection(
                self.paths,
                facecolors="none",
                edgecolors=self.colors,
                linewidths=self.widths,
                linestyles=self.dashes,
                zorder=order,
            )
        )


class _Tips:
    """Arrow heads at the ends of curves."""

    def __init__(self) -> None:
        self.corners: list[list[tuple[float, float]]] = []
        self.colors: list[Color] = []

    def add(self, curve: np.ndarray, color: Color, width: float) -> None:
        (x, y), (dx, dy) = curve[3], curve[3] - curve[2]
        long = math.hypot(dx, dy) or 1.0
        ux, uy = dx / long, dy / long
        size, half = (TIP[k]["at"] + TIP[k]["by"] * width for k in ("length", "half"))
        self.corners.append(
            [
                (x, y),
                (x - ux * size - uy * half, y - uy * size + ux * half),
                (x - ux * size + uy * half, y - uy * size - ux * half),
            ]
        )
        self.colors.append(color)

    def draw(self, axes: Axes, order: float) -> None:
        if self.corners:
            axes.add_collection(
                PolyCollection(
                    self.corners, facecolors=self.colors, edgecolors="none", zorder=order
                )
            )


def _rule(color: Color, width: float, dashes: Any = "-") -> Polygon:
    return Polygon([(0, 5), (22, 5)], closed=False, fill=False, ec=color, lw=width, ls=dashes)


def _ports(color: Color) -> list[Polygon]:
    """The lower half of a head with its three entrances."""
    angles = np.linspace(math.pi, 2 * math.pi, 24)
    bowl = [(11 + 9 * math.cos(a), 9.5 + 9 * math.sin(a)) for a in angles]
    shapes = [Polygon(bowl, closed=False, fill=False, ec=color, lw=1)]
    for x, y in ((4.2, 3.6), (11, 0.5), (17.8, 3.6)):
        tip = [(x, y), (x - 1.7, y - 3), (x + 1.7, y - 3)]
        shapes.append(Polygon(tip, fc=color, ec="none"))
    return shapes


def _label(node: dict[str, Any]) -> str:
    kind = node["kind"]
    if kind in ("head", "block"):
        return f"{kind[0]}{node['unit']}"
    return "MLP" if kind == "mlp" else str(kind)
