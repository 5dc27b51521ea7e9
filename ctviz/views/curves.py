"""The figure of faithfulness over circuit sizes."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["draw_curves"]

# Okabe and Ito's colours, which colour-blind readers can tell apart
COLOURS = {"eap": "#0072b2", "eap-ig": "#d55e00", "exact": "#009e73", "random": "#7f7f7f"}
MARKERS = {"eap": "o", "eap-ig": "s", "exact": "D", "random": "x"}


def draw_curves(table: pd.DataFrame, areas: list[dict[str, Any]], suffix: str) -> bytes:
    """One panel a task; ``suffix`` is ``svg`` or ``png``.

    ``table`` has columns task, method, selection, draw, share, faithfulness, error; ``areas`` rows
    of task, method, cpr, cmd. Drawn are the circuits of largest size of score, with two standard
    errors over examples, and the mean of random circuits with their range.
    """
    tasks = list(dict.fromkeys(table["task"]))
    figure = Figure(figsize=(1 + 4.4 * len(tasks), 3.9), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        rows = table[table["task"] == task]
        found = {row["method"]: row for row in areas if row["task"] == task}
        _draw_panel(panel, rows, found)
        panel.set_title(task, loc="left")
        panel.set_xlabel("share of all edges in the circuit")
    panels[0].set_ylabel("faithfulness")
    target = io.BytesIO()
    if suffix == "svg":
        FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None})
    else:
        FigureCanvasAgg(figure)
        figure.savefig(target, format="png", dpi=150)
    return target.getvalue()


def _draw_panel(panel: Axes, rows: pd.DataFrame, found: dict[str, dict[str, Any]]) -> None:
    panel.axhline(1, color="#bbbbbb", linewidth=1, zorder=0)
    panel.axhline(0, color="#bbbbbb", linewidth=1, zorder=0)
    for method in dict.fromkeys(rows["method"]):
        area = found[method]
        label = f"{method}: CPR {area['cpr']:.2f}, CMD {area['cmd']:.2f}"
        style: dict[str, Any] = {
            "color": COLOURS[method],
            "marker": MARKERS[method],
            "markersize": 4,
        }
        mine = rows[rows["method"] == method]
        if method == "random":
            by_share = mine.groupby("share")["faithfulness"]
            middle, low, high = by_share.mean(), by_share.min(), by_share.max()
            panel.plot(middle.index, middle, label=label, **style)
            panel.fill_between(
                middle.index, low, high, color=style["color"], alpha=0.2, linewidth=0
            )
        else:
            mine = mine[mine["selection"] == "absolute"]
            panel.errorbar(
                mine["share"],
                mine["faithfulness"],
                yerr=2 * mine["error"],
                label=label,
                capsize=2,
                **style,
            )
    panel.set_xscale("log")
    panel.grid(axis="y", alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, loc="upper left")
