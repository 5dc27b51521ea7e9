"""The page Learn in a real browser: a lesson drives the player and waits for the reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ctviz.runs.trust import UNDEFINED
from tests.browser.driving import Player


@pytest.fixture
def server(app: tuple[Path, str]) -> str:
    """The address of the app, without runs of the user's own."""
    return app[1]


def open_learn(player: Player) -> Player:
    """The list of lessons, by the link on the first page."""
    player.page.goto(player.url)
    player.page.get_by_role("link", name="Learn").click()
    player.says("short lessons")
    return player


def open_link(player: Player, query: str) -> Player:
    """A lesson by its link."""
    player.page.goto(f"{player.url}/learn?{query}")
    player.wait("ready()")
    player.wait("drawn() > 0")
    return player


def button(player: Player, name: str):
    return player.page.locator(".st-key-lesson-text").get_by_role("button", name=name, exact=True)


def turn(player: Player):
    return player.page.locator(".st-key-turn")


def press(player: Player, name: str) -> None:
    """Press a button of the lesson once the page has stopped moving below the pointer."""
    expect(button(player, name)).to_be_visible(timeout=30_000)
    player.rest()
    button(player, name).click()


def go_on(player: Player, heading: str) -> None:
    """Press Next and wait for the next step's text."""
    press(player, "Next")
    player.says(heading)
    player.settle()


def test_a_lesson_from_the_list_to_its_end(player: Player) -> None:
    open_learn(player)
    player.page.get_by_role("button", name="Start").nth(1).click()
    player.wait("ready()")
    player.wait("drawn() > 0")
    assert "lesson=graph" in player.page.url

    expect(button(player, "Skip")).to_be_visible()
    player.page.get_by_text("layer 0, head 3").click()
    expect(turn(player)).to_contain_text("Not that one")
    player.page.get_by_text("layer 3, head 0").click()
    expect(turn(player)).to_contain_text("first the layer, then the head")
    go_on(player, "Width is the size")
    go_on(player, "Below the graph is the clock")

    expect(turn(player)).to_contain_text("Your turn")
    player.page.locator(".cz-stage-holder").click(position={"x": 20, "y": 20})
    player.page.keyboard.press("End")
    expect(turn(player)).to_contain_text("Done")
    assert player.ask("snapshot()") == 30
    go_on(player, "The same two nodes")

    expect(turn(player)).to_contain_text("Your turn")
    player.click_node("m3")
    expect(turn(player)).to_contain_text("Done")
    go_on(player, "A head has three inputs")

    assert player.ask("snapshot()") == 0  # this step shows the start again
    assert player.ask("selected()") == "a2.h1"
    go_on(player, "What changed?")

    assert player.ask("selected()") is None
    player.page.get_by_role("button", name="first step").click()
    expect(turn(player)).to_contain_text("Done")
    go_on(player, "Not every change is one")
    go_on(player, "Two habits of this page")
    button(player, "Finish").click()
    expect(player.page.get_by_text("finished")).to_be_visible()
    assert "lesson" not in player.page.url


def test_show_me_moves_the_player_and_back_restores_the_step(player: Player) -> None:
    open_link(player, "lesson=circuit&at=5")
    expect(button(player, "Skip")).to_be_visible()
    assert player.ask("edges()") > 10
    press(player, "Show me")
    expect(turn(player)).to_contain_text("Done")
    player.wait("edges() === 10")
    go_on(player, "Does the circuit do the job alone?")
    player.wait("edges() > 10")
    player.page.go_back()
    player.says("sort all edges")
    player.wait("edges() === 10")  # as it was left
    assert "at=5" in player.page.url


def test_the_same_view_is_asked_for_again_after_the_reader_has_left_it(player: Player) -> None:
    open_link(player, "lesson=tuning&at=1")
    player.page.locator(".cz-stage-holder").click(position={"x": 20, "y": 20})
    player.page.keyboard.press("End")
    player.wait("snapshot() === 30")
    player.settle()
    go_on(player, "the model is sure")
    player.wait("snapshot() === 0")
    expect(turn(player)).to_contain_text("Your turn")


def test_the_induction_circuit_is_put_together(player: Player) -> None:
    open_link(player, "lesson=induction&at=4")
    assert player.ask("run()") == "sample-induction"
    assert player.ask("drawn()") == 1
    player.page.locator(".cz-stage-holder").click(position={"x": 20, "y": 20})
    player.page.keyboard.press("ArrowRight")
    player.settle()
    expect(turn(player)).to_contain_text("Your turn")
    player.page.keyboard.press("ArrowRight")
    expect(turn(player)).to_contain_text("Done")
    go_on(player, "Is that the circuit?")
    player.wait("drawn() === 2")


