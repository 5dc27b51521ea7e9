"""What Compare shows below the player: the edges that differ, charts, and a table of the runs."""

from __future__ import annotations

from typing import get_args

import pandas as pd
import streamlit as st

from ctviz.pages.prompts import plain
from ctviz.runs.formation import one_series
from ctviz.views import compare, compared
from ctviz.views import compare_figures as figures
from ctviz.views.compare_figures import Across, Upright
from ctviz.views.compared import Side
from ctviz.views.formation import MEANING, course, formation_words

__all__ = ["show_changes", "show_charts", "show_formation", "show_table"]

TRADEOFF = (
    "Each path is a run, each mark a snapshot, larger at later steps. A run that does what it "
    "should goes up, and stays at the left."
)
COLUMNS = {
    "name": "run",
    "grade_after": "grade",
    "grade_before": "grade before",
    "kl": "KL",
    "perplexity_change": "perplexity change",
    "others_after": "other tasks",
    "others_before": "other tasks before",
    "metric_after": "metric",
    "metric_before": "metric before",
    "overlap_with_start": "circuit kept",
    "edges": "edges",
    "trained_fraction": "trained",
    "trained_parameters": "parameters a step",
    "seconds": "seconds",
    "steps": "steps",
    "seed": "seed",
    "method": "method",
    "task": "task",
    "model": "model",
    "state": "state",
    "grade": "grade is",
    "metric": "metric is",
    "dev_examples": "dev examples",
    "dev_pairs": "dev pairs",
    "test_examples": "test examples",
    "run": "folder",
}
HELPS = {
    "grade_after": "The task's own grade on test examples, when the run had ended. The curve above "
    "is of dev examples, at each snapshot, so the two need not agree.",
    "kl": "Nats a token from the model that the run began with, on neutral prompts, when the run "
    "had ended.",
    "perplexity_change": "Change of the perplexity of general English, when the run had ended.",
    "others_after": "Mean accuracy on those of them that are done above chance: by the untuned "
    "model, or by the last one that was recorded.",
    "metric_after": "Task metric on dev pairs at the last snapshot (dev examples of a task without "
    "pairs).",
    "overlap_with_start": "Overlap of the circuit at the last snapshot with that at the first.",
    "edges": "In the circuit, at the last snapshot.",
    "trained_fraction": "Share of the model's parameters that a step moved, mean over steps.",
    "seconds": "In training steps, without discovery for snapshots and without evaluation.",
}
SHARES = ("perplexity_change", "trained_fraction")
WHOLE = (
    *("edges", "trained_parameters", "steps", "seed"),
    *("dev_examples", "dev_pairs", "test_examples"),
)


def show_changes(found: pd.DataFrame, title: str, step: int) -> None:
    """Which edges the two circuits do not share, or hold at another strength."""
    counts = found["state"].value_counts()
    said = ", ".join(f"{counts.get(words, 0)} {words}" for words in compare.STATES.values())
    with st.expander(f"Edges, {plain(title)}: {said}"):
        st.caption(
            "A score is in units of the task metric. The same: in both, and B − A is no larger "
            "than two standard errors of the difference."
        )
        number = st.column_config.NumberColumn
        st.dataframe(
            found,
            hide_index=True,
            height=320,
            column_config={
                "before": number("A", format="%.4f"),
                "after": number("B", format="%.4f"),
                "difference": number("B − A", format="%.4f"),
                "error": number(
                    "± of the difference", format="%.4f", help="One standard error over examples."
                ),
            },
        )
        _downloads(found, f"edges-step-{step}")


def show_charts(drawn: list[Side], against: int | None, shown: int) -> None:
    """Trade-off and overlap of all runs; ``against`` is the reference step of a single one."""
    st.subheader("Task against what else changed")
    one, two, three = st.columns([2, 2, 1], vertical_alignment="bottom")
    uprights: dict[Upright, str] = {
        "metric": "task metric",
        "grade": " / ".join(dict.fromkeys(side.graded for side in drawn)),
    }
    upright = one.selectbox(
        "Up", get_args(Upright), format_func=uprights.__getitem__, key="compare-up"
    )
    across: Across = two.selectbox(
        "Across",
        get_args(Across),
        format_func=lambda name: figures.axis_name(name, drawn).partition(" (")[0],
        key="compare-across",
    )
    log = three.toggle("Log axis", key="compare-log", help="What is 0 is then left out.")
    st.caption(TRADEOFF)
    figure = figures.draw_tradeoff(drawn, upright, across, log=log)
    st.plotly_chart(figure, key="compare-tradeoff")
    st.subheader("Overlap of circuits")
    st.caption("Edges in both circuits by edges in either: 1 is the same circuit, 0 another one.")
    left, right = st.columns(2)
    left.plotly_chart(figures.draw_start(drawn, against=against), key="compare-start")
    if any(compared.alike(drawn[0], side) for side in drawn[1:]):
        right.plotly_chart(figures.draw_overlap(drawn), key="compare-first")
    if len(drawn) > 2:
        found = compare.pairs(drawn, shown)
        bar = st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.2f")
        ended = [(compared.letter(side), *compare.shown_at(side, shown)) for side in drawn]
        short = [f"{name} at step {step} (its last)" for name, step, over in ended if over]
        st.caption(", ".join([f"All pairs, at step {shown}", *short]))
        st.dataframe(
            found,
            hide_index=True,
            column_config={"name": "run"} | {letter: bar for letter in found.columns[1:]},
        )


def show_formation(drawn: list[Side]) -> None:
    """Of recordings of one series, a task each: which circuit forms first, and what they share."""
    if one_series([side.run for side in drawn]) is None:
        return
    courses = [course(side) for side in drawn]
    st.subheader("Which circuit forms first")
    st.markdown(plain(formation_words(courses)))
    st.caption(MEANING)
    st.plotly_chart(figures.draw_formation(courses), key="compare-formation")


def show_table(sides: list[Side]) -> None:
    """All runs in numbers, one row each."""
    found = compare.table(sides)
    st.subheader("In numbers")
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    titles = COLUMNS | {
        "grade_after": f"grade ({compare.examples_of(found, 'test_examples')})",
        "metric_after": f"metric ({compare.examples_of(found, 'dev_pairs')})",
    }
    config = {}
    for name, label in titles.items():
        if found[name].dtype.kind not in "if":
            config[name] = text(label, help=HELPS.get(name))
        else:
            form = "percent" if name in SHARES else "%.0f" if name in WHOLE else "%.4g"
            config[name] = number(label, format=form, help=HELPS.get(name))
    st.dataframe(found, hide_index=True, column_order=list(COLUMNS), column_config=config)
    _downloads(found, "runs")


def _downloads(frame: pd.DataFrame, name: str) -> None:
    """A table to take along, with all its digits."""
    one, two, _ = st.columns([1, 1, 4])
    for holder, suffix, mime, content in (
        (one, "csv", "text/csv", compare.as_csv(frame)),
        (two, "parquet", "application/vnd.apache.parquet", compare.as_parquet(frame)),
    ):
        holder.download_button(
            suffix.upper() if suffix == "csv" else "Parquet",
            content,
            f"ctviz-{name}.{suffix}",
            mime=mime,
            on_click="ignore",
            icon=":material/download:",
            key=f"download-{name}-{suffix}",
            width="stretch",
        )
