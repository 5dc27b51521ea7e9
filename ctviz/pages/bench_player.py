"""The page that ``ctviz bench player`` looks at: the player on one synthetic run, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from ctviz.files import read_json
from ctviz.pages.player import player
from ctviz.pages.session import folders

st.set_page_config(page_title="player", layout="wide")


@st.cache_resource(show_spinner=False)
def packed(file: Path) -> dict[str, Any]:
    """A payload, read at the first visit, so that later ones measure the page alone."""
    found: dict[str, Any] = read_json(file)
    return found


def switch() -> None:
    """Go on to another run, of the same size."""
    st.session_state["at"] = at + 1


at = st.session_state.get("at", 0)
player(packed(folders()[0] / f"{st.query_params['case']}.json"), key=f"player{at}")
if "switch" in st.query_params:
    st.button("another run", on_click=switch)