def test_the_chip_says_what_the_lesson_quotes(player: Player) -> None:
    open_link(player, "lesson=faithfulness&at=4")
    chip = player.page.locator(".cz-quality")
    expect(chip).to_contain_text("faithful: carries")
    press(player, "Show me")
    expect(chip).to_have_text(UNDEFINED)
    go_on(player, f"The chip says “{UNDEFINED}”")


def test_an_induction_head_forms_and_is_tested(player: Player) -> None:
    open_link(player, "lesson=forming&at=1")
    player.page.get_by_text("Little by little").click()
    go_on(player, "Now watch")
    player.page.locator(".cz-stage-holder").click(position={"x": 20, "y": 20})
    player.page.keyboard.press("End")
    expect(turn(player)).to_contain_text("Done")
    go_on(player, "You predicted: Little by little")
    go_on(player, "Which heads did it?")
    maps = player.page.get_by_role("group", name="Map of what heads do")
    expect(maps.get_by_role("button", name="one back")).to_have_attribute("aria-pressed", "true")
    player.click_node("a0.h3")
    expect(turn(player)).to_contain_text("Done")
    go_on(player, "It becomes a")
    expect(maps.get_by_role("button", name="matching")).to_have_attribute("aria-pressed", "true")
    expect(player.page.get_by_text("copying 79 %")).to_be_visible()  # in the inspector
    press(player, "Show me")
    go_on(player, "The two find each other")
    player.wait("drawn() === 5")
    go_on(player, "Scores are estimates")
    for step in (474, 2000):
        press(player, f"Switch a0.h3 off at step {step}")
        expect(player.page.get_by_text(f"Step {step}: metric")).to_be_visible(timeout=90_000)
    expect(turn(player)).to_contain_text("Done")
    go_on(player, "Before, nothing is lost")


def test_a_word_shows_its_definition_on_focus(player: Player) -> None:
    open_link(player, "lesson=circuit&at=2")
    word = player.page.locator(".ct-term:has(b:text-is('residual stream'))")
    tip = word.locator(".ct-tip")
    expect(tip).to_be_hidden()
    word.focus()
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("all parts of a transformer read from and add to")
    assert word.get_attribute("aria-describedby") == tip.get_attribute("id")
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [768, 1280])
def test_text_and_player_fit_beside_or_above_each_other(new_player, width, scheme) -> None:
    player = open_link(new_player(width=width, color_scheme=scheme), "lesson=graph&at=4")
    text = player.page.locator(".st-key-lesson-text").bounding_box()
    graph = player.page.locator(".st-key-lesson-player").bounding_box()
    assert text is not None
    assert graph is not None
    if width >= 1180:
        assert text["x"] + text["width"] <= graph["x"]
        assert graph["width"] >= 900  # below that the player puts its panels into one column
    else:
        assert text["y"] + text["height"] <= graph["y"]
        player.page.mouse.wheel(0, 400)
        player.page.wait_for_timeout(300)
        stays = button(player, "Back").bounding_box()
        assert stays is not None
        assert 0 < stays["y"] < 900
    wide = player.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width


@pytest.mark.parametrize("at", [3, 4, 6])
def test_the_button_that_a_lesson_asks_for_is_in_sight_in_one_column(
    new_player: Callable[..., Player], at: int
) -> None:
    player = new_player(width=800, height=1000)
    open_link(player, f"lesson=redundancy&at={at}")
    name = {3: "q k v", 4: "mass 90 %", 6: "over steps"}[at]
    button = player.page.get_by_role("button", name=name, exact=True)
    expect(button).to_be_in_viewport(ratio=1)
    button.click()
    expect(turn(player)).to_contain_text("Done")


def test_a_wrong_answer_gets_its_own_hint(player: Player) -> None:
    open_link(player, "lesson=graph&at=1")
    player.page.get_by_text("layer 0, head 3").click()
    player.says("the layer comes first")
    player.page.get_by_text("the third MLP").click()
    player.says("The name of an MLP begins with an m")


def test_progress_is_there_after_a_reload(player: Player) -> None:
    open_link(player, "lesson=circuit&at=2")
    player.settle()
    player.page.goto(f"{player.url}/learn")  # a session of its own
    player.page.get_by_role("button", name="Continue at step 2").wait_for()
    kept = player.page.evaluate("localStorage.getItem('ctviz:lessons')")
    assert json.loads(kept) == {"finished": [], "place": ["circuit", 2]}
    done = '{"finished": ["graph", "<b>", 7], "place": ["gone", "x"]}'
    player.page.evaluate("text => localStorage.setItem('ctviz:lessons', text)", done)
    player.page.reload()
    player.page.get_by_text("finished", exact=True).wait_for()
    assert player.page.get_by_role("button", name="Again").count() == 1
    player.settle()  # the page writes what it was told once more
    player.page.evaluate("localStorage.setItem('ctviz:lessons', '{')")  # of no use
    player.page.reload()
    player.page.get_by_role("button", name="Start").first.wait_for()
    player.settle()
    assert player.page.get_by_role("button", name="Again").count() == 0
