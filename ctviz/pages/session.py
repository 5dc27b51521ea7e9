"""What the pages of one browser session share: where runs lie, and the processes of a server."""

from __future__ import annotations

import atexit
from pathlib import Path

import streamlit as st

from ctviz import paths
from ctviz.jobs.measuring import Measuring
from ctviz.jobs.standby import Standby
from ctviz.serving.client import Engine

__all__ = ["engine", "folders", "measuring", "standby"]


def folders() -> tuple[Path, Path]:
    """The user's runs, then the runs that ship with the project."""
    return paths.runs(), paths.shipped_runs()


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


@st.cache_resource(show_spinner=False, on_release=Measuring.stop)
def measuring() -> Measuring:
    """The dry run that a page asked for last."""
    made = Measuring()
    atexit.register(made.stop)
    return made
