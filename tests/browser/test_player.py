"""The player in a real browser: one clock, one selection, and what the page is told.

``new_player`` also asserts after every test that the console shows no error and that no request
left the machine.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests import ROOT
from tests.browser.driving import Player

STEP = "snapshot()"


def test_it_draws_and_leaves_nothing_global(player: Player) -> None:
    player.page.add_init_script("window.__before = new Set(Object.keys(window))")
    player.open("tiny")
    assert player.ask("drawn()") == 60
    player.says("subject-verb agreement, flipped · circuit-tuning · Edge attribution patching")
    new = player.page.evaluate("() => Object.keys(window).filter((k) => !window.__before.has(k))")
    assert not [name for name in new if name.lower() in {"vis", "hammer", "ctviz", "exports"}]
    assert player.page.evaluate("() => typeof window.vis + typeof window.Hammer") == (
        "undefinedundefined"
    )


def test_playing_moves_on_and_pause_rests_at_a_snapshot(player: Player) -> None:
    player.open("tiny")
    player.page.get_by_label("Play", exact=True).click()
    player.wait("snapshot() >= 2")
    assert player.ask("playing()")
    player.wait("frame() % 1 > 0.1")  # on the way between two snapshots
    player.says("between snapshots")
    player.page.get_by_label("Pause", exact=True).click()
    assert not player.ask("playing()")
    frame = player.ask("frame()")
    assert frame == int(frame) == player.ask(STEP)
    # The words go with the next frame the browser draws.
    expect(player.page.get_by_text("between snapshots")).to_have_count(0)


def test_keys(player: Player) -> None:
    player.open("tiny")
    press = player.page.keyboard.press
    for key, expected in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("Shift+ArrowRight", 11),
        ("End", 60),
        ("ArrowRight", 60),
        ("Shift+ArrowLeft", 50),
        ("Home", 0),
        ("ArrowLeft", 0),
    ]:
        press(key)
        assert player.ask(STEP) == expected, key
    press(" ")
    assert player.ask("playing()")
    press(" ")
    assert not player.ask("playing()")


def test_up_and_down_walk_through_the_nodes_of_the_circuit(player: Player) -> None:
    player.open("tiny")
    player.page.keyboard.press("ArrowUp")
    assert player.ask("selected()") is None  # outside the graph, the page scrolls
    player.page.locator(".cz-stage .vis-network").focus()
    player.page.keyboard.press("ArrowUp")
    assert player.ask("selected()") == "input"
    player.page.keyboard.press("ArrowUp")
    assert player.ask("selected()").startswith("a0.h")
    player.page.keyboard.press("ArrowDown")
    assert player.ask("selected()") == "input"


def test_keys_are_left_alone_while_typing(player: Player) -> None:
    player.open("tiny", controls="1")
    box = player.page.get_by_role("textbox")
    box.click()
    player.page.keyboard.type("a b")
    player.page.keyboard.press("End")
    player.page.keyboard.press("ArrowLeft")
    assert box.input_value() == "a b"
    assert player.ask(STEP) == 0
    assert not player.ask("playing()")


def test_scrubber_curves_and_map_move_the_same_clock(player: Player) -> None:
    player.open("tiny")
    player.page.get_by_label("Snapshot", exact=True).fill("20")
    assert player.ask(STEP) == 20
    player.says("step 200 of 600")
    plot = player.page.locator("[data-panel=metric] svg").bounding_box()
    assert plot is not None
    player.page.mouse.click(plot["x"] + plot["width"] - 9, plot["y"] + plot["height"] / 2)
    assert player.ask(STEP) == 60
    head = player.page.locator("[data-panel=loss] .cz-head").get_attribute("transform") or ""
    assert float(head.split("(")[1].split()[0]) > 0.9 * plot["width"]


def test_the_reader_chooses_how_the_steps_are_spread(player: Player) -> None:
    player.open("tiny")
    choice = player.page.get_by_label("Step axis")
    scrub = player.page.get_by_label("Snapshot", exact=True)
    scrub.fill("20")  # step 200 of 600, at a third
    head = player.page.locator("[data-panel=metric] .cz-head")

    def place() -> float:
        return float((head.get_attribute("transform") or "").split("(")[1].split()[0])

    player.settle()
    linear = place()
    choice.focus()
    player.page.keyboard.press("End")  # even: the snapshots of this run are as far apart anyway
    assert choice.input_value() == "even"
    assert player.ask(STEP) == 20
    assert place() == pytest.approx(linear, abs=0.1)
    choice.select_option("log")
    player.wait("view().axis === 'log'")
    player.settle()
    assert place() > 1.5 * linear
    assert float(scrub.input_value()) > 30  # of 60
    assert player.page.get_by_text("600 (log)").first.is_visible()
    scrub.focus()
    player.page.keyboard.press("ArrowRight")
    assert player.ask(STEP) == 21
    player.open("tiny", axis="even")
    assert player.ask("view()")["axis"] == "even"
    assert player.page.get_by_label("Step axis").input_value() == "even"
    assert player.page.get_by_text("600 (even)").first.is_visible()


def test_edges_shown_acts_in_the_browser(player: Player) -> None:
    player.open("tiny")
    player.page.get_by_label("Edges shown").fill("7")
    player.wait("drawn() === 7")
    player.says("7 of 60")
    player.settle()
    player.says("state 0 None 7")


def test_selecting_opens_the_inspector_and_tells_the_page_once(player: Player) -> None:
    player.open("tiny")
    player.says("Click a node to see its edges, scores and redundancy over time.")
    before = player.ask("nodeAt('logits')")
    player.click_node("a2.h0")
    player.says("Head 0, layer 2")
    assert player.ask("selected()") == "a2.h0"
    assert player.ask("nodeAt('logits')") == before  # the graph did not jump
    player.says("state 0 a2.h0 None")
    player.says("changes 1")
    assert player.page.get_by_label("Attention pattern").is_visible()
    player.page.locator(".cz-edge-name", has_text="input").first.click()
    assert player.ask("selected()") == "input"
    player.page.keyboard.press("Escape")
    assert player.ask("selected()") is None
    player.click_node("m1")
    assert player.ask("selected()") == "m1"
    player.page.get_by_label("Close the inspector").click()
    assert player.ask("selected()") is None


def test_a_second_click_and_empty_space_clear_the_selection(player: Player) -> None:
    player.open("tiny")
    player.click_node("a1.h3")
    time.sleep(0.4)  # not a double click
    player.click_node("a1.h3")
    player.wait("selected() === null")
    player.click_node("a1.h3")
    player.wait("selected() === 'a1.h3'")
    place = player.ask("nodeAt('logits')")
    player.page.mouse.click(place["x"] - 250, place["y"])
    player.wait("selected() === null")


def test_the_heatmap_shares_the_selection(player: Player) -> None:
    player.open("tiny")
    box = player.page.locator("canvas.cz-cells").bounding_box()
    assert box is not None
    player.page.mouse.click(box["x"] + 60, box["y"] + 44)
    assert player.ask("selected()") == "a3.h0"


@pytest.mark.parametrize("width", [960, 1280, 1800])
def test_graph_heatmap_curves_and_inspector_stand_side_by_side(
    new_player: Callable[..., Player], width: int
) -> None:
    player = new_player(width=width)
    player.open("tiny", node="a2.h0")
    player.wait("selected() === 'a2.h0'")
    panels = [".cz-stage-holder", "canvas.cz-cells", ".cz-inspector"]
    curves = [f".cz-multiple >> nth={at} >> .cz-plot" for at in (0, 1)]
    boxes = {}
    for name in [*panels, *curves]:
        box = player.page.locator(name).bounding_box()
        assert box is not None, name
        assert box["width"] > 120, name
        assert box["height"] > (200 if name in (panels[0], panels[2]) else 45), name
        boxes[name] = box
    for a, b in itertools.combinations(boxes.values(), 2):
        beside = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
        above = a["y"] + a["height"] <= b["y"] + 1 or b["y"] + b["height"] <= a["y"] + 1
        assert beside or above


def test_nothing_is_reported_while_playing(player: Player) -> None:
    player.open("tiny")
    player.page.keyboard.press(" ")
    player.wait("snapshot() >= 4")
    player.says("changes 0")
    player.page.keyboard.press(" ")
    player.settle()
    player.says("changes 1")
    player.says(f"state {10 * player.ask(STEP)} None None")


def test_a_growing_run_is_followed_and_keeps_what_the_user_did(player: Player) -> None:
    player.open("live", controls="1")
    player.says("live")
    assert player.ask(STEP) == 11  # a running run opens at its end
    player.page.evaluate("() => (" + _root() + ").mounted = true")
    player.click_node("a2.h0")
    player.page.get_by_label("Zoom in").click()
    player.settle()
    changes = player.page.get_by_text(re.compile(r"^changes \d")).inner_text()
    scale = player.ask("scale()")
    player.page.get_by_role("button", name="grow").click()
    player.wait("snapshot() === 14")
    player.settle()
    assert player.ask("selected()") == "a2.h0"
    assert player.ask("scale()") == pytest.approx(scale)
    assert player.page.evaluate("() => (" + _root() + ").mounted") is True
    assert (
        player.page.get_by_text(re.compile(r"^changes \d")).inner_text() == changes
    )  # following is no report
    player.page.keyboard.press("Home")
    player.page.get_by_role("button", name="grow").click()
    player.says("snapshot 1 of 18")
    assert player.ask(STEP) == 0  # and not pulled away from where the user went


def test_a_growing_run_keeps_playing(player: Player) -> None:
    player.open("live", controls="1")
    player.page.keyboard.press("Home")
    player.page.get_by_text("0.5×").click()
    player.page.get_by_label("Play", exact=True).click()
    player.page.get_by_role("button", name="grow").click()
    player.says("of 15")
    assert player.ask("playing()")


def test_the_page_can_ask_for_a_view_and_the_user_can_leave_it(player: Player) -> None:
    player.open("tiny", controls="1")
    player.page.get_by_role("button", name="ask").click()
    player.wait("snapshot() === 3")
    assert player.ask("selected()") == "m1"
    assert player.ask("edges()") == 12
    player.page.keyboard.press("ArrowRight")
    player.settle()
    player.says("state 40 m1 12")
    assert player.ask(STEP) == 4  # the rerun did not put it back


def test_a_link_opens_with_a_node(player: Player) -> None:
    player.open("tiny", node="a1.h3")
    assert player.ask("selected()") == "a1.h3"
    player.settle()
    player.says("changes 0")


def test_a_rerun_sends_no_data_again(player: Player) -> None:
    player.open("big", controls="1", level="circuit")
    first = sum(len(frame) for frame in player.frames)
    assert not any(b"visjs.github.io" in frame for frame in player.frames)
    player.frames.clear()
    player.page.get_by_role("textbox").fill("x")
    player.page.keyboard.press("Tab")
    player.settle()
    again = sum(len(frame) for frame in player.frames)
    assert 0 < again < 0.02 * first
    player.frames.clear()
    player.click_node("a5.h5")
    player.settle()
    player.says("changes 1")
    assert sum(len(frame) for frame in player.frames) < 0.02 * first


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("livezero", "Waiting for the first snapshot"),
        ("zero", "This run has no snapshots."),
        ("noedges", "No edge is in the circuit."),
        ("one", "snapshot 1 of 1"),
        ("nan", "not measured"),
    ],
)
def test_odd_runs(player: Player, case: str, text: str) -> None:
    player.open(case)
    player.says(text)
    for key in ("End", "ArrowLeft", " ", "Home"):
        player.page.keyboard.press(key)
    if case in ("livezero", "zero", "one"):
        assert not player.ask("playing()")
        assert player.page.get_by_label("Play", exact=True).is_disabled()
    for node in ("a2.h1", "m1", "input", "logits"):
        player.click_node(node)
        player.wait(f"selected() === '{node}'")
    player.settle()


@pytest.mark.parametrize("case", ["gqa", "deep"])
def test_shared_heads_can_be_selected(player: Player, case: str) -> None:
    player.open(case)
    names = [f"a{layer}.g{group}" for layer in range(30) for group in range(3)]
    name = next(n for n in names if player.ask(f"nodeAt({n!r})"))
    player.click_node(name)
    player.says("Shared key/value head")
    player.says("Serves")


def test_labels_are_text_and_never_markup(player: Player) -> None:
    player.open("tiny")
    player.click_node("a2.h0")
    player.page.get_by_role("button", name="Next sentence").click()
    player.page.get_by_label("Sentence: A long <b>second</b> prompt", exact=True).wait_for()
    assert player.page.locator("b", has_text="second").count() == 0
    assert not [
        path.name
        for path in (ROOT / "ctviz/player").glob("*.js")
        if "innerHTML" in path.read_text()
    ]


def test_two_players_do_not_disturb_each_other(player: Player) -> None:
    player.open("two", players=2)
    player.page.mouse.wheel(0, 2000)
    time.sleep(0.3)
    player.click_node("a2.h0", at=1)
    player.page.keyboard.press("ArrowRight")
    assert [player.ask(STEP, at=at) for at in (0, 1)] == [0, 1]
    assert [player.ask("selected()", at=at) for at in (0, 1)] == [None, "a2.h0"]


def test_reduced_motion_means_no_interpolation(new_player: Callable[..., Player]) -> None:
    player = new_player(reduced_motion="reduce").open("tiny")
    player.page.keyboard.press(" ")
    frames = []
    for _ in range(12):
        time.sleep(0.1)
        frames.append(player.ask("frame()"))
    assert len(set(frames)) > 1
    assert all(frame == int(frame) for frame in frames)


def test_panels_stack_on_a_narrow_page(new_player: Callable[..., Player]) -> None:
    wide, narrow = new_player(width=1600).open("tiny"), new_player(width=800).open("tiny")

    def boxes(player: Player) -> list[dict[str, float]]:
        found = [player.page.locator(name).bounding_box() for name in (".cz-graph", ".cz-heat")]
        return [box for box in found if box is not None]

    graph, heat = boxes(wide)
    assert heat["x"] > graph["x"] + graph["width"]
    height = wide.page.locator(".cz").first.bounding_box()
    assert height is not None
    assert height["height"] < 800
    graph, heat = boxes(narrow)
    assert heat["y"] > graph["y"] + graph["height"]
    assert narrow.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_buttons_and_sliders_have_names(player: Player) -> None:
    player.open("tiny")
    player.click_node("a2.h0")
    unnamed = player.page.evaluate(
        "() => [...(" + _root() + ").querySelectorAll('button, input, select')]"
        ".filter((e) => !e.textContent.trim() && !e.getAttribute('aria-label'))"
        ".map((e) => e.outerHTML)"
    )
    assert unnamed == []


def test_the_mount_runs_without_a_browser() -> None:
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "tests/browser/player_app.py"), default_timeout=30)
    app.query_params["case"] = "tiny"
    app.run()
    assert not app.exception
    assert any(text.value == "state None None None" for text in app.text)


def _root() -> str:
    return (
        "document.querySelector('[data-testid=stBidiComponentIsolated]')"
        ".shadowRoot.querySelector('.cz')"
    )


FOCUSED = (
    "() => { let e = document.activeElement;"
    "while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"
    "return e.getAttribute('aria-label'); }"
)


def test_the_focus_stays_on_play(player: Player) -> None:
    player.open("tiny")
    player.page.get_by_label("Play", exact=True).focus()
    for name in ("Pause", "Play"):
        player.page.keyboard.press("Enter")
        player.page.get_by_label(name, exact=True).wait_for()
        assert player.page.evaluate(FOCUSED) == name


def test_the_graph_is_walked_and_heard(player: Player) -> None:
    player.open("tiny")
    player.page.get_by_role("button", name="Fit the graph").focus()
    while not (player.page.evaluate(FOCUSED) or "").startswith("Circuit graph"):
        player.page.keyboard.press("Tab")
    player.page.keyboard.press("ArrowUp")
    player.wait("selected() === 'input'")
    heard = player.page.locator(".cz-stage-holder > [aria-live=polite]")
    expect(heard).to_contain_text(
        "input, Input: the embeddings. reads nothing in the circuit; writes"
    )
    player.page.keyboard.press("ArrowRight")
    player.wait("snapshot() === 1")
    expect(heard).to_contain_text("step ")
    expect(heard).to_contain_text("input, Input")
