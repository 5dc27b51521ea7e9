"""Watch: play a run's circuit over its training steps, while it runs or afterwards."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ctviz.errors import CtvizError, DamagedRun
from ctviz.pages.address import fill_in
from ctviz.pages.came_of import came_of
from ctviz.pages.keep import keep
from ctviz.pages.player import asked_of, follow, group_change, player
from ctviz.pages.prompts import plain
from ctviz.pages.run_choice import (
    choose_run,
    list_damaged,
    name_tab,
    no_run,
    run_is_gone,
    runs_here,
)
from ctviz.pages.session import folders, standby
from ctviz.pages.underway import POLL, show_underway
from ctviz.pages.welcome import welcome
from ctviz.runs import Run, Status, open_run
from ctviz.runs.causes import read_causes
from ctviz.runs.groups import NodeGroup, change_groups, read_groups
from ctviz.runs.monotone import RULE
from ctviz.runs.snapshot import nearest_snapshot
from ctviz.views.first_sight import first_sight
from ctviz.views.recorded import packed, recorded, self_organized
from ctviz.views.timeline import Timeline
from ctviz.views.view import View

FIRST = "sample-tiny-sva"  # what a newcomer sees, as it is at its end
LAST = "watch:last"  # the address when this page was last seen


def main() -> None:
    """The page."""
    query = _query()
    linked = query.get("run")
    choice = runs_here([linked or ""])
    if not choice.runs:
        no_run()
        return
    if linked is not None and linked not in choice.runs:
        run_is_gone(linked)
    if linked is None and FIRST in choice.runs:
        query = {**_at_end(choice.runs[FIRST]), **query, "run": FIRST}
    usual = FIRST if FIRST in choice.runs else next(iter((*choice.samples, *choice.runs)))
    name = usual if linked is None or linked not in choice.runs else linked
    run = choice.runs[name]
    name_tab(choice, name)
    st.session_state["watched"] = name
    st.session_state[LAST] = {**query, "run": name}
    if name in choice.samples:
        welcome(_first_sight(run) if name == FIRST else "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choose_run(choice, name, key="choice", on_change=_changed, width=560)
        keep(run, View.from_query(query))
        came_of(run, choice.runs.values())
    list_damaged(choice)
    try:
        live = run.status().live
    except DamagedRun:  # since it was listed; what is wrong is said below
        live = False
    if live:
        st.fragment(_show, run_every=POLL)(name, live)
    else:  # what is kept is what is seen: the whole page follows the player
        with st.container():  # as a fragment has, so that a run's end leaves the player in place
            _show(name, live)
    if linked in (None, name):
        fill_in(st.session_state[LAST])


def _first_sight(run: Run) -> str:
    """What is seen of the first run, in a sentence; empty where it cannot be read."""
    try:
        timeline = recorded(run)
    except CtvizError:  # what is wrong with it is said below
        return ""
    return first_sight(timeline) if timeline is not None else ""


def _at_end(run: Run) -> dict[str, str]:
    """The address of a run's last snapshot."""
    files = run.snapshot_files()
    return View(step=int(files[-1].stem)).to_query() if files else {}


def _query() -> dict[str, str]:
    """What the address asks for, or on coming back from another page what was watched last."""
    query = st.query_params.to_dict()
    return query if "run" in query else st.session_state.get(LAST, query)


def _changed(name: str) -> None:
    """Another run forgets step, node and edges, which belong to a run."""
    st.query_params.from_dict({"run": name})


def _show(name: str, was_live: bool) -> None:
    """The player of one run, with its progress above it while it is live."""
    damaged: list[DamagedRun] = []
    try:
        run = open_run(name, *folders())
        status = run.status()
        groups, lost = _groups(run)
        timeline = recorded(run, damaged=damaged, groups=groups)
    except CtvizError as error:
        st.error(plain(str(error)))
        return
    ended = was_live and not status.live
    if not ended:  # a button drawn here would go with this fragment, and its click
        _progress(run, status)
    for notice in status.notices:
        st.warning(plain(notice), icon=":material/info:")
    for problem in damaged:
        st.warning(plain(f"A snapshot is left out: {problem}"))
    if lost is not None:
        st.warning(plain(str(lost)))
    problems: list[str] = []
    read_causes(run, folders()[0], problems)
    for text in problems:
        st.warning(plain(text))
    if timeline is None:
        if not status.live:
            st.info("This run ended before its model was loaded, so there is nothing to play.")
    else:
        key = f"player-{name}"
        view = _from_start(View.from_query(_query()), timeline, key, live=status.live)
        for missing in _missing(view, timeline):
            st.warning(plain(missing), icon=":material/search:")
        player(
            packed(timeline),
            key=key,
            view=view,
            on_change=lambda: _remember(name, key),
            on_groups=None
            if lost is not None
            else lambda: change_groups(run, folders()[0], group_change(key)),
            links=True,
        )
        _self_organized(timeline)
    if ended:  # only now: what a fragment has not drawn is taken off the page, player and all
        st.rerun()


