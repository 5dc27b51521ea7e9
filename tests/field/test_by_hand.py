"""Scores and circuits against a second computation that shares no code with ctviz."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ctviz.attribution.agreement import try_methods
from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.circuits.graph import Graph
from ctviz.circuits.random_circuits import connected_circuit, rewired
from ctviz.circuits.scores import Circuit
from ctviz.models.anatomy import Anatomy
from tests.random_models import random_batch, random_model


@contextmanager
def hooked(module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Change what a module reads."""
    handle = module.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))
    try:
        yield
    finally:
        handle.remove()


class ByHand:
    """GPT-2 in plain torch and transformers, one prompt at a time."""

    def __init__(self) -> None:
        self.model = random_model("gpt2")
        self.blocks = self.model.transformer.h
        self.batch = random_batch(examples=3)

    def run(self, ids: Tensor, example: int, reader: nn.Module, start: Tensor | None = None):
        """The metric, and its gradient at what one norm reads."""
        kept: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            kept.append(torch.zeros_like(x, requires_grad=True))
            return x + kept[0]

        with hooked(reader, keep):
            embedded = self.model.transformer.wte(ids) if start is None else start
            logits = self.model(inputs_embeds=embedded[None]).logits[0]
        last = int(self.batch.last[example])
        answer, foil = self.batch.answer[example, -1], self.batch.foil[example]
        metric = logits[last, answer] - logits[last, foil]
        (gradient,) = torch.autograd.grad(metric, kept)
        return gradient[0]

    def written(self, ids: Tensor, writer: nn.Module) -> Tensor:
        found: list[Tensor] = []
        handle = writer.register_forward_hook(lambda *args: found.append(args[2].detach()))
        self.model(ids[None])
        handle.remove()
        return found[0][0]

    def score(self, writer: nn.Module, reader: nn.Module, shares: list[float]) -> float:
        """Of what one module writes to what one norm reads, the mean over examples.

        ``shares``: how far from the corrupt (0) to the clean (1) embedding the gradients are taken.
        """
        total = 0.0
        for k, last in enumerate(self.batch.last.tolist()):
            clean, corrupt = (x[k, : last + 1] for x in (self.batch.clean, self.batch.corrupt))
            change = self.written(clean, writer) - self.written(corrupt, writer)
            one, other = (self.model.transformer.wte(ids).detach() for ids in (clean, corrupt))
            gradients = [
                self.run(clean, k, reader, other + share * (one - other)) for share in shares
            ]
            total += float((change * torch.stack(gradients).mean(dim=0)).sum())
        return total / len(self.batch)


@pytest.fixture(scope="module")
def hand() -> ByHand:
    return ByHand()


@pytest.mark.parametrize("end", ["clean", "corrupt"])
def test_eap_ig_is_the_mean_over_inputs_between_corrupt_and_clean(hand, end):
    """The paper's sum has k = 1..m, the code of EAP-IG k = 0..m-1."""
    anatomy = Anatomy(hand.model)
    graph, m = anatomy.graph, 5
    shares = [k / m for k in (range(1, m + 1) if end == "clean" else range(m))]
    found = attribute(anatomy, hand.batch, method="eap-ig", steps=m, end=end).values
    last = graph.n_layers - 1
    norms = {f"m{last}": hand.blocks[last].ln_2, "logits": hand.model.transformer.ln_f}
    for reader, norm in norms.items():
        by_hand = hand.score(hand.blocks[0].mlp, norm, shares)
        score = found[graph.sources.index("m0"), graph.slot_names.index(reader)]
        assert score == pytest.approx(by_hand, rel=1e-9)
    heads = [c for c, slot in enumerate(graph.slot_names) if slot.startswith(f"a{last}.")]
    by_hand = hand.score(hand.blocks[0].mlp, hand.blocks[last].ln_1, shares)
    assert found[graph.sources.index("m0"), heads].sum() == pytest.approx(by_hand, rel=1e-9)


def test_agreement_is_the_correlation_of_whole_nodes(hand):
    anatomy = Anatomy(hand.model)
    trial = try_methods(anatomy, hand.batch, asked="eap")
    (tried,) = trial.tried
    rows = [anatomy.graph.sources.index(node) for node in tried.nodes]
    estimate = attribute(anatomy, hand.batch).values.sum(axis=1)[rows]
    exact = exact_node_scores(anatomy, hand.batch).values[rows]
    assert tried.correlation == pytest.approx(np.corrcoef(estimate, exact)[0, 1])


def reaches(circuit: Circuit) -> bool:
    """Whether every edge lies on a path from input to logits, by following single edges."""
    graph, edges = circuit.graph, []
    for row, column in np.argwhere(circuit.mask):
        for node in np.flatnonzero(graph.feeds[column]):
            edges.append((int(row), int(node)))
    ahead, behind = {0}, {len(graph.nodes) - 1}
    for _ in graph.nodes:
        ahead |= {b for a, b in edges if a in ahead}
        behind |= {a for a, b in edges if b in behind}
    columns = np.argwhere(circuit.mask)
    return all(
        int(row) in ahead and bool(behind & set(np.flatnonzero(graph.feeds[column])))
        for row, column in columns
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 20, 60])
def test_connected_circuits_are_connected_and_spread_over_the_graph(size):
    graph = Graph(4, 4)
    drawn = [connected_circuit(graph, size, seed=(0, k)) for k in range(200)]
    assert all(circuit.n_edges == size and reaches(circuit) for circuit in drawn)
    if size == 60:
        used = np.mean([circuit.mask for circuit in drawn], axis=0)[graph.exists]
        assert (used > 0).all()  # no edge is out of reach
    again = connected_circuit(graph, size, seed=(0, 3))
    assert np.array_equal(again.mask, drawn[3].mask)


def test_rewired_circuits_keep_every_degree_and_the_connection():
    graph = Graph(4, 4, 2)
    one = connected_circuit(graph, 40, seed=1)
    for seed in range(50):
        other = rewired(one, seed=seed)
        assert np.array_equal(one.mask.sum(axis=0), other.mask.sum(axis=0))
        assert np.array_equal(one.mask.sum(axis=1), other.mask.sum(axis=1))
        assert reaches(other)
        assert not (other.mask & ~graph.exists).any()
    shared = np.mean([(rewired(one, seed=k).mask & one.mask).sum() for k in range(50)]) / 40
    assert shared < 0.8  # they are others
