"""All runs in a real browser: named, tagged, put away and deleted by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ctviz.runs import open_run
from ctviz.runs.notes import RunNotes, read_notes
from tests.browser.axe import check
from tests.browser.driving import Player, wait_until
from tests.written_runs import write_run


@pytest.fixture
def server(app: tuple[Path, str]) -> str:
    """The address of the app."""
    return app[1]


def mark(player: Player, row: int) -> None:
    """Click the box in front of a row."""
    table = player.page.locator("[data-testid=stDataFrame] canvas").first
    table.wait_for()
    player.settle()
    place = table.bounding_box()
    assert place is not None
    player.page.mouse.click(place["x"] + 15, place["y"] + 52 + 35 * row)
    player.settle()


def press(player: Player, name: str) -> None:
    player.page.get_by_role("button", name=name, exact=True).click()
    player.settle()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_is_named_found_archived_and_deleted(
    new_player: Callable[..., Player], no_runs: Path, scheme: str
) -> None:
    for name in ("one", "two"):
        write_run(no_runs / name, "tiny", task="ioi")
    player = new_player(color_scheme=scheme)
    player.page.goto(f"{player.url}/runs?search=ioi+circuit-tuning")
    mark(player, 0)
    player.page.get_by_role("textbox", name="Title").fill("Ours")
    tags = player.page.get_by_role("combobox", name="Tags")
    tags.fill("paper")
    tags.press("Enter")
    tags.press("Tab")  # the list of tags closes
    player.page.get_by_role("textbox", name="Note").fill("Once more")
    check(player.page)
    press(player, "Save")
    named = [run for name in ("one", "two") if (run := open_run(name, no_runs))]
    said = {run.id: read_notes(run, no_runs) for run in named}
    (mine,) = (name for name, notes in said.items() if notes != RunNotes())
    assert said[mine] == RunNotes("Ours", ("paper",), "Once more")

    press(player, "Watch")
    player.wait("ready()")
    assert f"run={mine}" in player.page.url
    assert player.page.title() == "Ours · ctviz"

    player.page.goto(f"{player.url}/runs?search=ours")
    mark(player, 0)
    press(player, "Archive")
    player.says("No run fits")
    assert read_notes(open_run(mine, no_runs), no_runs).archived
    player.page.goto(f"{player.url}/runs?search=ours&archived=true")
    mark(player, 0)
    press(player, "Delete …")
    player.says("will be gone from the disk")
    check(player.page)
    assert (no_runs / mine).is_dir()  # it asks once more
    press(player, "Delete")
    wait_until(lambda: len(list(no_runs.iterdir())) == 1, player)
    assert not (no_runs / mine).exists()


def test_two_marked_runs_are_compared(player: Player, no_runs: Path) -> None:
    for name in ("one", "two"):
        write_run(no_runs / name, "tiny", task="ioi")
    player.page.goto(f"{player.url}/runs?search=ioi+circuit-tuning")
    mark(player, 0)
    mark(player, 1)
    assert player.page.get_by_role("button", name="Watch", exact=True).count() == 0
    press(player, "Compare")
    player.wait("ready()")
    assert "/compare?runs=" in player.page.url
    assert all(name in player.page.url for name in ("one", "two"))
