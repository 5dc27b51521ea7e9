"""Choosing among the runs that there are, and saying what is wrong with those that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from ctviz.errors import DamagedRun
from ctviz.pages.prompts import plain
from ctviz.pages.session import folders
from ctviz.runs import Run, list_runs
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
    the project; ``titles``: what each is called; ``damaged``: what is wrong with the others."""

    runs: dict[str, Run]
    samples: tuple[str, ...]
    titles: dict[str, str]
    damaged: tuple[DamagedRun, ...]


def runs_here() -> RunChoice:
    """The user's runs and the samples, as they are on disk now."""
    mine, shipped = folders()
    found = list_runs(mine, shipped)
    runs = {run.id: run for run in found if isinstance(run, Run)}
    samples = tuple(run.id for run in runs.values() if run.folder.parent == shipped)
    damaged = tuple(error for error in found if isinstance(error, DamagedRun))
    return RunChoice(runs, samples, run_names(runs, samples), damaged)


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
        list(choice.runs),
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


def name_tab(*runs: Run) -> None:
    """Call the browser's tab by the runs that the page is about."""
    st.set_page_config(page_title=f"{' / '.join(map(run_name, runs))} · ctviz")
