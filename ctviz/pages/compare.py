"""Compare: two steps of a run, or several runs, as graph, overlap, trade-off and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pandas as pd
import streamlit as st

from ctviz.errors import CtvizError, DamagedRun
from ctviz.pages.address import fill_in
from ctviz.pages.player import follow, player
from ctviz.pages.prompts import plain
from ctviz.pages.run_choice import (
    LONGEST,
    RunChoice,
    list_damaged,
    name_tab,
    no_run,
    runs_here,
)
from ctviz.pages.session import folders
from ctviz.runs import open_run
from ctviz.views import compare, compared
from ctviz.views import compare_figures as figures
from ctviz.views.compare_figures import AXES, Across, Upright
from ctviz.views.compared import MOST, Side
from ctviz.views.view import View

POLL = 3.0  # seconds between looks at a live run
CHOSEN, AGAINST, FIRST, SECOND = (f"compare-{name}" for name in ("runs", "against", "a", "b"))
LAST = "compared"  # the address when this page was last left

TRADEOFF = (
    "Each path is a run, each mark a snapshot, larger at later steps. A run that does what it "
    "should goes up, and stays at the left."
)
COLUMNS = {
    "name": "run",
    "grade_after": "grade",
    "grade_before": "score before",
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
    "grade": "score is",
    "metric": "metric is",
    "dev_examples": "dev examples",
    "test_examples": "test examples",
    "run": "folder",
}
HELPS = {
    "grade_after": "The task's own grade on test examples, when the run had ended. The curve above "
    "is of dev examples, at each snapshot, so the two need not agree.",
    "kl": "Nats a token from the untuned model on neutral prompts, when the run had ended.",
    "perplexity_change": "Change of the perplexity of general English, when the run had ended.",
    "others_after": "Mean accuracy on those tasks that the untuned model does above chance.",
    "metric_after": "Task metric on dev examples at the last snapshot.",
    "overlap_with_start": "Overlap of the circuit at the last snapshot with that at the first.",
    "edges": "In the circuit, at the last snapshot.",
    "trained_fraction": "Share of the model's parameters that a step moved, mean over steps.",
    "seconds": "In training steps, without discovery for snapshots and without evaluation.",
}
SHARES = ("perplexity_change", "trained_fraction")
WHOLE = ("edges", "trained_parameters", "steps", "seed", "dev_examples", "test_examples")


def main() -> None:
    """The page."""
    choice = runs_here()
    runs, samples = choice.runs, choice.samples
    if not runs:
        no_run()
        return
    chosen, against = _chosen(choice)
    if chosen:
        name_tab(*(runs[name] for name in chosen))
    st.session_state[CHOSEN] = chosen
    st.multiselect(
        "Runs",
        list(runs),
        key=CHOSEN,
        format_func=choice.titles.__getitem__,
        max_selections=MOST,
        on_change=lambda: _go(st.session_state[CHOSEN]),
        placeholder="Choose runs",
        help=f"One run: its steps are compared. Two to {MOST}: the runs are.",
    )
    list_damaged(choice)
    if len(runs) == len(samples):
        st.info(
            "There is no run but the samples, so two steps of one are compared. To compare "
            "methods, tasks or seeds, make a run on the page **Run**, or with `ctviz tune`.",
            icon=":material/science:",
        )
    if not chosen:
        st.info("Choose a run to compare its steps, or several to compare them with each other.")
        return
    live = any(runs[name].status().live for name in chosen)
    st.fragment(_show, run_every=POLL if live else None)(chosen, against, live)
    fill_in(st.session_state[LAST])


def _chosen(choice: RunChoice) -> tuple[list[str], int | None]:
    """What the address asks to be compared, or what was last, or what there is."""
    runs, samples = choice.runs, choice.samples
    query = _query()
    names, against = compared.asked(query)
    if names is None:
        query = compared.link(compared.default_choice(list(runs.values()), samples))
        names, against = compared.asked(query)
    st.session_state[LAST] = query
    wanted = names or []
    gone = [name for name in wanted if name not in runs]
    chosen = [name for name in wanted if name in runs]
    if gone:
        said = ", ".join(f"“{plain(name[:LONGEST])}”" for name in gone[:MOST])
        st.warning(
            f"Of the runs that the link names, {said} cannot be opened here; "
            + ("the others are compared." if chosen else "another one is shown."),
            icon=":material/search:",
        )
        if not chosen:
            chosen, against = compared.default_choice(list(runs.values()), samples), None
    if len(chosen) > MOST:
        st.warning(f"The link names {len(chosen)} runs; the first {MOST} are compared.")
    return chosen[:MOST], against


def _query() -> dict[str, str]:
    """What the address asks for, or on coming back from another page what was compared last."""
    query = st.query_params.to_dict()
    return query if "runs" in query else st.session_state.get(LAST, query)


def _go(runs: list[str], against: int | None = None, view: View | None = None) -> None:
    """Put what is compared, and how it is looked at, into the address."""
    shown = view.to_query() if view is not None else {}
    query = {**compared.link(runs, against), **shown}
    st.session_state[LAST] = query
    st.query_params.from_dict(query)


def _show(chosen: list[str], against: int | None, was_live: bool) -> None:
    """Everything about the chosen runs, in the order and against the step of the address."""
    names, step = compared.asked(_query())
    if names is not None:
        chosen, against = [name for name in names if name in chosen] or chosen, step
    runs, sides, live = [], [], False
    for name in chosen:
        try:
            runs.append(open_run(name, *folders()))
        except CtvizError as error:
            st.error(plain(str(error)))
    damaged: list[DamagedRun] = []
    for run, label in zip(runs, compared.labels(runs), strict=True):
        try:
            live = run.status().live or live
            sides.append(compared.read_side(run, label, damaged=damaged))
        except DamagedRun as error:
            st.error(plain(str(error)))
    for problem in damaged:
        st.warning(f"A snapshot is left out: {plain(str(problem))}")
    drawn = [side for side in sides if side.timeline is not None]
    for side in sides:
        if side.timeline is None:
            st.warning(
                f"{plain(side.label)} has no snapshot, so there is nothing of it to draw.",
                icon=":material/info:",
            )
    caveats = compared.caveats(sides)
    if caveats:
        st.info(plain(" ".join(caveats)), icon=":material/info:")
    if len(drawn) > 1:
        shown = _runs(sides, drawn)
        _charts(drawn, None, shown)
    elif drawn:
        reference, shown = _steps(drawn[0], against)
        _charts(drawn, reference, shown)
    if sides:
        _table(sides)
    if was_live and not live:
        st.rerun()


def _runs(sides: list[Side], drawn: list[Side]) -> int:
    """Two of the runs on one clock, and how their edges differ; returns the step shown."""
    order = [side.run.id for side in sides]
    by_id = {side.run.id: side for side in drawn}
    first, second = drawn[0], drawn[1]

    def changed(key: str) -> None:
        """The chosen run goes to the place of A or B, and what was there to where it was."""
        at = order.index((first if key == FIRST else second).run.id)
        to = order.index(st.session_state[key])
        order[at], order[to] = order[to], order[at]
        _go(order, view=View.from_query(_query()))

    left, right = st.columns(2)
    for holder, key, title, side in (
        (left, FIRST, "Reference (A)", first),
        (right, SECOND, "Compared with it (B)", second),
    ):
        st.session_state[key] = side.run.id
        holder.selectbox(
            title,
            list(by_id),
            key=key,
            format_func=lambda name: by_id[name].name,
            on_change=changed,
            args=(key,),
        )
    if not compared.alike(first, second):
        if len(drawn) > 2:
            st.info("The graphs of A and B differ. Choose another pair to compare its edges.")
        return compared.last_step(drawn)
    told = "Node colours and the inspector's numbers are A's; the heatmap shows B − A."
    if not compare.one_unit("metric", first, second):
        told += " Task metric and loss have other units in B: the player draws those of A alone."
    st.caption(told)
    payload = compare.pack_pair(first, second)
    step = _play(payload, f"{first.run.id}-{second.run.id}", order, None)
    title = compare.at_steps(first, second, step)
    _changes(compare.changes(first, second, step), title, step)
    return step


def _steps(side: Side, against: int | None) -> tuple[int, int]:
    """One run against itself at a step; returns that step and the one shown."""
    steps = side.timeline.steps if side.timeline is not None else []
    if len(steps) < 2:
        st.info(
            f"This run has one snapshot, of step {steps[0]}, so there is nothing to compare it "
            "with. Choose another run beside it.",
            icon=":material/info:",
        )
        return steps[0], steps[0]
    reference = steps[0]
    if against is not None:
        reference = min(steps, key=lambda step: abs(step - against))
        if reference != against:
            st.warning(
                f"There is no snapshot of step {against}; the nearest one is of step {reference}.",
                icon=":material/search:",
            )
    st.session_state[AGAINST] = reference
    st.select_slider(
        "Reference step (A)",
        steps,
        key=AGAINST,
        on_change=lambda: _go(
            [side.run.id],
            st.session_state[AGAINST],
            View.from_query(_query()),
        ),
        help="The player shows what each other step has gained and lost since, or has yet to.",
    )
    st.caption(
        f"A is step {reference}, B the step shown. Node colours and the inspector's numbers are "
        "A's; the heatmap shows B − A."
    )
    payload = compare.pack_steps(side, reference)
    step = _play(payload, side.run.id, [side.run.id], reference)
    _changes(
        compare.changes(side, side, step, against=reference),
        f"step {step} against step {reference}",
        step,
    )
    return reference, step


def _play(payload: dict[str, Any], name: str, order: list[str], against: int | None) -> int:
    """The player; returns the step that it rests at, at first the last one."""
    key = f"compare-{name}"
    view = View.from_query(_query())
    steps = payload["steps"]
    step = steps[-1] if view.step is None else min(steps, key=lambda s: abs(s - view.step))
    if view.step not in (None, step):
        st.warning(
            f"There is no snapshot of step {view.step}; the nearest one is of step {step}.",
            icon=":material/search:",
        )

    def changed() -> None:
        seen = follow(key)
        if seen is not None:
            _go(order, against, seen)

    player(payload, key=key, view=replace(view, step=step), on_change=changed)
    return int(step)


def _changes(found: pd.DataFrame, title: str, step: int) -> None:
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


def _charts(drawn: list[Side], against: int | None, shown: int) -> None:
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
        format_func=lambda name: AXES[name].partition(" (")[0],
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


def _table(sides: list[Side]) -> None:
    """All runs in numbers."""
    found = compare.table(sides)
    st.subheader("In numbers")
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    titles = COLUMNS | {
        "grade_after": f"score ({compare.examples_of(found, 'test')})",
        "metric_after": f"metric ({compare.examples_of(found, 'dev')})",
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


main()
