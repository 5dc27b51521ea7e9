"""The page on models of many layers: levels of detail, the three forms, a selection's paths."""

from __future__ import annotations

from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import expect

from ctviz.bench.synthetic import timeline
from ctviz.circuits.backbone import backbone
from tests.browser import axe
from tests.browser.driving import PLAYER, Player


def open_large(player: Player, case: str, **query: str) -> None:
    """Open a case, which the app makes at the first visit: on a busy machine that takes a while."""
    player.page.goto(f"{player.url}/?{urlencode({'case': case, **query})}")
    player.page.wait_for_function(f"() => ({PLAYER})()?.__ctviz?.ready()", timeout=150_000)


def group(player: Player, name: str, button: str):
    return player.page.get_by_role("group", name=name).get_by_role(
        "button", name=button, exact=True
    )


def strongest(case: str, count: int) -> list[tuple[int, int]]:
    """The strongest edges of the first circuit, as (source, slot)."""
    run = timeline(case)
    size = np.where(run.circuit[0], np.abs(run.scores[0]), 0.0)
    order = np.argsort(-size, axis=None, kind="stable")[:count]
    return [tuple(map(int, np.unravel_index(at, size.shape))) for at in order]


@pytest.mark.parametrize("case", ["30x9", "16x32"])
def test_a_large_circuit_begins_as_its_backbone_and_opens_up(player: Player, case: str) -> None:
    run = timeline(case)
    bones = backbone(
        run.scores.reshape(len(run.steps), -1)[:1], run.circuit.reshape(len(run.steps), -1)[:1]
    )
    count = int(bones.sizes[0])
    open_large(player, case)
    player.wait(f"drawn() === {count}")
    expect(group(player, "Level of detail", "backbone")).to_have_attribute("aria-pressed", "true")
    player.says("the backbone: ")
    words = player.page.locator(".cz-changes").inner_text()
    percent = int(words.removeprefix("the backbone: ").partition(" %")[0])
    assert abs(percent / 100 - bones.shares[0]) <= 0.006
    player.says(f"{count} of {run.n_edges}")
    for source, slot in strongest(case, count):
        assert player.ask(f"nodeAt({run.graph.sources[source]!r})") is not None
        for node in run.graph.slots[slot].feeds:
            assert player.ask(f"nodeAt({node!r})") is not None
    group(player, "Level of detail", "circuit").click()
    player.wait(f"drawn() === {run.n_edges}")
    group(player, "Level of detail", "whole model").click()
    player.wait("nodeAt('a0.h0') !== null")
    for layer in range(run.graph.n_layers):
        for head in range(run.graph.n_heads):
            assert player.ask(f"nodeAt('a{layer}.h{head}')") is not None
    player.settle()
    assert player.ask("view()")["level"] == "model"
    axe.check(player.page)


def test_more_edges_than_the_backbone_has_are_the_circuit(player: Player) -> None:
    open_large(player, "30x9")
    slider = player.page.get_by_label("Edges shown")
    slider.focus()
    before = player.ask("edges()")
    player.page.keyboard.press("ArrowRight")
    player.wait(f"edges() === {before + 1}")
    player.wait(f"drawn() === {before + 1}")
    assert player.ask("view()")["level"] == "circuit"


def test_a_node_outside_of_the_backbone_opens_the_circuit(player: Player) -> None:
    open_large(player, "30x9")
    run = timeline("30x9")
    inside = [run.graph.nodes[at] for at in np.flatnonzero(run.circuit[0].any(axis=1))]
    away = next(name for name in inside if player.ask(f"nodeAt({name!r})") is None)
    search = player.page.get_by_label("Find a node")
    search.fill(away)
    search.press("Enter")
    player.wait(f"selected() === {away!r}")
    player.wait(f"nodeAt({away!r}) !== null")
    assert player.ask("view()")["level"] == "circuit"


def test_the_selection_shows_its_way_from_the_input_to_the_logits(player: Player) -> None:
    graph, mask = timeline("30x9").graph, timeline("30x9").circuit[0]
    size = np.abs(timeline("30x9").scores[0])
    edges = [tuple(map(int, edge)) for edge in np.argwhere(mask)]

    def widest(start: str, end: str) -> list[tuple[int, int]]:
        """Of all paths that one whose weakest edge is the strongest, from its definition."""
        best, came = {start: np.inf}, {}
        for node in graph.nodes[graph.node(start) + 1 :]:  # in the order of the model
            for row, column in edges:
                through = min(best.get(graph.sources[row], 0.0), size[row, column])
                if node in graph.slots[column].feeds and through > best.get(node, 0.0):
                    best[node], came[node] = through, (row, column)
        path = []
        while end in came:
            path.append(came[end])
            end = graph.sources[came[end][0]]
        return path

    def ways(name: str) -> set[tuple[int, int]]:
        return {*widest("input", name), *widest(name, "logits")}

    def touching(name: str) -> set[tuple[int, int]]:
        return {
            (row, column)
            for row, column in edges
            if name in (graph.sources[row], *graph.slots[column].feeds)
        }

    name = max(
        (node for node in graph.nodes if node.startswith("a")),
        key=lambda node: len(ways(node) - touching(node)),
    )
    assert ways(name) - touching(name)
    open_large(player, "30x9", node=name, level="circuit")
    player.page.mouse.move(2, 2)
    player.wait(f"drawn() === {len(ways(name) | touching(name))}")


def test_the_paths_are_a_list_that_selects(player: Player) -> None:
    open_large(player, "30x9", form="paths")
    rows = player.page.locator(".cz-paths li button")
    expect(rows.first).to_be_visible()
    sizes = [float(each) for each in player.page.locator(".cz-paths li b").all_inner_texts()]
    assert 1 < len(sizes) <= 12
    assert sizes == sorted(sizes, reverse=True)
    text = rows.first.inner_text()
    assert "input" in text
    assert text.rstrip().endswith("logits")
    rows.first.focus()
    player.page.keyboard.press("Enter")
    player.wait("nodes().length >= 2")
    assert {"input", "logits"} <= set(player.ask("nodes()"))
    player.settle()
    player.says("strongest paths at step 0")
    player.page.keyboard.press("End")
    player.says("strongest paths at step 990")
    axe.check(player.page)


@pytest.mark.parametrize("case", ["30x9", "16x32", "tiny"])
def test_the_matrix_opens_layer_by_layer_into_nodes(player: Player, case: str) -> None:
    open_large(player, case, form="matrix", level="circuit")
    canvas = player.page.locator(".cz-matrix canvas")
    expect(canvas).to_be_visible()
    canvas.focus()
    player.page.keyboard.press("ArrowDown")
    for _ in range(80):  # to a cell with an edge
        player.page.keyboard.press("ArrowRight")
        said = player.page.locator(".cz-matrix .cz-unseen").inner_text()
        if "sum of scores" in said:
            break
    assert "→" in said
    player.page.keyboard.press("Enter")
    expect(player.page.get_by_role("button", name="all layers")).to_be_visible()
    player.page.get_by_role("button", name="all layers").click()
    expect(player.page.get_by_role("button", name="all layers")).to_be_hidden()
    axe.check(player.page)
