"""The figure of faithfulness over circuit sizes."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ctviz.look import look

__all__ = ["draw_curves"]

# Okabe and Ito's colours, which colour-blind readers can tell apart
COLOURS = {"eap": "blue", "eap-ig": "vermillion", "exact": "green", "random": "grey"}
MARKERS = {"eap": "o", "eap-ig": "s", "exact": "D", "random": "x"}


def draw_curves(
    table: pd.DataFrame, areas: list[dict[str, Any]], suffix: str, *, title: str
) -> bytes:
    """One panel a task below a title; ``suffix`` is ``svg`` or ``png``.

    ``table`` has columns task, method, selection, draw, share, faithfulness, error; ``areas`` rows
    of task, method, examples, cpr, cmd. Solid: circuits of the largest \\|scores\\|, with two
    standard errors over examples; CMD is the area between them and 1. Dashed: circuits of the
    largest scores; CPR is the area under them. Grey: the mean of random circuits, and their range.
    """
    with rc_context({"svg.hashsalt": "ctviz"}):  # the same table, the same file
        return _draw(table, areas, suffix, title)


def _draw(table: pd.DataFrame, areas: list[dict[str, Any]], suffix: str, title: str) -> bytes:
    tasks = list(dict.fromkeys(table["task"]))
    figure = Figure(figsize=(1 + 4.4 * len(tasks), 4.8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        rows = table[table["task"] == task]
        found = {row["method"]: row for row in areas if row["task"] == task}
        _draw_panel(panel, rows, found)
        examples = next(iter(found.values()))["examples"]
        panel.set_title(f"{task}, {examples} pairs", loc="left", fontsize=10)
        panel.set_xlabel("edges in the circuit, share of all (areas: on a linear axis)")
    panels[0].set_ylabel("faithfulness: share of the behaviour")
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
        cpr, cmd = f"CPR {area['cpr']:.2f}", f"CMD {area['cmd']:.2f}"
        colour = look()["palette"][COLOURS[method]]
        style: dict[str, Any] = {"color": colour, "marker": MARKERS[method], "markersize": 4}
        mine = rows[rows["method"] == method]
        if method == "random":
            by_share = mine.groupby("share")["faithfulness"]
            middle, low, high = by_share.mean(), by_share.min(), by_share.max()
            label = f"random, mean of {mine['draw'].nunique()} and range: {cpr}, {cmd}"
            panel.plot(middle.index, middle, label=label, **style)
            panel.fill_between(middle.index, low, high, color=colour, alpha=0.2, linewidth=0)
        else:
            by_size = mine[mine["selection"] == "absolute"]
            by_sign = mine[mine["selection"] == "signed"]
            x, y = by_size["share"], by_size["faithfulness"]
            panel.plot(x, y, label=f"{method}, largest |scores|: {cmd}", **style)
            panel.errorbar(x, y, 2 * by_size["error"], fmt="none", ecolor=colour, capsize=2)
            x, y = by_sign["share"], by_sign["faithfulness"]
            label = f"{method}, largest scores: {cpr}"
            panel.plot(x, y, "--", label=label, color=colour, linewidth=1)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    panel.set_xlim(0.0009, 1.1)
    panel.grid(axis="y", alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17))
