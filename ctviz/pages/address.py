"""The address of a page that was entered without one, filled in without an entry to go back to."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import streamlit as st

__all__ = ["fill_in"]

SCRIPT = """
export default function ({ data }) {
  const now = [...new URLSearchParams(location.search)];
  if (now.some(([key, value]) => data[key] !== value)) return; // it says something else by now
  if (now.length === Object.keys(data).length) return;
  history.replaceState(history.state, "", `?${new URLSearchParams(data)}`);
}
"""


def fill_in(query: Mapping[str, str]) -> None:
    """Add to the browser's address what it leaves out of ``query``; it must be what is shown.

    Writing ``st.query_params`` instead would make an entry in the browser's history, so that Back
    would first lead to the same page again. The next rerun finds ``query`` there.
    """
    _component()(key="address", data=dict(query))


@functools.cache
def _component() -> Any:
    return st.components.v2.component("ctviz_address", js=SCRIPT)
