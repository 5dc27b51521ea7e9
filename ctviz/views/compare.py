"""Runs, or steps of one run, side by side: what is compared, payload, tables and figures.

Two runs are put on one clock, the sorted union of the steps of both: at each step a run is as in
its last snapshot at or before it, and before its first as in that. The first run is A, the
reference, and every difference is B - A.
"""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ctviz.dynamics import edge_changes
from ctviz.errors import DamagedRun
from ctviz.runs import Run
from ctviz.snapshot import Snapshot
from ctviz.views.naming import METHODS, task_name
from ctviz.views.recorded import recorded
from ctviz.views.timeline import Curve, Timeline, pack

__all__ = [
    "AXES",
    "MOST",
    "Across",
    "Side",
    "Upright",
    "alike",
    "as_csv",
    "as_parquet",
    "asked",
    "caveats",
    "changes",
    "default_choice",
    "draw_overlap",
    "draw_start",
    "draw_tradeoff",
    "labels",
    "last_step",
    "link",
    "merged",
    "overlap",
    "pack_pair",
    "pack_steps",
    "pairs",
    "read_side",
    "table",
]

MOST = 6  # runs at a time
LETTERS = "ABCDEF"
LONGEST, SHORT = 60, 22  # characters of a label, and of one in the player

# Okabe and Ito's, told apart by colour-blind people, with a lightness that stands out from white
# and from black by 3 : 1 at least. Marks and dashes say the same again.
COLOURS = ("#1F86C9", "#D55E00", "#009E73", "#C26A9B", "#C08400", "#7F7F7F")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

Upright = Literal["metric", "score"]
Across = Literal["retention_kl", "perplexity", "other_accuracy", "step"]
AXES: dict[Across, str] = {
    "retention_kl": "KL from the untuned model (nats a token, neutral prompts)",
    "perplexity": "perplexity of general English",
    "other_accuracy": "accuracy on other tasks",
    "step": "training step",
}
PANELS = ("metric", "score", "faithfulness", "retention", "loss", "others", "perplexity")
DIFFERENT_UNITS = ("metric", "score", "loss")  # panels that only runs of one task and metric share


# ---------------------------------------------------------------------- what is compared


def asked(query: Mapping[str, str]) -> tuple[list[str] | None, int | None]:
    """Run ids of a link (None if it names none at all) and the step to compare against."""
    text = query.get("runs")
    names = None
    if text is not None:
        names = list(dict.fromkeys(unquote(name) for name in text.split(",") if name))
    against = query.get("against", "")
    return names, int(against) if against.isdecimal() and len(against) < 16 else None


def link(runs: Sequence[str], against: int | None = None) -> dict[str, str]:
    """The parameters that `asked` reads."""
    query = {"runs": ",".join(quote(run, safe="") for run in runs)}
    return query if against is None else {**query, "against": str(against)}


def default_choice(runs: Sequence[Run], samples: Iterable[str]) -> list[str]:
    """What to compare if nobody said: the newest run, with another one of its model and task.

    ``runs`` are newest first; only those with two snapshots count, as long as there are any, and
    ``samples`` come last, the longest first. With nothing beside it, a run is compared with itself.
    """
    shipped = set(samples)
    count = {run.id: len(run.snapshot_files()) for run in runs}
    usable = [run for run in runs if count[run.id] > 1] or list(runs)
    usable.sort(key=lambda run: (run.id in shipped, -count[run.id] if run.id in shipped else 0))
    if not usable:
        return []
    first = usable[0]
    alike = [
        run
        for run in usable[1:]
        if (run.config.model, run.config.task) == (first.config.model, first.config.task)
    ]
    alike.sort(key=lambda run: run.config.method == first.config.method)
    return [run.id for run in (first, *alike[:1])]


