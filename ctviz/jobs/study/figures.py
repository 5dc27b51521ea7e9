"""Static figures of a study: task grade beside forgetting, and where the weights changed."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ctviz.look import look

__all__ = ["draw_layers", "draw_tradeoff"]

STYLES = {  # color and mark
    "circuit": ("vermillion", "o"),
    "full": ("blue", "^"),
    "random": ("grey", "s"),
    "lora": ("green", "v"),
    "frozen-circuit": ("orange", "D"),
    "circuit-and-random": ("mauve", "P"),
}
SPARE = (("azure", "X"), ("olive", "*"), ("mauve", "p"), ("orange", "h"), ("green", "<"))


def _style(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Colour and mark of an arm: its method's, or of those with another name the next to spare."""
    if name in STYLES:
        color, mark = STYLES[name]
    else:
        color, mark = SPARE[[n for n in names if n not in STYLES].index(name) % len(SPARE)]
    return look()["palette"][color], mark


def draw_front(
    steps: pd.DataFrame,
    names: Sequence[str],
    judged: str,
    target: float,
    suffix: str,
    *,
    title: str,
) -> bytes:
    """Grade over the distance from the untuned model, along the steps: a line for each arm and
    learning rate, means over seeds, with a dashed line at the target grade.

    ``steps``: see `ctviz.jobs.study.front.target_grade`; ``names``: of the arms, in order.
    """
    with rc_context({"svg.hashsalt": "ctviz", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        panel = figure.subplots()
        for name in names:
            color, mark = _style(name, names)
            mine = steps[steps["arm"] == name]
            means = mine.groupby(["rate", "step"], as_index=False)[["grade", "kl"]].mean()
            rates = sorted(means["rate"].unique())
            for at, rate in enumerate(rates):
                run = means[(means["rate"] == rate) & (means["step"] > 0)]
                panel.plot(
                    run["kl"],
                    run["grade"],
                    marker=mark,
                    color=color,
                    ms=4,
                    lw=0.8 + 0.5 * at,  # the higher the rate, the thicker
                    alpha=0.85,
                    label=name if at == len(rates) - 1 else None,
                )
        panel.axhline(target, color="black", lw=0.8, ls="--")
        panel.set_xscale("log")
        panel.set_xlabel("KL from the untuned model (nats a token, neutral prompts)")
        panel.set_ylabel(f"{judged.replace('_', ' ')} on dev examples")
        panel.legend(fontsize=7, frameon=False)
        figure.suptitle(f"{title}. Thicker lines: higher rates", fontsize=10)
        _plain(panel)
        return _bytes(figure, suffix)


def draw_tradeoff(
    runs: pd.DataFrame, names: Sequence[str], judged: str, suffix: str, *, title: str
) -> bytes:
    """Score on the task over three measures of what else changed.

    ``runs`` are the finished runs of a study's results, ``names`` its arms. Large marks are
    means over the seeds of the chosen rate, with standard deviations; small ones are single runs:
    filled for its seeds, hollow on a thin line for seed 0 at the other learning rates. A cross is
    the untuned model.
    """
    panels = [
        ("retention_kl", "KL from the untuned model\n(nats a token, neutral prompts)"),
        ("perplexity", "perplexity of general English"),
        ("other_accuracy", "accuracy on other tasks"),
    ]
    panels = [panel for panel in panels if f"{panel[0]}_after" in runs]
    with rc_context({"svg.hashsalt": "ctviz", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.3 * len(panels), 3.2), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for panel, (name, label) in zip(axes, panels, strict=True):
            _one_tradeoff(panel, runs, names, judged, name)
            panel.set_xlabel(label)
        axes[0].set_ylabel(f"{judged.replace('_', ' ')} on test examples")
        axes[0].legend(fontsize=7, frameon=False)
        figure.suptitle(title, fontsize=10)
        return _bytes(figure, suffix)


def draw_layers(runs: pd.DataFrame, names: Sequence[str], suffix: str, *, title: str) -> bytes:
    """How far each layer's weights have gone, as a share of their norm; means over seeds."""
    with rc_context({"svg.hashsalt": "ctviz", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for panel, kind in zip(axes, ("attention", "mlp"), strict=True):
            prefix = f"moved_{kind}_"
            columns = [c for c in runs if c.startswith(prefix) and int(c[len(prefix) :]) >= 0]
            columns.sort(key=lambda c: int(c[len(prefix) :]))
            for arm, mine in runs.groupby("arm", sort=False):
                layers = [int(c[len(prefix) :]) for c in columns]
                values = mine[columns].astype(float).mean().tolist()
                panel.plot(
                    layers,
                    values,
                    color=_style(str(arm), names)[0],
                    label=str(arm),
                    lw=1.4,
                )
            panel.set_title("MLP" if kind == "mlp" else "attention", fontsize=9)
            panel.set_xlabel("layer")
            _plain(panel)
        axes[0].set_ylabel("|change| / |weights|")
        axes[1].legend(fontsize=7, frameon=False)
        figure.suptitle(title, fontsize=10)
        return _bytes(figure, suffix)


def _one_tradeoff(
    panel: Axes, runs: pd.DataFrame, names: Sequence[str], judged: str, name: str
) -> None:
    for arm, all_runs in runs.groupby("arm", sort=False):
        color, mark = _style(str(arm), names)
        tried = all_runs[all_runs["seed"] == 0].sort_values("rate")
        x, y = (tried[f"{c}_after"].astype(float) for c in (name, judged))
        panel.plot(x, y, marker=mark, color=color, ms=4, mfc="none", mew=0.7, lw=0.6, alpha=0.7)
        mine = all_runs[all_runs["chosen"].astype(bool)]
        if not len(mine):
            continue
        x, y = (mine[f"{c}_after"].astype(float) for c in (name, judged))
        panel.plot(x, y, mark, color=color, ms=3, alpha=0.5, mec="none")
        bars = {} if len(mine) < 2 else {"xerr": x.std(), "yerr": y.std()}
        panel.errorbar(
            [x.mean()], [y.mean()], fmt=mark, color=color, ms=7, lw=1, label=str(arm), **bars
        )
    values = runs[f"{name}_after"].astype(float)
    if name == "perplexity" and values.max() > 5 * values.min():
        panel.set_xscale("log")
    before = runs.iloc[0]
    x0, y0 = float(before[f"{name}_before"]), float(before[f"{judged}_before"])
    if math.isfinite(x0) and math.isfinite(y0):
        panel.plot([x0], [y0], "x", color="black", ms=7, label="untuned")
    _plain(panel)


def _plain(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25, lw=0.5)


def _bytes(figure: Figure, suffix: str) -> bytes:
    FigureCanvasAgg(figure)
    kept = io.BytesIO()
    metadata = {"Date": None} if suffix == "svg" else {"Software": None}
    figure.savefig(kept, format=suffix, dpi=160, metadata=metadata)
    return kept.getvalue()
