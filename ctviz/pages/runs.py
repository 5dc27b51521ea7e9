"""All runs: find them, name them, tag them, put them away or delete them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.pages.prompts import plain
from ctviz.pages.run_choice import RunChoice, list_damaged, no_run, runs_here
from ctviz.pages.session import folders
from ctviz.runs.notes import RunNotes, delete_run, write_notes
from ctviz.views import compared
from ctviz.views.run_list import OUTCOMES, SINCE, ListedRun, found, listed, table

TABLE = "runs-table"
DONE = "runs-done"  # what was done last, said once
FORMATS: dict[str, Any] = {
    "name": st.column_config.TextColumn("Name", width="large"),
    "model": "Model",
    "task": "Task",
    "method": "Method",
    "outcome": "Outcome",
    "made": st.column_config.TextColumn("Made", help="Date and time at which it was begun"),
    "steps": "Steps",
    "grade": st.column_config.TextColumn("Grade", help="How well the model does the task"),
    "before": st.column_config.NumberColumn(
        "Before", format="%.3f", help="The grade of the untuned model on test examples"
    ),
    "after": st.column_config.NumberColumn(
        "After", format="%.3f", help="The grade of the tuned model on test examples"
    ),
    "tags": st.column_config.ListColumn("Tags"),
    "note": "Note",
}


def main() -> None:
    """The page."""
    st.set_page_config(page_title="All runs · ctviz")
    choice = runs_here()
    if not choice.runs:
        no_run()
        return
    if told := st.session_state.pop(DONE, ""):
        st.toast(plain(told))
    rows = listed(choice.runs.values(), choice.samples, choice.notes)
    shown = _searched(rows)
    list_damaged(choice)
    if not shown:
        st.info("No run fits. Take away a word or a filter.", icon=":material/search_off:")
        return
    marked = st.dataframe(
        table(shown),
        key=f"{TABLE}-{hash(tuple(row.id for row in shown))}",  # a mark is the place of a row
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        column_config=FORMATS,
        height=min(38 + 35 * len(shown), 460),
        placeholder="–",
        alt="The runs that the search has found; mark a row to open or change its run",
    )
    places = marked["selection"]["rows"]
    _marked(choice, [shown[at] for at in places if at < len(shown)])


def _searched(rows: list[ListedRun]) -> list[ListedRun]:
    """Ask what is searched for; the runs that are found."""
    search, since, put_away = st.columns([6, 2, 2], vertical_alignment="bottom")
    text = search.text_input(
        "Search",
        key="search",
        bind="query-params",
        placeholder="a word of name, model, task, method, outcome, date, tags or note",
        icon=":material/search:",
    )
    days = SINCE[since.selectbox("Made", list(SINCE), key="made", bind="query-params")]
    archived = put_away.toggle("Show archived", key="archived", bind="query-params")
    chosen = {}
    for place, key in zip(st.columns(4), ("model", "task", "method", "outcome"), strict=True):
        there = {getattr(row, key) for row in rows}
        options = sorted(there)
        if key == "outcome":
            options = [name for name in dict.fromkeys(OUTCOMES.values()) if name in there]
        chosen[key] = place.multiselect(
            key.capitalize(), options, key=key, bind="query-params", placeholder="any"
        )
    shown = found(rows, text=text or "", chosen=chosen, days=days, archived=archived)
    st.caption(f"{len(shown)} of {len(rows)} runs. Mark one to open or change it, or several.")
    return shown


def _marked(choice: RunChoice, rows: list[ListedRun]) -> None:
    """What can be done with the runs that are marked."""
    if not rows:
        return
    names = [row.id for row in rows]
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(rows) == 1:
            st.markdown(f"**{plain(rows[0].name)}**", width="content")
        else:
            st.markdown(f"**{len(rows)} runs**", width="content")
        if len(rows) == 1 and st.button("Watch", type="primary", icon=":material/play_circle:"):
            _open("watch", {"run": names[0]})
        if st.button(
            "Compare",
            icon=":material/compare_arrows:",
            disabled=len(rows) > compared.MOST,
            help=f"One run: two of its steps. Up to {compared.MOST} runs: with each other",
        ):
            _open("compare", compared.link(names))
        away = all(row.notes.archived for row in rows)
        if st.button(
            "Take back" if away else "Archive",
            icon=":material/unarchive:" if away else ":material/archive:",
            help="Archived runs stay on disk, but are in no list until they are asked for",
        ):
            _archive(choice, rows, not away)
        if st.button(
            "Delete …",
            icon=":material/delete:",
            disabled=any(row.sample for row in rows),
            help="Off the disk, for good; it asks once more. Samples cannot be deleted",
        ):
            _ask_to_delete(choice, rows)
    if len(rows) == 1:
        _edit(choice, rows[0])


def _edit(choice: RunChoice, row: ListedRun) -> None:
    """The fields for a run's title, tags and note."""
    known = sorted({tag for notes in choice.notes.values() for tag in notes.tags})
    with st.form(f"notes-{row.id}"):
        left, right = st.columns(2)
        title = left.text_input("Title", row.notes.title, placeholder=row.name)
        tags = right.multiselect(
            "Tags",
            known,
            row.notes.tags,
            accept_new_options=True,
            placeholder="type a tag, press enter",
        )
        note = st.text_area("Note", row.notes.note, height=80)
        if st.form_submit_button("Save"):
            _save(choice, row.id, RunNotes(title, tuple(tags), note, row.notes.archived))
            st.session_state[DONE] = "Saved."
            st.rerun()


def _archive(choice: RunChoice, rows: list[ListedRun], away: bool) -> None:
    for row in rows:
        said = choice.notes[row.id]
        _save(choice, row.id, RunNotes(said.title, said.tags, said.note, away))
    st.session_state[DONE] = f"{_count(rows)} {'archived' if away else 'taken back'}."
    st.rerun()


def _save(choice: RunChoice, name: str, notes: RunNotes) -> None:
    try:
        write_notes(choice.runs[name], folders()[0], notes)
    except CtvizError as error:
        st.error(plain(str(error)))
        st.stop()


@st.dialog("Delete for good?")
def _ask_to_delete(choice: RunChoice, rows: list[ListedRun]) -> None:
    st.markdown(
        f"{_count(rows)} will be gone from the disk, with snapshots, weights and notes:\n"
        + "\n".join(f"- {plain(row.name)} ({plain(row.id)})" for row in rows)
    )
    if not st.button("Delete", type="primary", icon=":material/delete_forever:"):
        return
    problems = []
    for row in rows:
        try:
            delete_run(choice.runs[row.id])
        except CtvizError as error:
            problems.append(str(error))
    if problems:
        st.error(plain(" ".join(problems)))
        return
    st.session_state[DONE] = f"{_count(rows)} deleted."
    st.rerun()


def _count(rows: list[ListedRun]) -> str:
    return "1 run" if len(rows) == 1 else f"{len(rows)} runs"


def _open(page: str, query: dict[str, str]) -> None:
    st.switch_page(str(paths.pages() / f"{page}.py"), query_params=query)


main()
