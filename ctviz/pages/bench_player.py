"""The page that ``ctviz bench player`` looks at: the player on one synthetic run, nothing else."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ctviz.bench.synthetic import timeline
from ctviz.pages.player import player
from ctviz.views.packing import pack

st.set_page_config(page_title="player", layout="wide")


@st.cache_resource(show_spinner=False)
def packed(case: str) -> dict[str, Any]:
    """Made at the first visit, so that later ones measure the page and not the generator."""
    return pack(timeline(case))


player(packed(st.query_params["case"]), key="player")
