"""An MLP that is cut into blocks of neurons: one node that opens, in a real browser."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from ctviz.bench.synthetic import timeline
from tests.browser import axe
from tests.browser.driving import Player

RUN = timeline("blocks")


def blocks_inside(layer: int, at: int) -> list[str]:
    """The blocks of a layer's MLP that the circuit of a snapshot touches."""
    graph, mask = RUN.graph, RUN.circuit[at]
    read, written = mask.any(axis=0) @ graph.feeds, np.append(mask.any(axis=1), False)
    touched = read | written
    return [name for name in graph.mlp_nodes(layer) if touched[graph.node(name)]]


def joined(at: int, *opened: int) -> int:
    """Lines of a snapshot while the MLPs of all other layers are closed: pairs of ends, blocks by
    their layer."""
    graph, apart = RUN.graph, tuple(f"m{layer}.b" for layer in opened)

    def drawn_as(name: str) -> str:
        return name if name.startswith(apart) else name.partition(".b")[0]

    return len(
        {
            (drawn_as(graph.sources[row]), drawn_as(graph.slots[column].name))
            for row, column in np.argwhere(RUN.circuit[at])
        }
    )


def crowded() -> int:
    """The layer with the most blocks in the first circuit."""
    return max(range(RUN.graph.n_layers), key=lambda layer: len(blocks_inside(layer, 0)))


def double_click(player: Player, name: str) -> None:
    place = player.ask(f"nodeAt({name!r})")
    player.page.mouse.dblclick(place["x"], place["y"])


def test_closed_mlps_join_their_edges_and_open_ones_do_not(player: Player) -> None:
    player.open("blocks", level="circuit")
    assert player.ask("drawn()") == joined(0) < 400
    layer = crowded()
    inside = blocks_inside(layer, 0)
    assert len(inside) > 1
    assert all(
        player.ask(f"nodeAt({name!r})") == player.ask(f"nodeAt('m{layer}')") for name in inside
    )
    before = player.ask("drawn()")
    double_click(player, f"m{layer}")
    player.wait(f"open().join() === '{layer}'")
    assert player.ask("nodes()") == [f"m{layer}"]
    player.page.keyboard.press("Escape")
    player.page.mouse.move(2, 2)  # what the pointer is on fades all else
    player.wait(f"drawn() === {joined(0, layer)}")
    places = [player.ask(f"nodeAt({name!r})") for name in inside]
    assert len({(place["x"], place["y"]) for place in places}) == len(inside)
    double_click(player, inside[-1])
    player.wait("open().length === 0")
    player.page.keyboard.press("Escape")
    player.page.mouse.move(2, 2)
    player.wait(f"drawn() === {before}")


def test_the_switch_opens_and_closes_all_and_the_address_keeps_them(player: Player) -> None:
    player.open("blocks", level="circuit")
    switch = player.page.get_by_role("group", name="Blocks of the MLPs")
    switch.get_by_role("button", name="open").click()
    player.wait("drawn() === 400")
    assert player.ask("open()") == list(range(30))
    expect(switch.get_by_role("button", name="open")).to_have_attribute("aria-pressed", "true")
    switch.get_by_role("button", name="closed").click()
    player.wait(f"drawn() === {joined(0)}")
    player.open("blocks", level="circuit", open="3,7,x,99999999999999999999")
    assert player.ask("view()")["open"] == [3, 7]
    player.open("tiny")
    assert not player.page.get_by_role("group", name="Blocks of the MLPs").is_visible()


def test_the_keyboard_opens_the_selected_mlp_and_walks_over_what_is_drawn(player: Player) -> None:
    layer = crowded()
    player.open("blocks", level="circuit", node=f"m{layer}")
    stage = player.page.locator(".cz-stage .vis-network")
    stage.focus()
    player.page.keyboard.press("o")
    player.wait(f"open().join() === '{layer}'")
    player.says(f"The MLP of layer {layer} is open")
    player.page.keyboard.press("o")
    player.wait("open().length === 0")
    seen = []
    for _ in range(12):
        player.page.keyboard.press("ArrowUp")
        seen.append(player.ask("selected()"))
    assert not [name for name in seen if ".b" in name]
    assert len(set(seen)) == len(seen)
    player.page.keyboard.press("Escape")
    player.page.keyboard.press("O")
    player.wait("open().length === 30")


def test_the_inspector_lists_the_blocks_and_leads_to_them(player: Player) -> None:
    layer = crowded()
    inside = blocks_inside(layer, 0)
    player.open("blocks", level="circuit", node=f"m{layer}")
    inspector = player.page.get_by_role("complementary", name="Inspector")
    player.says("Its blocks in the circuit")
    expect(inspector).to_contain_text(f"{len(inside)} blocks")
    more = inspector.get_by_role("button", name=f"Show all {len(inside)}")
    if more.count():
        more.first.click()
    named = inspector.locator(".cz-edge-name", has_text=f"m{layer}.b").all_inner_texts()
    assert set(inside) <= {name for name in named if " " not in name}
    inspector.locator(".cz-edge-name", has_text=inside[0]).first.click()
    player.wait(f"selected() === {inside[0]!r}")
    inspector.get_by_role("button", name=f"m{layer}", exact=True).click()
    player.wait(f"selected() === 'm{layer}'")
    inspector.get_by_role("button", name="Open", exact=True).click()
    player.wait(f"open().join() === '{layer}'")


def test_a_joined_edge_says_what_it_stands_for(player: Player) -> None:
    player.open("blocks", level="circuit")
    box = player.page.locator(".cz-stage").bounding_box()
    assert box is not None
    said = ""
    for x, y in itertools.product((0.62, 0.4, 0.85), np.linspace(0.2, 0.9, 30)):
        player.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        said = player.page.locator(".cz-tip").inner_text()
        if "edges of blocks, joined" in said:
            break
    assert "sum of |score|" in said
    assert "strongest: " in said


@pytest.mark.parametrize("heat", ["nodes", "steps"])
def test_each_block_of_the_heatmap_can_be_pointed_at(player: Player, heat: str) -> None:
    player.open("blocks", level="circuit", heat=heat)
    canvas = player.page.locator("canvas.cz-cells")
    box = canvas.bounding_box()
    assert box is not None
    y = box["y"] + (box["height"] / 2 if heat == "nodes" else 20)  # over steps it scrolls
    names = set()
    steps = np.arange(1.0, box["width"], 2.0) if heat == "nodes" else [box["width"] / 2]
    for x in steps:
        for by in (0,) if heat == "nodes" else range(0, 60):
            player.page.mouse.move(box["x"] + float(x), y + by)
            names.add(player.ask("hovered()"))
    found = {name for name in names if name and ".b" in name}
    assert len(found) >= 24
    if heat == "nodes":
        assert len({name.partition(".")[0] for name in found}) == 1
        player.page.mouse.click(box["x"] + box["width"] - 3, y)
        assert player.ask("selected()") in found
        assert player.ask("open()") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_narrow_page(
    new_player: Callable[..., Player], scheme: str
) -> None:
    player = new_player(width=768, color_scheme=scheme)
    player.open("blocks", level="circuit", node=f"m{crowded()}")
    player.says("Its blocks in the circuit")
    root = player.page.locator(".cz").first
    assert root.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    axe.check(player.page)
