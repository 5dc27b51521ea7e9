"""What stands beside the graph of a picture: redundancy of the nodes, and the curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ctviz.circuits.graph import layer_of
from ctviz.circuits.redundancy import mass_name
from ctviz.export.scene import Scene
from ctviz.export.sheet import INCHES, clean, panel, rgba, wrapped, write
from ctviz.export.theme import Theme, legend_at
from ctviz.runs.config import UNTUNED, start_of
from ctviz.views.numbers import number
from ctviz.views.timeline import Curve

__all__ = ["SidePanels"]

RIGHT, WIDE = 0.622, 0.350  # left and width of the column
NAMES = {
    "metric": "Task metric",
    "faithfulness": "Faithfulness",
    "heads": "Best head on repeats",
    "loss": "Training loss",
    "retention": "Forgetting (KL from untuned)",
}


class SidePanels:
    """The column beside the graph of a scene, in the colours of a theme."""

    def __init__(self, scene: Scene, theme: Theme) -> None:
        self.scene, self.theme = scene, theme
        self.timeline, self.view = scene.timeline, scene.view

    def draw(self, figure: Figure, at: int) -> None:
        """The column at a snapshot."""
        self._redundancy(figure, at)
        self._curves(figure, at)

    def _redundancy(self, figure: Figure, at: int) -> None:
        theme, view = self.theme, self.view
        words = {"qkv": "Redundancy of queries, keys, values", "steps": "Redundancy over steps"}
        mass = mass_name(self.timeline.tau)
        estimator = mass if view.estimator == "mass" else view.estimator
        title = f"{words.get(view.heat, 'Node redundancy')} ({estimator})"
        write(figure, RIGHT, 0.853, title, 10, theme.text, room=WIDE, weight="bold")
        axes = panel(figure, (RIGHT, 0.515, WIDE, 0.322))
        if view.heat == "steps":
            self._over_steps(axes, at)
        else:
            self._cells(axes, at)
        bar = panel(figure, (RIGHT + 0.135, 0.468, 0.1, 0.018))
        steps = np.linspace(0, 1, 101)
        strip = [[theme.fill(1 - (1 - share) ** 2) for share in steps]]
        bar.imshow(strip, aspect="auto", extent=(0, 1, 0, 1))
        bar.add_patch(Rectangle((0, 0), 1, 1, fill=False, ec=rgba(theme.line), lw=1))
        small: dict[str, Any] = {"fontsize": 7.5, "color": rgba(theme.muted)}
        for share in (0, 0.5, 0.9, 1):
            bar.text(
                legend_at(share), -0.35, f"{100 * share:.0f} %", ha="center", va="top", **small
            )
        bar.text(-0.08, 0.5, "needs all its inputs", ha="right", va="center", **small)
        bar.text(1.08, 0.5, "needs none", ha="left", va="center", **small)

    def _cells(self, axes: Axes, at: int) -> None:
        """Layers upwards, heads across, then the MLP; logits on top."""
        graph, theme, shares = self.timeline.graph, self.theme, self.scene.shares(at)
        width, height = INCHES[0] * 72 * WIDE, INCHES[1] * 72 * 0.322
        margin, foot = 44.0, 14.0
        wide = max(1.0, graph.mlp_blocks / 3)  # columns of the MLP
        columns, rows = graph.n_heads + 0.35 + wide, graph.n_layers + 1.25
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
                each = (wide * w - gap) / graph.mlp_blocks
                x = margin + (graph.n_heads + 0.35) * w + int(name.partition(".b")[2] or 0) * each
                place = (x, y, each, h - gap)
            else:
                place = (margin + int(name.split(".h")[1]) * w, y, w - gap, h - gap)
            if n in self.scene.selected:
                chosen.append(place)
            if self.view.heat == "qkv" and split is not None and name.startswith("a"):
                head = layer * graph.n_heads + int(name.split(".h")[1])
                third = place[2] / 3
                for part in range(3):
                    boxes.append((place[0] + part * third, place[1], third - gap / 2, place[3]))
                    colors.append(rgba(theme.fill(float(split[at, head, part]))))
                continue
            boxes.append(place)
            colors.append(rgba(theme.fill(float(shares[n]))))
        line = rgba(theme.line)
        axes.add_collection(
            PolyCollection(
                [_corners(*box) for box in boxes], facecolors=colors, edgecolors=[line], lw=0.6
            )
        )
        for x, y, cw, ch in chosen:
            ring = Rectangle((x, y), cw, ch, fill=False, ec=rgba(theme.accent), lw=2)
            axes.add_patch(ring)
        small: dict[str, Any] = {"fontsize": 7.5, "color": rgba(theme.muted)}
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
        x = margin + (graph.n_heads + 0.35 + wide / 2) * w - gap / 2
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
            Rectangle((at - 0.5, -0.5), 1, rows, fill=False, ec=rgba(theme.accent), lw=1.6)
        )
        small: dict[str, Any] = {"fontsize": 7.5, "color": rgba(theme.muted)}
        graph = timeline.graph
        tall = graph.n_heads + graph.mlp_blocks
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

    def _curves(self, figure: Figure, at: int) -> None:
        panels: dict[str, list[Curve]] = {}
        for curve in self.timeline.curves:
            panels.setdefault(curve.panel, []).append(curve)
        order = sorted(panels, key=lambda key: key not in ("metric", "faithfulness"))[:2]
        if not order:
            write(figure, RIGHT, 0.39, "Nothing was measured.", 9, self.theme.muted, room=WIDE)
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
        self._caption(figure, left, wide, key, curves, step)
        inner = 0.026
        axes = figure.add_axes((left + inner, 0.085, wide - inner, 0.232))
        axes.set_facecolor("none")
        values = np.concatenate([c.values for c in curves])
        values = values[np.isfinite(values)]
        for curve in reversed(curves):
            main = curve.kind == "main"
            ink = rgba(theme.text if main else theme.faint)
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
                    mfc=rgba(theme.accent if main else theme.faint),
                    mec=rgba(theme.bg),
                    mew=1,
                    zorder=5,
                    clip_on=False,
                )
        axes.axvline(step, color=rgba(theme.accent), lw=1.2, clip_on=False)
        axes.set_xlim(*((steps[0], steps[-1]) if len(steps) > 1 else (step - 0.5, step + 0.5)))
        axes.set_ylim(*_limits(key, values))
        axes.locator_params(axis="y", nbins=4)
        axes.set_xticks([steps[0], steps[-1]] if len(steps) > 1 else [step])
        axes.grid(axis="y", color=rgba(theme.line), lw=0.6)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7.5, labelcolor=rgba(theme.muted), pad=2)
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
                color=rgba(theme.muted),
            )

    def _caption(
        self, figure: Figure, left: float, wide: float, key: str, curves: list[Curve], step: int
    ) -> None:
        """The panel's name and, below it, what its curves are at the step."""
        theme = self.theme
        title = NAMES.get(key, clean(key).capitalize())
        if key == "retention" and (start := start_of(self.timeline.method)) != UNTUNED:
            title = f"KL from {start}"
        write(figure, left, 0.388, title, 10, theme.text, room=wide, weight="bold")
        for row, curve in enumerate(curves[:2]):
            label = self.timeline.metric if key == "metric" else curve.label
            words = f"{_readout(key, _at(curve, step))}  {clean(label)}"
            color = theme.text if curve.kind == "main" else theme.muted
            prefix = "– – " if curve.kind == "reference" else "— " if len(curves) > 1 else ""
            lines = [prefix + words]
            if len(curves) == 1:
                lines = wrapped(words, wide * INCHES[0] * 72, 7.5, 2)
            for line, text in enumerate(lines):
                y = 0.361 - 0.022 * (row + line)
                write(figure, left, y, text, 7.5, color, room=wide)


def _limits(key: str, values: np.ndarray) -> tuple[float, float]:
    """The values at the foot and at the top of a panel."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if key == "faithfulness":
        low, high = min(low, 0.0), max(high, 1.0)
    if key in ("loss", "retention"):
        low = min(low, 0.0)
    room = 0.06 * (high - low) or 0.5
    return low - (room if low else 0.0), high + room


def _readout(key: str, value: float) -> str:
    """A number of a panel; of a faithfulness, what is not seen in thousandths is none."""
    return number(round(value, 3) + 0.0 if key == "faithfulness" else value)


def _corners(x: float, y: float, w: float, h: float) -> list[tuple[float, float]]:
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


def _at(curve: Curve, step: int) -> float:
    """The value that was measured at a step; NaN if none was."""
    found = np.flatnonzero(curve.steps == step)
    return float(curve.values[found[0]]) if len(found) else math.nan
