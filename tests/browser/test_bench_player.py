"""The player's benchmark measures what it says; nothing here asserts a time.

It runs in a process of its own: Playwright cannot be started twice in one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ctviz.bench.player import WATCH
from ctviz.bench.synthetic import timeline
from ctviz.cli import main
from ctviz.views.packing import pack
from tests import ROOT
from tests.browser.driving import Player

SHORT = """
import json
from ctviz.bench.player import bench_player
from ctviz.errors import CtvizError
try:
    found = bench_player(case="tiny", others=("gqa", "blocks"), loads=2, windows=2, seconds=0.5)
except CtvizError as error:
    found = {"error": str(error)}
print(json.dumps(found))
"""


def run_short(**environment: str) -> dict:
    answer = subprocess.run(
        [sys.executable, "-c", SHORT],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict = json.loads(answer.stdout)
    return found


def test_it_reports_its_named_numbers(browser: Browser) -> None:
    result = run_short()
    for found, case in ((result, "tiny"), (result["gqa"], "gqa"), (result["blocks"], "blocks")):
        frames = found["frames_per_second"]
        assert found["fps"] == min(frames[k]["median"] for k in ("player", "graph_redrawn")) > 0
        assert all(0 < rate["worst"] <= rate["median"] for rate in frames.values())
        assert frames["graph_redrawn"]["median"] <= frames["animation_frames"]["median"]
        assert found["payload_mb"] == round(len(json.dumps(pack(timeline(case)))) / 1e6, 2)
        low, high = found["first_paint_s_range"]
        assert 0 < low <= found["first_paint_s"] <= high
    shape = {"layers": 4, "heads": 8, "nodes": 38, "edges": 60, "snapshots": 61}
    sent = len(pack(timeline("tiny"))["edges"])
    assert result["shape"] == {**shape, "edges_sent": sent}
    assert result["gqa"]["shape"]["snapshots"] == 40
    assert result["blocks"]["shape"]["nodes"] == 2 + 30 * (9 + 24)
    assert result["blocks"]["opened"]["fps"] > 0
    assert result["blocks"]["circuit"]["fps"] > 0
    assert 0 < result["memory_mb"] < 1000
    assert list(result["readable"]) == ["auto"]  # a small circuit has no other level
    levels = result["blocks"]["readable"]
    assert levels["backbone"]["edges"] < levels["circuit"]["edges"] <= 400
    assert levels["backbone"]["crossings"] < levels["circuit"]["crossings"]
    assert all(0 <= level["labels_clear"] <= 1 for level in levels.values())
    assert result["chromium"] == browser.version


def test_without_a_chromium_it_says_what_to_do(tmp_path: Path) -> None:
    found = run_short(PATH=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH=str(tmp_path))
    assert found["error"].startswith("No Chromium could be started: ")
    assert "playwright install chromium" in found["error"]


def test_frames_are_counted_only_when_the_graph_is_drawn(player: Player) -> None:
    player.page.add_init_script(WATCH)
    player.open("tiny")
    player.page.wait_for_function("__frames.first !== null")

    def passed() -> tuple[int, int]:
        before = player.page.evaluate("[__frames.all, __frames.drawn]")
        player.page.wait_for_timeout(700)
        after = player.page.evaluate("[__frames.all, __frames.drawn]")
        return after[0] - before[0], after[1] - before[1]

    player.page.wait_for_timeout(2000)  # what has just changed glows for a while
    every, drawn = passed()
    assert every > 0
    assert drawn == 0
    player.page.keyboard.press(" ")
    every, drawn = passed()
    assert 0 < drawn <= every


def test_the_command_prints_the_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"fps": 1.5, "payload_mb": 2.5, "first_paint_s": 3.5, "fine": {"fps": 1.0}}
    monkeypatch.setattr("ctviz.bench.player.bench_player", lambda: numbers)
    assert main(["bench", "player", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == numbers
