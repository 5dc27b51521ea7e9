"""The replay file in a real browser, from the disk and without a network; and the Keep button."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ctviz import paths
from ctviz.bench.app import serve
from ctviz.export import make_replay
from ctviz.export.theme import THEMES
from ctviz.runs import Run, open_run
from ctviz.views.view import View
from tests import ROOT
from tests.browser.driving import HERE
from tests.written_runs import write_run

HANDLE = "document.querySelector('.cz')?.__ctviz"
TITLE = "</script></title><b>x</b> & $y$"


class Replay:
    """A replay file in a page that has no network, and everything that it did wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, file: Path, hash_text: str = "") -> Replay:
        self.page.goto(f"{file.as_uri()}{hash_text}")
        self.wait("ready()")
        return self

    def ask(self, call: str):
        return self.page.evaluate(f"() => {HANDLE}?.{call}")

    def wait(self, condition: str) -> None:
        """Wait for the player's handle; the page's policy forbids Playwright's own way."""
        self.until(f"() => {HANDLE}?.{condition}")

    def until(self, expression: str) -> None:
        end = time.monotonic() + 30
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"{expression} never came true"
            time.sleep(0.05)

    def click_node(self, name: str) -> None:
        place = self.ask(f"nodeAt({name!r})")
        self.page.mouse.click(place["x"], place["y"])


