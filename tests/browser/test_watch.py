"""Watch in a real browser, on the shipped sample: every way to look at a circuit as it changes.

``new_player`` also asserts after every test that the console shows no error and that no request
left the machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ctviz import paths
from ctviz.runs import open_run
from ctviz.runs.changes import edge_changes
from tests.browser.driving import Player, choose, open_app

SAMPLE = paths.shipped_runs() / "sample-sva-flip"


@pytest.fixture
def runs(app: tuple[Path, str]) -> Path:
    """The user's runs: none."""
    return app[0]


@pytest.fixture
def server(app: tuple[Path, str]) -> str:
    """The address of the app; ``new_player`` opens its pages here."""
    return app[1]


def states(first: int, second: int) -> dict[str, int]:
    """How many edges of the sample changed how between two snapshots, by the engine's rule."""
    run = open_run(str(SAMPLE))
    kept = list(run.snapshots())
    table = edge_changes(kept[first], kept[second], run.graph)
    error = table["error"]
    moved = (table["after"] - table["before"]).abs()
    table.loc[table["state"].isin(["entered", "left"]) & (moved <= 2 * error), "state"] = "noise~"
    return table["state"].value_counts().to_dict()


def test_changes_are_marked_as_the_engine_counts_them(player: Player) -> None:
    open_app(player)
    player.page.keyboard.press("End")
    player.page.get_by_role("button", name="first step", exact=True).click()
    expected = states(0, 30)
    assert expected["strengthened"] > 0
    player.wait(f"marked().stronger === {expected['strengthened']}")
    marked = player.ask("marked()")
    assert marked["weaker"] == expected.get("weakened", 0)
    assert marked["reversed"] == expected["reversed"] > 0
    assert marked["entered"] == expected["entered"]
    assert marked["left"] == expected["left"]
    assert marked["noise"] == expected.get("noise~", 0)
    changes = player.page.locator(".cz-changes").inner_text()
    assert f"{expected['strengthened']} stronger, {marked['weaker']} weaker" in changes
    assert f"{expected['reversed']} reversed" in changes
    assert f"{expected['noise']} within noise" in changes
    player.page.wait_for_url(lambda url: "marks=start" in url)
    # against the snapshot shown before, there is something else to see
    player.page.get_by_role("button", name="last shown", exact=True).click()
    player.page.keyboard.press("ArrowLeft")
    player.page.keyboard.press("ArrowRight")
    player.wait(f"marked().stronger === {states(29, 30).get('strengthened', 0)}")


def test_jumping_goes_to_big_changes_only_and_comes_round(player: Player) -> None:
    open_app(player)
    seen = []
    for _ in range(20):
        player.page.keyboard.press("n")
        seen.append(player.ask("snapshot()"))
        if seen.count(seen[0]) == 2:
            break
    turned = open_run(str(SAMPLE)).dynamics()["overlap"].rsub(1)
    big = [at for at, share in enumerate(turned) if share >= 0.5 * turned.max()]
    assert seen[:-1] == big
    player.page.keyboard.press("p")
    assert player.ask("snapshot()") == big[-1]
    player.page.get_by_role("button", name="Next big change").click()
    assert player.ask("snapshot()") == big[0]


def test_several_nodes_are_pinned_by_key_and_by_button(player: Player) -> None:
    open_app(player)
    player.click_node("m3")
    player.page.keyboard.down("Shift")
    player.click_node("m1")
    player.page.keyboard.up("Shift")
    assert player.ask("nodes()") == ["m1", "m3"]
    player.page.get_by_role("button", name="pin", exact=True).click()
    player.click_node("m2")
    assert player.ask("nodes()") == ["m2", "m1", "m3"]
    player.page.wait_for_url(lambda url: "node=m2%2Cm1%2Cm3" in url)
    player.page.reload()
    player.wait("nodes().length === 3")
    assert player.ask("nodes()") == ["m2", "m1", "m3"]
    player.page.get_by_role("button", name="Remove m1 from the selection").click()
    assert player.ask("nodes()") == ["m2", "m3"]
    player.page.get_by_role("button", name="m3", exact=True).first.click()
    assert player.ask("selected()") == "m3"
    player.page.keyboard.press("Escape")
    assert player.ask("nodes()") == []
    player.page.locator(".cz-inspector").wait_for(state="hidden")


