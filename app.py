"""ctviz in a browser: page config and navigation."""

import streamlit as st

st.set_page_config(page_title="ctviz", page_icon="assets/icon.svg", layout="wide")

# Streamlit leaves a hand's breadth above the first element; the player needs the height.
# A live run reruns each second: the player must not fade meanwhile.
# Slider values are written in the primary colour, which is too dark a text in the dark theme.
st.html(
    "<style>.stMainBlockContainer { padding: 4.2rem 2.5rem 1.5rem }"
    "[data-testid=stSliderThumbValue] { color: inherit }"
    "[data-stale=true]:has([data-testid=stBidiComponentIsolated]) { opacity: 1 !important }</style>"
)

st.navigation(
    [
        st.Page("ctviz/pages/watch.py", title="Watch", icon=":material/play_circle:", default=True),
        st.Page("ctviz/pages/inspect.py", title="Inspect", icon=":material/search_insights:"),
        st.Page("ctviz/pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("ctviz/pages/run.py", title="Run", icon=":material/science:"),
        st.Page("ctviz/pages/learn.py", title="Learn", icon=":material/school:"),
    ],
    position="top",
).run()
