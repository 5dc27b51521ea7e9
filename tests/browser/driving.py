"""The app in a browser, as a person drives it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from playwright.sync_api import Page

from ctviz import paths
from ctviz.bench.app import serve
from ctviz.runs import Run, list_runs

__all__ = [
    "FLIP",
    "HERE",
    "PLAYER",
    "Player",
    "choose",
    "only_run",
    "open_app",
    "serve_app",
    "wait_until",
]

HERE = Path(__file__).parent
FLIP = "?run=sample-sva-flip"
PLAYER = (
    "(at = 0) => document.querySelectorAll('[data-testid=stBidiComponentIsolated]')[at]"
    "?.shadowRoot?.querySelector('.cz')"
)


class Player:
    """A page with the player in it, and everything that went wrong on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.frames: list[bytes] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda s: s.on("framereceived", self._frame))

    def _console(self, message) -> None:
        # Opened at any page but the first, Streamlit asks for its own health below that page's
        # path first, gets a 404, and finds the right place.
        of_streamlit = "/_stcore/" in message.location.get("url", "")
        if message.type == "error" and not of_streamlit:
            self.problems.append(message.text)

    def _frame(self, data: str | bytes) -> None:
        self.frames.append(data.encode() if isinstance(data, str) else data)

    def open(self, case: str, *, players: int = 1, **query: str) -> Player:
        """Open a case of the test app and wait until every graph is drawn."""
        extra = "".join(f"&{name}={value}" for name, value in query.items())
        self.page.goto(f"{self.url}/?case={case}{extra}")
        for at in range(players):
            self.wait("ready()", at=at)
        return self

    def ask(self, call: str, *, at: int = 0):
        """The answer of the player's test handle, such as ``snapshot()``."""
        return self.page.evaluate(f"() => ({PLAYER})({at}).__ctviz.{call}")

    def wait(self, condition: str, *, at: int = 0) -> None:
        """Wait until an expression over the handle is true."""
        self.page.wait_for_function(f"() => ({PLAYER})({at})?.__ctviz?.{condition}", timeout=30_000)

    def click_node(self, name: str, *, at: int = 0) -> None:
        """A real click on a node of the graph."""
        place = self.ask(f"nodeAt({name!r})", at=at)
        self.page.mouse.click(place["x"], place["y"])

    def says(self, text: str) -> None:
        """Wait until the page shows a text, inside or outside of the player."""
        self.page.get_by_text(text, exact=False).first.wait_for(timeout=30_000)

    def rest(self) -> None:
        """Wait until the page has been drawn whole, so that what is clicked next stays in place."""
        self.page.wait_for_function(
            "() => document.querySelector('[data-test-script-state=notRunning]')", timeout=90_000
        )
        self.page.evaluate("() => new Promise(then => setTimeout(then, 100))")

    def settle(self) -> None:
        """Let the debounce pass and the rerun end."""
        time.sleep(0.5)
        self.rest()


def serve_app(runs: Path) -> AbstractContextManager[str]:
    """The app with a folder of the user's runs; gives its address."""
    return serve(str(paths.app()), runs=str(runs))


def open_app(player: Player, query: str = FLIP) -> Player:
    """Open the first page, by default at a run's start, and wait until its graph is drawn."""
    player.page.goto(f"{player.url}/{query}")
    player.wait("ready()")
    player.wait("drawn() > 0")
    return player


def only_run(runs: Path) -> Run:
    """The one run of a folder."""
    found = [run for run in list_runs(runs) if isinstance(run, Run)]
    assert len(found) == 1
    return found[0]


def wait_until(condition: Callable[[], bool], player: Player) -> None:
    """Let the page live on until a condition holds."""
    for _ in range(1200):
        if condition():
            return
        player.page.wait_for_timeout(100)
    raise AssertionError("waited for two minutes")


def choose(player: Player, label: str, option: str) -> None:
    """Choose in a select box, by typing."""
    box = player.page.get_by_role("combobox", name=label)
    box.click()
    box.fill(option)
    player.page.get_by_role("option", name=option).first.click()
    player.settle()
