"""The app when it starts for the first time, anywhere: nothing but ctviz asks for attention."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ctviz import paths
from ctviz.bench.app import wait_for
from tests import ROOT
from tests.browser.driving import Player, open_app

ADVERTISED = "Help agents write better"


@dataclass
class Server:
    """A running app, and the file that holds what it has printed."""

    address: str
    console: Path


@pytest.fixture(
    params=["streamlit run ctviz/pages/entry/app.py", "streamlit run app.py", "ctviz app"]
)
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """The app as a person starts it, in a home where nothing was ever said to Streamlit.

    That home belongs to somebody who writes code with an agent: to those Streamlit advertises.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    if request.param == "ctviz app":
        command = [sys.executable, "-m", "ctviz.cli", "app", "--port", port]
    else:
        script = paths.app() if "pages" in request.param else ROOT / "app.py"
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", port]
    home, console = tmp_path / "home", tmp_path / "console"
    (home / ".agents").mkdir(parents=True)
    browser = tmp_path / "bin" / "xdg-open"  # the one that the server opens; the test's is another
    browser.parent.mkdir()
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{browser.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    with console.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address)
            yield Server(address, console)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


@pytest.fixture
def server(started: Server) -> str:
    """The address; ``new_player`` opens its pages here."""
    return started.address


def test_nothing_is_advertised(
    new_player: Callable[..., Player], started: Server, request: pytest.FixtureRequest
) -> None:
    player = open_app(new_player(), "")
    player.settle()
    assert player.page.get_by_text(ADVERTISED).count() == 0
    told = started.console.read_text(encoding="utf-8")
    assert ADVERTISED not in told
    if "ctviz app" in request.node.name:
        assert started.address in told
