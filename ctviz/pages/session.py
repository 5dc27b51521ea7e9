"""What the pages of one browser session share: where runs lie, and a warm worker a server."""

from __future__ import annotations

import atexit
from pathlib import Path

import streamlit as st

from ctviz import places
from ctviz.runs.jobs import Standby

__all__ = ["folders", "standby"]


def folders() -> tuple[Path, Path]:
    """The user's runs, then the runs that ship with the project."""
    return places.runs(), places.assets() / "runs"


@st.cache_resource(show_spinner=False)
def standby() -> Standby:
    """One warm worker for the whole server; it ends with the server unless it has a job."""
    made = Standby()
    atexit.register(made.close)
    return made
