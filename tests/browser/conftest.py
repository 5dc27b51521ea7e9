"""A Streamlit server with the player's test app, and a Chromium that must not leave the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from ctviz.bench.app import CHROMIUM_FLAGS, chromium, serve
from tests import ROOT
from tests.browser.driving import HERE, Player


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test of this folder needs a Chromium."""
    item.add_marker("browser")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a running test app."""
    with serve(str(HERE / "player_app.py"), runs="", imports=str(ROOT)) as address:
        yield address


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