def labels(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: a letter, the method, and as little else as tells them apart.

    A run by itself has no letter.
    """
    parts = [_parts(run) for run in runs]
    telling = ["method"]
    for name in ("task", "model", "seed", "edges", "rate", "steps", "created"):
        if len({part[name] for part in parts}) > 1 and (
            name in ("task", "model") or len(set(_said(parts, telling))) < len(parts)
        ):
            telling.append(name)
    said = [_clip(text) for text in _said(parts, telling)]
    for i, run in enumerate(runs):
        if said.count(said[i]) > 1:
            said[i] = _clip(f"{parts[i]['method']}, {run.id}")
    if len(said) < 2:
        return said
    return [f"{letter} · {name}" for letter, name in zip(LETTERS, said, strict=False)]


def _said(parts: Sequence[Mapping[str, str]], telling: Sequence[str]) -> list[str]:
    return [", ".join(part[name] for name in telling) for part in parts]


def _parts(run: Run) -> dict[str, str]:
    config = run.config
    return {
        "method": METHODS[config.method],
        "task": task_name(run),
        "model": Path(config.model).name,
        "seed": f"seed {config.seed}",
        "edges": f"{config.edges} edges",
        "rate": f"rate {config.learning_rate:g}",
        "steps": f"{config.steps} steps",
        "created": str(run.about.get("created", ""))[:19].replace("T", " "),
    }


def _clip(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the runs compared; ``metrics`` has a row for each of its snapshots.

    ``timeline`` is None for a run without a snapshot.
    """

    run: Run
    label: str
    timeline: Timeline | None
    metrics: pd.DataFrame

    @property
    def name(self) -> str:
        """The label without its letter."""
        return self.label.rpartition(" · ")[2]

    @property
    def short(self) -> str:
        """The label, as long as there is room for in the player."""
        return _clip(self.label, SHORT)

    @property
    def judged_by(self) -> str:
        """Name of the task's own score."""
        return str(self.run.about.get("task", {}).get("judged_by", "accuracy"))

    @property
    def metric(self) -> str:
        """What the scores and the task metric are in units of."""
        return str(self.run.about.get("task", {}).get("metric", "metric"))

    @property
    def model(self) -> tuple[str, str]:
        """Name and revision of the untuned model."""
        about = self.run.about.get("model", {})
        return str(about.get("name", self.run.config.model)), str(about.get("revision", ""))


def read_side(run: Run, label: str, *, damaged: list[DamagedRun] | None = None) -> Side:
    """A run as it is on disk now; damaged snapshots are left out and put into ``damaged``.

    Raises DamagedRun if the run cannot be read, or says too little of itself.
    """
    try:
        timeline = recorded(run, damaged=damaged)
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, DamagedRun):
            raise
        raise DamagedRun(f"{run.folder} cannot be compared: {error!r}.") from error
    metrics = run.metrics()
    if "metric" not in metrics:
        metrics = pd.DataFrame({"step": pd.Series(dtype=int)})
    else:
        metrics = metrics[metrics["metric"].notna()]
    if timeline is not None and not timeline.steps:
        timeline = None
    return Side(run, label, timeline, metrics.reset_index(drop=True))


def caveats(sides: Sequence[Side]) -> list[str]:
    """Sentences on what makes the runs hard to compare."""
    said = []
    drawn = [side for side in sides if side.timeline is not None]
    shapes = {side.timeline.graph for side in drawn if side.timeline is not None}
    if len(shapes) > 1:
        said.append(
            "Models of different graphs have no edges in common, so there is no edge-level "
            "comparison of them and no overlap; everything else can be compared."
        )
    elif len({side.model for side in sides}) > 1:
        said.append(
            "These are different models of one shape: an edge of the same name need not do the "
            "same in both, so overlap between them means little."
        )
    if len({(side.metric, task_name(side.run)) for side in sides}) > 1:
        said.append(
            "These runs have different tasks or metrics: their scores are in different units, and "
            "each task has an axis of its own."
        )
    elif len({side.run.about.get("examples") for side in drawn}) > 1:
        said.append("These runs were measured on different numbers of dev examples.")
    sizes = {int(side.timeline.circuit[-1].sum()) for side in drawn if side.timeline is not None}
    if len(shapes) == 1 and len(sizes) > 1 and max(sizes):
        said.append(
            f"At the end the circuits have from {min(sizes)} to {max(sizes)} edges, so the "
            f"smallest and the largest overlap by no more than {min(sizes) / max(sizes):.2f}."
        )
    return said


