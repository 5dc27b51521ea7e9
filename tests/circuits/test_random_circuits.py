"""Random circuits: their sizes, that they are connected, and the degrees that they keep."""

from __future__ import annotations

import pytest

from ctviz.circuits.graph import Graph
from ctviz.circuits.random_circuits import (
    RANDOM,
    beats_random,
    connected_circuit,
    random_circuit,
    rewired,
)
from ctviz.circuits.selection import prune_dead_ends
from ctviz.errors import OutOfRange

GRAPHS = (Graph(4, 4), Graph(2, 4, 2, parallel=True), Graph(6, 6, 1), Graph(2, 2, mlp_blocks=5))


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_every_edge_of_a_connected_circuit_is_on_a_path(graph):
    for n in range(1, graph.n_edges + 1, max(1, graph.n_edges // 9)):
        for seed in range(5):
            found = connected_circuit(graph, n, seed=seed)
            assert found.n_edges == n
            assert prune_dead_ends(found).n_edges == n


def test_uniform_circuits_of_a_large_model_are_mostly_cut_off():
    """Why the others are there: 400 of 70,651 edges."""
    graph = Graph(30, 9, 3)
    uniform = [prune_dead_ends(random_circuit(graph, 400, seed=seed)).n_edges for seed in range(20)]
    assert sum(n == 0 for n in uniform) > 10
    assert prune_dead_ends(connected_circuit(graph, 400, seed=0)).n_edges == 400


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_rewiring_keeps_the_number_of_edges_at_every_source_and_slot(graph):
    circuit = connected_circuit(graph, graph.n_edges // 3, seed=1)
    found = rewired(circuit, seed=2)
    assert (found.mask.sum(axis=0) == circuit.mask.sum(axis=0)).all()
    assert (found.mask.sum(axis=1) == circuit.mask.sum(axis=1)).all()
    assert (found.mask != circuit.mask).any()
    whole = rewired(random_circuit(graph, graph.n_edges, seed=0), seed=0)
    assert (whole.mask == graph.exists).all()  # nothing can be exchanged


@pytest.mark.parametrize("kind", RANDOM)
def test_a_kind_has_the_size_and_repeats_with_its_seed(kind):
    circuit = connected_circuit(GRAPHS[0], 60, seed=5)
    one, same, other = (RANDOM[kind](circuit, seed) for seed in ((0, 1), (0, 1), (0, 2)))
    assert one.n_edges == 60
    assert (one.mask == same.mask).all()
    assert (one.mask != other.mask).any()


@pytest.mark.parametrize("n", [0, 480])
def test_a_size_that_cannot_be_is_refused(n):
    for draw in (random_circuit, connected_circuit):
        with pytest.raises(OutOfRange):
            draw(GRAPHS[0], n, seed=0)


def test_seeds_of_several_numbers_are_told_apart():
    masks = [connected_circuit(GRAPHS[0], 50, seed=(0, 0, i)).mask for i in range(20)]
    assert len({mask.tobytes() for mask in masks}) == 20


def test_a_circuit_beats_random_ones_only_beyond_its_error():
    assert beats_random(0.5, 0.1, 0.29)
    assert not beats_random(0.5, 0.1, 0.31)
    assert beats_random(0.5, None, 0.49)
    assert not beats_random(0.5, float("nan"), 0.5)
