"""The thin Streamlit mount of the browser player.

    state = player(pack(timeline), key="watch", step=None, node=None, edges=None)

The player's modules, and vis-network out of the installed pyvis package, are served over HTTP from
their folders, so that a change of ``payload`` sends the payload again and nothing else.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

import ctviz.player

__all__ = ["PlayerState", "player"]

PROJECT = "ctviz"
ASSETS = Path(ctviz.player.__path__[0])


@dataclass(frozen=True, slots=True)
class PlayerState:
    """Where the user left the player: training step, selected node and number of edges shown.

    Each is None until the user has chosen it. Reported when playback rests, never while it runs.
    """

    step: int | None
    node: str | None
    edges: int | None


def player(
    payload: dict[str, Any],
    *,
    key: str,
    step: int | None = None,
    node: str | None = None,
    edges: int | None = None,
    on_change: Callable[[], None] | None = None,
) -> PlayerState:
    """Mount the player and return where the user is in it.

    ``step`` (a training step; the nearest snapshot is shown), ``node`` and ``edges`` are applied
    when the component first appears, and again whenever they ask for something that is neither
    what was asked before nor what the player itself reported last: so a page can write the
    returned state into the address bar, and a link or the Back button still moves the player.
    ``on_change`` is called before the rerun that follows a change by the user.
    """
    _serve(get_bidi_component_manager())
    reported = _reported(st.session_state.get(key))
    asked = PlayerState(step, node, edges)
    data = {"payload": payload, "view": _request(key, asked, reported)}
    result = _component()(
        key=key, data=data, on_view_change=on_change if on_change is not None else _nothing
    )
    view = result.get("view")
    return asked if view is None else PlayerState(view["step"], view["node"], view["edges"])


def _nothing() -> None:
    """A callback must be given for the state to exist at all."""


def _reported(state: Any) -> PlayerState | None:
    """What the browser reported last, out of the component's session state."""
    view = state.get("view") if state is not None else None
    return None if view is None else PlayerState(view["step"], view["node"], view["edges"])


def _request(key: str, asked: PlayerState, reported: PlayerState | None) -> dict[str, Any]:
    """The view to ask the browser for; its token changes only when there is something to ask.

    What is asked stays in the data as it was, because a change of data sends everything again.
    """
    slot = f"{key}:request"
    last = st.session_state.get(slot)
    if last is None:
        last = {"asked": asked, "view": _view(asked, 0)}
    elif asked != last["asked"]:
        token = last["view"]["token"]
        kept = asked == reported
        last = {"asked": asked, "view": last["view"] if kept else _view(asked, token + 1)}
    st.session_state[slot] = last
    view: dict[str, Any] = last["view"]
    return view


def _view(asked: PlayerState, token: int) -> dict[str, Any]:
    return {"step": asked.step, "node": asked.node, "edges": asked.edges, "token": token}


def _serve(manager: BidiComponentManager) -> None:
    """Let Streamlit's server hand out the player's files and vis-network's.

    The folders are registered here, as a ``[tool.streamlit.component]`` manifest would, because
    a manifest needs an installed distribution and cannot name a folder of another package.
    """
    for name, folder in {"player": ASSETS, "vis": _vis()}.items():
        if manager.get_component_asset_root(f"{PROJECT}.{name}") is None:
            config = ComponentConfig(name=name, asset_dir=folder.name)
            manifest = ComponentManifest(name=PROJECT, version="0", components=[config])
            manager.register_from_manifest(manifest, folder.parent)


@functools.cache
def _vis() -> Path:
    """The folder of vis-network inside the installed pyvis package, which is not imported."""
    spec = importlib.util.find_spec("pyvis")
    if spec is not None and spec.origin is not None:
        for file in sorted((Path(spec.origin).parent / "lib").glob("vis-*/vis-network.min.js")):
            return file.parent
    raise ModuleNotFoundError(
        "The player draws with vis-network, which it takes from the pyvis package, but pyvis is "
        "not installed or has no lib/vis-*/vis-network.min.js: pip install pyvis==0.3.2"
    )


@functools.cache
def _component() -> Any:
    """The component's mounting command, registered once: again would overwrite it.

    The style sheet is inline, so that nothing is drawn unstyled; the modules are served.
    """
    css = (ASSETS / "player.css").read_text(encoding="utf-8")
    return st.components.v2.component(f"{PROJECT}.player", css=css, js="player.js")
