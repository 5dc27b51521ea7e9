"""Scores and circuits, with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import OutOfRange, UndefinedMetric
from tests.small_graph import GRAPH, circuit, scores


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


def test_random_circuits_repeat_with_their_seed():
    one, same, other = (random_circuit(GRAPH, 9, seed=s) for s in (4, 4, 5))
    assert (one.mask == same.mask).all()
    assert (one.mask != other.mask).any()
    assert one.n_edges == 9


def test_frame_is_tidy():
    frame = scores(**{"m0->a1.h1<k>": 0.5}).frame()
    assert len(frame) == GRAPH.n_edges
    row = frame[frame["edge"] == "m0->a1.h1<k>"].iloc[0]
    assert (row["source"], row["node"], row["kind"], row["score"]) == ("m0", "a1.h1", "k", 0.5)
    assert frame["error"].isna().all()


def test_the_frame_shows_the_standard_errors():
    found = scores(**{"m0->m1": 0.5})
    error = np.full(GRAPH.exists.shape, 0.25, dtype=np.float32)
    error[GRAPH.edge("m0->m1")] = 0.125
    frame = Scores(GRAPH, found.values, error, 16).frame().set_index("edge")
    assert frame.loc["m0->m1", "error"] == 0.125
    assert frame.loc["m0->logits", "error"] == 0.25


def test_standard_errors_may_be_unknown_but_not_wrong():
    found = scores()
    unknown = np.full(GRAPH.exists.shape, np.nan)
    assert Scores(GRAPH, found.values, unknown, 1).frame()["error"].isna().all()
    for wrong in (-0.5, np.inf):
        error = unknown.copy()
        error[GRAPH.edge("m0->m1")] = wrong
        with pytest.raises(ValueError, match=rf"m0->m1 is {wrong}"):
            Scores(GRAPH, found.values, error)
    with pytest.raises(ValueError, match="errors have shape"):
        Scores(GRAPH, found.values, unknown[:, 1:])
    with pytest.raises(OutOfRange, match="examples is 0"):
        Scores(GRAPH, found.values, examples=0)


def test_a_node_scores_the_sum_of_its_outgoing_edges():
    found = scores(**{"m0->a1.h1<k>": 0.5, "m0->logits": -2.0, "m0->m1": 1.0, "input->m0": 4.0})
    frame = found.nodes().frame().set_index("node")
    assert frame.pop("error").isna().all()
    assert frame.loc["m0"].to_dict() == {"layer": 0, "kind": "mlp", "score": -0.5}
    assert frame.loc["input"].to_dict() == {"layer": -1, "kind": "input", "score": 4.0}
    assert frame.loc["a1.h1"].to_dict() == {"layer": 1, "kind": "head", "score": 0.0}
    assert tuple(frame.index) == GRAPH.sources
    np.testing.assert_array_equal(found.nodes().values, frame["score"])


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_all_nodes_together_score_the_sum_of_all_edges(seed):
    drawn = np.random.default_rng(seed).integers(-9, 9, GRAPH.exists.shape) * GRAPH.exists
    found = Scores(GRAPH, drawn.astype(np.float32))
    assert found.nodes().values.sum() == found.values.sum()


def test_shapes_of_another_graph_are_refused():
    with pytest.raises(ValueError, match=r"scores have shape \(2, 2\)"):
        Scores(GRAPH, np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"circuit has shape \(2, 2\)"):
        Circuit(GRAPH, np.zeros((2, 2), dtype=bool))


def test_a_circuit_names_its_edges_and_who_writes_and_reads_them():
    found = circuit("input->m0", "a0.h1->a1.h0<q>", "a0.h1->logits")
    assert found.n_edges == 3
    assert found.edges() == ["input->m0", "a0.h1->a1.h0<q>", "a0.h1->logits"]
    assert found.writers() == ["input", "a0.h1"]
    assert found.readers() == ["m0", "a1.h0<q>", "logits"]
