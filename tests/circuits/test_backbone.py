"""The backbone of a circuit, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ctviz.circuits.backbone import backbone


def test_it_is_the_fewest_strongest_edges_that_hold_half_of_the_score() -> None:
    scores = np.array([[1.0, -4.0, 2.0, 3.0, 9.0], [1.0, 1.0, 1.0, 1.0, 0.0]])
    member = np.array([[True, True, True, True, False], [True, True, True, True, True]])
    found = backbone(scores, member)
    # Of 10 in the circuit, 4 is less than half and 4 + 3 is more; of 4, 1 + 1 is just half.
    assert found.sizes.tolist() == [2, 2]
    np.testing.assert_allclose(found.shares, [0.7, 0.5])
    assert found.edges.tolist() == [[False, True, False, True, False], [True, True] + 3 * [False]]


def test_it_has_60_edges_at_most_and_says_what_they_hold() -> None:
    found = backbone(np.ones((1, 400)), np.ones((1, 400), dtype=bool))
    assert found.sizes.tolist() == [60]
    assert found.shares[0] == pytest.approx(60 / 400)
    assert found.edges.sum() == 60


def test_an_empty_circuit_has_none_and_scores_that_are_no_numbers_count_as_0() -> None:
    scores = np.array([[np.nan, 2.0], [np.nan, 2.0]])
    found = backbone(scores, np.array([[False, False], [True, True]]))
    assert found.sizes.tolist() == [0, 1]
    assert np.isnan(found.shares[0])
    assert found.shares[1] == 1.0
    assert found.edges.tolist() == [[False, False], [False, True]]
    assert backbone(np.zeros((3, 0)), np.zeros((3, 0), dtype=bool)).sizes.tolist() == [0, 0, 0]