def _from_start(view: View, timeline: Timeline, key: str, *, live: bool) -> View:
    """The view with the step that the player starts at, which the address then holds as well.

    Without a step it follows a live run, and stays where that has ended.
    """
    before = asked_of(key)
    followed = live or (before is not None and before.step is None)
    if view.step is not None or followed or not timeline.steps:
        return view
    st.session_state[LAST] |= {"step": str(timeline.steps[0])}
    return replace(view, step=timeline.steps[0])


def _self_organized(timeline: Timeline) -> None:
    """The edges that only strengthened or only weakened, if there are any."""
    table = self_organized(timeline)
    if table.empty:
        return
    stronger = int((table["direction"] == "strengthened").sum())
    weaker = len(table) - stronger
    title = f"{stronger} edges of the circuit only strengthened, {weaker} only weakened"
    with st.expander(title, icon=":material/trending_up:"):
        st.caption(plain(RULE))
        st.dataframe(
            table,
            hide_index=True,
            height=280,
            column_config={
                "first": st.column_config.NumberColumn(f"step {timeline.steps[0]}", format="%.3f"),
                "last": st.column_config.NumberColumn(f"step {timeline.steps[-1]}", format="%.3f"),
                "error": st.column_config.NumberColumn("error of the difference", format="%.3f"),
                "in_circuit": st.column_config.NumberColumn("snapshots in the circuit"),
            },
        )


def _groups(run: Run) -> tuple[tuple[NodeGroup, ...], DamagedRun | None]:
    """The run's named groups, or none of them and what is wrong with their file."""
    try:
        return read_groups(run, folders()[0]), None
    except DamagedRun as error:
        return (), error


def _progress(run: Run, status: Status) -> None:
    if status.live:
        show_underway(run, status)
        return
    if status.state == "finished":
        return
    note, button = st.columns([6, 1], vertical_alignment="center")
    if status.state == "failed":
        note.error(plain(f"This run failed at step {status.step}: {status.message}"))
    else:
        during = status.message.partition(", during ")[2]
        note.warning(
            f"This run was {status.state} at step {status.step} of {status.steps}"
            f"{f', during {during}' if during else ''}; what it recorded until then can be played."
        )
    if button.button("Resume", width="stretch", help="Go on from the last checkpoint"):
        standby().resume(run)
        st.rerun()


def _missing(view: View, timeline: Timeline) -> list[str]:
    """What a link asks for that the run does not have, and what is shown instead."""
    problems = []
    steps = timeline.steps
    if view.step is not None and steps and view.step not in steps:
        nearest = steps[nearest_snapshot(steps, view.step)]
        problems.append(
            f"There is no snapshot of step {view.step}; the nearest one is of step {nearest}."
        )
    known = {*timeline.graph.nodes, *timeline.graph.whole.nodes} | {
        slot.name.partition("<")[0] for slot in timeline.graph.slots
    }
    gone = [node for node in view.nodes if node not in known]
    if gone:
        names = ", ".join(gone)
        problems.append(
            f"This model has no node {names}: nodes are named input, a0.h0, m0 and so on, up to "
            f"layer {timeline.graph.n_layers - 1} and head {timeline.graph.n_heads - 1}."
        )
    return problems


def _remember(name: str, key: str) -> None:
    """Put what the player shows into the address, so that a link shows the same picture."""
    view = follow(key)
    if view is not None:
        st.session_state[LAST] = {"run": name, **view.to_query()}
        st.query_params.from_dict(st.session_state[LAST])


main()
