"""Names, indices and structure of the graph, against counts done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ctviz.circuits.graph import Graph, kind_of, layer_of
from ctviz.errors import OutOfRange, UnknownName


def test_two_layers_two_heads_by_hand():
    graph = Graph(2, 2)
    assert graph.sources == ("input", "a0.h0", "a0.h1", "m0", "a1.h0", "a1.h1", "m1")
    assert graph.slot_names == (
        *("a0.h0<q>", "a0.h1<q>", "a0.h0<k>", "a0.h1<k>", "a0.h0<v>", "a0.h1<v>", "m0"),
        *("a1.h0<q>", "a1.h1<q>", "a1.h0<k>", "a1.h1<k>", "a1.h0<v>", "a1.h1<v>", "m1"),
        "logits",
    )
    # layer 0: 6 slots from input, m0 from 3; layer 1: 6 slots from 4, m1 from 6; logits from 7
    assert graph.n_edges == 6 * 1 + 3 + 6 * 4 + 6 + 7
    assert dict(zip(graph.nodes, graph.degrees, strict=True)) == {
        "input": 0,
        "a0.h0": 3,
        "a0.h1": 3,
        "m0": 3,
        "a1.h0": 12,
        "a1.h1": 12,
        "m1": 6,
        "logits": 7,
    }


def test_gpt2_small_has_the_published_number_of_edges():
    graph = Graph(12, 12)
    assert (len(graph.sources), len(graph.slots), graph.n_edges) == (157, 445, 32491)


def test_grouped_heads_share_key_and_value_slots():
    graph = Graph(1, 4, 2)
    names = graph.slot_names
    assert names[:8] == (
        *("a0.h0<q>", "a0.h1<q>", "a0.h2<q>", "a0.h3<q>"),
        *("a0.g0<k>", "a0.g1<k>", "a0.g0<v>", "a0.g1<v>"),
    )
    assert graph.slots[graph.slot("a0.g1<v>")].feeds == ("a0.h2", "a0.h3")
    assert graph.degrees[graph.node("a0.h3")] == 3  # its own q, its group's k and v


def test_parallel_blocks_have_no_edge_from_their_heads_to_their_mlp():
    graph = Graph(1, 2, parallel=True)
    assert not graph.exists[graph.source("a0.h0"), graph.slot("m0")]
    assert Graph(1, 2).exists[graph.source("a0.h0"), graph.slot("m0")]


def test_a_cut_mlp_is_a_node_for_each_of_its_blocks_by_hand():
    graph = Graph(2, 1, mlp_blocks=2)
    assert graph.sources == ("input", "a0.h0", "m0.b0", "m0.b1", "a1.h0", "m1.b0", "m1.b1")
    assert graph.slot_names == (
        *("a0.h0<q>", "a0.h0<k>", "a0.h0<v>", "m0.b0", "m0.b1"),
        *("a1.h0<q>", "a1.h0<k>", "a1.h0<v>", "m1.b0", "m1.b1", "logits"),
    )
    # layer 0: 3 slots from input, 2 blocks from 2; layer 1: 3 slots from 4, 2 blocks from 5
    assert graph.n_edges == 3 * 1 + 2 * 2 + 3 * 4 + 2 * 5 + 7
    assert dict(zip(graph.nodes, graph.degrees, strict=True)) == {
        "input": 0,
        "a0.h0": 3,
        **{"m0.b0": 2, "m0.b1": 2},
        "a1.h0": 12,
        **{"m1.b0": 5, "m1.b1": 5},
        "logits": 7,
    }
    assert graph.slots[graph.slot("m1.b1")].feeds == ("m1.b1",)
    assert not graph.exists[graph.source("m1.b0"), graph.slot("m1.b1")]
    assert (kind_of("m1.b1"), layer_of("m1.b1", 2)) == ("mlp", 1)
    assert graph.rows(1) == {"head": slice(4, 5), "mlp": slice(5, 7)}
    assert graph.columns(1)["mlp"] == slice(8, 10)
    assert graph.whole == Graph(2, 1)


def test_smollm2_in_blocks_of_64_neurons_has_the_edges_of_the_prototype():
    graph = Graph(30, 9, 3, mlp_blocks=24)
    assert (len(graph.sources), len(graph.slots), graph.n_edges) == (991, 1171, 568_486)


@pytest.mark.parametrize("shape", [(2, 3), (3, 4, 2), (2, 2, 1, True), (2, 4, 2, True, 3)])
def test_every_edge_goes_through_its_name_and_back(shape):
    graph = Graph(*shape)
    for row, column in np.argwhere(graph.exists):
        assert graph.edge(graph.edge_name(row, column)) == (row, column)


def test_edges_go_forward():
    graph = Graph(3, 2)
    for row, column in np.argwhere(graph.exists):
        slot = graph.slots[column]
        source = graph.sources[row]
        at = layer_of(source, 3)
        within = source.startswith("a") and slot.kind == "mlp"
        assert at < slot.layer or (at == slot.layer and within)


def test_unknown_names_are_explained():
    graph = Graph(2, 2)
    with pytest.raises(UnknownName, match=r"no node 'a0.h9'.*Did you mean 'a0.h[01]'"):
        graph.node("a0.h9")
    with pytest.raises(UnknownName, match="written after"):
        graph.edge("m1->a0.h0<q>")
    with pytest.raises(UnknownName, match="source->slot"):
        graph.edge("m1")


def test_impossible_shapes_are_refused():
    with pytest.raises(OutOfRange, match="n_layers is 0"):
        Graph(0, 2)
    with pytest.raises(OutOfRange, match="mlp_blocks is 0"):
        Graph(1, 2, mlp_blocks=0)
    with pytest.raises(ValueError, match="multiple"):
        Graph(1, 4, 3)


@pytest.mark.parametrize("shape", [(2, 3), (2, 6, 2), (1, 4, 1, True)])
def test_feed_pairs_are_the_slots_of_the_ungrouped_graph(shape):
    graph = Graph(*shape)
    plain = Graph(graph.n_layers, graph.n_heads, parallel=graph.parallel)
    slots, nodes = graph.feed_pairs
    for slot, node, ungrouped in zip(slots, nodes, plain.slots, strict=True):
        assert (graph.nodes[node],) == ungrouped.feeds
        assert graph.slots[slot].kind == ungrouped.kind
        assert graph.slots[slot].n_sources == ungrouped.n_sources
