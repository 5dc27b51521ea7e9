"""Progress in the lessons, kept in the reader's browser: it survives a reload, and goes nowhere."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import streamlit as st

__all__ = ["keep_progress", "kept_progress"]

KEY = "lessons-kept"
LONGEST = 40  # characters of a lesson's key
SCRIPT = """
const NAME = "ctviz:lessons";

function read() {
  try {
    const { finished, place } = JSON.parse(localStorage.getItem(NAME)) ?? {};
    return { finished: Array.isArray(finished) ? finished : [], place: place ?? null };
  } catch {
    return { finished: [], place: null }; // nothing that can be read, or the browser keeps nothing
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const kept = read();
  const finished = [...new Set([...kept.finished, ...data.finished])];
  const begun = Boolean(parentElement.begun); // then what the page says of the place holds
  parentElement.begun = true;
  const place = begun ? data.place : (data.place ?? kept.place);
  try {
    localStorage.setItem(NAME, JSON.stringify({ finished, place }));
  } catch {}
  if (finished.length > data.finished.length || (place && !data.place)) {
    setStateValue("kept", { finished, place });
  }
}
"""


def kept_progress() -> tuple[set[str], tuple[str, int] | None]:
    """What the browser has told since the last rerun: lessons that were finished, and where the
    reader stopped. Whatever it holds, these are texts and a number."""
    state: Any = st.session_state.get(KEY)
    told = state.get("kept") if state is not None else None
    if not isinstance(told, dict):
        return set(), None
    finished = {str(name)[:LONGEST] for name in told.get("finished") or ()}
    place: Any = told.get("place")
    try:
        lesson, at = place
        return finished, (str(lesson)[:LONGEST], max(1, min(int(at), 999)))
    except (TypeError, ValueError):
        return finished, None


def keep_progress(finished: Iterable[str], place: tuple[str, int] | None) -> None:
    """Let the browser keep it, and tell what it knows beyond that."""
    data = {"finished": sorted(finished), "place": list(place) if place else None}
    _component()(key=KEY, data=data, on_kept_change=_nothing)


def _nothing() -> None:
    """A callback must be given for the state to exist at all."""


@functools.cache
def _component() -> Any:
    return st.components.v2.component("ctviz_lessons", js=SCRIPT)