# ---------------------------------------------------------------------- the player's payload


def merged(*clocks: Sequence[int]) -> list[int]:
    """The steps of all, sorted."""
    return sorted({step for clock in clocks for step in clock})


def last_step(sides: Sequence[Side]) -> int:
    """The last step at which any of them has a snapshot; one of them must."""
    return max(side.timeline.steps[-1] for side in sides if side.timeline is not None)


def held(own: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """Index of the snapshot that a run holds at each step."""
    return np.maximum(np.searchsorted(own, steps, side="right") - 1, 0)


def pack_pair(first: Side, second: Side) -> dict[str, Any]:
    """The payload of run B against run A on the clock of both. Their graphs must be the same."""
    one, other = _drawn(first), _drawn(second)
    steps = merged(one.steps, other.steps)
    curves = []
    for series, side in enumerate((first, second)):
        for curve in _drawn(side).curves:
            shared = curve.panel not in DIFFERENT_UNITS or series == 0 or _same_units(first, second)
            if curve.kind == "main" and curve.panel in PANELS and shared:
                curves.append(_series(curve, series, side.short, steps))
    curves.sort(key=lambda curve: PANELS.index(curve.panel))
    return _pack(
        one.on_clock(steps, held(one.steps, steps).tolist()),
        other.on_clock(steps, held(other.steps, steps).tolist()),
        title=f"{second.label} against {first.label}",
        names=(first.short, second.short),
        curves=tuple(curves),
    )


def pack_steps(side: Side, against: int) -> dict[str, Any]:
    """The payload of a run against itself at step ``against``, one of its snapshots."""
    timeline = _drawn(side)
    at = [timeline.steps.index(against)] * len(timeline.steps)
    return _pack(
        timeline.on_clock(timeline.steps, at),
        timeline.on_clock(timeline.steps, range(len(at))),
        title=f"{timeline.title}: each step against step {against}",
        names=(f"step {against}", "the step shown"),
        curves=timeline.curves,
    )


def _drawn(side: Side) -> Timeline:
    assert side.timeline is not None, "only runs with a snapshot are drawn"
    return side.timeline


def _same_units(first: Side, second: Side) -> bool:
    return (first.metric, task_name(first.run), first.run.config.objective) == (
        second.metric,
        task_name(second.run),
        second.run.config.objective,
    )


def _series(curve: Curve, series: int, label: str, steps: Sequence[int]) -> Curve:
    inside = (curve.steps >= steps[0]) & (curve.steps <= steps[-1])
    return replace(
        curve,
        key=f"{curve.key}:{series}",
        label=label,
        steps=curve.steps[inside],
        values=curve.values[inside],
        series=series,
    )


def _pack(
    one: Timeline,
    other: Timeline,
    *,
    title: str,
    names: tuple[str, str],
    curves: tuple[Curve, ...],
) -> dict[str, Any]:
    sentences = {
        key: _both(text, other.provenance.get(key, "")) for key, text in one.provenance.items()
    }
    shown = replace(
        one,
        title=title,
        model=_both(one.model, other.model),
        task=_both(one.task, other.task),
        method=_both(one.method, other.method),
        metric=_both(one.metric, other.metric),
        state="running" if "running" in (one.state, other.state) else one.state,
        source=_both(one.source, other.source),
        curves=curves,
        provenance=sentences,
    )
    payload = pack(shown, beside=other)
    payload["label"], payload["other"]["label"] = names
    return payload


def _both(one: str, other: str) -> str:
    return one if one == other else f"A: {one}; B: {other}"


# ---------------------------------------------------------------------- tables


def table(sides: Sequence[Side]) -> pd.DataFrame:
    """One row a run; what it did not get to, or did not measure, is missing.

    ``metric_*`` is the mean over dev examples at the first and last snapshot; ``score_*`` the
    task's score on test examples, ``kl`` (nats a token), ``perplexity_*`` and ``others_*`` what
    else changed, all three measured when the run ended. ``trained_parameters`` are those that a
    step moved and ``trained_fraction`` their share of the model, means over steps; ``seconds`` the
    sum over training steps, without snapshots; ``overlap_with_start`` that of the circuit at the
    last snapshot with that at the first.
    """
    return pd.DataFrame([_row(side) for side in sides])


def _row(side: Side) -> dict[str, Any]:
    run, about, config = side.run, side.run.about, side.run.config
    steps = run.metrics().reindex(columns=["step", "trained_fraction", "seconds"])
    before, after = about.get("before") or {}, about.get("after") or {}
    fraction = steps["trained_fraction"].mean()
    parameters = about.get("model", {}).get("parameters", math.nan)
    one, last = before.get("perplexity"), after.get("perplexity")
    timeline = side.timeline
    row = {
        "name": side.label,
        "model": side.model[0],
        "task": task_name(run),
        "method": config.method,
        "seed": config.seed,
        "state": run.status().state,
        "steps": int(steps["step"].max()) if len(steps) else 0,
        "edges": math.nan if timeline is None else int(timeline.circuit[-1].sum()),
        "metric": side.metric,
        "metric_before": side.metrics["metric"].iloc[0] if len(side.metrics) else math.nan,
        "metric_after": side.metrics["metric"].iloc[-1] if len(side.metrics) else math.nan,
        "score": side.judged_by,
        "score_before": before.get(side.judged_by),
        "score_after": after.get(side.judged_by),
        "kl": after.get("retention_kl"),
        "perplexity_before": one,
        "perplexity_after": last,
        "perplexity_change": last / one - 1 if one and last is not None else None,
        "others_before": before.get("other_accuracy"),
        "others_after": after.get("other_accuracy"),
        "trained_parameters": fraction * parameters,
        "trained_fraction": fraction,
        "seconds": steps["seconds"].sum(min_count=1),
        "overlap_with_start": math.nan
        if timeline is None
        else float(overlap(timeline.circuit[-1:], timeline.circuit[:1])[0]),
        "dev_examples": about.get("examples"),
        "test_examples": before.get("test_examples"),
        "run": run.id,
    }
    texts = ("name", "model", "task", "method", "state", "metric", "score", "run")
    return {key: value if key in texts else _float(value) for key, value in row.items()}


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def changes(first: Side, second: Side, step: int, *, against: int | None = None) -> pd.DataFrame:
    """One row for each edge of either circuit, largest difference first.

    Of A at ``against`` (by default at ``step`` too) and B at ``step``, each held on its own clock:
    edge, before (A), after (B), difference, error and state as in `ctviz.dynamics.edge_changes`.
    """
    one, other = _drawn(first), _drawn(second)
    found = edge_changes(
        _snapshot(one, step if against is None else against), _snapshot(other, step), one.graph
    )
    found.insert(3, "difference", found["after"] - found["before"])
    order = found["difference"].abs().sort_values(ascending=False, kind="stable").index
    return found.loc[order].reset_index(drop=True)


def _snapshot(timeline: Timeline, step: int) -> Snapshot:
    """What is known of the edges at a step."""
    at = int(held(timeline.steps, [step])[0])
    return Snapshot(
        step=timeline.steps[at],
        scores=timeline.scores[at],
        circuit=timeline.circuit[at],
        tuned=np.zeros_like(timeline.circuit[at]),
        redundancy={},
        metrics={},
        probes=(),
        error=None if timeline.errors is None else timeline.errors[at],
    )


def pairs(sides: Sequence[Side], step: int) -> pd.DataFrame:
    """Overlap of the circuits of all pairs at a step, each held on its own clock.

    One row a run, and a column a run under its letter; missing where the graphs differ.
    """
    letters = [side.label.partition(" ")[0] for side in sides]
    rows = [
        {"name": one.label}
        | {
            letter: _overlap_at(one, other, step)
            for letter, other in zip(letters, sides, strict=True)
        }
        for one in sides
    ]
    return pd.DataFrame(rows)


def as_csv(frame: pd.DataFrame) -> bytes:
    """A table as comma-separated values, all digits."""
    return frame.to_csv(index=False).encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    """A table as a Parquet file."""
    kept = io.BytesIO()
    frame.to_parquet(kept, index=False)
    return kept.getvalue()


# ---------------------------------------------------------------------- figures


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Edges in both circuits by edges in either (Jaccard), over the last two axes; 1 if none."""
    both = (one & other).sum(axis=(-2, -1))
    either = (one | other).sum(axis=(-2, -1))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


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
    """Overlap of each run's circuit with that of the first run, over the clock of the two."""
    figure = go.Figure()
    first = sides[0]
    for at, side in enumerate(sides):
        if at == 0 or not alike(first, side):
            continue
        steps, values = _overlap_over(first, side)
        hover = [
            _hover(side, step, f"overlap with {first.label}: {value:.2f}")
            for step, value in zip(steps, values, strict=True)
        ]
        _line(figure, at, side.label, steps, values.tolist(), hover)
    return _over_steps(figure, f"overlap with {first.label}")


def draw_tradeoff(
    sides: Sequence[Side], upright: Upright, across: Across, *, log: bool = False
) -> go.Figure:
    """Each run as a path over its snapshots: task metric or score over what else changed.

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
        better = _better(sides[members[0]]) if upright == "score" else "higher"
        told = f"{task}: " if len(groups) > 1 else ""
        titles.append(_text(_clip(f"{told}{unit}", 90)) + f" ({better} is better)")
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
    figure.update_xaxes(title_text=AXES[across], row=n)
    if not drawn:
        figure.add_annotation(text="not measured", showarrow=False, xref="paper", yref="paper")
    return _laid_out(figure, height=80 + 280 * n)


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
        _hover(side, step, f"{name.replace('_', ' ')}: {y:.4g}", f"{AXES[across]}: {x:.4g}")
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


def alike(one: Side, other: Side) -> bool:
    """Whether both have circuits in the same graph."""
    pair = one.timeline, other.timeline
    return pair[0] is not None and pair[1] is not None and pair[0].graph == pair[1].graph


def _overlap_over(one: Side, other: Side) -> tuple[list[int], np.ndarray]:
    first, second = _drawn(one), _drawn(other)
    steps = merged(first.steps, second.steps)
    return steps, overlap(
        first.circuit[held(first.steps, steps)], second.circuit[held(second.steps, steps)]
    )


def _overlap_at(one: Side, other: Side, step: int) -> float:
    if not alike(one, other):
        return math.nan
    first, second = _drawn(one), _drawn(other)
    at, beside = held(first.steps, [step]), held(second.steps, [step])
    return float(overlap(first.circuit[at], second.circuit[beside])[0])


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
    config, about = side.run.config, side.run.about
    said = (
        f"{side.label}, step {step}",
        *lines,
        f"{METHODS[config.method]}, seed {config.seed}, {about.get('examples', '?')} dev examples",
        f"run {side.run.id}",
    )
    return "<br>".join(_text(line) for line in said)


def _text(text: str) -> str:
    """A text as Plotly shows it, which would take some of it for markup."""
    return html.escape(text, quote=False)
