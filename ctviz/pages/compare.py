"""Compare: two steps of a run, or several runs, as graph, overlap, trade-off and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from ctviz.errors import CtvizError, DamagedRun
from ctviz.pages.address import fill_in
from ctviz.pages.compare_sections import show_changes, show_charts, show_formation, show_table
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
from ctviz.pages.two_models import ask_two_models, show_difference
from ctviz.runs import open_run
from ctviz.runs.snapshot import nearest_snapshot
from ctviz.views import compare, compared
from ctviz.views.compared import MOST, Side
from ctviz.views.view import View

POLL = 3.0  # seconds between looks at a live run
CHOSEN, AGAINST, FIRST, SECOND = (f"compare-{name}" for name in ("runs", "against", "a", "b"))
LAST = "compared"  # the address when this page was last left


def main() -> None:
    """The page."""
    choice = runs_here(compared.asked(_query())[0] or ())
    runs, samples = choice.runs, choice.samples
    if (started := ask_two_models()) is not None:
        _go([started])
        st.rerun()
    if not runs:
        no_run()
        return
    chosen, against = _chosen(choice)
    if chosen:
        name_tab(choice, *chosen)
    st.session_state[CHOSEN] = chosen
    st.multiselect(
        "Runs",
        choice.offered(*chosen),
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
    st.fragment(_show, run_every=POLL if live else None)(chosen, against, live, choice.own_titles)
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


def _show(chosen: list[str], against: int | None, was_live: bool, titles: dict[str, str]) -> None:
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
    for run, label in zip(runs, compared.labels(runs, titles), strict=True):
        try:
            live = run.status().live or live
            sides.append(compared.read_side(run, label, damaged=damaged))
        except DamagedRun as error:
            st.error(plain(str(error)))
    for problem in damaged:
        st.warning(f"A snapshot is left out: {plain(str(problem))}")
    if len(runs) == 1 and show_difference(runs[0]):
        return
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
        show_formation(drawn)
        show_charts(drawn, None, shown)
    elif drawn:
        reference, shown = _steps(drawn[0], against)
        show_charts(drawn, reference, shown)
    if sides:
        show_table(sides)
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
    show_changes(compare.changes(first, second, step), title, step)
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
        reference = steps[nearest_snapshot(steps, against)]
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
    show_changes(
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
    step = steps[nearest_snapshot(steps, view.step)]
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


main()
