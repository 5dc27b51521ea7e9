"""Pictures of a run: one snapshot as PNG or SVG, all of them as an animated GIF.

The graph is laid out, coloured and marked as the player does it; beside it stand the redundancy of
the nodes and the curves with the step marked. The same run and view give the same bytes. Letters
come from DejaVu Sans, which matplotlib carries; a sign that it does not have is drawn as a box.
"""

from __future__ import annotations

import functools
import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import get_data_path, rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, HPacker, TextArea, VPacker
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path as Outline
from PIL import Image

from ctviz.errors import DamagedRun
from ctviz.export.origin import nearest, sentence, timeline_of
from ctviz.export.scene import Moment, Scene
from ctviz.export.theme import THEMES, Rgb, Theme, ThemeName, legend_at, mix
from ctviz.graph import layer_of
from ctviz.runs import Run
from ctviz.views.naming import METHODS
from ctviz.views.timeline import Curve, Timeline
from ctviz.views.view import View

__all__ = [
    "MOST_FRAMES",
    "SIZE",
    "Animation",
    "Picture",
    "draw_animation",
    "draw_picture",
    "frames",
]

INCHES = (12.8, 7.2)
DPI, GIF_DPI = 150, 84
SIZE = tuple(int(side * DPI) for side in INCHES)  # pixels of a PNG
GIF_SIZE = tuple(int(side * GIF_DPI) for side in INCHES)
MOST_FRAMES = 80
FRAME_MS, HOLD_MS = 360, 1800
GRAPH = (0.028, 0.142, 0.566, 0.73)  # left, bottom, width, height of the panel
RIGHT, WIDE = 0.622, 0.350  # the column beside it
GUTTER = 50.0  # points at the left of the graph, for the layers' names
DASH = (0, (1.6, 2.6))
NAMES = {
    "metric": "Task metric",
    "faithfulness": "Faithfulness",
    "loss": "Training loss",
    "retention": "Forgetting (KL from untuned)",
}
ESTIMATORS = {"circuit": "circuit", "mass": "mass 90 %"}
STYLE: Any = {
    "svg.hashsalt": "ctviz",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,
    "text.usetex": False,
    "path.simplify": True,
}
Color = tuple[float, float, float, float]
DRAWING = threading.Lock()  # matplotlib's settings belong to the process; pages draw in threads


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes and the training step that it shows."""

    content: bytes
    step: int


@dataclass(frozen=True, slots=True)
class Animation:
    """A GIF's bytes, how many frames it has, and of how many snapshots they were taken."""

    content: bytes
    frames: int
    snapshots: int


def draw_picture(
    run: Run,
    suffix: Literal["png", "svg"],
    view: View | None = None,
    *,
    theme: ThemeName = "light",
    damaged: list[DamagedRun] | None = None,
) -> Picture:
    """One snapshot: the one nearest to the view's step, by default the last.

    Changes are marked against the snapshot before it or the first, as the view says. Damaged
    snapshots are left out and put into ``damaged``. Raises CtvizError if there is no snapshot.
    """
    drawing = _Drawing(run, timeline_of(run, damaged=damaged), view or View(), THEMES[theme])
    steps = drawing.timeline.steps
    at = nearest(steps, drawing.view.step)
    with DRAWING, rc_context(STYLE):
        figure = drawing.figure(at, list(range(len(steps))))
        kept = io.BytesIO()
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        figure.savefig(
            kept, format=suffix, dpi=DPI, facecolor=figure.get_facecolor(), metadata=metadata
        )
    return Picture(kept.getvalue(), steps[at])


def draw_animation(
    run: Run,
    view: View | None = None,
    *,
    theme: ThemeName = "light",
    damaged: list[DamagedRun] | None = None,
) -> Animation:
    """All snapshots one after the other, the last one held; of more than 80 an even choice.

    The view's step is not looked at. Damaged snapshots are left out and put into ``damaged``.
    Raises CtvizError if there is no snapshot.
    """
    timeline = timeline_of(run, damaged=damaged)
    drawing = _Drawing(run, timeline, view or View(), THEMES[theme])
    shown = frames(len(timeline.steps))
    images = []
    with DRAWING, rc_context(STYLE):
        for at in shown:
            canvas = FigureCanvasAgg(drawing.figure(at, shown))
            canvas.figure.set_dpi(GIF_DPI)
            canvas.draw()
            images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    palette = _palette(images, drawing.theme.bg)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    kept = io.BytesIO()
    small[0].save(
        kept,
        format="GIF",
        save_all=True,
        append_images=small[1:],
        duration=[*[FRAME_MS] * (len(small) - 1), HOLD_MS],
        loop=0,
        optimize=False,
    )
    return Animation(kept.getvalue(), len(shown), len(timeline.steps))


