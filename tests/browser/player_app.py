"""A small Streamlit app that mounts the player on a synthetic timeline; driven by test_player.py.

Query parameters choose the case: ``case`` (see CASES), and ``theme`` is Streamlit's own.
"""

from __future__ import annotations

import streamlit as st

from ctviz.pages.player import player
from ctviz.views.timeline import pack
from tests.browser.synthetic import timeline

st.set_page_config(page_title="player", layout="wide")
st.markdown("<style>.block-container{padding:3.6rem 1.5rem 1rem}</style>", unsafe_allow_html=True)

case = st.query_params.get("case", "tiny")
grown = st.session_state.setdefault("grown", 0)
if st.query_params.get("controls"):
    if st.button("grow"):
        st.session_state["grown"] += 1
        grown += 1
    if st.button("ask"):
        st.session_state["asked"] = (30, "m1", 12)
    if st.text_input("typing", key="typing"):
        pass
step, node, edges = st.session_state.get("asked", (None, None, None))
if "node" in st.query_params:
    node = st.query_params["node"]


def changed() -> None:
    """Count the reports of the browser."""
    st.session_state["changes"] = st.session_state.get("changes", 0) + 1


for copy in range(2 if case == "two" else 1):
    state = player(
        pack(timeline(case, grown=grown)),
        key=f"player{copy}",
        step=step,
        node=node,
        edges=edges,
        on_change=changed,
    )
st.text(f"state {state.step} {state.node} {state.edges}")
st.text(f"changes {st.session_state.get('changes', 0)}")
