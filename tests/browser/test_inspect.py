"""The page Inspect in a real browser: a head, an MLP, the whole model, and one's own prompt.

``new_player`` also asserts after every test that the console shows no error and that no request
left the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, expect

from ctviz.runs import open_run
from tests.browser import axe
from tests.browser.driving import Player, choose, serve_app
from tests.short_runs import tune_with_weights


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    tune_with_weights(folder / "mine")
    return folder


@pytest.fixture(scope="module")
def server(recorded: Path) -> Iterator[str]:
    """The address of the app; ``new_player`` opens its pages here."""
    with serve_app(recorded) as address:
        yield address


def enter(player: Player) -> Player:
    """Come from another page, as a person does."""
    player.page.goto(player.url)
    player.wait("ready()")
    player.page.get_by_role("link", name="Inspect", exact=True).click()
    section(player, "Likeliest next tokens")
    player.settle()
    return player


def follow(player: Player, query: str, heading: str) -> Player:
    """A pasted link."""
    player.page.goto(f"{player.url}/inspect?{query}")
    section(player, heading)
    player.settle()
    return player


def section(player: Player, title: str) -> None:
    player.page.get_by_role("heading", name=title).wait_for(timeout=60_000)


def value_of(player: Player, label: str) -> Locator:
    box = player.page.get_by_test_id("stMetric").filter(has_text=label).first
    return box.get_by_test_id("stMetricValue")


def metric(player: Player, label: str) -> str:
    return value_of(player, label).inner_text()


def query(player: Player) -> dict[str, str]:
    player.page.wait_for_url("**?*")  # it is filled in once the page is there
    return dict(part.split("=") for part in player.page.url.partition("?")[2].split("&"))


def test_a_head_is_found_read_and_switched_off(player: Player, recorded: Path) -> None:
    enter(player)
    choose(player, "Run", "circuit-tuning · ")
    choose(player, "Node", "a2.h1")
    section(player, "Switched off")
    assert query(player) == {"run": "mine", "step": "4", "node": "a2.h1"}
    maps = player.page.locator(".js-plotly-plot .heatmaplayer")
    expect(maps).to_have_count(3, timeout=30_000)
    stored = list(open_run("mine", recorded).snapshots())
    node = open_run("mine", recorded).graph.node("a2.h1")
    value = float(stored[4].probes[0].attribution[node])
    assert metric(player, "Step 4") == f"{value:+.3f}".replace("-", "−")
    section(player, "What it promotes and suppresses")  # all above it is there
    player.settle()
    before = metric(player, "This prompt")
    player.page.get_by_text("zero", exact=True).click()
    expect(player.page.get_by_role("radio", name="zero")).to_be_checked()
    expect(value_of(player, "This prompt")).not_to_have_text(before, timeout=30_000)
    assert metric(player, "This prompt").split(" → ")[0] == before.split(" → ")[0]


def test_the_address_is_filled_in_and_back_leaves_at_once(player: Player) -> None:
    enter(player)
    assert query(player)["run"] == "sample-tiny-sva"
    assert query(player)["step"] == "6000"
    player.page.go_back()
    player.wait("ready()")
    assert "/inspect" not in player.page.url


def test_the_step_moves_by_key_and_a_button_leads_to_where_weights_are(player: Player) -> None:
    follow(player, "run=mine&step=4&node=m3", "Its strongest neurons")
    player.page.get_by_role("slider", name="Step").press("ArrowLeft")
    player.says("The weights of step 3 were not kept")
    player.settle()
    assert query(player)["step"] == "3"
    assert player.page.get_by_role("heading", name="Its strongest neurons").count() == 0
    player.page.get_by_role("button", name="Step 2").click()
    section(player, "Its strongest neurons")
    player.settle()
    assert query(player) == {"run": "mine", "step": "2", "node": "m3"}
    player.page.go_back()
    player.says("The weights of step 3 were not kept")


def test_ones_own_prompt_is_run_and_kept(player: Player) -> None:
    follow(player, "run=mine&step=2&node=a1.h0", "Attention")
    choose(player, "Prompt", "Your own prompt")
    player.says("Type a prompt and press")
    player.page.get_by_label("Your prompt").fill("The keys to <b>the</b> $cabinet$ near the doors")
    player.page.get_by_role("textbox", name="Answer").fill(" are")
    player.page.get_by_role("textbox", name="Foil").fill(" is")
    player.page.get_by_role("button", name="Run this prompt").click()
    player.says("On logit(are) − logit(is)")
    player.settle()
    shown = player.page.locator(".xtick").all_text_contents()
    assert "<" in "".join(shown)  # what looks like markup is text
    player.page.get_by_role("textbox", name="Foil").fill("")
    player.page.get_by_label("Your prompt").fill("x" * 10_000)
    player.page.get_by_role("button", name="Run this prompt").click()
    player.says("the model reads at most 64")
    player.page.get_by_label("Your prompt").fill("The keys")
    player.page.get_by_role("button", name="Run this prompt").click()
    player.says("On logit(are) − the mean over all tokens")
    player.says("switched off otherwise than in the probes")
    player.page.get_by_role("textbox", name="Counterfactual").fill("The key")
    player.page.get_by_role("button", name="Run this prompt").click()
    expect(player.page.get_by_text("switched off otherwise")).to_have_count(0)
    chosen = player.page.get_by_role("radio", name="what it is on the counterfactual")
    expect(chosen).to_be_checked()
    player.settle()
    choose(player, "Node", "The whole model")
    section(player, "Likeliest next tokens")
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.says("should go on with")
    player.page.get_by_role("link", name="Inspect", exact=True).click()
    section(player, "Likeliest next tokens")
    player.settle()
    assert query(player) == {  # where it was left
        "run": "mine",
        "step": "2",
        "probe": "own",
        "prompt": "The+keys",
        "answer": "+are",
        "counterfactual": "The+key",
    }
    assert player.page.get_by_label("Your prompt").input_value() == "The keys"


def test_a_link_holds_the_prompt(new_player: Callable[..., Player]) -> None:
    player = follow(new_player(), "run=mine&step=2&node=a1.h0", "Attention")
    choose(player, "Prompt", "Probe 2")
    assert query(player)["probe"] == "2"
    choose(player, "Prompt", "Your own prompt")
    player.page.get_by_label("Your prompt").fill("The keys & <b>?")
    player.page.get_by_role("textbox", name="Answer").fill(" are")
    player.page.get_by_role("button", name="Run this prompt").click()
    player.says("On logit(are)")
    player.settle()
    address = player.page.url
    other = new_player()  # in a session of its own
    other.page.goto(address)
    other.says("On logit(are)")
    other.settle()
    expect(other.page.get_by_label("Your prompt")).to_have_value("The keys & <b>?")
    expect(other.page.get_by_role("textbox", name="Answer")).to_have_value(" are")
    assert other.page.url == address
    choose(other, "Node", "The whole model")
    other.says("On logit(are)")
    assert query(other)["prompt"] == "The+keys+%26+%3Cb%3E%3F"
    follow(other, "run=mine&step=2&probe=99", "Likeliest next tokens")
    other.says("This run has no probe 99")


def engine_of(url: str) -> psutil.Process:
    """The process that runs the models of the app at an address."""
    server = next(
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == int(url.rpartition(":")[2])
    )
    return next(
        process
        for process in psutil.Process(server).children(recursive=True)
        if "ctviz.serving" in process.cmdline()
    )


def test_one_window_does_not_keep_the_other_waiting(new_player: Callable[..., Player]) -> None:
    """The model hangs: who asked first cancels, and the other one gets an answer."""
    one, two = new_player(), new_player()
    follow(one, "run=mine&step=2&node=a1.h0", "Switched off")
    process = engine_of(one.url)
    process.suspend()
    one.page.goto(f"{one.url}/inspect?run=mine&step=2&node=a3.h2")
    one.says("The model is at it")
    two.page.goto(f"{two.url}/inspect?run=mine&step=2&node=a2.h3")
    two.says("1 question of other windows goes first")
    follow(two, "run=mine&step=2&node=a1.h0", "Switched off")  # known already: nobody is asked
    two.page.goto(f"{two.url}/inspect?run=mine&step=2&node=a2.h3")
    two.says("1 question of other windows goes first")
    one.page.get_by_role("button", name="Cancel").click()
    one.says("This is what was stored. The question was cancelled.")
    section(two, "Switched off")
    assert engine_of(one.url).pid != process.pid
    one.page.get_by_role("button", name="Ask again").click()
    section(one, "Switched off")
    one.settle()
    assert one.page.get_by_text("cancelled").count() == 0


def test_a_window_that_is_closed_drops_its_question(new_player: Callable[..., Player]) -> None:
    one, two = new_player(), new_player()
    follow(one, "run=mine&step=2&node=a1.h0", "Switched off")
    engine_of(one.url).suspend()
    one.page.goto(f"{one.url}/inspect?run=mine&step=2&node=a0.h2")
    one.says("The model is at it")
    one.page.goto("about:blank")
    follow(two, "run=mine&step=2&node=a0.h3", "Switched off")


def test_a_link_to_what_is_gone_opens_the_nearest_and_says_so(player: Player) -> None:
    follow(player, "run=mine&step=77&node=a9.h9", "Attention")
    player.says("no snapshot at step 77; this is step 4")
    player.says("“a9.h9” is no head or MLP of this model; this is a3.h3")
    follow(player, "run=%3Cb%3Egone", "Likeliest next tokens")
    player.says("There is no run “<b>gone” here")


def test_the_sample_opens_without_anything_of_ones_own(player: Player) -> None:
    follow(player, "run=sample-sva-flip&step=30&node=a3.h0", "Attention")
    player.page.locator(".js-plotly-plot .heatmaplayer").first.wait_for()
    assert metric(player, "Step 30").startswith(("+", "−"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_and_fits(new_player: Callable[..., Player], scheme: str) -> None:
    for width in (1280, 768):
        player = new_player(width=width, color_scheme=scheme)
        follow(player, "run=mine&step=4&node=a2.h1", "Switched off")
        wide = player.page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]');"
            " return m.scrollWidth - m.clientWidth }"
        )
        assert wide <= 0
        expect(player.page.locator(".heatmaplayer")).to_have_count(3, timeout=30_000)
        maps = [map_.bounding_box() for map_ in player.page.locator(".heatmaplayer").all()]
        assert max(box["y"] for box in maps) - min(box["y"] for box in maps) < 10  # one row
        player.page.get_by_role("link", name="Switched off").click()
        expect(player.page.get_by_role("heading", name="Switched off")).to_be_in_viewport()
        assert query(player)["step"] == "4"
        if width == 1280:
            axe.check(player.page)
