"""How far each node's parameters have gone, against masks that are built without our code."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ctviz import paths
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import load
from ctviz.models.untuned import Untuned
from ctviz.runs import open_run
from ctviz.tuning.loop import Tuning
from ctviz.tuning.motion import nodes_moved
from tests.owned_by_hand import allowed, bits
from tests.random_models import random_model
from tests.short_runs import config, shorten, snapshots


def units_of(anatomy: Anatomy, node: str) -> list[str]:
    graph = anatomy.graph
    if node.startswith("m"):
        return [f"{node}<in>", f"{node}<out>"]
    layer, head = node[1:].split(".h")
    shared = int(head) // graph.group_size
    owner = node if graph.group_size == 1 else f"a{layer}.g{shared}"
    return [f"{node}<q>", f"{owner}<k>", f"{owner}<v>", f"{node}<out>"]


def share_by_hand(anatomy: Anatomy, before: dict[str, torch.Tensor], node: str) -> float:
    masks, now = allowed(anatomy, units_of(anatomy, node)), bits(anatomy)
    distance = sum(float(((now[n] - before[n])[m] ** 2).sum()) for n, m in masks.items())
    size = sum(float((before[n][m] ** 2).sum()) for n, m in masks.items())
    return (distance / size) ** 0.5


@pytest.mark.parametrize("family", ["gpt2", "llama", "llama-grouped"])
def test_a_node_has_gone_as_far_as_its_own_parameters(family):
    anatomy = Anatomy(random_model(family, dtype=torch.float32))
    before = bits(anatomy)
    untuned = SimpleNamespace(were=lambda now: ((name, before[name]) for name in now))
    loaded = SimpleNamespace(anatomy=anatomy)
    found = nodes_moved(loaded, untuned)
    assert np.isnan(found[[0, -1]]).all()
    assert (found[1:-1] == 0).all()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in anatomy.model.named_parameters():
            if "0." in name:  # the first layer, and embeddings, which are no node's
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    found = nodes_moved(loaded, untuned)
    nodes = anatomy.graph.nodes[1:-1]
    expected = [share_by_hand(anatomy, before, node) for node in nodes]
    np.testing.assert_allclose(found[1:-1], expected, rtol=1e-4)
    assert {node for node, far in zip(nodes, found[1:-1], strict=True) if far} >= {"a0.h0", "m0"}


def test_what_parameters_were_is_read_from_the_models_files():
    loaded = load("tiny")
    untuned = Untuned(loaded)
    before = bits(loaded.anatomy)
    with torch.no_grad():
        loaded.anatomy.blocks[1].mlp_out.weight.mul_(1.5)
    now = {name: p.detach() for name, p in loaded.model.named_parameters()}
    for name, was in untuned.were(now):
        assert torch.equal(was, before[name]), name


def test_snapshots_say_it_and_old_ones_do_without(monkeypatch):
    shorten(monkeypatch)
    loaded = load("tiny")
    run = Tuning(loaded, config(edges=6, steps=2), untuned=Untuned(loaded))
    first, last = snapshots(list(run))
    assert (first.moved[1:-1] == 0).all()
    assert 0 < np.nanmax(last.moved) < 0.1
    assert (last.moved[1:-1][last.tuned.any(axis=1)[1:]] > 0).all()
    sample = next(open_run("sample-sva-flip", paths.shipped_runs()).snapshots())
    assert sample.moved is None


def test_the_parts_of_the_model_add_up_to_the_whole(monkeypatch):
    """The metric of all, of nothing, and of a circuit that is everything and its complement."""
    shorten(monkeypatch)
    run = Tuning(load("tiny"), config(steps=1, snapshot_every=1, evaluate="full", edges=479))
    metrics = next(iter(run)).metrics
    assert metrics["metric_circuit"] == pytest.approx(metrics["metric_full"], abs=1e-4)
    assert metrics["metric_complement"] == pytest.approx(metrics["metric_corrupt"], abs=1e-4)
    some = next(iter(Tuning(load("tiny"), config(steps=1, snapshot_every=1)))).metrics
    span = some["metric_full"] - some["metric_corrupt"]
    share = (some["metric_circuit"] - some["metric_corrupt"]) / span
    assert share == pytest.approx(some["faithfulness"], rel=1e-4)
    assert "metric_complement" not in some  # its run costs as much as all others together
