"""The app itself in a real browser: the sample plays, a node explains itself, a new run grows live.

``new_player`` also asserts after every test that the console shows no error and that no request
left the machine.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser

from tests.browser.driving import PLAYER, Player, only_run, open_app, serve_app, wait_until


@pytest.fixture
def runs(no_runs: Path) -> Path:
    """The user's runs, none at first."""
    return no_runs


@pytest.fixture
def server(app: tuple[Path, str], runs: Path) -> str:
    """The address of the app; ``new_player`` opens its pages here."""
    return app[1]


def test_the_sample_run_is_there_and_plays(player: Player) -> None:
    open_app(player, "")
    assert player.ask("run()") == "sample-tiny-sva"
    player.says("step 6000 of 6000")  # what has become of it, before how
    player.says("40 of 479 edges of a tiny model carry 97 ± 2 % of subject-verb agreement")
    chip = player.page.locator(".cz-quality").inner_text()
    assert chip == "faithful: carries 97 ± 2 % of the behaviour"
    player.page.get_by_label("Play", exact=True).click()
    player.wait("snapshot() < 3")  # from the start
    player.wait("snapshot() >= 3")
    player.page.get_by_label("Pause", exact=True).click()
    player.page.keyboard.press("End")
    player.says("step 6000 of 6000")
    player.page.keyboard.press("ArrowLeft")
    player.says("step 4110 of 6000")


def test_the_page_has_not_imported_torch(player: Player, server: str) -> None:
    open_app(player)
    port = int(server.rsplit(":", 1)[1])
    pages = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "streamlit" in (line := process.info["cmdline"] or []) and str(port) in line
    ]
    assert len(pages) == 1
    files = [mapped.path for mapped in pages[0].memory_maps()]
    assert not [file for file in files if "libtorch" in file]


def test_a_click_on_a_node_shows_its_edges_scores_and_redundancy(player: Player) -> None:
    open_app(player)
    player.click_node("m3")
    panel = player.page.locator(".cz-inspector")
    panel.get_by_text("m3", exact=True).first.wait_for()
    text = panel.inner_text()
    assert "logits" in text
    assert "redundan" in text.lower()
    player.settle()
    assert "node=m3" in player.page.url
    assert "run=sample-sva-flip" in player.page.url
    player.page.keyboard.press("Escape")
    assert player.ask("selected()") is None


def test_a_link_opens_the_same_picture_and_back_restores_the_one_before(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=30&node=m2&edges=12")
    assert player.ask("snapshot()") == 15
    assert player.ask("selected()") == "m2"
    assert player.ask("edges()") == 12


def test_a_link_to_a_run_that_is_gone_says_so_and_opens_another(player: Player) -> None:
    open_app(player, "?run=nothing<b>")
    player.says("There is no run “nothing<b>” here")
    assert player.ask("run()") == "sample-tiny-sva"


def test_a_new_run_goes_from_the_button_to_a_playable_result(player: Player, runs: Path) -> None:
    open_app(player)
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.says("should go on with")
    player.page.get_by_role("button", name="Discover and tune").click()
    player.page.wait_for_url("**/?run=sva-flip-tiny-circuit-*")
    player.wait("run()?.startsWith('sva-flip-tiny')")
    player.wait("drawn() > 0")  # the first snapshot, while the others are being computed
    mounted = player.page.evaluate_handle(f"() => ({PLAYER})()")
    run = only_run(runs)
    wait_until(lambda: run.status().state == "finished", player)
    player.page.get_by_role("button", name="Cancel").wait_for(state="detached")
    player.says("step 60 of 60")  # it was followed, and the end of the run leaves it there
    player.settle()
    player.says("step 60 of 60")
    assert player.page.evaluate(f"before => before === ({PLAYER})()", mounted)
    values = run.metrics().dropna(subset=["metric"])["metric"].tolist()
    assert values[0] < -2 < 2 < values[-1]
    assert (run.metrics()["outside_moved"].dropna() == 0.0).all()


def test_a_run_can_be_cancelled_and_resumed(player: Player, runs: Path) -> None:
    open_app(player)
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.page.get_by_text("Settings", exact=True).click()
    steps = player.page.get_by_label("Steps", exact=True)
    steps.fill("400")
    steps.press("Enter")
    player.settle()
    player.page.get_by_role("button", name="Discover and tune").click()
    player.page.get_by_role("button", name="Cancel").click()
    run_seen = lambda: only_run(runs).status()  # noqa: E731
    wait_until(lambda: run_seen().state == "cancelled", player)
    stopped = run_seen().step
    assert stopped < 400
    player.says("This run was cancelled")
    player.page.get_by_role("button", name="Resume").click()
    wait_until(lambda: run_seen().live and run_seen().step > stopped, player)
    player.page.get_by_role("button", name="Cancel").click()
    wait_until(lambda: run_seen().state == "cancelled", player)


def test_reloading_and_killing_the_page_leave_the_run_alone(
    browser: Browser, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    with serve_app(runs) as server:  # one of its own, which does not survive
        _reload_and_kill(Player(browser.new_page(), server), runs, server)


def _reload_and_kill(player: Player, runs: Path, server: str) -> None:
    open_app(player)
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.page.get_by_role("button", name="Discover and tune").click()
    player.page.wait_for_url("**/?run=sva-flip-tiny-circuit-*")
    player.page.reload()
    player.wait("run()?.startsWith('sva-flip-tiny')")
    port = server.rsplit(":", 1)[1]
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "streamlit" in line and port in line:
            os.kill(process.pid, signal.SIGKILL)
    end = time.time() + 120
    run = only_run(runs)
    while run.status().live and time.time() < end:
        time.sleep(0.1)
    assert run.status().state == "finished"
    player.page.close()


def test_damaged_runs_are_named_and_the_others_open(player: Player, runs: Path) -> None:
    (runs / "broken").mkdir(parents=True)
    (runs / "broken" / "run.json").write_text("{")
    (runs / "other").mkdir()
    (runs / "other" / "run.json").write_text(json.dumps({"schema": 99}))
    open_app(player)
    player.page.get_by_text("2 damaged runs").click()
    player.says("broken/run.json cannot be read")
    player.says("has schema 99")


def test_bad_settings_are_explained_on_the_page(player: Player) -> None:
    open_app(player)
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.page.get_by_role("combobox", name="Model").click()
    player.page.get_by_role("option", name="another model").click()
    name = player.page.get_by_role("textbox", name="Hub id or folder")
    name.fill("tinny")
    name.press("Enter")
    player.settle()
    player.page.get_by_role("button", name="Discover and tune").click()
    player.says("Did you mean 'tiny'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800])
def test_it_fits_the_page(new_player: Callable[..., Player], width: int, scheme: str) -> None:
    player = open_app(new_player(width=width, color_scheme=scheme))
    overflow = player.page.evaluate("() => document.body.scrollWidth - window.innerWidth")
    assert overflow <= 0
    dark = player.page.evaluate(
        "() => getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    )
    channel = int(dark.split("(")[1].split(",")[0])
    assert (channel < 100) == (scheme == "dark")
