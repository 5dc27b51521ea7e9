"""The pages in Firefox: they draw, play, and answer to the keyboard and the mouse."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.firefox import PLAYER, Firefox, firefox, installed

SAMPLE = "sample-sva-flip"
SHADOW = "document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"


@pytest.fixture(scope="module")
def window() -> Iterator[Firefox]:
    """One window for the tests of this file."""
    command = installed()
    if command is None:
        if os.environ.get("CTVIZ_REQUIRE_BROWSER"):
            pytest.fail("No Firefox is installed here: apt-get install firefox-esr")
        pytest.skip("No Firefox is installed here, so the page was not tested in it")
    with firefox(command) as found:
        found.size(1280, 900)
        yield found


@pytest.fixture(autouse=True)
def _no_problems(window: Firefox) -> Iterator[None]:
    """No page reports an error."""
    window.problems.clear()
    yield
    window.wait("document.querySelector('[data-test-script-state=notRunning]')")
    time.sleep(0.5)  # what is still being fetched would fail if the page were left
    window.ask("0")  # what was reported last comes before the answer
    assert window.problems == []


def opened(window: Firefox, address: str) -> None:
    """Open an address that has a player, and wait until it is drawn."""
    window.open(address)
    window.wait(f"{PLAYER}?.ready() && {PLAYER}.drawn() > 0")


def test_watch_draws_and_plays_and_selects(window: Firefox, app: tuple[Path, str]) -> None:
    opened(window, f"{app[1]}/?run={SAMPLE}&step=0")
    assert window.ask(f"{PLAYER}.drawn()") == 40
    window.press(" ")
    window.wait(f"{PLAYER}.snapshot() >= 2 && {PLAYER}.fps() > 0")
    window.press(" ")
    window.press("End")
    window.wait(f"{PLAYER}.snapshot() === 30")
    place = window.ask(f"{PLAYER}.nodeAt('m3')")
    window.click(place["x"], place["y"])
    window.wait(f"{PLAYER}.selected() === 'm3'")
    window.wait("location.search.includes('node=m3')")


def test_a_large_circuit_has_its_three_forms(window: Firefox, server: str) -> None:
    opened(window, f"{server}/?case=deep")
    for form in ("paths", "matrix", "graph"):
        button = f"{SHADOW}.querySelector('[aria-label=\"Form of the circuit\"] [data-key={form}]')"
        window.ask(f"{button}.click()")
        window.wait(f"{SHADOW}.querySelector('.cz').dataset.form === '{form}'")
    window.wait(f"{PLAYER}.drawn() > 0")
    window.ask(f"{SHADOW}.querySelector('[data-key=circuit]').click()")
    window.wait(f"{PLAYER}.drawn() === 150")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (f"?run={SAMPLE}", "Subject-verb disagreement"),
        ("inspect", "Prompt"),
        ("compare", "Compare"),
        ("run", "Discover and tune"),
        ("runs", "All runs"),
        ("studies", "Studies"),
        ("learn", "short lessons"),
    ],
)
def test_every_page_opens(window: Firefox, app: tuple[Path, str], page: str, text: str) -> None:
    window.open(f"{app[1]}/{page}")
    inside = f"({SHADOW.replace('.shadowRoot', '?.shadowRoot')}?.textContent ?? '')"
    window.wait(f"(document.body.innerText + {inside}).includes({text!r})")
    assert not window.ask("Boolean(document.querySelector('[data-testid=stException]'))")


def test_a_lesson_goes_on(window: Firefox, app: tuple[Path, str]) -> None:
    opened(window, f"{app[1]}/learn?lesson=graph&at=3")
    window.press("End")
    window.wait(f"{PLAYER}.snapshot() === 30")
    window.wait("document.body.innerText.includes('Done')")
