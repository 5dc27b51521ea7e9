"""The page Compare in a real browser: choosing, playing, linking, going back, and taking along.

``new_player`` also asserts after every test that the console shows no error and that no request
left the machine.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from ctviz import paths
from ctviz.runs import open_run
from ctviz.views.compare import STATES
from tests.browser.driving import Player

SAMPLE = "sample-sva-flip"
MINE = "mine"  # the sample's first half, as if another method had made it
LAST = 30


@pytest.fixture
def runs(no_runs: Path) -> Path:
    """The user's runs: one."""
    folder = no_runs / MINE
    shutil.copytree(paths.shipped_runs() / SAMPLE, folder)
    about = json.loads((folder / "run.json").read_text())
    about["config"] |= {"method": "full", "seed": 4}
    (folder / "run.json").write_text(json.dumps(about))
    for file in (folder / "snapshots").iterdir():
        if int(file.stem) > LAST:
            file.unlink()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["step"] <= LAST]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in kept))
    return no_runs


@pytest.fixture
def server(app: tuple[Path, str], runs: Path) -> str:
    """The address of the app; ``new_player`` opens its pages here."""
    return app[1]


def drawn(player: Player) -> Player:
    player.page.get_by_role("heading", name="In numbers").wait_for(timeout=30_000)
    player.wait("ready()")
    player.settle()
    return player


def enter(player: Player) -> Player:
    """Come from another page, as a person does."""
    player.page.goto(player.url)
    player.page.get_by_role("link", name="Compare").click()
    return drawn(player)


def follow(player: Player, query: str) -> Player:
    """A pasted link."""
    player.page.goto(f"{player.url}/compare?{query}")
    drawn(player)
    return player


def query(player: Player) -> str:
    return player.page.url.partition("?")[2].replace("%2C", ",")


def test_the_newest_run_is_compared_with_the_sample_on_one_clock(player: Player) -> None:
    enter(player)
    assert query(player) == f"runs={MINE},{SAMPLE}"
    player.says("B · circuit-tuning against A · full fine-tuning")
    player.says("step 60 of 60")  # the longer run's clock; the other one holds its step 30
    player.page.get_by_text("only in B").first.wait_for()
    player.page.locator(".cz").click(position={"x": 400, "y": 20})
    player.page.keyboard.press("Home")
    player.page.get_by_text("0 only in B, 0 only in A", exact=False).wait_for()
    player.settle()
    assert "step=0" in query(player)
    player.page.get_by_label("Play", exact=True).click()
    player.wait("snapshot() >= 2")
    player.page.get_by_label("Pause", exact=True).click()


def test_swapping_the_runs_swaps_the_sides_and_back_undoes_it(player: Player) -> None:
    enter(player)
    reference = player.page.get_by_role("combobox", name="Reference (A)")
    reference.click()
    player.page.get_by_role("option", name="circuit-tuning", exact=True).click()
    player.says("B · full fine-tuning against A · circuit-tuning")
    player.settle()
    assert query(player) == f"runs={SAMPLE},{MINE}"
    player.page.go_back()
    player.says("B · circuit-tuning against A · full fine-tuning")
    assert query(player) == f"runs={MINE},{SAMPLE}"


def test_one_run_is_compared_with_a_step_of_its_own(player: Player) -> None:
    enter(player)
    player.page.get_by_label("Remove Sample", exact=False).click()
    player.says("each step against step 0")
    player.settle()
    assert query(player) == f"runs={MINE}"
    slider = player.page.get_by_role("slider", name="Reference step (A)")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
        player.settle()
    player.says("each step against step 6")
    assert query(player) == f"runs={MINE}&against=6"
    player.page.go_back()
    player.says("each step against step 4")