@pytest.fixture
def replay(browser: Browser) -> Iterator[Replay]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    made = Replay(context.new_page())
    yield made
    context.close()
    assert made.problems == []
    assert [url for url in made.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert sum(url.startswith("file:") for url in made.requests) >= 1


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("replay") / "run.html"
    file.write_bytes(make_replay(open_run("sample-sva-flip", paths.shipped_runs())))
    return file


def test_it_shows_what_each_update_carries(replay: Replay, sample: Path) -> None:
    """As the run's causes.json says: step 60 at the end, step 30 in the first half."""
    replay.open(sample)
    heat = replay.page.locator(".cz-heat")
    heat.get_by_role("button", name="updates", exact=True).click()
    expect(heat.locator("h3")).to_have_text("What each update carries")
    said = "of the parameters were updated"
    for steps, key in ((30, "Home"), (60, "End")):
        replay.page.keyboard.press(key)
        heat.locator(".cz-note", has_text=f"Step {steps}: ").wait_for()
        assert said in heat.locator(".cz-note").inner_text()
    assert heat.get_by_role("button", name="circuit", exact=True).is_hidden()
    heat.get_by_role("button", name="redundancy", exact=True).click()
    expect(heat.locator("h3")).to_have_text("Node redundancy")


def test_it_plays_from_the_disk(replay: Replay, sample: Path) -> None:
    assert sample.stat().st_size <= 3_000_000
    replay.open(sample)
    assert replay.ask("run()") == "sample-sva-flip"
    assert replay.ask("drawn()") == 40
    replay.page.get_by_label("Play", exact=True).click()
    replay.wait("snapshot() >= 2")
    replay.page.get_by_label("Pause", exact=True).click()
    assert not replay.ask("playing()")
    assert len([url for url in replay.requests if url.startswith("file:")]) == 1
    assert replay.page.title() == "Subject-verb disagreement · sample-sva-flip"
    assert "run sample-sva-flip of 2026-11-2" in replay.page.locator("footer").inner_text()


def test_the_address_holds_what_is_shown_and_back_restores_it(replay: Replay, sample: Path) -> None:
    replay.open(sample, "#step=24&edges=12")
    assert replay.ask("snapshot()") == 12
    assert replay.ask("drawn()") == 12
    replay.click_node("a3.h1")
    replay.until("() => new URLSearchParams(location.hash.slice(1)).get('node') === 'a3.h1'")
    replay.page.keyboard.press("ArrowRight")
    replay.until("() => new URLSearchParams(location.hash.slice(1)).get('step') === '26'")
    replay.page.go_back()
    replay.wait("snapshot() === 12")
    assert replay.ask("selected()") == "a3.h1"
    shown = replay.page.evaluate("() => location.hash")

    replay.page.goto("about:blank")
    replay.open(sample, shown)
    assert replay.ask("snapshot()") == 12
    assert replay.ask("selected()") == "a3.h1"
    assert replay.ask("edges()") == 12


def test_a_link_to_what_is_not_there_opens_the_nearest_and_says_so(
    replay: Replay, sample: Path
) -> None:
    replay.open(sample, "#step=25&node=a9.h9,m1&heat=%3Cb%3E&edges=-3")
    assert replay.ask("snapshot()") == 12
    assert replay.ask("selected()") == "m1"
    said = replay.page.get_by_role("status").first.inner_text()
    assert "There is no node a9.h9 here." in said
    assert "Step 25 has no snapshot; the nearest is step 24." in said
    replay.page.evaluate("() => { location.hash = 'step=999&node=<img>' }")
    replay.wait("snapshot() === 30")
    replay.page.get_by_role("button", name="Switch to the").click()
    said = replay.page.get_by_role("status").first.inner_text()
    assert "There is no node <img> here." in said
    assert "Step 999 has no snapshot; the nearest is step 60." in said
    replay.page.get_by_label("Play", exact=True).focus()
    replay.page.keyboard.press("ArrowLeft")
    replay.until("() => location.hash === '#step=58'")
    replay.page.get_by_role("button", name="Switch to the").click()
    assert replay.page.get_by_role("status").first.inner_text() == ""


def test_the_view_it_was_made_with_comes_first(replay: Replay, tmp_path: Path) -> None:
    run = open_run("sample-sva-flip", paths.shipped_runs())
    file = tmp_path / "run.html"
    file.write_bytes(make_replay(run, View(step=30, nodes=("m2",))))
    replay.open(file)
    assert replay.ask("snapshot()") == 15
    assert replay.ask("selected()") == "m2"


def test_markup_in_a_title_is_text(replay: Replay, tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", "one", about={"task": {"title": TITLE}})
    file = tmp_path / "run.html"
    file.write_bytes(make_replay(run))
    replay.open(file)
    assert replay.page.title() == f"{TITLE} · r"
    assert replay.page.locator("h2").first.inner_text() == TITLE
    assert replay.page.locator("b", has_text="x").count() == 0


def test_a_very_long_title_is_cut_and_nothing_scrolls_sideways(
    replay: Replay, tmp_path: Path
) -> None:
    about = {"task": {"title": "x" * 10_000}, "model": {"revision": "y" * 10_000}}
    file = tmp_path / "run.html"
    file.write_bytes(make_replay(write_run(tmp_path / "r", "one", about=about)))
    replay.open(file)
    for width in (1280, 768):
        replay.page.set_viewport_size({"width": width, "height": 900})
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert replay.page.evaluate(f"() => {wide}") <= 0
        for place in ("h2", "footer"):
            box = replay.page.locator(place).first.bounding_box()
            assert 0 < box["height"] < 70  # two lines


def test_light_and_dark_are_those_of_the_pictures(replay: Replay, sample: Path) -> None:
    replay.open(sample)
    colours = """() => import('ctviz/colour.js').then(({ readTheme }) => {
      const theme = readTheme(document.querySelector('.cz'));
      return [theme.bg, theme.text, ...theme.sign, theme.muted, theme.faint, theme.line, theme.band,
        theme.undefinedFill, ...[0, 0.3, 0.9, 0.99, 1].map((share) => theme.fill(share))];
    })"""
    for name in ("light", "dark"):
        theme = THEMES[name]
        mine = [theme.bg, theme.text, theme.supports, theme.against, theme.muted, theme.faint]
        mine += [theme.line, theme.band, theme.undefined]
        mine += [theme.fill(share) for share in (0, 0.3, 0.9, 0.99, 1)]
        theirs = replay.page.evaluate(colours)
        for one, other in zip(mine, theirs, strict=True):
            read = [int(part) for part in other[4:-1].split(",")]
            assert max(abs(a - b) for a, b in zip(one, read, strict=True)) <= 1, (name, one, read)
        replay.page.get_by_role("button", name="Switch to the").click()
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert replay.page.evaluate(background) == "rgb(255, 255, 255)"


def test_the_keep_button_hands_out_what_is_shown(browser: Browser, tmp_path: Path) -> None:
    write_run(tmp_path / "mine", "tiny", snapshots=3)
    with serve(str(HERE / "keep_app.py"), runs=str(tmp_path), imports=str(ROOT)) as address:
        page = browser.new_page()
        page.goto(f"{address}/?run=mine&step=12&edges=9")
        page.get_by_role("button", name="Keep").click()
        page.get_by_text("step 10", exact=False).first.wait_for(timeout=30_000)
        assert page.get_by_role("button", name="Tuned model").is_disabled()
        page.get_by_text("This run has kept no weights").wait_for()
        got: dict[str, bytes] = {}
        for name in ("Replay", "Animation", "PNG", "SVG", "CSV", "Parquet", "Circuit"):
            with page.expect_download(timeout=60_000) as download:
                page.get_by_role("button", name=name).click()
            got[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
        page.close()
        assert sorted(got) == [
            "mine-csv.zip",
            "mine-parquet.zip",
            "mine-step-10.json",
            "mine-step-10.png",
            "mine-step-10.svg",
            "mine.gif",
            "mine.html",
        ]
        assert got["mine.html"] == make_replay(Run(tmp_path / "mine"), View(step=10, edges=9))
        assert b"9 strongest of 60" in got["mine-step-10.svg"]
        assert json.loads(got["mine-step-10.json"])["cfg"]["n_layers"] == 4
        with zipfile.ZipFile(io.BytesIO(got["mine-csv.zip"])) as archive:
            assert "edges.csv" in archive.namelist()
