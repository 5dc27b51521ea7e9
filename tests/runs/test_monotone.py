"""Edges that only strengthen or weaken, by the rule, with series worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ctviz.runs.changes import NOISE_BAND
from ctviz.runs.monotone import monotone_edges, monotone_scores
from tests.small_graph import GRAPH, scores

ERROR = 0.1  # the band of a difference is then 2 x sqrt(2) x 0.1 = 0.283


def said(*values: float, error: float = ERROR) -> int:
    scores = np.array(values, dtype=np.float32)[:, None]
    return int(monotone_scores(scores, np.full_like(scores, error))[0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 0.2, 0.4, 0.6), 1),
        ((0.6, 0.4, 0.2, 0.0), -1),
        ((0.0, -0.2, -0.4, -0.6), 1),  # works against the behaviour ever more
        ((0.0, 0.1, 0.2, 0.25), 0),  # ends inside the noise
        ((0.0, 0.4, 0.2, 0.6), 1),  # back by 0.2: noise
        ((0.0, 0.6, 0.3, 0.7), 0),  # back by 0.3
        ((0.0, 0.6, 0.45, 0.3), 0),  # back by 0.3 in two steps from the peak
        ((0.6, 0.0, -0.6), 0),  # weakens and strengthens on the other side
        ((0.0, 0.9), 0),  # two snapshots say nothing
        ((0.5, 0.5, 0.5), 0),
    ],
)
def test_the_rule(values, expected):
    assert NOISE_BAND == 2.0
    assert said(*values) == expected


def test_what_is_not_known_is_not_called_a_change():
    assert said(0.0, 0.5, 1.0, error=np.nan) == 0
    assert not monotone_scores(np.ones((4, 2)), None).any()
    scores = np.array([[0.0], [0.5], [1.0]])
    some = np.array([[0.1], [np.nan], [0.1]])
    assert monotone_scores(scores, some)[0] == 0


def series(*snapshots: dict[str, float]) -> np.ndarray:
    return np.stack([scores(**each).values for each in snapshots])


def test_the_table_names_them_the_largest_change_first():
    values = series(
        {"input->m0": 1.0, "m0->m1": 0.0, "m1->logits": 0.2, "a0.h0->logits": 0.0},
        {"input->m0": 0.6, "m0->m1": -1.0, "m1->logits": 0.9, "a0.h0->logits": 0.2},
        {"input->m0": 0.3, "m0->m1": -2.0, "m1->logits": 0.2, "a0.h0->logits": 0.4},
    )
    errors = np.full_like(values, ERROR)
    table = monotone_edges(values, errors, np.abs(values) > 0.5, GRAPH)
    assert table["edge"].tolist() == ["m0->m1", "input->m0"]  # the last one is in no circuit
    assert table["direction"].tolist() == ["strengthened", "weakened"]
    assert table["first"].tolist() == [0.0, 1.0]
    assert table["last"].tolist() == pytest.approx([-2.0, 0.3])
    assert table["error"].tolist() == pytest.approx([0.1 * 2**0.5] * 2)
    assert table["in_circuit"].tolist() == [2, 2]
    assert monotone_edges(values, None, values > 0.5, GRAPH).empty
    assert monotone_edges(values[:2], errors[:2], values[:2] > 0.5, GRAPH).empty
