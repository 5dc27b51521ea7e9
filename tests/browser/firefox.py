"""A Firefox of this machine, driven over WebDriver BiDi, which it speaks itself.

Playwright drives only a Firefox of its own making; this is the one that people have.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("firefox-esr", "firefox")
PLAYER = (
    "document.querySelector('[data-testid=stBidiComponentIsolated]')"
    "?.shadowRoot?.querySelector('.cz')?.__ctviz"
)
KEYS = {"Home": "\ue011", "End": "\ue010", "ArrowRight": "\ue014", "Enter": "\ue007", " ": " "}


class Firefox:
    """One window; ``problems`` are the errors that its pages reported."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.numbers = itertools.count()
        self.problems: list[str] = []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        tree = self.send("browsingContext.getTree")
        self.context = tree["contexts"][0]["context"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command; what is reported before it comes is kept."""
        number = next(self.numbers)
        self.connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.connection.recv(timeout=120))
            if message.get("method") == "log.entryAdded":
                entry = message["params"]
                if entry.get("level") == "error" and "/_stcore/" not in str(entry):
                    self.problems.append(str(entry.get("text")))
            if message.get("id") == number:
                if message["type"] == "error":
                    raise AssertionError(f"{method}: {message['message']}")
                found: dict[str, Any] = message["result"]
                return found

    def size(self, width: int, height: int) -> None:
        """Give the page as much room as that."""
        viewport = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self.context, viewport=viewport)

    def open(self, url: str) -> None:
        """Open an address."""
        self.send("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page, which has to be JSON."""
        result = self.send(
            "script.evaluate",
            expression=f"JSON.stringify(({expression}) ?? null)",
            target={"context": self.context},
            awaitPromise=True,
        )
        if result["type"] == "exception":
            raise AssertionError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + 60
        while not self.ask(f"Boolean({expression})"):
            assert time.monotonic() < end, f"waited for {expression}"
            time.sleep(0.1)

    def press(self, key: str) -> None:
        """Press a key."""
        actions = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keys", "actions": actions}
        self.send("input.performActions", context=self.context, actions=[source])

    def click(self, x: float, y: float) -> None:
        """A real click at a place of the window."""
        actions = [
            {"type": "pointerMove", "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        source = {"type": "pointer", "id": "mouse", "actions": actions}
        self.send("input.performActions", context=self.context, actions=[source])

    def picture(self, file: Path) -> None:
        """Save what is seen."""
        found = self.send("browsingContext.captureScreenshot", context=self.context)
        file.write_bytes(base64.b64decode(found["data"]))


def installed() -> str | None:
    """The command of a Firefox, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextlib.contextmanager
def firefox(command: str) -> Iterator[Firefox]:
    """A headless Firefox with a profile of its own, ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                command,
                "--headless",
                "--no-remote",
                f"--remote-debugging-port={port}",
                f"--profile={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with _connected(port, process) as connection:
                yield Firefox(connection)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _connected(port: int, process: subprocess.Popen[bytes]) -> ClientConnection:
    end = time.monotonic() + 60
    while True:
        try:
            return connect(f"ws://127.0.0.1:{port}/session", max_size=None)
        except OSError:
            assert process.poll() is None, "Firefox ended at once"
            assert time.monotonic() < end, "Firefox does not answer"
            time.sleep(0.2)
