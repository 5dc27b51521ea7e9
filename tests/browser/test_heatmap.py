"""The heatmap in a real browser: three pictures of redundancy, one selection, one clock.

Tests ask the tooltip which cell they are on, so they do not know the heatmap's geometry.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from ctviz.bench.synthetic import timeline
from tests.browser.driving import Player

CANVAS = "canvas.cz-cells"
ESTIMATORS = ("circuit", "mass")


def hover(player: Player, x: float, y: float) -> list[str]:
    """Point at a place of the heatmap, as shares of its width and height; the tooltip's lines."""
    box = player.page.locator(CANVAS).bounding_box()
    assert box is not None
    player.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    tip = player.page.locator(".cz-tip")
    return tip.inner_text().split("\n") if tip.is_visible() else []


def show(player: Player, name: str) -> None:
    """Press one of the buttons above the heatmap."""
    player.page.locator(".cz-heat").get_by_role("button", name=name, exact=True).click()
    player.page.mouse.move(0, 0)


def label(player: Player) -> str:
    return player.page.locator(CANVAS).get_attribute("aria-label") or ""


def needs(lines: list[str], estimator: str) -> list[int]:
    """[d, D] out of a tooltip."""
    words = "mass 90 %" if estimator == "mass" else estimator
    line = next(line for line in lines if line.startswith(f"redundancy ({words})"))
    return [int(number) for number in re.findall(r"\d+", line.split("needs")[1])]


def pixels(player: Player) -> list[int]:
    """What the heatmap shows, as bytes."""
    return player.page.locator(CANVAS).evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )


def test_three_pictures_and_the_page_is_told(player: Player) -> None:
    player.open("tiny")
    pictures = {}
    for name, key in [("q k v", "qkv"), ("over steps", "steps"), ("nodes", "nodes")]:
        show(player, name)
        button = player.page.locator(".cz-heat").get_by_role("button", name=name, exact=True)
        assert button.get_attribute("aria-pressed") == "true"
        assert player.ask("view()")["heat"] == key
        player.settle()
        pictures[key] = hash(tuple(pixels(player)))
    assert len(set(pictures.values())) == 3
    show(player, "mass 90 %")
    assert player.ask("view()")["estimator"] == "mass"


@pytest.mark.parametrize("heat", ["qkv", "steps"])
def test_a_link_opens_a_picture(player: Player, heat: str) -> None:
    player.open("tiny", heat=heat)
    assert player.ask("view()")["heat"] == heat
    assert player.page.locator(".cz-heat").get_attribute("data-heat") == heat


def test_hovering_previews_in_the_graph_and_says_where_numbers_come_from(player: Player) -> None:
    player.open("tiny")
    lines = hover(player, 0.2, 0.5)
    node = lines[0].split()[0]
    assert re.fullmatch(r"a\d\.h\d", node)
    assert player.ask("hovered()") == node
    assert lines[-1] == "Source: step 0, synthetic numbers of no model"
    run = timeline("tiny")
    at = run.graph.node(node)
    for estimator in ESTIMATORS:
        d, degree = needs(lines, estimator)
        assert degree == run.graph.degrees[at]
        assert d / degree == pytest.approx(1 - run.redundancy[estimator][0, at], abs=1e-6)
    player.page.mouse.move(5, 5)
    assert player.ask("hovered()") is None
    assert not player.page.locator(".cz-tip").is_visible()


def test_every_input_of_a_head_has_its_own_number(player: Player) -> None:
    player.open("tiny", heat="qkv", step="300")
    run = timeline("tiny")
    assert run.split is not None
    seen = set()
    for share in np.linspace(0.12, 0.75, 60):
        lines = hover(player, share, 0.93 - 0.15)
        match = re.match(r"a(\d)\.h(\d) .*: (query|key|value)$", lines[0] if lines else "")
        if match is None:
            continue
        layer, head, kind = int(match[1]), int(match[2]), match[3]
        seen.add((head, kind))
        for estimator in ESTIMATORS:
            d, degree = needs(lines, estimator)
            part = ("query", "key", "value").index(kind)
            exact = run.split[estimator][30, layer * run.graph.n_heads + head, part]
            assert degree == run.graph.slots[run.graph.slot(f"a{layer}.h{head}<q>")].n_sources
            assert d / degree == pytest.approx(1 - exact, abs=1e-6)
    assert len({head for head, _ in seen}) >= 5
    assert {kind for _, kind in seen} == {"query", "key", "value"}


