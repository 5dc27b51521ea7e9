"""Choosing edges and pruning, with answers worked out by hand and against a slow search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ctviz.circuits.graph import Graph
from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.scores import General, Scores, specific_share
from ctviz.circuits.selection import (
    SELECTIONS,
    greedy_edges,
    node_edges,
    prune_dead_ends,
    specific_edges,
    threshold_edges,
    top_edges,
)
from ctviz.errors import OutOfRange
from tests.small_graph import GRAPH, circuit, scores

GROUPED = Graph(2, 4, 2)


def values_of(graph: Graph) -> st.SearchStrategy[np.ndarray]:
    """Few different numbers, so that ties are common."""
    return arrays.arrays(np.float32, graph.exists.shape, elements=st.sampled_from([-2, -1, 0, 1]))


def test_top_edges_takes_the_largest_sizes_whatever_their_sign():
    found = top_edges(scores(**{"input->m0": 1.0, "m0->logits": -3.0, "m0->m1": 2.0}), 2)
    assert found.edges() == ["m0->m1", "m0->logits"]


def test_signed_selection_leaves_out_what_works_against_the_behaviour():
    found = scores(**{"input->m0": 1.0, "m0->logits": -3.0, "m0->m1": 2.0})
    assert top_edges(found, 2, signed=True).edges() == ["input->m0", "m0->m1"]
    assert threshold_edges(found, 1.0, signed=True).edges() == ["input->m0", "m0->m1"]
    every = top_edges(found, GRAPH.n_edges - 1, signed=True)
    assert not every.mask[GRAPH.edge("m0->logits")]


def test_ties_go_to_the_earlier_edge():
    flat = Scores(GRAPH, np.where(GRAPH.exists, np.float32(1), np.float32(0)))
    found = top_edges(flat, 5)
    expected = np.argwhere(GRAPH.exists)[:5]
    assert (np.argwhere(found.mask) == expected).all()


@pytest.mark.parametrize("choose", [top_edges, greedy_edges, node_edges, specific_edges])
@pytest.mark.parametrize("n", [0, GRAPH.n_edges + 1, -3])
def test_sizes_out_of_range_say_the_range(choose, n):
    with pytest.raises(OutOfRange, match=f"edges is {n}, but must be from 1 to 46"):
        choose(scores(), n)


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


def test_a_threshold_takes_what_reaches_it():
    found = scores(**{"input->m0": 1.0, "m0->logits": -3.0, "m0->m1": 2.0})
    assert threshold_edges(found, 2.0).edges() == ["m0->m1", "m0->logits"]
    assert threshold_edges(found, 3.5).n_edges == 0
    assert threshold_edges(found, 0).n_edges == GRAPH.n_edges
    assert threshold_edges(found, 1e300).n_edges == 0
    for wrong in (-0.1, np.nan, np.inf):
        with pytest.raises(OutOfRange, match="threshold"):
            threshold_edges(found, wrong)


@settings(deadline=None)
@given(values=values_of(GRAPH), threshold=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_a_threshold_agrees_with_the_top_of_as_many_edges(values, threshold):
    found = threshold_edges(Scores(GRAPH, values), threshold)
    if found.n_edges:
        assert (found.mask == top_edges(Scores(GRAPH, values), found.n_edges).mask).all()


def test_greedy_grows_from_the_logits():
    found = scores(
        **{
            "input->a0.h0<q>": 9.0,  # the largest, but connected only after a0.h0
            "m0->m1": 5.0,
            "m1->logits": 2.0,
            "a0.h1->m0": 1.0,
            "a0.h0->logits": 0.5,
        }
    )
    in_order = ["m1->logits", "m0->m1", "a0.h1->m0", "a0.h0->logits", "input->a0.h0<q>"]
    for n in range(1, 6):
        assert sorted(greedy_edges(found, n).edges()) == sorted(in_order[:n])
    assert sorted(greedy_edges(found, 5, prune=True).edges()) == sorted(in_order[3:])


def test_greedy_reaches_a_shared_slot_with_any_head_of_its_group():
    graph = Graph(1, 4, 2)
    found = scores(
        graph,
        **{"a0.h3->logits": 3.0, "input->a0.g1<k>": 2.0, "input->a0.g0<k>": 5.0, "m0->logits": 1.0},
    )
    assert greedy_edges(found, 3).edges() == ["input->a0.g1<k>", "a0.h3->logits", "m0->logits"]


def test_nodes_weighs_an_edge_by_the_sums_at_both_of_its_ends():
    found = scores(
        **{
            "input->m0": 3.0,  # 3 x (3 + 1) x 3 = 36
            "input->m1": 1.0,  # 1 x (3 + 1) x (1 + 2) = 12
            "m0->m1": -2.0,  # 2 x (2 + 1) x (1 + 2) = 18
            "m0->logits": 1.0,  # 1 x (2 + 1) x (1 + 4) = 15
            "m1->logits": 4.0,  # 4 x 4 x (1 + 4) = 80
            "a0.h0->a1.h0<q>": 2.5,  # 2.5 x 2.5 x 2.5 = 15.625
        }
    )
    by_rank = ["m1->logits", "input->m0", "m0->m1", "a0.h0->a1.h0<q>", "m0->logits", "input->m1"]
    for n in range(1, 7):
        assert set(node_edges(found, n).edges()) == set(by_rank[:n])
    assert "a0.h0->a1.h0<q>" in top_edges(found, 3).edges()  # its size alone is third
    assert "m0->m1" not in node_edges(found, 5, signed=True).edges()


def test_the_sum_of_a_shared_key_slot_counts_its_edges_once():
    graph = Graph(1, 4, 2)
    found = scores(
        graph,
        **{
            "input->a0.g0<k>": 2.0,  # 2 x (2 + 3) x 2 = 20
            "input->m0": 3.0,  # 3 x (2 + 3) x 3 = 45
            "a0.h0->logits": 2.6,  # 2.6 ** 3 = 17.576
        },
    )
    assert node_edges(found, 1).edges() == ["input->m0"]
    assert node_edges(found, 2).edges() == ["input->a0.g0<k>", "input->m0"]


def beside(found: Scores, nodes: tuple[float, ...] = (), **general: float) -> Scores:
    """Scores with effects on general text of edges, by name, and of the first nodes."""
    whole = np.zeros(len(GRAPH.sources), dtype=np.float32)
    whole[: len(nodes)] = nodes
    return replace(found, general=General(scores(**general).values, whole))


def test_specific_ranks_edges_by_their_score_beside_their_effect_on_general_text():
    found = beside(
        scores(
            **{
                "input->m0": 6.0,  # 6 / (4.6 + 0.2) = 1.25
                "m0->m1": -1.0,  # 1 / (0.1 + 0.2) = 3.33
                "m0->logits": 1.0,  # 1 / (0 + 0.2) = 5
                "m1->logits": 4.0,  # 4 / (2.3 + 0.2) = 1.6
                "a0.h0->a1.h0<q>": 0.3,  # 0.3 / (0 + 0.2) = 1.5
            }
        ),
        # together 9.2 on 46 edges: 0.2 in the mean
        **{"input->m0": 4.6, "m0->m1": 0.1, "m1->logits": 2.3, "a0.h1->logits": 2.2},
    )
    by_rank = ["m0->logits", "m0->m1", "m1->logits", "a0.h0->a1.h0<q>", "input->m0"]
    for n in range(1, 6):
        assert set(specific_edges(found, n).edges()) == set(by_rank[:n])
    signed = ["m0->logits", "m1->logits", "a0.h0->a1.h0<q>", "input->m0"]
    assert set(specific_edges(found, 4, signed=True).edges()) == set(signed)


def test_specific_does_not_depend_on_units_and_is_top_where_all_edges_do_as_much():
    rng = np.random.default_rng(0)
    values, general = rng.standard_normal((2, *GRAPH.exists.shape)).astype(np.float32)
    general = np.where(GRAPH.exists, np.abs(general), 0)
    nodes = np.ones(len(GRAPH.sources))
    found = Scores(GRAPH, values, general=General(general, nodes))
    scaled = Scores(GRAPH, 8 * values, general=General(general / 4, nodes))
    assert (specific_edges(found, 9).mask == specific_edges(scaled, 9).mask).all()
    for same in (0.0, 3.0):
        even = Scores(GRAPH, values, general=General(same * GRAPH.exists, nodes))
        assert (specific_edges(even, 9).mask == top_edges(even, 9).mask).all()


def test_the_share_of_a_node_compares_its_task_score_with_its_general_effect():
    # sources: input, a0.h0, a0.h1, m0, a1.h0, a1.h1, m1; sums of |score| 14, of effects 28
    found = beside(
        scores(**{"input->m0": 4.0, "input->m1": -6.0, "m0->logits": -12.0}),
        (0.0, 24.0, 0.0, 4.0),
    )
    share = specific_share(found)
    assert len(GRAPH.sources) == 7
    assert share[0] == pytest.approx((1 + 1) / (1 + 0 + 2))  # |4 - 6| = 2, the mean
    assert share[1] == pytest.approx((0 + 1) / (0 + 6 + 2))  # 24, the mean is 4
    assert share[2] == 0.5
    assert share[3] == pytest.approx((6 + 1) / (6 + 1 + 2))
    assert np.isnan(share[-1])
    assert len(share) == len(GRAPH.nodes)


def test_specific_needs_effects_on_general_text():
    with pytest.raises(ValueError, match="these scores have none"):
        specific_edges(scores(), 3)
    with pytest.raises(ValueError, match="there are none"):
        specific_share(scores())
    with pytest.raises(ValueError, match="edges on general text must be 0 or more"):
        beside(scores(), **{"input->m0": -1.0})
    with pytest.raises(ValueError, match="nodes on general text must be 0 or more"):
        beside(scores(), (np.nan,))
    with pytest.raises(ValueError, match="but the graph is"):
        replace(scores(), general=General(np.zeros((2, 2)), np.zeros(7)))


def slow_greedy(found: Scores, n: int) -> np.ndarray:
    """The definition, step by step: look at every candidate each time."""
    graph = found.graph
    reached = {"logits"}
    mask = np.zeros(graph.exists.shape, dtype=bool)
    for _ in range(n):
        into = np.array([bool(reached & set(slot.feeds)) for slot in graph.slots])
        free = graph.exists & into & ~mask
        best = np.where(free, np.abs(found.values), -1).argmax()  # the first of equals
        row, column = divmod(int(best), len(graph.slots))
        mask[row, column] = True
        reached.add(graph.sources[row])
    return mask


@settings(deadline=None, max_examples=50)
@given(values=values_of(GROUPED), n=st.integers(1, GROUPED.n_edges))
def test_greedy_agrees_with_a_slow_search(values, n):
    found = Scores(GROUPED, values)
    grown = greedy_edges(found, n)
    assert grown.n_edges == n
    assert (grown.mask == slow_greedy(found, n)).all()


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


@pytest.mark.parametrize("key", SELECTIONS)
def test_every_selection_is_called_in_the_same_way(key):
    selection = SELECTIONS[key]
    assert selection.key == key
    rng = np.random.default_rng(3)
    values, general = rng.standard_normal((2, *GRAPH.exists.shape)).astype(np.float32)
    nodes = np.zeros(len(GRAPH.sources))
    found = Scores(GRAPH, values, general=General(np.abs(general) * GRAPH.exists, nodes))
    amount = {"edges": 20, "threshold": 0.8}[selection.amount]
    for signed in (False, True):
        whole = selection.choose(found, amount, signed=signed)
        pruned = selection.choose(found, amount, signed=signed, prune=True)
        assert 0 < whole.n_edges < GRAPH.n_edges
        assert (pruned.mask == prune_dead_ends(whole).mask).all()
