"""Selection, pruning and redundancy, with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ctviz.circuit import (
    Circuit,
    Scores,
    prune_dead_ends,
    random_circuit,
    redundancy_circuit,
    redundancy_mass,
    top_edges,
)
from ctviz.errors import OutOfRange, UndefinedMetric
from ctviz.graph import Graph

GRAPH = Graph(2, 2)


def scores(graph: Graph = GRAPH, **edges: float) -> Scores:
    values = np.zeros(graph.exists.shape, dtype=np.float32)
    for name, value in edges.items():
        values[graph.edge(name)] = value
    return Scores(graph, values)


def circuit(*edges: str, graph: Graph = GRAPH) -> Circuit:
    mask = np.zeros(graph.exists.shape, dtype=bool)
    for name in edges:
        mask[graph.edge(name)] = True
    return Circuit(graph, mask)


def test_top_edges_takes_the_largest_sizes_whatever_their_sign():
    found = top_edges(scores(**{"input->m0": 1.0, "m0->logits": -3.0, "m0->m1": 2.0}), 2)
    assert found.edges() == ["m0->m1", "m0->logits"]


def test_ties_go_to_the_earlier_edge():
    flat = Scores(GRAPH, np.where(GRAPH.exists, np.float32(1), np.float32(0)))
    found = top_edges(flat, 5)
    expected = np.argwhere(GRAPH.exists)[:5]
    assert (np.argwhere(found.mask) == expected).all()


@pytest.mark.parametrize("n", [0, GRAPH.n_edges + 1, -3])
def test_sizes_out_of_range_say_the_range(n):
    with pytest.raises(OutOfRange, match=f"edges is {n}, but must be from 1 to 46"):
        top_edges(scores(), n)


@settings(deadline=None)
@given(
    values=arrays.arrays(
        np.float32,
        GRAPH.exists.shape,
        elements=st.floats(-5, 5, width=32),
    ),
    n=st.integers(1, GRAPH.n_edges),
)
def test_top_edges_has_n_edges_and_no_larger_one_outside(values, n):
    found = top_edges(Scores(GRAPH, values), n)
    assert found.n_edges == n
    outside = GRAPH.exists & ~found.mask
    if outside.any():
        assert np.abs(values[found.mask]).min() >= np.abs(values[outside]).max()


def test_nan_scores_name_their_edge():
    values = np.zeros(GRAPH.exists.shape, dtype=np.float32)
    values[GRAPH.edge("m0->a1.h1<k>")] = np.nan
    with pytest.raises(UndefinedMetric, match=r"m0->a1\.h1<k>"):
        Scores(GRAPH, values)


def test_an_edge_that_does_not_exist_is_refused():
    mask = np.zeros(GRAPH.exists.shape, dtype=bool)
    mask[GRAPH.source("m1"), GRAPH.slot("m0")] = True
    with pytest.raises(ValueError, match="m1->m0"):
        Circuit(GRAPH, mask)


def test_dead_ends_are_dropped_from_both_sides():
    found = prune_dead_ends(
        circuit(
            *("input->a0.h0<q>", "a0.h0->m1", "m1->logits"),  # a path
            "input->m0",  # m0 leads nowhere
            "a0.h1->logits",  # nothing leads to a0.h1
        )
    )
    assert sorted(found.edges()) == ["a0.h0->m1", "input->a0.h0<q>", "m1->logits"]


def test_a_shared_key_passes_a_path_on_to_each_head_of_its_group():
    graph = Graph(1, 4, 2)
    path = circuit("input->a0.g1<k>", "a0.h3->logits", graph=graph)
    assert prune_dead_ends(path).n_edges == 2
    other = circuit("input->a0.g0<k>", "a0.h3->logits", graph=graph)
    assert prune_dead_ends(other).n_edges == 0


@settings(deadline=None)
@given(n=st.integers(1, GRAPH.n_edges), seed=st.integers(0, 1000))
def test_pruning_keeps_a_subset_and_is_idempotent(n, seed):
    whole = random_circuit(GRAPH, n, seed=seed)
    once = prune_dead_ends(whole)
    assert not (once.mask & ~whole.mask).any()
    assert (prune_dead_ends(once).mask == once.mask).all()


def test_random_circuits_repeat_with_their_seed():
    one, same, other = (random_circuit(GRAPH, 9, seed=s) for s in (4, 4, 5))
    assert (one.mask == same.mask).all()
    assert (one.mask != other.mask).any()
    assert one.n_edges == 9


def test_redundancy_by_circuit():
    values = redundancy_circuit(circuit("input->a0.h0<q>", "m0->logits", "m1->logits"))
    by_node = dict(zip(GRAPH.nodes, values, strict=True))
    assert np.isnan(by_node["input"])
    assert by_node["a0.h0"] == pytest.approx(2 / 3)
    assert by_node["a0.h1"] == 1.0
    assert by_node["logits"] == pytest.approx(5 / 7)


def test_redundancy_by_mass():
    found = scores(
        **{"input->m0": -6.0, "a0.h0->m0": 3.0, "a0.h1->m0": 1.0, "input->a0.h0<v>": 0.01}
    )
    by_node = dict(zip(GRAPH.nodes, redundancy_mass(found, tau=0.9), strict=True))
    assert by_node["m0"] == pytest.approx(1 / 3)  # 6 + 3 of 10 carry 90 %
    assert by_node["a0.h0"] == pytest.approx(2 / 3)  # one edge carries all
    assert by_node["a1.h0"] == 1.0  # no mass at all: needs none
    every = dict(zip(GRAPH.nodes, redundancy_mass(found, tau=1.0), strict=True))
    assert every["m0"] == 0.0
    with pytest.raises(OutOfRange, match="tau"):
        redundancy_mass(found, tau=0.0)


def test_frame_is_tidy():
    frame = scores(**{"m0->a1.h1<k>": 0.5}).frame()
    assert len(frame) == GRAPH.n_edges
    row = frame[frame["edge"] == "m0->a1.h1<k>"].iloc[0]
    assert (row["source"], row["node"], row["kind"], row["score"]) == ("m0", "a1.h1", "k", 0.5)