def test_a_cell_of_the_whole_run_moves_the_clock_and_selects(player: Player) -> None:
    player.open("tiny", heat="steps")
    run = timeline("tiny")
    lines = hover(player, 0.62, 0.4)
    match = re.match(r"(\S+) .*, step (\d+)$", lines[0])
    assert match is not None
    node, step = match[1], int(match[2])
    assert run.steps[5] < step < run.steps[-5]
    t = run.steps.index(step)
    d, degree = needs(lines, "circuit")
    exact = run.redundancy["circuit"][t, run.graph.node(node)]
    assert d / degree == pytest.approx(1 - exact, abs=1e-6)
    player.page.mouse.down()
    player.page.mouse.up()
    assert player.ask("snapshot()") == t
    assert player.ask("selected()") == node
    player.says(f"step {step} of 600")


def test_the_whole_run_is_painted_once(player: Player) -> None:
    player.page.add_init_script(
        "window.__painted = 0; const pen = CanvasRenderingContext2D.prototype;"
        "const put = pen.putImageData;"
        "pen.putImageData = function (...a) { window.__painted += 1; put.apply(this, a); };"
    )
    player.open("gpt2", heat="steps")
    player.settle()
    before, picture = player.page.evaluate("window.__painted"), pixels(player)
    assert before > 0
    player.page.keyboard.press(" ")
    player.wait("snapshot() >= 5")
    assert player.page.evaluate("window.__painted") == before
    player.page.keyboard.press(" ")
    assert pixels(player) != picture  # but the mark has moved


def test_the_colour_is_that_of_the_number(player: Player) -> None:
    """Snapshots of the picture over steps are as dark as the share of inputs that is needed."""
    player.open("tiny", heat="steps", step="600")
    run = timeline("tiny")
    shares, lights = [], []
    for x in (0.2, 0.5, 0.8):
        for y in np.linspace(0.03, 0.8, 25):
            lines = hover(player, x, y)
            if not lines:
                continue
            node, step = re.match(r"(\S+) .*, step (\d+)$", lines[0]).groups()  # type: ignore[union-attr]
            shares.append(
                run.redundancy["circuit"][run.steps.index(int(step)), run.graph.node(node)]
            )
            player.page.mouse.move(0, 0)
            lights.append(
                player.page.locator(CANVAS).evaluate(
                    "async (c, [x, y]) => { await new Promise(requestAnimationFrame);"
                    "await new Promise(requestAnimationFrame);"
                    "const [r, g, b] = c.getContext('2d')"
                    ".getImageData(x * c.width, y * c.height, 1, 1).data;"
                    "return r + g + b; }",
                    [x, float(y)],
                )
            )
    assert len(shares) > 40
    order = np.argsort(shares, kind="stable")
    assert len(set(shares)) > 5
    assert (np.diff(np.array(lights)[order]) >= -2).all()


@pytest.mark.parametrize("heat", ["nodes", "steps"])
def test_arrow_keys_walk_and_enter_selects(player: Player, heat: str) -> None:
    player.open("tiny", heat=heat, step="200")
    player.page.locator(CANVAS).focus()
    press = player.page.keyboard.press
    press("ArrowRight")  # the first one only shows where the keys are
    assert "a0.h0 · Head 0, layer 0" in label(player)
    assert player.ask("hovered()") == "a0.h0"
    press("ArrowUp")
    press("ArrowRight")
    node = "a1.h1" if heat == "nodes" else "a0.h1"
    assert node in label(player)
    assert player.ask("snapshot()") == 20  # the clock did not take the keys
    spoken = player.page.locator(".cz-heat [aria-live=polite]")
    assert node in spoken.inner_text()
    assert "redundancy (circuit)" in spoken.inner_text()
    assert "Source" not in spoken.inner_text()
    press("Enter")
    assert player.ask("selected()") == node
    assert player.ask("snapshot()") == (20 if heat == "nodes" else 21)
    press("ArrowUp")
    press("Shift+Enter")
    assert len(player.ask("nodes()")) == 2
    for _ in range(60):
        press("ArrowUp")
    assert "logits" in label(player)
    player.page.locator(CANVAS).blur()
    assert player.ask("hovered()") is None
    press("ArrowRight")  # and now they move the clock again
    assert player.ask("snapshot()") == (21 if heat == "nodes" else 22)


