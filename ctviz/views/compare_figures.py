"""Figures of a comparison: overlap of circuits over the steps, and the trade-off with the rest."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ctviz.look import look
from ctviz.runs.changes import overlap
from ctviz.runs.config import METHOD_NAMES
from ctviz.runs.formation import HALF, Course, sharing
from ctviz.runs.measured import measured_on
from ctviz.views.compared import Side, alike, clip, drawn, held, merged, on_one_graph
from ctviz.views.naming import task_name

__all__ = [
    "AXES",
    "Across",
    "Upright",
    "axis_name",
    "draw_formation",
    "draw_overlap",
    "draw_start",
    "draw_tradeoff",
]

# A and B as in the player, told apart by colour-blind people, with a lightness that stands out from
# white and from black by 3 : 1 at least. Marks and dashes say the same again.
COLOURS: list[str] = look()["figures"]["series"]
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
TICKS = 12  # labels of the members of a series

Upright = Literal["metric", "grade"]
Across = Literal["retention_kl", "perplexity", "other_accuracy", "step"]
AXES: dict[Across, str] = {
    "retention_kl": "KL from {start} (nats a token, neutral prompts)",
    "perplexity": "perplexity of general English",
    "other_accuracy": "accuracy on other tasks",
    "step": "training step",
}


def axis_name(across: Across, sides: Sequence[Side]) -> str:
    """What an axis of the trade-off is called for these runs."""
    starts = {side.run.config.start for side in sides}
    return AXES[across].format(start=starts.pop() if len(starts) == 1 else "the start of each")


def draw_start(sides: Sequence[Side], *, against: int | None = None) -> go.Figure:
    """Overlap of each run's circuit with its own at the first snapshot, over training steps.

    ``against``: of one run, also the overlap with the circuit at that step.
    """
    figure = go.Figure()
    for at, side in enumerate(sides):
        if side.timeline is None:
            continue
        references = {side.timeline.steps[0]: 0}
        if against is not None:
            references[against] = int(held(side.timeline.steps, [against])[0])
        for line, (step, index) in enumerate(references.items()):
            values = overlap(side.timeline.circuit, side.timeline.circuit[index : index + 1])
            name = side.label if against is None else f"with step {step}"
            hover = [
                _hover(side, own, f"overlap with its step {step}: {value:.2f}")
                for own, value in zip(side.timeline.steps, values, strict=True)
            ]
            _line(figure, at + line, name, side.timeline.steps, values.tolist(), hover)
    return _over_steps(figure, "overlap with its own start" if against is None else "overlap")


def draw_overlap(sides: Sequence[Side]) -> go.Figure:
    """Overlap of each run's circuit with that of the first run, over the clock of the two.

    A line ends with the shorter run of the two.
    """
    figure = go.Figure()
    first = sides[0]
    for at, side in enumerate(sides):
        if at == 0 or not alike(first, side):
            continue
        steps, values = _overlap_over(first, side)
        own, theirs = (
            [run.steps[at] for at in held(run.steps, steps)] for run in (drawn(side), drawn(first))
        )
        hover = [
            _hover(side, step, f"overlap with {first.label} at step {there}: {value:.2f}")
            for step, there, value in zip(own, theirs, values, strict=True)
        ]
        _line(figure, at, side.label, steps, values.tolist(), hover)
    return _over_steps(figure, f"overlap with {first.label}")


def draw_tradeoff(
    sides: Sequence[Side], upright: Upright, across: Across, *, log: bool = False
) -> go.Figure:
    """Each run as a path over its snapshots: task metric or grade over what else changed.

    Marks grow with the step; the first and the last are labelled with it. Runs whose metric or task
    differ have panels of their own. ``log``: the horizontal axis is logarithmic; what is 0 on it,
    such as the KL at step 0, has no place there.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for at, side in enumerate(sides):
        unit = side.metric if upright == "metric" else side.judged_by.replace("_", " ")
        groups.setdefault((unit, task_name(side.run)), []).append(at)
    titles = []
    for (unit, task), members in groups.items():
        better = _better(sides[members[0]]) if upright == "grade" else "higher"
        if upright == "grade":
            unit = " / ".join(dict.fromkeys(sides[at].graded for at in members))
        told = f"{task}: " if len(groups) > 1 else ""
        titles.append(_text(clip(f"{told}{unit}", 90)) + f" ({better} is better)")
    n = max(1, len(groups))
    figure = make_subplots(
        rows=n, cols=1, shared_xaxes="all", vertical_spacing=0.24 / n, subplot_titles=titles
    )
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    drawn = False
    for row, members in enumerate(groups.values(), start=1):
        for at in members:
            drawn = _path(figure, sides[at], at, upright, across, row, log) or drawn
    figure.update_xaxes(tickformat="~g", type="log" if log else "linear")
    figure.update_xaxes(title_text=axis_name(across, sides), row=n)
    if not drawn:
        figure.add_annotation(text="not measured", showarrow=False, xref="paper", yref="paper")
    return _laid_out(figure, height=80 + 280 * n)


