"""A live run on a page: what it is at, how long that takes, and a button to cancel it."""

from __future__ import annotations

import html

import streamlit as st

from ctviz.runs import Run, Status
from ctviz.views.underway import phase_words, stretches

__all__ = ["POLL", "show_underway"]

POLL = 1.0  # seconds between looks at a live run
STYLE = """<style>
.cz-run{font-size:.875rem;line-height:1.35;margin:0}
.cz-run ol{display:flex;gap:4px;list-style:none;margin:.45rem 0 0;padding:0}
.cz-run li{flex:1 1 0;min-width:0;margin:0;font-size:.8rem;opacity:.72}
.cz-run li.now{opacity:1;font-weight:600}
.cz-run li.long{flex-grow:2}
.cz-run i{display:block;height:6px;margin-bottom:.3rem;border-radius:3px;overflow:hidden;
 background:color-mix(in srgb,currentColor 16%,transparent)}
.cz-run i b{display:block;height:100%;border-radius:3px;background:#5b8bbd}
</style>"""


def show_underway(run: Run, status: Status, *, name: str = "") -> None:
    """Say it of a live run, ``name`` before it; inside a fragment that runs again every `POLL`."""
    told, button = st.columns([6, 1], vertical_alignment="center")
    said = phase_words(status.phase, status.left) if status.phase else status.message
    said = said[:1].upper() + said[1:]
    stopping = (run.folder / "cancel").exists()
    if stopping:
        said = "Stopping, so that nothing is lost"
    label = f"<strong>{html.escape(name)}</strong><br>" if name else ""
    bars = "".join(
        f'<li class="{"now" if part.now else ""} {"long" if at == 2 else ""}">'
        f'<i><b style="width:{part.done:.1%}"></b></i>{part.label}</li>'
        for at, part in enumerate(stretches(status, recorded=run.config.method == "recorded"))
    )
    told.html(
        f'{STYLE}<div class="cz-run" role="status" aria-live="off">{label}'
        f"<span>{html.escape(said)}</span><ol>{bars}</ol></div>"
    )
    if stopping:
        button.button("Cancelling …", disabled=True, width="stretch", key=f"stop-{run.id}")
    elif button.button(
        "Cancel", width="stretch", key=f"stop-{run.id}", help="Stop at once; it can be resumed"
    ):
        run.cancel()
        st.rerun(scope="fragment")
