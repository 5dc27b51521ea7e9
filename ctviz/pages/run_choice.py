"""Choosing among the runs that there are, and saying what is wrong with those that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from ctviz.errors import DamagedRun
from ctviz.pages.prompts import plain
from ctviz.pages.session import folders
from ctviz.runs import Run, list_runs
from ctviz.runs.directory import find_study_run
from ctviz.runs.notes import RunNotes, read_notes
from ctviz.views.naming import run_name, run_names

__all__ = [
    "LONGEST",
    "RunChoice",
    "choose_run",
    "list_damaged",
    "name_tab",
    "no_run",
    "run_is_gone",
    "runs_here",
]

LONGEST = 80  # characters of a name that is not known


@dataclass(frozen=True, slots=True)
class RunChoice:
    """The runs that can be opened, newest first, by id; ``samples``: ids of those that ship with
    the project; ``titles``: what each is called; ``notes``: what was said about it; ``damaged``:
    what is wrong with the others, and with notes."""

    runs: dict[str, Run]
    samples: tuple[str, ...]
    titles: dict[str, str]
    notes: dict[str, RunNotes]
    damaged: tuple[DamagedRun, ...]

    def offered(self, *names: str) -> list[str]:
        """Ids of the runs that are not archived, and those that are shown anyway."""
        return [name for name in self.runs if name in names or not self.notes[name].archived]

    @property
    def own_titles(self) -> dict[str, str]:
        """By id, the titles that somebody has given."""
        return {name: notes.title for name, notes in self.notes.items()}


def runs_here(linked: Iterable[str] = ()) -> RunChoice:
    """The user's runs and the samples, as they are on disk now; and those runs of studies to which
    a link leads."""
    mine, shipped = folders()
    found = list_runs(mine, shipped)
    runs = {run.id: run for run in found if isinstance(run, Run)}
    for name in linked:
        if name not in runs and (run := find_study_run(name, mine)):
            runs[name] = run
    samples = tuple(run.id for run in runs.values() if run.folder.parent == shipped)
    damaged = [error for error in found if isinstance(error, DamagedRun)]
    notes = {}
    for name, run in runs.items():
        try:
            notes[name] = read_notes(run, mine)
        except DamagedRun as error:
            notes[name] = RunNotes()
            damaged.append(error)
    own = {name: said.title or of_study(name) for name, said in notes.items()}
    titles = run_names(runs, samples, own)
    return RunChoice(runs, samples, titles, notes, tuple(damaged))


def of_study(name: str) -> str:
    """What a run of a study is called by its id; "" for any other run."""
    study, _, trial = name.partition("/runs/")
    return f"{trial} of {study}" if trial else ""


def choose_run(
    choice: RunChoice,
    name: str,
    *,
    key: str,
    on_change: Callable[[str], None],
    width: Literal["stretch"] | int = "stretch",
) -> None:
    """A list of the runs at the one of that name; ``on_change`` is called with another one's.

    Streamlit's state of the widget is ``key``; whatever it holds, the list shows ``name``.
    """
    if st.session_state.get(key) != name:
        st.session_state[key] = name
    st.selectbox(
        "Run",
        choice.offered(name),
        key=key,
        format_func=choice.titles.__getitem__,
        on_change=lambda: on_change(st.session_state[key]),
        width=width,
    )


def no_run() -> None:
    """Said where there is no run at all."""
    st.info("There is no run yet. Make one on the page **Run**.", icon=":material/science:")


def run_is_gone(name: str) -> None:
    """Said where a link asks for a run that is not here, and another is shown."""
    st.warning(
        f"There is no run “{plain(name[:LONGEST])}” here; this is another one.",
        icon=":material/search:",
    )


def list_damaged(choice: RunChoice) -> None:
    """What is wrong with runs that cannot be opened, folded."""
    count = len(choice.damaged)
    if count:
        with st.expander(f"{count} damaged run{'s' if count > 1 else ''}"):
            for problem in choice.damaged:
                st.text(str(problem))


def name_tab(choice: RunChoice, *names: str) -> None:
    """Call the browser's tab by the runs that the page is about."""
    said = (choice.notes[name].title or run_name(choice.runs[name]) for name in names)
    st.set_page_config(page_title=f"{' / '.join(said)} · ctviz")