def test_all_selected_nodes_are_outlined(player: Player) -> None:
    player.open("tiny")
    canvas = player.page.locator(CANVAS)
    pictures = []
    for count, enter in [(1, "Enter"), (2, "Shift+Enter"), (3, "Shift+Enter")]:
        canvas.focus()
        for _ in range(count):  # the first press shows the inspected node
            player.page.keyboard.press("ArrowUp")
        player.page.keyboard.press(enter)
        canvas.blur()
        player.settle()
        assert len(player.ask("nodes()")) == count
        pictures.append(pixels(player))
    for before, after in itertools.pairwise(pictures):
        assert (np.array(before) != np.array(after)).sum() > 50


def test_of_two_runs_the_difference_is_shown(player: Player) -> None:
    player.open("pair", step="100")
    assert player.page.get_by_role("button", name="q k v").is_disabled()
    player.says("Difference: B minus A.")
    player.says("A needs more")
    run = timeline("tiny")
    signs = set()
    for x in np.linspace(0.15, 0.85, 12):
        for y in (0.35, 0.5, 0.65, 0.82):
            lines = hover(player, x, y)
            if not lines:
                continue
            at = run.graph.node(lines[0].split()[0])
            here, there = (run.redundancy["circuit"][t, at] for t in (10, -11))
            shown = [float(v) for v in re.findall(r"([\d.]+) %", lines[2])]
            assert shown == pytest.approx([100 * here, 100 * there], abs=0.051)
            if abs(there - here) < 0.02:
                continue
            _, green, blue, _ = player.page.locator(CANVAS).evaluate(
                "(c, [x, y]) => [...c.getContext('2d')"
                ".getImageData(x * c.width, y * c.height, 1, 1).data]",
                [float(x), y],
            )
            assert (green > blue) == (there > here)  # green: A needs more, violet: B
            signs.add(there > here)
    assert signs == {True, False}


@pytest.mark.parametrize("case", ["zero", "livezero", "one", "noedges", "nan", "gqa", "deep"])
@pytest.mark.parametrize("heat", ["qkv", "steps"])
def test_odd_runs_have_a_heatmap(player: Player, case: str, heat: str) -> None:
    player.open(case, heat=heat)
    player.page.locator(CANVAS).focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "Enter", "ArrowDown"):
        player.page.keyboard.press(key)
    for x, y in ((0.5, 0.2), (0.5, 0.5), (0.9, 0.9)):
        hover(player, x, y)
    player.settle()


def test_a_growing_run_adds_columns(player: Player) -> None:
    player.open("live", controls="1", heat="steps")
    assert hover(player, 0.97, 0.45)[0].endswith("step 110")
    player.page.get_by_role("button", name="grow").click()
    player.wait("snapshot() === 14")
    assert hover(player, 0.97, 0.45)[0].endswith("step 140")


# ---------------------------------------------------------------------- other maps


def test_the_same_cells_show_what_else_is_known_of_nodes(player: Player) -> None:
    player.open("tiny", step="300")
    run = timeline("tiny")
    assert run.effect is not None
    assert run.moved is not None
    assert run.specific is not None
    before = pixels(player)
    shares = (("moved", run.moved), ("specific", run.specific))
    for name, values in (("effect", run.effect), *shares):
        show(player, name)
        player.settle()
        assert player.ask("view()")["map"] == name
        assert pixels(player) != before
        lines = hover(player, 0.2, 0.5)
        at = run.graph.node(lines[0].split()[0])
        shown = float(re.findall(r"[\d.]+", lines[1].replace("−", "-"))[0])
        exact = values[30, at] * (1 if name == "effect" else 100)
        assert shown == pytest.approx(abs(exact), rel=0.02, abs=0.01)
        assert lines[-1] == "Source: step 300, synthetic numbers of no model"
        assert not player.page.get_by_role("button", name="mass 90 %").is_visible()
        assert player.page.locator(".cz-heat").get_by_role("button", name="q k v").is_disabled()
    show(player, "redundancy")
    player.settle()
    assert pixels(player) == before


def test_a_link_opens_a_map_and_what_is_not_known_cannot_be_chosen(player: Player) -> None:
    player.open("tiny", map="moved", heat="steps")
    assert player.page.locator(".cz-heat").get_attribute("data-map") == "moved"
    player.open("pair", map="effect")
    assert player.page.locator(".cz-heat").get_attribute("data-map") == "redundancy"
    assert player.page.locator(".cz-heat").get_by_role("button", name="effect").is_disabled()
