"""How a circuit changes between snapshots, on snapshots small enough to do by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ctviz.runs.changes import (
    change,
    dynamics,
    edge_changes,
    layer_changes,
)
from ctviz.runs.snapshot import Snapshot
from tests.small_graph import GRAPH, circuit, scores

EDGES = ("input->m0", "m0->logits", "input->a1.h0<q>", "m1->logits")


def snapshot(step: int, inside: tuple[str, ...], error: float | None = 0.1, **values: float):
    named = {edge: values.get(name, 0.0) for edge, name in zip(EDGES, "abcd", strict=True)}
    return Snapshot(
        step=step,
        scores=scores(**named).values,
        circuit=circuit(*inside).mask,
        tuned=circuit().mask,
        redundancy={"mass": np.array([np.nan, 0.5, 1.0] + [np.nan] * (len(GRAPH.nodes) - 3))},
        metrics={},
        probes=(),
        error=None if error is None else np.full(GRAPH.exists.shape, error),
    )


BEFORE = snapshot(0, EDGES[:3], a=1.0, b=-1.0, c=0.5, d=0.1)
AFTER = snapshot(5, (EDGES[0], EDGES[1], EDGES[3]), a=2.0, b=-0.5, c=0.5, d=0.3)


def test_edges_enter_leave_strengthen_and_weaken_against_the_noise_band():
    found = change(BEFORE, AFTER, GRAPH)
    assert found["overlap"] == pytest.approx(2 / 4)
    assert (found["entered"], found["left"]) == (1, 1)
    # the band is 2 * sqrt(0.01 + 0.01) = 0.283: a grew by 1, b shrank by 0.5, d grew by 0.2
    assert (found["strengthened"], found["weakened"]) == (1, 1)
    assert found["beyond_noise"] == pytest.approx(2 / GRAPH.n_edges)
    table = edge_changes(BEFORE, AFTER, GRAPH).set_index("edge")
    assert table["state"].to_dict() == {
        EDGES[0]: "strengthened",
        EDGES[1]: "weakened",
        EDGES[2]: "left",
        EDGES[3]: "entered",
    }
    assert table.loc[EDGES[0], "error"] == pytest.approx(math.sqrt(0.02))


def test_a_change_inside_the_band_is_noise():
    table = edge_changes(snapshot(0, EDGES[:1], a=1.0), snapshot(1, EDGES[:1], a=1.28), GRAPH)
    assert table["state"].tolist() == ["noise"]
    nothing = change(BEFORE, BEFORE, GRAPH)
    assert nothing["overlap"] == 1
    assert nothing["beyond_noise"] == 0
    assert math.isnan(nothing["change_depth"])


def test_an_edge_of_the_other_sign_is_reversed_and_not_weaker():
    before = snapshot(0, EDGES, a=-9.0, b=2.0, c=0.5, d=-0.15)
    after = snapshot(5, EDGES, a=3.0, b=1.0, c=-0.15, d=3.0)
    found = change(before, after, GRAPH)
    # a: both far beyond 2 * 0.1; c and d: one of the two scores is not, so its sign is not known
    assert (found["reversed"], found["strengthened"], found["weakened"]) == (1, 1, 2)
    states = edge_changes(before, after, GRAPH).set_index("edge")["state"].to_dict()
    assert states == dict(
        zip(EDGES, ("reversed", "weakened", "weakened", "strengthened"), strict=True)
    )
    gone = edge_changes(before, snapshot(5, EDGES[1:], a=3.0), GRAPH).set_index("edge")["state"]
    assert gone[EDGES[0]] == "left"
    unknown = change(before, snapshot(5, EDGES, error=None, a=3.0), GRAPH)
    assert math.isnan(unknown["reversed"])


def test_without_errors_nothing_is_said_about_noise():
    found = change(BEFORE, snapshot(5, EDGES[:2], error=None, a=2.0), GRAPH)
    assert found["overlap"] == pytest.approx(2 / 3)
    assert all(math.isnan(found[name]) for name in ("strengthened", "weakened", "beyond_noise"))
    states = edge_changes(BEFORE, snapshot(5, EDGES[:2], error=None, a=2.0), GRAPH)["state"]
    assert sorted(states) == ["left", "strengthened", "weakened"]


def test_depth_is_where_the_reads_changed():
    first = change(snapshot(0, EDGES), snapshot(1, EDGES, a=3.0), GRAPH)
    last = change(snapshot(0, EDGES), snapshot(1, EDGES, d=3.0), GRAPH)
    both = change(snapshot(0, EDGES), snapshot(1, EDGES, a=3.0, d=1.0), GRAPH)
    assert first["change_depth"] == 0
    assert last["change_depth"] == 1
    assert both["change_depth"] == pytest.approx(0.25)
    table = layer_changes([BEFORE, AFTER], GRAPH)
    now = table[table["step"] == 5].set_index("layer")["change"]
    assert now.to_dict() == pytest.approx({0: 1.0, 1: 0.0, 2: 0.7})
    edges = table[table["step"] == 0].set_index("layer")["circuit_edges"]
    assert edges.to_dict() == {0: 1, 1: 1, 2: 1}


def test_the_table_has_a_row_a_snapshot_and_looks_back_to_both():
    table = dynamics([BEFORE, AFTER, snapshot(9, EDGES[:3], a=1.0, b=-1.0, c=0.5)], GRAPH)
    assert table["step"].tolist() == [0, 5, 9]
    assert math.isnan(table.loc[0, "overlap"])
    assert table.loc[1, "overlap"] == table.loc[1, "overlap_since_start"] == 0.5
    assert table.loc[2, "overlap"] == 0.5
    assert table.loc[2, "overlap_since_start"] == 1.0
    assert table.loc[2, "redundancy_mass"] == 0.75
    assert dynamics([], GRAPH).empty