def draw_formation(courses: Sequence[Course]) -> go.Figure:
    """Over the members of the series, evenly spaced: above, of each task how far its circuit is the
    last one, and its grade (dotted); below, what each two circuits share."""
    titles = (
        "Circuit: overlap with its last one. Dotted: grade",
        "Two circuits: edges in both by edges in either. Dotted: heads and MLPs",
    )
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.14, subplot_titles=titles
    )
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    clock = sorted({step for each in courses for step in each.steps})
    names = {step: name for each in courses for step, name in each.names.items()}
    said = [names.get(step, f"step {step:,}") for step in clock]
    place = {step: at for at, step in enumerate(clock)}

    def line(
        row: int, colour: int, name: str, steps: Sequence[int], values: np.ndarray, dash: str
    ) -> None:
        figure.add_scatter(
            x=[place[step] for step in steps],
            y=[None if np.isnan(value) else float(value) for value in values],
            mode="lines+markers",
            name=_text(name),
            hovertext=[
                _text(f"{name}, {said[place[step]]}: {value:.2f}")
                for step, value in zip(steps, values, strict=True)
            ],
            hoverinfo="text",
            line={"color": COLOURS[colour % len(COLOURS)], "width": 2, "dash": dash},
            marker={"symbol": MARKS[colour % len(MARKS)], "size": 6},
            row=row,
            col=1,
        )

    for at, each in enumerate(courses):
        line(1, at, f"{each.task}: circuit", each.steps, each.with_last, "solid")
        graded = f"{each.task}: {each.graded.replace('_', ' ')}"
        line(1, at, graded, each.steps, each.grade, "dot")
    for at, found in enumerate(sharing(courses), start=len(courses)):
        both = " and ".join(found.tasks)
        line(2, at, f"{both}: edges", found.steps, found.edges, "solid")
        line(2, at, f"{both}: heads and MLPs", found.steps, found.nodes, "dot")
    figure.add_hline(y=HALF, line={"width": 1, "dash": "dash"}, opacity=0.4, row=1, col=1)
    figure.update_yaxes(range=[0, 1.04])
    ticks = sorted({round(at) for at in np.linspace(0, len(clock) - 1, min(TICKS, len(clock)))})
    texts = [_text(said[at].removeprefix("step ")) for at in ticks]
    figure.update_xaxes(tickmode="array", tickvals=ticks, ticktext=texts)
    figure.update_xaxes(title_text="training step, members evenly spaced", row=2)
    return _laid_out(figure, height=600)


def _path(
    figure: go.Figure,
    side: Side,
    at: int,
    upright: Upright,
    across: Across,
    row: int,
    log: bool,
) -> bool:
    """Draw one run; returns whether anything of it could be drawn."""
    name = "metric" if upright == "metric" else side.judged_by
    rows = side.metrics.reindex(columns=list(dict.fromkeys(["step", name, across])))
    rows = rows.astype(float).replace([np.inf, -np.inf], np.nan).dropna()
    if log:
        rows = rows[rows[across] > 0]
    if not len(rows):
        return False
    steps = rows["step"].astype(int).tolist()
    share = np.linspace(0, 1, len(rows)) if len(rows) > 1 else np.ones(1)
    texts = ["" for _ in steps]
    texts[0], texts[-1] = f"step {steps[0]}", f"step {steps[-1]}"
    hover = [
        _hover(
            side,
            step,
            f"{name.replace('_', ' ')}: {y:.4g}",
            f"{axis_name(across, [side])}: {x:.4g}",
        )
        for step, y, x in zip(steps, rows[name], rows[across], strict=True)
    ]
    figure.add_scatter(
        x=rows[across].tolist(),
        y=rows[name].tolist(),
        mode="lines+markers+text",
        name=_text(side.label),
        text=texts,
        textposition="top center",
        textfont_size=11,
        cliponaxis=False,
        hovertext=hover,
        hoverinfo="text",
        marker={
            "color": COLOURS[at],
            "symbol": MARKS[at],
            "size": (5 + 7 * share).tolist(),
            "line": {"width": 0},
            "opacity": 1,
        },
        line={"color": COLOURS[at], "width": 1.5},
        row=row,
        col=1,
    )
    return True


def _better(side: Side) -> str:
    return str(side.run.about.get("task", {}).get("better", "higher"))


def _line(
    figure: go.Figure, at: int, name: str, x: list[int], y: list[float], hover: list[str]
) -> None:
    at %= len(COLOURS)
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name=_text(name),
        hovertext=hover,
        hoverinfo="text",
        line={"color": COLOURS[at], "width": 2, "dash": DASHES[at]},
        marker={"color": COLOURS[at], "symbol": MARKS[at], "size": 6},
    )


def _over_steps(figure: go.Figure, name: str) -> go.Figure:
    figure.update_xaxes(title_text="training step")
    figure.update_yaxes(title_text=_text(name), range=[0, 1.04])
    return _laid_out(figure)


def _laid_out(figure: go.Figure, *, height: int = 360) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"l": 10, "r": 16, "t": 32, "b": 10},
        showlegend=True,
        legend={"orientation": "h", "y": -80 / (height - 80), "yanchor": "top", "x": 0},
        hoverlabel={"align": "left"},
    )


def _hover(side: Side, step: int, *lines: str) -> str:
    """What a point says of itself: the numbers, and where they come from."""
    config = side.run.config
    on = measured_on(side.run.about, config)
    said = (
        f"{side.label}, step {step}",
        *lines,
        f"{METHOD_NAMES[config.method]}, seed {config.seed}",
        f"edges scored on {on.scored}, metric on {on.metric}, faithfulness on {on.judged}",
        f"run {side.run.id}",
    )
    return "<br>".join(_text(line) for line in said)


def _text(text: str) -> str:
    """A text as Plotly shows it, which would take some of it for markup."""
    return html.escape(text, quote=False)


def _overlap_over(one: Side, other: Side) -> tuple[list[int], np.ndarray]:
    first, second = on_one_graph(one, other)
    end = min(first.steps[-1], second.steps[-1])
    steps = [step for step in merged(first.steps, second.steps) if step <= end]
    return steps, overlap(
        first.circuit[held(first.steps, steps)], second.circuit[held(second.steps, steps)]
    )
