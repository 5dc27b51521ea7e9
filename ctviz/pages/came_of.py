"""What came of a run, beside its name on Watch, with the ways on from there."""

from __future__ import annotations

import html
from collections.abc import Iterable

import streamlit as st

from ctviz.errors import DamagedRun
from ctviz.runs import Run
from ctviz.views.outcome import outcome

__all__ = ["came_of"]

STYLE = """<style>
.cz-outcome{font-size:.8125rem;line-height:1.35;margin:0}
.cz-outcome span{opacity:.78}
.cz-outcome a{color:inherit;margin-right:1rem;text-underline-offset:2px}
</style>"""


def came_of(run: Run, others: Iterable[Run]) -> None:
    """Say it of a finished run; of any other nothing."""
    try:
        found = outcome(run, others)
    except DamagedRun:  # what is wrong is said where the player would be
        return
    if found is None:
        return
    rest = html.escape(" · ".join(found.rest))
    links = "".join(
        f'<a href="{html.escape(address)}" target="_self">{html.escape(words)}</a>'
        for words, address in found.links
    )
    st.html(
        f'{STYLE}<p class="cz-outcome"><strong>{html.escape(found.grade)}</strong><br>'
        f"<span>{rest}</span><br>{links}</p>",
        width=480,
    )
