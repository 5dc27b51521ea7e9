"""ctviz in a browser: page config and navigation."""

import streamlit as st

st.set_page_config(page_title="ctviz", page_icon="assets/icon.svg", layout="wide")

# Streamlit leaves a hand's breadth above the first element; the player needs the height.
st.html("<style>.stMainBlockContainer { padding: 4.2rem 2.5rem 1.5rem }</style>")

st.navigation(
    [
        st.Page("ctviz/pages/watch.py", title="Watch", icon=":material/play_circle:", default=True),
        st.Page("ctviz/pages/run.py", title="Run", icon=":material/science:"),
    ],
    position="top",
).run()
