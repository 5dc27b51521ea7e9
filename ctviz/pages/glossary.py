"""The glossary of Learn: words with what they mean, to be searched."""

from __future__ import annotations

import html

import streamlit as st

from ctviz.lessons.glossary import search
from ctviz.lessons.markup import literal

__all__ = ["show_glossary"]

LONGEST = 80  # characters of a word that are looked at
WORDS = """
<style>
.stHtml dl.ct-words { display: grid; gap: 0.9rem 2rem; margin: 0; padding: 0;
  grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); font-size: 0.92rem; }
.ct-words dt { font-weight: 600; }
.ct-words dt span { font-weight: 400; opacity: 0.8; font-size: 0.85em; margin-left: 0.3rem; }
.ct-words dd { margin: 0; line-height: 1.45; }
.ct-words cite { display: block; font-size: 0.82em; opacity: 0.8; font-style: normal; }
</style>
"""


def show_glossary(*, opened: bool) -> None:
    """All words, or those that are searched for; ``?term=WORD`` opens it at a word."""
    asked = st.query_params.get("term", "")[:LONGEST]
    if st.session_state.get("learn:linked") != asked:
        st.session_state["learn:linked"] = st.session_state["learn:term"] = asked
    with st.expander("Glossary", expanded=opened, icon=":material/menu_book:"):
        text = st.text_input("Find a word", key="learn:term", max_chars=LONGEST, on_change=_looked)
        found = search(text)
        if not found:
            st.info(
                f"No word is like “{literal(text)}”. An empty box lists all of them.",
                icon=":material/search:",
            )
        entries = []
        for term in found:
            names = html.escape(", ".join(term.aliases))
            also = f"<span>also: {names}</span>" if names else ""
            source = f"<cite>{html.escape(term.source)}</cite>" if term.source else ""
            entries.append(
                f'<div><dt id="{html.escape(term.key)}">{html.escape(term.name)} {also}</dt>'
                f"<dd>{html.escape(term.definition)} {source}</dd></div>"
            )
        st.html(f"{WORDS}<dl class='ct-words'>{''.join(entries)}</dl>")


def _looked() -> None:
    """Put what is searched for into the address."""
    text = st.session_state["learn:term"].strip()
    if text:
        st.query_params["term"] = text
    else:
        st.query_params.pop("term", None)
    st.session_state["learn:linked"] = text
