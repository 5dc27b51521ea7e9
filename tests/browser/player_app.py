"""A small Streamlit app that mounts the player on a synthetic timeline; driven by test_player.py.

Query parameters choose the case: ``case`` (see CASES), and ``theme`` is Streamlit's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

from ctviz.bench.synthetic import timeline
from ctviz.pages.player import player
from ctviz.views.packing import pack
from ctviz.views.view import View

st.set_page_config(page_title="player", layout="wide")
st.markdown("<style>.block-container{padding:3.6rem 1.5rem 1rem}</style>", unsafe_allow_html=True)

case = st.query_params.get("case", "tiny")
grown = st.session_state.setdefault("grown", 0)
if st.query_params.get("controls"):
    if st.button("grow"):
        st.session_state["grown"] += 1
        grown += 1
    if st.button("ask"):
        st.session_state["asked"] = (30, ("m1",), 12)
    if st.text_input("typing", key="typing"):
        pass
asked = View.from_query(st.query_params.to_dict())
if "asked" in st.session_state:
    asked = View(*st.session_state["asked"])


def changed() -> None:
    """Count the reports of the browser."""
    st.session_state["changes"] = st.session_state.get("changes", 0) + 1


@st.cache_resource(show_spinner=False)
def payload(case: str, grown: int) -> dict[str, Any]:
    """The case's own, or for ``pair`` its run beside the same run backwards."""
    run = timeline("tiny" if case == "pair" else case, grown=grown)
    if case != "pair":
        return pack(run)
    back = dataclasses.replace(
        run,
        scores=run.scores[::-1],
        circuit=run.circuit[::-1],
        redundancy={key: values[::-1] for key, values in run.redundancy.items()},
    )
    made = pack(run, beside=back)
    made["label"], made["other"]["label"] = "A", "B"
    return made


for copy in range(2 if case == "two" else 1):
    view = player(payload(case, grown), key=f"player{copy}", view=asked, on_change=changed)
node = ",".join(view.nodes) or None
st.text(f"state {view.step} {node} {view.edges}")
st.text(f"changes {st.session_state.get('changes', 0)}")