def test_a_group_is_one_node_and_its_name_stays_with_the_run(player: Player, runs: Path) -> None:
    open_app(player, "?run=sample-sva-flip&node=m1,m2")
    before = player.ask("drawn()")
    player.page.get_by_label("Name of the group").fill("<b>late</b> MLPs")
    player.page.keyboard.press("Enter")
    player.wait("nodeAt('<b>late</b> MLPs')")
    player.settle()
    assert player.ask("drawn()") <= before
    assert "late" in (runs / ".groups" / "sample-sva-flip.json").read_text(encoding="utf-8")
    player.page.goto(f"{player.url}/?run=sample-sva-flip")
    player.wait("nodeAt('<b>late</b> MLPs')")
    place = player.ask("nodeAt('<b>late</b> MLPs')")
    player.page.mouse.move(place["x"], place["y"])
    player.says("2 nodes: m1, m2")
    player.page.mouse.click(place["x"], place["y"])
    assert player.ask("nodes()") == ["m1", "m2"]
    player.page.get_by_role("button", name="▸ <b>late</b> MLPs").click()
    player.wait("nodeAt('<b>late</b> MLPs') === null")
    player.page.get_by_role("button", name="Ungroup <b>late</b> MLPs").click()
    player.settle()
    assert "late" not in (runs / ".groups" / "sample-sva-flip.json").read_text(encoding="utf-8")


def test_a_group_with_another_node_in_its_middle_stands_beside_it(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&node=a1.h0,a1.h2")
    player.page.get_by_label("Name of the group").fill("heads")
    player.page.keyboard.press("Enter")
    player.wait("nodeAt('heads')")
    place = player.ask("nodeAt('heads')")
    for layer in range(4):
        for head in (1, 3):
            other = player.ask(f"nodeAt('a{layer}.h{head}')")
            apart = abs(other["x"] - place["x"]) > 60 or abs(other["y"] - place["y"]) > 45
            assert apart, (layer, head)
    player.page.get_by_role("button", name="Ungroup heads").click()
    player.settle()


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("a2.h1", ["a2.h1"]),
        ("layer 2 head 1", ["a2.h1"]),
        ("2.1", ["a2.h1"]),
        ("MLP 3", ["m3"]),
        ("h1", ["a0.h1", "a1.h1", "a2.h1", "a3.h1"]),
        ("layer 2", ["a2.h0", "a2.h1", "a2.h2", "a2.h3", "m2"]),
    ],
)
def test_the_search_finds_nodes_however_they_are_written(
    player: Player, text: str, node: list[str]
) -> None:
    open_app(player)
    player.page.get_by_label("Find a node").fill(text)
    player.page.keyboard.press("Enter")
    player.wait("nodes().length > 0")
    assert player.ask("nodes()") == node
    player.page.keyboard.press("Escape")
    player.wait("nodes().length === 0")


def test_the_search_says_what_it_does_not_find(player: Player) -> None:
    open_app(player)
    player.page.get_by_label("Find a node").fill("a99.h1 <i>x</i>")
    player.page.keyboard.press("Enter")
    player.says("no node “a99.h1 <i>x</i>”")
    assert player.ask("selected()") is None


def test_hovering_previews_and_leaving_undoes_it(player: Player) -> None:
    open_app(player)
    everything = player.ask("drawn()")
    place = player.ask("nodeAt('m3')")
    player.page.mouse.move(place["x"], place["y"])
    player.wait("hovered() === 'm3'")
    player.wait(f"drawn() < {everything}")
    player.says("Source: step 0, from the scores and the circuit of this step, 32 dev examples")
    player.page.mouse.move(5, 5)
    player.wait(f"drawn() === {everything}")
    assert player.ask("selected()") is None


