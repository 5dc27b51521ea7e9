"""What ctviz is, in one line, for somebody who sees it for the first time."""

from __future__ import annotations

import streamlit as st

from ctviz import paths
from ctviz.lessons import LESSONS

__all__ = ["welcome"]

SEEN = "welcomed"  # whether this session has seen enough of the line
LINE = (
    "ctviz finds the parts of a language model that do a task, its **circuit**, tunes only those, "
    "and plays how they change."
)
# As low as a line of text: the player below needs the height.
STYLE = (
    "<style>.st-key-welcome { margin: -1rem 0 -0.7rem; row-gap: 0 }"
    ".st-key-welcome button { min-height: 1.75rem; padding: 0 }"
    ".st-key-welcome button p { font-size: 0.875rem }</style>"
)


def welcome(seen: str = "") -> None:
    """One line, with the way to the first lesson, until it is followed or the line put away.

    ``seen``: what is seen below, in a sentence of Markdown, instead of what ctviz is.
    """
    if st.session_state.get(SEEN):
        return
    st.html(STYLE)
    lesson = next(iter(LESSONS.values()))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="welcome"):
        st.markdown(f":small[{seen or LINE}]", width="content")
        learn = st.button(
            f"Lesson 1: {lesson.title}",
            icon=":material/school:",
            type="tertiary",
            help=f"{lesson.learns} {lesson.minutes} minutes.",
        )
        st.button("Hide", icon=":material/close:", type="tertiary", on_click=_seen)
    if learn:
        _seen()
        st.switch_page(str(paths.pages() / "learn.py"), query_params={"lesson": lesson.key})


def _seen() -> None:
    st.session_state[SEEN] = True