def test_a_pasted_link_restores_the_page(player: Player) -> None:
    follow(player, f"runs={SAMPLE},{MINE}&step=20&node=m2&edges=12")
    player.says("B · full fine-tuning against A · circuit-tuning")
    player.says("step 20 of 60")
    assert player.ask("edges()") == 12
    assert player.ask("selected()") == "m2"
    player.page.get_by_text("Edges, B against A at step 20").wait_for()
    follow(player, f"runs={SAMPLE}&against=10&step=4")
    player.says("each step against step 10")
    player.page.get_by_text("Edges, step 4 against step 10").wait_for()


def test_a_link_to_what_is_gone_says_so(player: Player) -> None:
    follow(player, f"runs=%3Cb%3Egone,{SAMPLE}&against=11")
    player.says("“<b>gone” cannot be opened here; the others are compared")
    player.says("There is no snapshot of step 11; the nearest one is of step 10")


def test_leaving_and_coming_back_keeps_what_was_compared(player: Player) -> None:
    follow(player, f"runs={SAMPLE}&against=10&step=4")
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.says("should go on with")
    player.page.get_by_role("link", name="Compare").click()
    drawn(player)
    player.says("each step against step 10")
    assert query(player) == f"runs={SAMPLE}&against=10&step=4"
    player.page.go_back()
    player.says("should go on with")


def test_tables_can_be_taken_along(player: Player) -> None:
    follow(player, f"runs={SAMPLE},{MINE}")
    with player.page.expect_download() as download:
        player.page.get_by_role("button", name="CSV").last.click()
    table = pd.read_csv(download.value.path())
    assert table["run"].tolist() == [SAMPLE, MINE]
    assert table["method"].tolist() == ["circuit", "full"]
    assert table["metric_before"].nunique() == 1
    player.page.get_by_text("Edges, B at step 30 (its last) against A at step 60").click()
    with player.page.expect_download() as download:
        player.page.get_by_role("button", name="Parquet").first.click()
    edges = pd.read_parquet(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert set(edges["state"]) <= set(STATES.values())
    assert len(edges) >= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768])
def test_it_fits_the_page(new_player: Callable[..., Player], width: int, scheme: str) -> None:
    player = enter(new_player(width=width, color_scheme=scheme))
    expect(player.page.locator(".js-plotly-plot")).to_have_count(3)
    overflow = player.page.evaluate("() => document.body.scrollWidth - window.innerWidth")
    assert overflow <= 0


def test_shared_edges_of_opposite_sign_are_marked_and_counted(player: Player) -> None:
    """m3->logits goes from -8.92 to +3.39 in the sample: it is reversed and not the same."""
    player.page.goto(f"{player.url}/compare?runs={SAMPLE}&against=0")
    player.wait("ready()")
    player.page.keyboard.press("End")
    player.settle()
    first, *_, last = open_run(SAMPLE, paths.shipped_runs()).snapshots()
    assert first.error is not None
    assert last.error is not None
    both = first.circuit & last.circuit & (first.scores * last.scores < 0)
    sure = (abs(first.scores) > 2 * first.error) & (abs(last.scores) > 2 * last.error)
    count = int((both & sure).sum())
    assert count > 0
    player.wait(f"marked().reversed === {count}")
    player.says(f"({count} reversed)")
    player.says(f"{count} of opposite sign")


def test_what_differs_by_no_more_than_noise_is_marked(player: Player) -> None:
    follow(player, f"runs={SAMPLE}&against=10&step=12")
    kept = {s.step: s for s in open_run(SAMPLE, paths.shipped_runs()).snapshots()}
    one, other = kept[10], kept[12]
    assert one.error is not None
    assert other.error is not None
    alike = np.abs(other.scores - one.scores) <= 2 * np.hypot(one.error, other.error)
    apart = int((alike & (one.circuit ^ other.circuit)).sum())
    assert apart > 0
    player.wait(f"marked().noise === {apart}")
    both = int((alike & (one.circuit | other.circuit)).sum())
    assert f"{both} of these differ by no more than the noise" in (
        player.page.locator(".cz-changes").inner_text()
    )
