"""Blocks of neurons put together again, by hand on two layers of two heads and two blocks."""

from __future__ import annotations

import numpy as np
import pytest

from ctviz.circuits.folding import Fold
from ctviz.circuits.graph import Graph
from tests.small_graph import GRAPH, circuit, scores

CUT = Graph(2, 2, mlp_blocks=2)
FOLD = Fold(CUT)


def test_scores_of_blocks_add_up_to_the_whole_mlps() -> None:
    cut = scores(
        CUT,
        **{
            "m0.b0->m1.b0": 1.0,
            "m0.b1->m1.b0": 2.0,
            "m0.b1->m1.b1": -0.5,
            "input->m1.b1": 3.0,
            "m0.b0->logits": 0.25,
            "m0.b1->logits": 0.5,
            "a0.h1->a1.h0<q>": 7.0,
        },
    )
    whole = scores(
        GRAPH,
        **{"m0->m1": 2.5, "input->m1": 3.0, "m0->logits": 0.75, "a0.h1->a1.h0<q>": 7.0},
    )
    folded = FOLD.added(np.stack([cut.values, 2 * cut.values]))
    assert folded.dtype == cut.values.dtype
    np.testing.assert_array_equal(folded, np.stack([whole.values, 2 * whole.values]))


def test_an_edge_is_in_if_any_of_its_blocks_is() -> None:
    cut = circuit("m0.b1->m1.b0", "input->m0.b0", "a0.h0->logits", graph=CUT)
    whole = circuit("m0->m1", "input->m0", "a0.h0->logits")
    np.testing.assert_array_equal(FOLD.any_edge(cut.mask), whole.mask)
    assert FOLD.any_edge(CUT.exists).tolist() == GRAPH.exists.tolist()


def test_nodes_are_added_joined_or_unknown() -> None:
    names = ("input", "a0.h0", "a0.h1", "m0", "a1.h0", "a1.h1", "m1", "logits")
    assert CUT.whole.nodes == names
    values = np.arange(10.0)  # input, two heads, two blocks, two heads, two blocks, logits
    assert FOLD.total(values).tolist() == [0, 1, 2, 3 + 4, 5, 6, 7 + 8, 9]
    assert FOLD.any_node(values == 4).tolist() == [name == "m0" for name in names]
    nan = np.nan
    np.testing.assert_array_equal(FOLD.unsplit(values), [0, 1, 2, nan, 5, 6, nan, 9])
    assert [FOLD.node(name) for name in CUT.nodes if FOLD.node(name) == "m1"] == ["m1", "m1"]


def test_errors_of_heads_stay_and_of_mlps_are_not_known() -> None:
    errors = np.full(CUT.exists.shape, 0.5)
    errors[CUT.edge("a0.h1->a1.h0<q>")] = 0.125
    found = FOLD.unsplit_edges(errors)
    assert found[GRAPH.edge("a0.h1->a1.h0<q>")] == 0.125
    assert found[GRAPH.edge("input->logits")] == 0.5
    for edge in ("m0->logits", "input->m1", "m0->m1", "m0->a1.h1<v>"):
        assert np.isnan(found[GRAPH.edge(edge)])


@pytest.mark.parametrize("graph", [GRAPH, Graph(3, 4, 2)])
def test_whole_mlps_stay_as_they_are(graph: Graph) -> None:
    values = np.random.default_rng(0).normal(size=graph.exists.shape)
    np.testing.assert_array_equal(Fold(graph).added(values), values)
