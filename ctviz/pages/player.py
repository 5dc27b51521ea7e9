"""The thin Streamlit mount of the browser player.

    view = player(pack(timeline), key="watch", view=View(step=30, nodes=("a2.h1",)))

The player's modules, and vis-network out of the installed pyvis package, are served over HTTP from
their folders, so that a change of ``payload`` sends the payload again and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

from ctviz.player import FOLDER, vis_file
from ctviz.views.view import View

__all__ = ["asked_of", "follow", "group_change", "player", "reported"]

PROJECT = "ctviz"


def player(
    payload: dict[str, Any],
    *,
    key: str,
    view: View | None = None,
    camera: str | None = None,
    occasion: object = None,
    on_change: Callable[[], None] | None = None,
    on_groups: Callable[[], None] | None = None,
    links: bool = False,
) -> View:
    """Mount the player and return what it shows.

    ``view`` is applied when the component first appears, and again whenever it asks for something
    that is neither what was asked before nor what the player itself reported last: so a page can
    write the returned view into the address bar, and a link or the Back button still moves the
    player. With a new ``occasion`` it is applied whatever the player shows. A step between two
    snapshots shows the nearer one. ``camera`` is ``all`` to fit the graph or names of nodes, joined
    by commas, to zoom to; it is applied whenever it changes.

    The browser reports when things rest, never while it plays; ``on_change`` is called before the
    rerun that follows. ``on_groups`` is called when the user has made or dropped a named group:
    `group_change` then says which. ``links`` offers the way to Inspect from the selected node.
    """
    _serve(get_bidi_component_manager())
    asked = view or View()
    data = {
        "payload": payload,
        "view": _request(key, asked, occasion),
        "camera": camera,
        "groups": on_groups is not None,
        "links": links,
    }
    calls = {"on_view_change": on_change or _nothing, "on_groups_change": on_groups or _nothing}
    _component()(key=key, data=data, **calls)
    return reported(key) or asked


def reported(key: str) -> View | None:
    """The view that the player of that key reported since it was last asked for one, or None."""
    state: Any = st.session_state.get(key)
    view = state.get("view") if state is not None else None
    last = st.session_state.get(f"{key}:request")
    if view is None or last is None or view.get("token") != last["token"]:
        return None
    return View.from_dict(view)


def asked_of(key: str) -> View | None:
    """What the player of that key was asked to show last, None if it was not there yet."""
    last = st.session_state.get(f"{key}:request")
    return None if last is None else last["asked"]


def group_change(key: str) -> dict[str, Any]:
    """What the user did last to the named groups in the player of that key.

    ``{"add": {"name": text, "nodes": names}}`` or ``{"drop": {...}}``.
    """
    state: Any = st.session_state.get(key)
    change: dict[str, Any] | None = state.get("groups") if state is not None else None
    return change or {}


def follow(key: str) -> View | None:
    """What `reported` says, and from now on what the page asks for, even if its run is cut off."""
    last, seen = st.session_state.get(f"{key}:request"), reported(key)
    if last is not None and seen is not None:
        st.session_state[f"{key}:request"] = {**last, "asked": seen}
    return seen


def _nothing() -> None:
    """A callback must be given for the state to exist at all."""


def _request(key: str, asked: View, occasion: object) -> dict[str, Any]:
    """The view to ask the browser for; its token changes only when there is something to ask.

    What is asked stays in the data as it was, because a change of data sends everything again.
    """
    slot = f"{key}:request"
    last = st.session_state.get(slot)
    if last is None:
        last = {"asked": asked, "occasion": occasion, "token": 0, "sent": asked}
    elif _news(last, asked, occasion, reported(key)):
        last = {
            "asked": asked,
            "occasion": occasion,
            "token": last["token"] + 1,
            "sent": asked,
        }
    st.session_state[slot] = {**last, "asked": asked}
    return {**last["sent"].to_dict(), "token": last["token"]}


def _news(last: dict[str, Any], asked: View, occasion: object, seen: View | None) -> bool:
    """Whether the browser must be told. Without a report it shows what was sent: it may be new."""
    if occasion != last["occasion"]:
        return True
    if seen is None:
        return bool(asked != last["sent"])
    return bool(asked != last["asked"] and asked != seen)


def _serve(manager: BidiComponentManager) -> None:
    """Let Streamlit's server hand out the player's files and vis-network's.

    The folders are registered here, as a ``[tool.streamlit.component]`` manifest would, because
    a manifest needs an installed distribution and cannot name a folder of another package.
    """
    for name, folder in {"player": FOLDER, "vis": vis_file().parent}.items():
        if manager.get_component_asset_root(f"{PROJECT}.{name}") is None:
            config = ComponentConfig(name=name, asset_dir=folder.name)
            manifest = ComponentManifest(name=PROJECT, version="0", components=[config])
            manager.register_from_manifest(manifest, folder.parent)


@functools.cache
def _component() -> Any:
    """The component's mounting command, registered once: again would overwrite it.

    The style sheet is inline, so that nothing is drawn unstyled; the modules are served.
    """
    css = (FOLDER / "player.css").read_text(encoding="utf-8")
    return st.components.v2.component(f"{PROJECT}.player", css=css, js="player.js")
