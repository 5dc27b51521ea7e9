"""What a node can do without, with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctviz.circuits.graph import Graph
from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.redundancy import Redundancy, circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Scores
from ctviz.errors import OutOfRange, UnknownName
from tests.small_graph import GRAPH, circuit, scores

INTO_A1H0 = [f"{s}->a1.h0<{x}>" for s in ("input", "a0.h0", "a0.h1", "m0") for x in "qkv"]
SHAPES = [(2, 2), (2, 4, 2), (2, 3, 1, True), (2, 2, 1, False, 3)]


def by_node(found: Redundancy) -> dict[str, float]:
    return dict(zip(found.graph.nodes, found.values, strict=True))


def test_redundancy_by_circuit():
    found = circuit_redundancy(circuit("input->a0.h0<q>", "m0->logits", "m1->logits"))
    values = by_node(found)
    assert np.isnan(values["input"])
    assert values["a0.h0"] == pytest.approx(2 / 3)
    assert values["a0.h1"] == 1.0
    assert values["logits"] == pytest.approx(5 / 7)
    assert found.needed_edges("logits").edges() == ["m0->logits", "m1->logits"]
    assert found.redundant_edges("a0.h0").edges() == ["input->a0.h0<k>", "input->a0.h0<v>"]
    assert found.needed_edges().n_edges == 3


def test_redundancy_by_mass():
    found = scores(
        **{"input->m0": -6.0, "a0.h0->m0": 3.0, "a0.h1->m0": 1.0, "input->a0.h0<v>": 0.01}
    )
    values = by_node(mass_redundancy(found, tau=0.9))
    assert values["m0"] == pytest.approx(1 / 3)  # 6 + 3 of 10 carry 90 %
    assert values["a0.h0"] == pytest.approx(2 / 3)  # one edge carries all
    assert values["a1.h0"] == 1.0  # no mass at all: needs none
    assert by_node(mass_redundancy(found, tau=1.0))["m0"] == 0.0
    needed = mass_redundancy(found, tau=0.9)
    assert needed.needed_edges("m0").edges() == ["input->m0", "a0.h0->m0"]
    assert needed.redundant_edges("m0").edges() == ["a0.h1->m0"]
    with pytest.raises(OutOfRange, match="tau"):
        mass_redundancy(found, tau=0.0)


def test_edges_of_one_size_are_needed_in_order():
    found = scores(**{e: 1.0 for e in INTO_A1H0})
    needed = mass_redundancy(found, tau=0.5).needed_edges("a1.h0")
    assert needed.edges() == INTO_A1H0[:6]


def test_a_shared_edge_can_be_needed_by_one_head_of_its_group_only():
    graph = Graph(1, 2, 1)
    found = mass_redundancy(
        scores(graph, **{"input->a0.h0<q>": 99.0, "input->a0.h1<q>": 1.0, "input->a0.g0<k>": 4.0}),
        tau=0.9,
    )
    assert found.needed_edges("a0.h0").edges() == ["input->a0.h0<q>"]
    assert found.needed_edges("a0.h1").edges() == ["input->a0.h1<q>", "input->a0.g0<k>"]
    assert "input->a0.g0<k>" in found.redundant_edges("a0.h0").edges()
    assert "input->a0.g0<k>" not in found.redundant_edges().edges()
    assert found.redundant_edges("a0.h1").edges() == ["input->a0.g0<v>"]
    assert "input->a0.g0<v>" in found.redundant_edges().edges()
    values = by_node(found)
    assert (values["a0.h0"], values["a0.h1"]) == (2 / 3, 1 / 3)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(SHAPES),
    tau=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 1000),
)
def test_the_needed_edges_carry_the_share_and_one_fewer_does_not(shape, tau, seed):
    graph = Graph(*shape)
    drawn = np.random.default_rng(seed).integers(-4, 5, graph.exists.shape) * graph.exists
    found = mass_redundancy(Scores(graph, drawn.astype(np.float32)), tau=tau)
    size = np.abs(drawn)
    for index, node in enumerate(graph.nodes):
        incoming = size[graph.exists & graph.feeds[:, index]]
        needed = size[found.needed_edges(node).mask]
        assert len(needed) == found.intrinsic[index]
        share = tau * incoming.sum() - 1e-9
        assert needed.sum() >= share
        if len(needed):
            assert needed.sum() - needed.min() < share
            assert needed.min() > 0


@settings(deadline=None, max_examples=40)
@given(shape=st.sampled_from(SHAPES), share=st.floats(0.1, 1), seed=st.integers(0, 1000))
def test_each_edge_is_needed_or_redundant(shape, share, seed):
    graph = Graph(*shape)
    chosen = random_circuit(graph, max(1, int(share * graph.n_edges)), seed=seed)
    drawn = np.random.default_rng(seed).standard_normal(graph.exists.shape) * graph.exists
    for found in (
        circuit_redundancy(chosen),
        mass_redundancy(Scores(graph, drawn.astype(np.float32))),
    ):
        some = np.zeros_like(graph.exists)
        for index, node in enumerate(graph.nodes):
            needed, redundant = found.needed_edges(node), found.redundant_edges(node)
            assert not (needed.mask & redundant.mask).any()
            assert needed.n_edges == found.intrinsic[index]
            assert needed.n_edges + redundant.n_edges == found.degrees[index]
            some |= needed.mask
        assert (found.needed_edges().mask == some).all()
        assert (found.redundant_edges().mask == (graph.exists & ~some)).all()
    assert (circuit_redundancy(chosen).needed_edges().mask == chosen.mask).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_three_inputs_of_a_head_add_up_to_the_head(shape):
    graph = Graph(*shape)
    rng = np.random.default_rng(0)
    values = np.where(graph.exists, rng.normal(size=graph.exists.shape), 0).astype(np.float32)
    heads = [at for at, name in enumerate(graph.nodes) if name.startswith("a")]
    for found in (
        mass_redundancy(Scores(graph, values)),
        circuit_redundancy(random_circuit(graph, 20, seed=1)),
    ):
        # query, key and value read from the same sources, so the head's is their mean
        np.testing.assert_allclose(found.by_input().mean(axis=1), found.values[heads])


def test_the_inputs_of_a_head_are_told_apart():
    found = circuit_redundancy(circuit("input->a0.h0<q>", "input->a1.h1<v>", "m0->a1.h1<v>"))
    by_input = found.by_input()
    np.testing.assert_allclose(by_input[0], [0, 1, 1])
    np.testing.assert_allclose(by_input[3], [1, 1, 0.5])


def test_the_table_has_a_row_for_each_node_and_names_the_estimator():
    frame = mass_redundancy(scores(**{"input->m0": 2.0}), tau=0.75).frame()
    assert list(frame["node"]) == list(GRAPH.nodes)
    row = frame.set_index("node").loc["m0"]
    assert row.to_dict() == {
        "layer": 0,
        "kind": "mlp",
        "D": 3,
        "d": 1,
        "redundancy": pytest.approx(2 / 3),
        "estimator": "mass(0.75)",
    }
    ends = frame.set_index("node").loc[["input", "logits"]]
    assert list(ends["layer"]) == [-1, 2]
    assert list(ends["kind"]) == ["input", "logits"]
    assert np.isnan(ends["redundancy"].iloc[0])
    assert set(circuit_redundancy(circuit("input->m0")).frame()["estimator"]) == {"circuit"}


def test_wrong_shapes_and_names_are_refused():
    with pytest.raises(ValueError, match="needed has shape"):
        Redundancy(GRAPH, "circuit", None, np.zeros((2, 2), dtype=bool))
    with pytest.raises(UnknownName, match=r"no node 'a9\.h9'"):
        circuit_redundancy(circuit()).redundant_edges("a9.h9")
