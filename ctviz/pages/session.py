"""What the pages of one browser session share: where runs lie, and the processes of a server."""

from __future__ import annotations

import atexit
from pathlib import Path

import streamlit as st

from ctviz import places
from ctviz.inspection.client import Engine
from ctviz.runs.jobs import Standby

__all__ = ["engine", "folders", "standby"]


def folders() -> tuple[Path, Path]:
    """The user's runs, then the runs that ship with the project."""
    return places.runs(), places.assets() / "runs"


@st.cache_resource(show_spinner=False)
def standby() -> Standby:
    """One warm worker for the whole server; it ends with the server unless it has a job."""
    made = Standby()
    atexit.register(made.close)
    return made


@st.cache_resource(show_spinner=False, on_release=Engine.close)
def engine() -> Engine:
    """The process that runs models for all pages of the server; it ends with the server."""
    made = Engine()
    atexit.register(made.close)
    return made
