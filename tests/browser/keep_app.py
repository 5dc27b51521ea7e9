"""A small Streamlit app with the Keep button; driven by test_replay.py."""

from __future__ import annotations

import streamlit as st

from ctviz import paths
from ctviz.pages.keep import keep
from ctviz.runs import open_run
from ctviz.views.view import View

st.set_page_config(page_title="keep")
query = st.query_params.to_dict()
run = open_run(query.get("run", "sample-sva-flip"), paths.runs(), paths.shipped_runs())


@st.fragment
def part() -> None:
    """As the player's page calls it."""
    keep(run, View.from_query(query))


part()
