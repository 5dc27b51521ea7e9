"""Runs, or steps of one run, side by side: the player's payload and the tables.

The first run is A, the reference, and every difference is B - A.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from ctviz.runs.abilities import PREFIX
from ctviz.runs.changes import edge_changes, overlap
from ctviz.runs.config import start_of
from ctviz.runs.snapshot import Snapshot
from ctviz.views.compared import (
    Side,
    alike,
    drawn,
    held,
    letter,
    merged,
    on_one_graph,
)
from ctviz.views.naming import task_name
from ctviz.views.packing import pack
from ctviz.views.timeline import Curve, Timeline

__all__ = [
    "STATES",
    "as_csv",
    "as_parquet",
    "at_steps",
    "changes",
    "examples_of",
    "one_unit",
    "pack_pair",
    "pack_steps",
    "pairs",
    "shown_at",
    "table",
]

PAYLOADS = 4  # kept as they are sent, for as long as no run says anything new
PANELS = ("metric", "grade", "faithfulness", "retention", "loss", "others", "perplexity")
STATES = {  # what `ctviz.runs.changes.edge_changes` finds, between A and B
    "entered": "only in B",
    "left": "only in A",
    "strengthened": "stronger in B",
    "weakened": "weaker in B",
    "reversed": "of opposite sign",
    "noise": "the same",
}


# ---------------------------------------------------------------------- the player's payload


@lru_cache(maxsize=PAYLOADS)
def pack_pair(first: Side, second: Side) -> dict[str, Any]:
    """The payload of run B against run A on the clock of both, which must be `alike`.

    ``other`` holds ``last_step``, that of B's last snapshot, and ``note``, which says in a sentence
    which of the two the clock goes beyond, if it does. Curves that have not `one_unit` are A's.
    """
    one, other = on_one_graph(first, second)
    steps = merged(one.steps, other.steps)
    curves = []
    for series, side in enumerate((first, second)):
        for curve in drawn(side).curves:
            shared = series == 0 or one_unit(curve.panel, first, second)
            if curve.kind == "main" and curve.panel in PANELS and shared:
                label = f"{'AB'[series]} · {side.graded}" if curve.panel == "grade" else side.short
                if curve.key.startswith(f"{PREFIX}."):
                    label = f"{'AB'[series]} · {curve.label}"
                curves.append(_series(curve, series, label, steps))
    curves.sort(key=lambda curve: PANELS.index(curve.panel))
    payload = _pack(
        one.on_clock(steps, held(one.steps, steps).tolist()),
        other.on_clock(steps, held(other.steps, steps).tolist()),
        title=f"{second.label} against {first.label}",
        names=(first.short, second.short),
        curves=tuple(curves),
    )
    if not one_unit("metric", first, second):
        payload["metric"] = f"of A alone: {one.metric}"
    payload["other"]["last_step"] = other.steps[-1]
    for name, last in (("A", one.steps[-1]), ("B", other.steps[-1])):
        if last < steps[-1]:
            payload["other"]["note"] = (
                f"{name}'s last snapshot is of step {last}; after that it is shown as it was then"
            )
    return payload


@lru_cache(maxsize=PAYLOADS)
def pack_steps(side: Side, against: int) -> dict[str, Any]:
    """The payload of a run against itself at step ``against``, one of its snapshots."""
    timeline = drawn(side)
    at = [timeline.steps.index(against)] * len(timeline.steps)
    return _pack(
        timeline.on_clock(timeline.steps, at),
        timeline.on_clock(timeline.steps, range(len(at))),
        title=f"{timeline.title}: each step against step {against}",
        names=(f"step {against}", "the step shown"),
        curves=timeline.curves,
    )


def one_unit(panel: str, first: Side, second: Side) -> bool:
    """Whether a panel's curves of two runs can share an axis."""
    if panel == "grade":
        return first.judged_by == second.judged_by
    if panel not in ("metric", "loss"):
        return True
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
    payload["other"]["one_unit"] = one.metric == other.metric
    starts = {start_of(one.method), start_of(other.method)}
    payload["start"] = starts.pop() if len(starts) == 1 else "the start of each"
    return payload