def frames(snapshots: int) -> list[int]:
    """Indices of the snapshots that an animation shows: all, or 80 spread evenly over them."""
    if snapshots <= MOST_FRAMES:
        return list(range(snapshots))
    return [round(i * (snapshots - 1) / (MOST_FRAMES - 1)) for i in range(MOST_FRAMES)]


def _palette(images: Sequence[Image.Image], background: Rgb) -> Image.Image:
    """One palette of 256 colours for all frames, so that nothing flickers."""
    last = len(images) - 1
    chosen = [images[at] for at in sorted({0, last // 3, 2 * last // 3, last})]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width, height * len(chosen)))
    for place, image in enumerate(chosen):
        sheet.paste(image, (0, height * place))
    palette = sheet.quantize(256, method=Image.Quantize.MEDIANCUT)
    colors = np.array(palette.getpalette(), dtype=int).reshape(-1, 3)
    page = np.array(background)
    # The page's own colour, not one near it. Pillow looks colours up in cells of 8 x 8 x 8.
    near = (colors >> 3 == page >> 3).all(axis=1)
    near[np.abs(colors - page).sum(axis=1).argmin()] = True
    colors[near] = page
    palette.putpalette(colors.ravel().tolist())
    return palette


class _Drawing:
    """What is the same on every frame, and the way to draw one."""

    def __init__(self, run: Run, timeline: Timeline, view: View, theme: Theme) -> None:
        self.timeline, self.view, self.theme = timeline, view, theme
        self.width = INCHES[0] * 72 * GRAPH[2]
        self.height = INCHES[1] * 72 * GRAPH[3]
        aspect = (self.width - GUTTER - 12) / (self.height - 18)
        self.scene = Scene(timeline, view, aspect)
        box = self.scene.box
        self.scale = min(
            (self.width - GUTTER - 12) / box.width, (self.height - 18) / box.height, 1.25
        )  # points a unit of the layout
        self.origin = _clean(f"{sentence(run)} · {timeline.source}")

    def figure(self, at: int, shown: list[int]) -> Figure:
        """The picture of a snapshot; ``shown``: all that are shown one after the other."""
        moment = self.scene.moment(at, self.scene.base(at, shown))
        figure = Figure(figsize=INCHES, facecolor=_color(self.theme.bg))
        FigureCanvasAgg(figure)
        self._header(figure, at)
        self._graph(figure, moment)
        self._legend(figure, moment)
        self._redundancy(figure, at)
        self._curves(figure, at)
        origin = self.origin
        if len(shown) < len(self.timeline.steps):
            origin += f" · {len(shown)} of {len(self.timeline.steps)} snapshots shown"
        self._text(figure, GRAPH[0], 0.022, origin, 7.5, self.theme.muted, room=0.944)
        return figure

    # ------------------------------------------------------------------ text

    def _text(
        self,
        figure: Figure,
        x: float,
        y: float,
        text: str,
        size: float,
        color: Rgb,
        *,
        room: float,
        weight: str = "normal",
        align: str = "left",
    ) -> None:
        """Text on the figure's own coordinates, cut to ``room`` (a share of its width)."""
        figure.text(
            x,
            y,
            _fit(text, room * INCHES[0] * 72, size, weight),
            fontsize=size,
            fontweight=weight,
            color=_color(color),
            ha=align,
            va="baseline",
        )

    def _header(self, figure: Figure, at: int) -> None:
        timeline, theme = self.timeline, self.theme
        title = _clean(timeline.title) or timeline.run
        self._text(figure, 0.028, 0.943, title, 16, theme.text, room=0.68, weight="bold")
        method = METHODS.get(timeline.method, timeline.method)  # type: ignore[call-overload]
        about = _clean(f"{timeline.model} · {timeline.task} · {method}")
        inside = int(self.timeline.circuit[at].sum())
        drawn = min(inside, len(self.scene.rows))
        if self.view.edges is not None:
            drawn = min(self.view.edges, drawn)
        count = f"{inside:,}" if drawn == inside else f"{drawn:,} strongest of {inside:,}"
        about += f" · {count} circuit edges of {timeline.graph.n_edges:,}"
        if unknown := self.scene.unknown(at):
            about += f" · {unknown:,} scores are not numbers, drawn as 0"
        self._text(figure, 0.028, 0.905, about, 10, theme.muted, room=0.72)
        step = f"step {timeline.steps[at]:,} of {timeline.steps[-1]:,}"
        self._text(
            figure, 0.972, 0.943, step, 16, theme.text, room=0.24, weight="bold", align="right"
        )
        place = f"snapshot {at + 1} of {len(timeline.steps)}"
        self._text(figure, 0.972, 0.905, place, 10, theme.muted, room=0.2, align="right")

    # ------------------------------------------------------------------ graph

    def _graph(self, figure: Figure, moment: Moment) -> None:
        theme, box, scale = self.theme, self.scene.box, self.scale
        axes = _panel(figure, GRAPH)
        middle = box.left + box.width / 2 - (GUTTER - 12) / 2 / scale
        span = self.width / scale
        centre, tall = box.top + box.height / 2, self.height / scale
        left = middle - span / 2
        axes.set_xlim(left, left + span)
        axes.set_ylim(centre + tall / 2, centre - tall / 2)
        for place, (layer, y) in enumerate(box.rows):
            if place % 2 == 0:
                band = Rectangle(
                    (left, y - 0.62 * box.gap), span, box.gap, color=_color(theme.band), lw=0
                )
                axes.add_patch(band)
            if box.gap * scale >= 9 or layer % 5 == 0:
                axes.text(
                    left + 9 / scale,
                    y,
                    f"layer {layer}",
                    fontsize=7.5,
                    color=_color(theme.muted),
                    va="center",
                )
        frame = Rectangle(
            (0, 0), 1, 1, transform=axes.transAxes, fill=False, ec=_color(theme.line), lw=1
        )
        frame.set_clip_on(False)
        axes.add_patch(frame)
        self._groups(axes)
        active = self._edges(axes, moment)
        self._nodes(axes, moment, active)
        if not len(self.scene.rows):
            axes.text(
                0.5,
                0.5,
                "No edge is in the circuit.",
                transform=axes.transAxes,
                ha="center",
                va="center",
                fontsize=11,
                color=_color(theme.text),
                bbox={"fc": _color(theme.bg), "ec": _color(theme.line), "boxstyle": "round"},
            )

    def _groups(self, axes: Axes) -> None:
        """Hairlines from a shared key/value head to the heads that it serves."""
        scene, lines = self.scene, []
        for slot in scene.slots:
            anchor = scene.nodes[slot["node"]]
            if anchor["kind"] != "kv":
                continue
            for n in slot["feeds"]:
                head = scene.nodes[n]
                if head["x"] is not None:
                    end = (head["x"], head["y"] + scene.box.radius)
                    lines.append([(anchor["x"], anchor["y"] - 4), end])
        color = _color(self.theme.faint)
        axes.add_collection(LineCollection(lines, colors=[color], linewidths=self.scale))

    def _edges(self, axes: Axes, moment: Moment) -> set[int]:
        """Draw the edges, weakest first; returns the nodes that they touch."""
        scene, theme, scale = self.scene, self.theme, self.scale
        active: set[int] = set()
        drawn = int((moment.widths > 0).sum())
        weakest = 0.14 + 0.2 * min(1.0, 90 / max(1, drawn))
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
                    tone = _color(theme.muted, 0.4) if faint else _color(color, 0.65)
                    under.add(curve, tone, 1.2 * scale, dashed=True)
                continue
            if not lit:
                under.add(curve, _color(color, 0.11 if theme.dark else 0.09), 0.8 * scale)
                continue
            slot = scene.slots[scene.slot_of[edge]]
            active |= {int(scene.rows[edge]), slot["node"], *slot["feeds"]}
            if mark == "entered":
                under.add(curve, _color(color, 0.2), 10 * scale)
            elif mark == "entered~":
                under.add(curve, _color(theme.muted, 0.13), 10 * scale)
            elif mark == "strengthened":
                under.add(curve, _color(theme.text, 0.62), (width + 2.6) * scale)
            share = width / 6.5
            lines.add(curve, _color(color, min(0.92, weakest + 0.95 * share)), width * scale)
            tips.add(curve, _color(color, min(0.95, weakest + 0.15 + 0.95 * share)), width)
            if mark == "weakened":
                seams.add(curve, _color(theme.bg, 0.8), (width + 1) * scale, dashed=True)
        under.draw(axes, 2.0)
        lines.draw(axes, 3.0)
        tips.draw(axes, 3.1)
        seams.draw(axes, 3.2)
        return active

    def _nodes(self, axes: Axes, moment: Moment, active: set[int]) -> None:
        scene, theme, scale = self.scene, self.theme, self.scale
        shares = self._shares(moment.at)
        updated = self.timeline.updated[moment.at]
        for n, node in enumerate(scene.nodes):
            if node["x"] is None:
                continue
            share = float(shares[n]) if n < len(shares) else math.nan
            chosen = n in scene.selected
            idle = n not in active and not chosen
            shown = 0.22 if idle and scene.selected else 0.5 if idle else 1.0
            changed = n < len(updated) and bool(updated[n])
            fill = mix(theme.bg, theme.fill(share), shown)
            edge = theme.accent if chosen else theme.text if changed else theme.faint
            width = 2.0 if chosen else 1.6 if changed else 0.9
            if chosen:
                axes.add_patch(self._shape(node, _color(theme.accent, 0.25), None, 9 * scale))
            outline = _color(mix(theme.bg, edge, shown))
            axes.add_patch(self._shape(node, outline, _color(fill), width * scale))
            size = {"head": 12.5, "mlp": 11.0, "kv": 8.0}.get(node["kind"], 13.0) * scale * 0.92
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
                    color=_color(mix(theme.bg, ink, max(shown, 0.5))),
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
        w, h = self.scene.extent(node)
        corner = 6 if node["kind"] == "mlp" else h / 2
        round_box = f"round,pad=0,rounding_size={corner}"
        return FancyBboxPatch(
            (node["x"] - w / 2, node["y"] - h / 2), w, h, boxstyle=round_box, **style
        )

    def _shares(self, at: int) -> np.ndarray:
        """float [node]: redundancy by the view's estimator."""
        return self.timeline.redundancy[self.view.estimator][at]

    # ------------------------------------------------------------------ legend

    def _legend(self, figure: Figure, moment: Moment) -> None:
        theme = self.theme
        axes = _panel(figure, (GRAPH[0], 0.055, GRAPH[2], GRAPH[1] - 0.063))
        plus, ink = _color(theme.supports), _color(theme.text)
        muted = _color(theme.muted)
        first: list[Artist] = [
            self._item("supports", _rule(plus, 2.6)),
            self._item("works against", _rule(_color(theme.against), 2.6)),
            self._item(
                f"|score|, widest ≥ {number(self.scene.widest)}",
                Polygon([(0, 5), (22, 1.6), (22, 8.4)], fc=muted, ec="none"),
            ),
            self._item("parameters updated", Circle((11, 5), 4.4, fill=False, ec=ink, lw=1.5)),
            self._item("query, key, value", *_ports(muted)),
        ]
        rows = [first]
        if moment.base is not None:
            since = f"since step {self.timeline.steps[moment.base]:,}"
            second: list[Artist] = [
                TextArea(since, textprops={"fontsize": 8, "color": muted}),
                self._item("entered", _rule(_color(theme.supports, 0.25), 7), _rule(plus, 1.6)),
                self._item("left", _rule(plus, 1.3, DASH)),
            ]
            if self.scene.errors is not None:
                second += [
                    self._item(
                        "strengthened", _rule(_color(theme.text, 0.62), 5), _rule(plus, 2.6)
                    ),
                    self._item(
                        "weakened", _rule(plus, 2.8), _rule(_color(theme.bg, 0.8), 3.2, (0, (1, 2)))
                    ),
                    self._item(
                        "entered, left within the noise",
                        _rule(_color(theme.muted, 0.2), 7),
                        _rule(_color(theme.muted, 0.6), 1.3, DASH),
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
        words = TextArea(text, textprops={"fontsize": 8, "color": _color(self.theme.muted)})
        return HPacker(children=[icon, words], pad=0, sep=5, align="center")

    # ------------------------------------------------------------------ redundancy

    def _redundancy(self, figure: Figure, at: int) -> None:
        theme, view = self.theme, self.view
        words = {"qkv": "Redundancy of queries, keys, values", "steps": "Redundancy over steps"}
        title = f"{words.get(view.heat, 'Node redundancy')} ({ESTIMATORS[view.estimator]})"
        self._text(figure, RIGHT, 0.853, title, 10, theme.text, room=WIDE, weight="bold")
        axes = _panel(figure, (RIGHT, 0.515, WIDE, 0.322))
        if view.heat == "steps":
            self._over_steps(axes, at)
        else:
            self._cells(axes, at)
        bar = _panel(figure, (RIGHT + 0.135, 0.468, 0.1, 0.018))
        steps = np.linspace(0, 1, 101)
        strip = [[theme.fill(1 - (1 - share) ** 2) for share in steps]]
        bar.imshow(strip, aspect="auto", extent=(0, 1, 0, 1))
        bar.add_patch(Rectangle((0, 0), 1, 1, fill=False, ec=_color(theme.line), lw=1))
        small: dict[str, Any] = {"fontsize": 7.5, "color": _color(theme.muted)}
        for share in (0, 0.5, 0.9, 1):
            bar.text(
                legend_at(share), -0.35, f"{100 * share:.0f} %", ha="center", va="top", **small
            )
        bar.text(-0.08, 0.5, "needs all its inputs", ha="right", va="center", **small)
        bar.text(1.08, 0.5, "needs none", ha="left", va="center", **small)

    def _cells(self, axes: Axes, at: int) -> None:
        """Layers upwards, heads across, then the MLP; logits on top."""
        graph, theme, shares = self.timeline.graph, self.theme, self._shares(at)
        width, height = INCHES[0] * 72 * WIDE, INCHES[1] * 72 * 0.322
        margin, foot = 44.0, 14.0
        columns, rows = graph.n_heads + 1.35, graph.n_layers + 1.25
        w, h = (width - margin) / columns, min(34.0, (height - foot) / rows)
        gap = 1.6 if min(w, h) > 9 else 0.8 if min(w, h) > 5 else 0.4
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        boxes, colors = [], []
        chosen = []
        split = (self.timeline.split or {}).get(self.view.estimator)
        for n, name in enumerate(graph.nodes):
            layer = layer_of(name, graph.n_layers)
            if name == "input":
                continue
            y = (graph.n_layers - 1 - layer + 1.25) * h
            if name == "logits":
                place = (margin, 0.0, columns * w - gap, h - gap)
            elif name.startswith("m"):
                place = (margin + (graph.n_heads + 0.35) * w, y, w - gap, h - gap)
            else:
                place = (margin + int(name.split(".h")[1]) * w, y, w - gap, h - gap)
            if n in self.scene.selected:
                chosen.append(place)
            if self.view.heat == "qkv" and split is not None and name.startswith("a"):
                head = layer * graph.n_heads + int(name.split(".h")[1])
                third = place[2] / 3
                for part in range(3):
                    boxes.append((place[0] + part * third, place[1], third - gap / 2, place[3]))
                    colors.append(_color(theme.fill(float(split[at, head, part]))))
                continue
            boxes.append(place)
            colors.append(_color(theme.fill(float(shares[n]))))
        line = _color(theme.line)
        axes.add_collection(
            PolyCollection(
                [_corners(*box) for box in boxes], facecolors=colors, edgecolors=[line], lw=0.6
            )
        )
        for x, y, cw, ch in chosen:
            ring = Rectangle((x, y), cw, ch, fill=False, ec=_color(theme.accent), lw=2)
            axes.add_patch(ring)
        small: dict[str, Any] = {"fontsize": 7.5, "color": _color(theme.muted)}
        every = 1 if h >= 9 else math.ceil(11 / h)
        for layer in range(0, graph.n_layers, every):
            y = (graph.n_layers - 1 - layer + 1.25) * h + (h - gap) / 2
            text = f"layer {layer}" if every == 1 else str(layer)
            axes.text(margin - 6, y, text, ha="right", va="center", **small)
        axes.text(margin - 6, (h - gap) / 2, "logits", ha="right", va="center", **small)
        skip = 1 if w >= 16 else math.ceil(18 / w)
        bottom = (graph.n_layers + 1.25) * h + 2
        for head in range(0, graph.n_heads, skip):
            x = margin + (head + 0.5) * w - gap / 2
            axes.text(x, bottom, f"h{head}", ha="center", va="top", **small)
        x = margin + (graph.n_heads + 0.35 + 0.5) * w - gap / 2
        axes.text(x, bottom, "MLP", ha="center", va="top", **small)

    def _over_steps(self, axes: Axes, at: int) -> None:
        """Nodes upwards from the first layer, snapshots across, the shown one framed."""
        timeline, theme = self.timeline, self.theme
        values = timeline.redundancy[self.view.estimator][:, 1:]  # input has none
        count, rows = values.shape
        cells = np.array([[theme.fill(float(v)) for v in row] for row in values.T], dtype=np.uint8)
        axes.imshow(
            cells,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, count - 0.5, -0.5, rows - 0.5),
        )
        margin = 44 / (INCHES[0] * 72 * WIDE)
        axes.set_xlim(-0.5 - margin * count / (1 - margin), count - 0.5)
        axes.set_ylim(-0.5 - 0.06 * rows, rows - 0.5)
        axes.add_patch(
            Rectangle((at - 0.5, -0.5), 1, rows, fill=False, ec=_color(theme.accent), lw=1.6)
        )
        small: dict[str, Any] = {"fontsize": 7.5, "color": _color(theme.muted)}
        graph = timeline.graph
        tall = graph.n_heads + 1
        every = max(1, math.ceil(11 * rows / (INCHES[1] * 72 * 0.3) / tall))
        shift = -0.5 - 0.014 * count / (1 - margin)
        for layer in range(0, graph.n_layers, every):
            middle = layer * tall + (tall - 1) / 2
            axes.text(shift, middle, f"layer {layer}", ha="right", va="center", **small)
        foot = -0.5 - 0.015 * rows
        first = f"step {timeline.steps[0]:,}"
        axes.text(-0.5, foot, first, ha="left", va="top", **small)
        if count > 1:
            last = f"{timeline.steps[-1]:,}"
            axes.text(count - 0.5, foot, last, ha="right", va="top", **small)

    # ------------------------------------------------------------------ curves

    def _curves(self, figure: Figure, at: int) -> None:
        panels: dict[str, list[Curve]] = {}
        for curve in self.timeline.curves:
            panels.setdefault(curve.panel, []).append(curve)
        order = sorted(panels, key=lambda key: key not in ("metric", "faithfulness"))[:2]
        if not order:
            self._text(figure, RIGHT, 0.39, "Nothing was measured.", 9, self.theme.muted, room=WIDE)
            return
        space = 0.038
        wide = (WIDE - space * (len(order) - 1)) / len(order)
        for place, key in enumerate(order):
            left = RIGHT + place * (wide + space)
            self._plot(figure, left, wide, key, panels[key], at)

    def _plot(
        self, figure: Figure, left: float, wide: float, key: str, curves: list[Curve], at: int
    ) -> None:
        theme, steps = self.theme, self.timeline.steps
        step = steps[at]
        title = NAMES.get(key, _clean(key).capitalize())
        self._text(figure, left, 0.388, title, 10, theme.text, room=wide, weight="bold")
        for row, curve in enumerate(curves[:2]):
            label = self.timeline.metric if key == "metric" else curve.label
            words = f"{number(_at(curve, step))}  {_clean(label)}"
            color = theme.text if curve.kind == "main" else theme.muted
            prefix = "– – " if curve.kind == "reference" else "— " if len(curves) > 1 else ""
            lines = [prefix + words]
            if len(curves) == 1:
                lines = _lines(words, wide * INCHES[0] * 72, 7.5, 2)
            for line, text in enumerate(lines):
                y = 0.361 - 0.022 * (row + line)
                self._text(figure, left, y, text, 7.5, color, room=wide)
        inner = 0.026
        axes = figure.add_axes((left + inner, 0.085, wide - inner, 0.232))
        axes.set_facecolor("none")
        values = np.concatenate([c.values for c in curves])
        values = values[np.isfinite(values)]
        for curve in reversed(curves):
            main = curve.kind == "main"
            ink = _color(theme.text if main else theme.faint)
            dashes = "-" if main else (0, (4, 3))
            alone: dict[str, Any] = {"marker": "o", "ms": 3} if len(curve.values) == 1 else {}
            axes.plot(
                curve.steps, curve.values, color=ink, lw=1.6 if main else 1.2, ls=dashes, **alone
            )
            value = _at(curve, step)
            if math.isfinite(value):
                axes.plot(
                    [step],
                    [value],
                    "o",
                    ms=5,
                    mfc=_color(theme.accent if main else theme.faint),
                    mec=_color(theme.bg),
                    mew=1,
                    zorder=5,
                    clip_on=False,
                )
        axes.axvline(step, color=_color(theme.accent), lw=1.2, clip_on=False)
        axes.set_xlim(*((steps[0], steps[-1]) if len(steps) > 1 else (step - 0.5, step + 0.5)))
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        if key == "faithfulness":
            low, high = min(low, 0.0), max(high, 1.0)
        if key in ("loss", "retention"):
            low = min(low, 0.0)
        room = 0.06 * (high - low) or 0.5
        axes.set_ylim(low - (room if low else 0.0), high + room)
        axes.locator_params(axis="y", nbins=4)
        axes.set_xticks([steps[0], steps[-1]] if len(steps) > 1 else [step])
        axes.grid(axis="y", color=_color(theme.line), lw=0.6)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7.5, labelcolor=_color(theme.muted), pad=2)
        first, *rest = axes.get_xticklabels()
        first.set_horizontalalignment("left" if rest else "center")
        for last in rest:
            last.set_horizontalalignment("right")
        if not len(values):
            axes.text(
                0.5,
                0.5,
                "not measured",
                transform=axes.transAxes,
                ha="center",
                va="center",
                fontsize=8,
                color=_color(theme.muted),
            )


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
        size, half = 3.4 + 0.95 * width, 1.7 + 0.55 * width
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


def _panel(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """An empty area of the figure without frame and ticks."""
    axes = figure.add_axes(place)
    axes.set_axis_off()
    return axes


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


def _corners(x: float, y: float, w: float, h: float) -> list[tuple[float, float]]:
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


def _color(rgb: Rgb, alpha: float = 1.0) -> Color:
    return (rgb[0] / 255, rgb[1] / 255, rgb[2] / 255, alpha)


def _label(node: dict[str, Any]) -> str:
    kind = node["kind"]
    return f"h{node['unit']}" if kind == "head" else "MLP" if kind == "mlp" else kind


def _at(curve: Curve, step: int) -> float:
    """The value that was measured at a step; NaN if none was."""
    found = np.flatnonzero(curve.steps == step)
    return float(curve.values[found[0]]) if len(found) else math.nan


def number(value: float) -> str:
    """Up to three significant digits and a real minus sign, as the player writes it."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001:
        digits, power = f"{size:.0e}".split("e")
        text = f"{digits}e−{-int(power)}"
    else:
        places = 4 if size < 0.01 else 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
        text = f"{size:.{places}f}"
    return f"{'−' if value < 0 else ''}{text}"


@functools.cache
def _font(weight: str) -> FT2Font:
    """The font that texts are drawn in."""
    name = "DejaVuSans-Bold.ttf" if weight == "bold" else "DejaVuSans.ttf"
    return FT2Font(f"{get_data_path()}/fonts/ttf/{name}")


def _clean(text: str) -> str:
    """One line of signs that the font has."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:1000]).split())
    return "".join(c if _font("normal").get_char_index(ord(c)) else "□" for c in line)


def _lines(text: str, room: float, size: float, most: int) -> list[str]:
    """A text broken between words into at most that many lines of ``room`` points."""
    words, lines = text.split(" "), [""]
    for at, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip(" ") if lines[-1] else word
        if not lines[-1] or _fit(longer, room, size, "normal") == longer:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = " ".join([lines[-1], *words[at:]])
            break
    return lines


def _fit(text: str, room: float, size: float, weight: str) -> str:
    """A text cut to ``room`` points, with an ellipsis if anything is missing."""
    widths = [size * _advance(sign, weight) for sign in text]
    if sum(widths) <= room:
        return text
    left, kept = room - size * _advance("…", weight), 0
    while kept < len(widths) and widths[kept] <= left:
        left -= widths[kept]
        kept += 1
    return f"{text[:kept].rstrip()}…"


@functools.cache
def _advance(sign: str, weight: str) -> float:
    """How far a sign moves the pen, as a share of the font's size."""
    font = _font(weight)
    font.set_size(100, 72)
    return float(font.load_char(ord(sign)).linearHoriAdvance) / 65536 / 100
