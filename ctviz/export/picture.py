"""Pictures of a run: one snapshot as PNG or SVG, all of them as an animated GIF.

The graph is laid out, coloured and marked as the player does it; beside it stand the redundancy of
the nodes and the curves with the step marked. The same run and view give the same bytes. Letters
come from DejaVu Sans, which matplotlib carries; a sign that it does not have is drawn as a box.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ctviz.errors import DamagedRun
from ctviz.export.draw_graph import ASPECT, GRAPH, GraphPanel
from ctviz.export.draw_panels import SidePanels
from ctviz.export.origin import sentence, timeline_of
from ctviz.export.scene import Scene
from ctviz.export.sheet import INCHES, clean, families, rgba, write
from ctviz.export.theme import THEMES, Rgb, Theme, ThemeName
from ctviz.runs import Run
from ctviz.runs.config import METHOD_NAMES
from ctviz.runs.snapshot import nearest_snapshot
from ctviz.runs.trust import Grade
from ctviz.views.timeline import Timeline
from ctviz.views.view import View

__all__ = [
    "GIF_SIZE",
    "MOST_FRAMES",
    "SIZE",
    "Animation",
    "Picture",
    "draw_animation",
    "draw_picture",
    "draw_timeline",
    "frames",
]

DPI, GIF_DPI = 150, 84
SIZE = tuple(int(side * DPI) for side in INCHES)  # pixels of a PNG
GIF_SIZE = tuple(int(side * GIF_DPI) for side in INCHES)
MOST_FRAMES = 80
DOTS: dict[Grade, str] = {"good": "●", "fair": "◐", "poor": "○", "none": "○"}
FRAME_MS, HOLD_MS = 360, 1800
STYLE: Any = {
    "svg.hashsalt": "ctviz",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "path.simplify": True,
}
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
    timeline = timeline_of(run, damaged=damaged)
    return draw_timeline(timeline, suffix, view, origin=sentence(run), theme=theme)


def draw_timeline(
    timeline: Timeline,
    suffix: Literal["png", "svg"],
    view: View | None = None,
    *,
    origin: str,
    theme: ThemeName = "light",
) -> Picture:
    """`draw_picture` of a timeline with a snapshot; ``origin`` says where it comes from.

    No step is written on a timeline whose ``run`` is empty.
    """
    drawing = _Drawing(timeline, origin, view or View(), THEMES[theme])
    steps = drawing.timeline.steps
    at = nearest_snapshot(steps, drawing.view.step)
    with DRAWING, rc_context({**STYLE, "font.family": drawing.families}):
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
    drawing = _Drawing(timeline, sentence(run), view or View(), THEMES[theme])
    shown = frames(len(timeline.steps))
    images = []
    with DRAWING, rc_context({**STYLE, "font.family": drawing.families}):
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

    def __init__(self, timeline: Timeline, origin: str, view: View, theme: Theme) -> None:
        self.timeline, self.view, self.theme = timeline, view, theme
        self.scene = Scene(timeline, view, ASPECT)
        self.graph, self.beside = GraphPanel(self.scene, theme), SidePanels(self.scene, theme)
        self.origin = clean(f"{origin} · {timeline.source}")
        said = (timeline.title, timeline.model, timeline.task, *timeline.names, self.origin)
        self.families = families(*said, *(c.label for c in timeline.curves))

    def figure(self, at: int, shown: list[int]) -> Figure:
        """The picture of a snapshot; ``shown``: all that are shown one after the other."""
        moment = self.scene.moment(at, self.scene.base(at, shown))
        figure = Figure(figsize=INCHES, facecolor=rgba(self.theme.bg))
        FigureCanvasAgg(figure)
        self._header(figure, at)
        self.graph.draw(figure, moment)
        self.beside.draw(figure, at)
        origin = self.origin
        if len(shown) < len(self.timeline.steps):
            origin += f" · {len(shown)} of {len(self.timeline.steps)} snapshots shown"
        write(figure, GRAPH[0], 0.022, origin, 7.5, self.theme.muted, room=0.944)
        return figure

    def _header(self, figure: Figure, at: int) -> None:
        timeline, theme = self.timeline, self.theme
        title = clean(timeline.title) or timeline.run
        write(figure, 0.028, 0.950, title, 16, theme.text, room=0.68, weight="bold")
        method = METHOD_NAMES.get(timeline.method, timeline.method)  # type: ignore[call-overload]
        about = clean(f"{timeline.model} · {timeline.task} · {method}")
        inside = int(self.timeline.circuit[at].sum())
        drawn = min(inside, len(self.scene.rows), self.scene.most(at))
        count = f"{inside:,}" if drawn == inside else f"{drawn:,} strongest of {inside:,}"
        about += f" · {count} circuit edges of {timeline.graph.n_edges:,}"
        if unknown := self.scene.unknown(at):
            about += f" · {unknown:,} scores are not numbers, drawn as 0"
        write(figure, 0.028, 0.918, about, 10, theme.muted, room=0.72)
        self._chip(figure, at, drawn)
        if not timeline.run:  # no run, no clock
            return
        step = f"step {timeline.steps[at]:,} of {timeline.steps[-1]:,}"
        if timeline.names:
            step = clean(timeline.names[at])
        write(figure, 0.972, 0.950, step, 16, theme.text, room=0.24, weight="bold", align="right")
        place = f"snapshot {at + 1} of {len(timeline.steps)}"
        write(figure, 0.972, 0.918, place, 10, theme.muted, room=0.2, align="right")

    def _chip(self, figure: Figure, at: int, drawn: int) -> None:
        """What can be said of the circuit's faithfulness, as above the player's graph."""
        if not self.timeline.trust:
            return
        said, inside = self.timeline.trust[at], int(self.timeline.circuit[at].sum())
        ink = self.theme.muted if said.grade == "none" else self.theme.text
        whose = f"all {inside:,} edges: " if drawn < inside and said.grade != "none" else ""
        words = f"{DOTS[said.grade]} {whose}{said.words}"
        write(figure, GRAPH[0], 0.886, words, 9.5, ink, room=GRAPH[2], weight="bold")