def test_the_chip_says_how_good_the_circuit_is_and_how_that_is_known(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=60")
    chip = player.page.locator(".cz-quality")
    faithful = open_run(str(SAMPLE)).metrics().iloc[-1]["faithfulness"]
    error = open_run(str(SAMPLE)).metrics().iloc[-1]["faithfulness_error"]
    assert f"carries {100 * faithful:.0f} ± {100 * error:.0f} %" in chip.inner_text()
    chip.focus()
    tip = player.page.locator(".cz-tip").inner_text()
    assert "0.0 %: 1 random circuit of its size, connected or not." in tip
    assert "step 60, measured by running the circuit alone on 32 dev examples" in tip
    assert "run sample-sva-flip, circuit-tuning, seed 0" in tip


def test_where_faithfulness_is_not_defined_nothing_is_claimed(player: Player) -> None:
    """At one step of the sample the metric hardly differs between the whole and no model."""
    metrics = open_run(str(SAMPLE)).metrics().set_index("step")
    step = int(metrics["faithfulness_error"].idxmax())
    assert metrics.loc[step, "faithfulness_error"] > 1
    open_app(player, f"?run=sample-sva-flip&step={step}")
    chip = player.page.locator(".cz-quality")
    assert chip.inner_text() == "faithfulness says nothing at this step"
    chip.focus()
    player.says("The metric hardly differs")
    assert player.page.locator("[data-panel=faithfulness] figcaption b").first.inner_text() == "–"


def test_what_is_kept_is_the_step_that_is_seen(player: Player) -> None:
    open_app(player)
    player.page.keyboard.press(" ")
    player.wait("snapshot() >= 3")
    player.page.get_by_role("button", name="Keep").click()
    said = player.page.get_by_text(re.compile("^Pictures, circuit and the start"))
    said.wait_for()
    player.page.get_by_text(re.compile(r"start of the replay: step (6|8|\d\d)$")).wait_for()
    player.wait("playing() === false")
    player.page.get_by_text("start of the replay: step 60").wait_for()


def test_every_curve_is_there_with_its_source(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=60")
    shown = "[...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')[0]"
    shown += ".shadowRoot.querySelectorAll('[data-panel]')].map((e) => e.dataset.panel)"
    first = player.page.evaluate(f"() => {shown}")
    assert first == ["metric", "faithfulness", "retention", "loss"]
    player.page.locator("[data-panel=metric] figcaption").hover()
    player.says(
        "Source: mean of logit(disagreeing verb) - logit(agreeing verb) over 32 dev examples"
    )
    player.page.get_by_role("button", name="more", exact=True).click()
    more = player.page.evaluate(f"() => {shown}")
    assert more == ["grade", "others", "drift"]
    player.page.keyboard.press("Home")
    assert player.page.locator("[data-panel=drift] figcaption b").inner_text() in ("0", "–")


def test_presenting_hides_the_controls_and_escape_ends_it(player: Player) -> None:
    open_app(player)
    player.page.get_by_role("button", name=re.compile("^Present")).click()
    big = player.page.locator(".cz-big")
    big.wait_for()
    assert not player.page.get_by_label("Find a node").is_visible()
    assert not player.page.get_by_label("Play", exact=True).is_visible()
    assert not player.page.get_by_role("button", name="main", exact=True).is_visible()
    player.page.keyboard.press("ArrowRight")
    player.wait("snapshot() === 1")
    player.page.get_by_text("step 2", exact=True).wait_for()
    player.page.keyboard.press("Escape")
    player.page.get_by_label("Find a node").wait_for()
    assert not big.is_visible()


def test_back_restores_the_picture_before(player: Player) -> None:
    open_app(player, "")
    # nothing was done yet
    player.page.wait_for_url(lambda url: "run=sample-tiny-sva" in url and "step=6000" in url)
    player.click_node("m3")
    player.settle()
    player.page.keyboard.press("ArrowLeft")
    player.page.wait_for_url(lambda url: "step=4110" in url)
    player.page.go_back()
    player.wait("snapshot() === 15")
    assert player.ask("selected()") == "m3"


def test_a_pasted_link_restores_the_picture(player: Player, new_player) -> None:
    open_app(player)
    player.page.keyboard.press("Shift+ArrowRight")
    player.page.get_by_role("button", name="mass 90 %").click()
    player.click_node("m2")
    player.page.get_by_label("Edges shown").fill("12")
    player.settle()
    other = new_player()
    other.page.goto(player.page.url)
    other.wait("ready()")
    assert other.ask("view()") == player.ask("view()")
    assert other.ask("view()")["estimator"] == "mass"
    assert other.ask("drawn()") <= 12


def test_a_link_to_what_is_gone_opens_the_nearest_and_says_so(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=31&node=a77.h1,m3&edges=99999")
    player.says("There is no snapshot of step 31; the nearest one is of step 30.")
    player.says("This model has no node a77.h1")
    assert player.ask("view()")["step"] == 30
    assert player.ask("nodes()") == ["m3"]
    open_app(player, "?run=gone-20200101-000000")
    player.says("There is no run “gone-20200101-000000” here")
    assert player.ask("run()") == "sample-tiny-sva"


def test_a_link_full_of_markup_is_text(player: Player) -> None:
    wild = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    open_app(player, f"?run={wild}&step={wild}&node={wild * 20}&marks={wild}&edges=-1")
    assert player.ask("run()") == "sample-tiny-sva"
    assert player.page.locator("img[src=x]").count() == 0


def test_the_inspector_shows_attention_now_at_first_and_the_difference(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=60&node=a2.h1")
    maps = player.page.locator("canvas.cz-attention")
    maps.wait_for()
    maps.scroll_into_view_if_needed()
    box = maps.bounding_box()
    assert box is not None
    player.page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"])
    inspect = player.page.locator(".cz-inspector").get_by_role("link", name="Inspect")
    link = inspect.get_attribute("href") or ""
    assert "run=sample-sva-flip" in link
    assert "step=60" in link
    assert "node=a2.h1" in link


def test_two_windows_each_keep_their_group(new_player, runs: Path) -> None:
    first, second = new_player(), new_player()
    open_app(first, "?run=sample-sva-flip&node=m0,a0.h3")
    open_app(second, "?run=sample-sva-flip&node=m2,m3")
    for window, name in ((first, "alpha"), (second, "beta")):
        window.page.get_by_label("Name of the group").fill(name)
        window.page.keyboard.press("Enter")
        window.wait(f"nodeAt('{name}')")
        window.settle()
    second.wait("nodeAt('alpha')")  # and each sees the other's with its next change
    for name in ("alpha", "beta"):
        second.page.get_by_role("button", name=f"Ungroup {name}").click()
        second.settle()
    assert "alpha" not in (runs / ".groups" / "sample-sva-flip.json").read_text(encoding="utf-8")


def test_coming_back_from_another_page_finds_the_same_picture(player: Player) -> None:
    open_app(player)
    player.click_node("m3")
    player.page.keyboard.press("End")
    player.page.wait_for_url(lambda url: "step=60" in url and "node=m3" in url)
    player.page.get_by_test_id("stTopNavLink").filter(has_text="Learn").click()
    player.page.get_by_text("What a circuit is").first.wait_for()
    player.page.get_by_test_id("stTopNavLink").filter(has_text="Watch").click()
    player.page.wait_for_url(lambda url: "step=60" in url and "node=m3" in url)
    player.wait("ready()")
    player.wait("snapshot() === 30")
    assert player.ask("selected()") == "m3"
    player.page.go_back()  # and Back is not caught here
    player.page.get_by_text("What a circuit is").first.wait_for()


def test_a_presentation_of_a_selected_node_shows_all_curves(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=20&node=m3")
    curves = player.page.locator(".cz-multiple")
    expect(curves.nth(3)).to_be_hidden()  # the inspector stands there
    player.page.keyboard.press("f")
    expect(player.page.locator(".cz-inspector")).to_be_hidden()
    heights = [box["height"] for at in range(4) if (box := curves.nth(at).bounding_box())]
    assert len(heights) == 4
    assert min(heights) > 100


def test_the_quality_of_a_circuit_is_not_that_of_the_edges_drawn(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=10&edges=3")
    chip = player.page.locator(".cz-quality")
    expect(chip).to_have_text("all 40 edges: faithful: carries 97 ± 2 % of the behaviour")
    player.page.get_by_label("Edges shown").press("End")
    expect(chip).to_have_text("faithful: carries 97 ± 2 % of the behaviour")


def test_in_a_low_window_the_foot_of_the_graph_is_above_the_bar(
    new_player: Callable[..., Player],
) -> None:
    player = open_app(new_player(width=1280, height=720))
    bar = player.page.locator(".cz-transport").bounding_box()
    assert bar is not None
    for part in (".cz-stage-holder", ".cz-legend", ".cz-curves"):
        box = player.page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= bar["y"] + 1, part
    assert bar["y"] + bar["height"] <= 721
    player.click_node("m3")  # the heatmap's scale stays, and says which end is which
    expect(player.page.locator(".cz-inspector")).to_be_visible()
    expect(player.page.get_by_text("needs all its inputs")).to_be_in_viewport(ratio=1)
    expect(player.page.get_by_text("needs none")).to_be_in_viewport(ratio=1)


def test_back_in_time_nothing_is_said_to_have_entered(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip&step=16")
    player.page.keyboard.press("Home")
    changes = player.page.locator(".cz-changes")
    expect(changes).to_contain_text("before step 16")
    first, then = (list(open_run(str(SAMPLE)).snapshots())[at].circuit for at in (0, 8))
    gone = int((first & ~then).sum())
    assert gone > 0
    expect(changes).to_contain_text(f"{gone} gone by then")
    expect(changes).not_to_contain_text("entered")


def test_a_copied_link_shows_the_same_step_from_the_start(player: Player) -> None:
    open_app(player, "?run=sample-sva-flip")
    player.page.wait_for_url("**/?run=sample-sva-flip&step=0")
    player.settle()
    assert player.ask("view()")["step"] == 0


def test_keys_work_once_a_run_was_chosen(player: Player) -> None:
    open_app(player)
    choose(player, "Run", "ioi on tiny, recorded")
    player.wait("ready()")
    player.settle()
    assert player.ask("snapshot()") == 0
    player.page.keyboard.press("ArrowRight")
    player.wait("snapshot() === 1")
    player.page.keyboard.press(" ")
    player.wait("playing()")
