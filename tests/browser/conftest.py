"""A Streamlit server with the player's test app, and a Chromium that must not leave the machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from ctviz.bench.app import CHROMIUM_FLAGS, chromium, serve
from ctviz.runs import Run, list_runs
from tests import ROOT
from tests.browser.driving import HERE, Player, serve_app


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test of this folder needs a Chromium."""
    item.add_marker("browser")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a running test app."""
    with serve(str(HERE / "player_app.py"), runs="", imports=str(ROOT)) as address:
        yield address


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The app with a folder of the user's runs that is not there yet; both, its address second.

    Starting one takes as long as a test does, so the tests of a file share it.
    """
    runs = tmp_path_factory.mktemp("app") / "runs"
    with serve_app(runs) as address:
        yield runs, address


@pytest.fixture
def no_runs(app: tuple[Path, str]) -> Iterator[Path]:
    """The folder of `app`, not there before the test nor after it; what still runs is stopped."""
    runs, _ = app
    yield runs
    live = [run for run in list_runs(runs) if isinstance(run, Run) and run.status().live]
    for run in live:
        run.cancel()
    end = time.monotonic() + 60
    while any(run.status().live for run in live) and time.monotonic() < end:
        time.sleep(0.1)
    shutil.rmtree(runs, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        try:
            instance = playwright.chromium.launch(
                executable_path=chromium(), args=list(CHROMIUM_FLAGS)
            )
        except Exception as error:  # no browser on this machine
            if os.environ.get("CTVIZ_REQUIRE_BROWSER"):
                raise
            pytest.skip(f"No Chromium is installed here, so the page was not tested: {error}")
        yield instance
        instance.close()


@pytest.fixture
def new_player(server: str, browser: Browser) -> Iterator[Callable[..., Player]]:
    """Makes players; afterwards asserts that nothing failed and nothing left the machine."""
    made: list[Player] = []

    def make(*, width: int = 1280, height: int = 900, **options: str) -> Player:
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        made.append(Player(page, server))
        return made[-1]

    yield make
    for player in made:
        player.page.close()
        assert player.problems == []
        outside = [u for u in player.requests if not u.startswith((server, "blob:", "data:"))]
        assert outside == []


@pytest.fixture
def player(new_player: Callable[..., Player]) -> Player:
    """A player on a wide page."""
    return new_player()
