"""The app: page config and navigation."""

from __future__ import annotations

import streamlit as st

from ctviz import paths

__all__ = ["main"]

# Streamlit leaves a hand's breadth above the first element; the player needs the height.
# A live run reruns each second: the player must not fade meanwhile.
# Slider values are written in the primary colour, which is too dark a text in the dark theme.
STYLE = (
    "<style>.stMainBlockContainer { padding: 4.2rem 2.5rem 1.5rem }"
    "[data-testid=stSliderThumbValue] { color: inherit }"
    "[data-stale=true]:has([data-testid=stBidiComponentIsolated]) { opacity: 1 !important }</style>"
)


def main() -> None:
    """Draw the page that the address asks for."""
    icon = str(paths.data() / "icon.svg")
    st.set_page_config(page_icon=icon, layout="wide")  # each page names its tab
    st.html(STYLE)
    watch, inspect, compare, run, runs, studies, learn = (
        str(paths.pages() / f"{name}.py")
        for name in ("watch", "inspect", "compare", "run", "runs", "studies", "learn")
    )
    st.navigation(
        [
            st.Page(watch, title="Watch", icon=":material/play_circle:", default=True),
            st.Page(inspect, title="Inspect", icon=":material/search_insights:"),
            st.Page(compare, title="Compare", icon=":material/compare_arrows:"),
            st.Page(run, title="Run", icon=":material/science:"),
            st.Page(runs, title="All runs", icon=":material/list_alt:"),
            st.Page(studies, title="Studies", icon=":material/experiment:"),
            st.Page(learn, title="Learn", icon=":material/school:"),
        ],
        position="top",
    ).run()
