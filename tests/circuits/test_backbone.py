"""The backbone of a circuit, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ctviz.circuits.backbone import backbone, backbone_of
from ctviz.circuits.scores import Circuit, Scores
from tests.small_graph import GRAPH


def test_it_is_the_fewest_strongest_edges_that_hold_half_of_the_score() -> None:
    # 30 edges of 4 and 40 of 3, every other one negative: of 240 in all, 120 are the first 30.
    scores = np.array([[3.0, -3.0] * 20 + [4.0, -4.0] * 15 + [9.0] * 5])
    member = np.array([[True] * 70 + [False] * 5])
    found = backbone(scores, member)
    assert found.sizes.tolist() == [30]
    assert found.shares.tolist() == [0.5]
    assert found.edges.tolist() == [[False] * 40 + [True] * 30 + [False] * 5]
    scores[0, 40] = 3.5  # just less than half: one more, the first of the weaker ones
    assert backbone(scores, member).edges[0, :2].tolist() == [True, False]


def test_it_has_60_edges_at_most_and_20_at_least_and_says_what_they_hold() -> None:
    found = backbone(np.ones((1, 400)), np.ones((1, 400), dtype=bool))
    assert found.sizes.tolist() == [60]
    assert found.shares[0] == pytest.approx(60 / 400)
    assert found.edges.sum() == 60
    one = np.where(np.arange(400) == 7, 1000.0, 1.0)[None]
    found = backbone(one, np.ones((1, 400), dtype=bool))
    assert found.sizes.tolist() == [20]
    assert found.shares[0] == pytest.approx(1019 / 1399)


def test_an_empty_circuit_has_none_and_scores_that_are_no_numbers_count_as_0() -> None:
    scores = np.array([[np.nan, 2.0], [np.nan, 2.0]])
    found = backbone(scores, np.array([[False, False], [True, True]]))
    assert found.sizes.tolist() == [0, 2]  # all there are
    assert np.isnan(found.shares[0])
    assert found.shares[1] == 1.0
    assert found.edges.tolist() == [[False, False], [True, True]]
    assert backbone(np.zeros((3, 0)), np.zeros((3, 0), dtype=bool)).sizes.tolist() == [0, 0, 0]


def test_that_of_one_circuit_has_its_shape() -> None:
    mask = GRAPH.exists.copy()
    found = backbone_of(Scores(GRAPH, mask.astype(np.float32)), Circuit(GRAPH, mask))
    assert found.mask.shape == mask.shape
    assert (found.mask <= mask).all()
    assert found.n_edges == 23  # half of the 46 there are, all of one size