def _both(one: str, other: str) -> str:
    return one if one == other else f"A: {one}; B: {other}"


# ---------------------------------------------------------------------- tables


def table(sides: Sequence[Side]) -> pd.DataFrame:
    """One row a run; what it did not get to, or did not measure, is missing.

    ``metric_*`` is the mean over dev pairs at the first and last snapshot (for a task without
    pairs, over dev examples; ``dev_pairs`` are as many); ``grade_*`` the
    task's grade on test examples, ``kl`` (nats a token), ``perplexity_*`` and ``others_*`` what
    else changed, all three measured when the run ended. ``trained_parameters`` are those that a
    step moved and ``trained_fraction`` their share of the model, means over steps; ``seconds`` the
    sum over training steps, without snapshots; ``overlap_with_start`` that of the circuit at the
    last snapshot with that at the first.
    """
    return pd.DataFrame([_row(side) for side in sides])


def examples_of(found: pd.DataFrame, what: Literal["dev_pairs", "test_examples"]) -> str:
    """On how many examples the numbers of a `table` are, in words, if it is the same for all."""
    counts, said = found[what].dropna().unique(), what.replace("_", " ")
    return f"{counts[0]:,.0f} {said}" if len(counts) == 1 else said


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
        "grade": side.judged_by,
        "grade_before": before.get(side.judged_by),
        "grade_after": after.get(side.judged_by),
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
        "dev_pairs": about.get("pairs", {}).get("dev", about.get("examples")),
        "test_examples": before.get("test_examples"),
        "run": run.id,
    }
    texts = ("name", "model", "task", "method", "state", "metric", "grade", "run")
    return {key: value if key in texts else _float(value) for key, value in row.items()}


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def changes(first: Side, second: Side, step: int, *, against: int | None = None) -> pd.DataFrame:
    """One row for each edge of either circuit, largest difference first.

    Of A at ``against`` (by default at ``step`` too) and B at ``step``, each held on its own clock:
    edge, before (A), after (B), difference and error as in `ctviz.runs.changes.edge_changes`, and
    its state in the words of `STATES`.
    """
    one, other = on_one_graph(first, second)
    found = edge_changes(
        _snapshot(one, step if against is None else against), _snapshot(other, step), one.graph
    )
    found.insert(3, "difference", found["after"] - found["before"])
    found["state"] = found["state"].map(STATES)
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


def shown_at(side: Side, step: int) -> tuple[int, bool]:
    """The step of the snapshot that a side holds at a step, and whether it ended before that."""
    steps = drawn(side).steps
    return steps[int(held(steps, [step])[0])], step > steps[-1]


def at_steps(first: Side, second: Side, step: int) -> str:
    """B against A at a step of their clock, in words, with the steps that they are shown at."""
    (one, one_ended), (other, other_ended) = shown_at(first, step), shown_at(second, step)
    if one == other == step:
        return f"B against A at step {step}"
    return (
        f"B at step {other}{' (its last)' if other_ended else ''} against A at step "
        f"{one}{' (its last)' if one_ended else ''}"
    )


def pairs(sides: Sequence[Side], step: int) -> pd.DataFrame:
    """Overlap of the circuits of all pairs at a step, each held on its own clock.

    One row a run, and a column a run under its letter; missing where the graphs differ.
    """
    rows = [
        {"name": one.label} | {letter(other): _overlap_at(one, other, step) for other in sides}
        for one in sides
    ]
    return pd.DataFrame(rows)


def as_csv(frame: pd.DataFrame) -> bytes:
    """A table as comma-separated values, all digits."""
    return str(frame.to_csv(index=False)).encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    """A table as a Parquet file."""
    kept = io.BytesIO()
    frame.to_parquet(kept, index=False)
    return kept.getvalue()


def _overlap_at(one: Side, other: Side, step: int) -> float:
    if not alike(one, other):
        return math.nan
    first, second = on_one_graph(one, other)
    at, beside = held(first.steps, [step]), held(second.steps, [step])
    return float(overlap(first.circuit[at], second.circuit[beside])[0])
