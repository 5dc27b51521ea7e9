"""MLPs cut into blocks of neurons: what blocks do adds up to what the MLP does, in float64.

That the graph of a cut model satisfies the identities by itself is in `test_conformance`, which
runs every family whole and cut.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit
from ctviz.errors import CtvizError, OutOfRange, UnsupportedModel
from ctviz.interventions.faithfulness import metric_of_circuit
from ctviz.models import mlp_blocks
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.writes import run_writes, source_outputs
from tests.random_models import SPECIMENS, random_batch, random_model

pytestmark = pytest.mark.usefixtures("double_throughout")


@pytest.fixture(params=sorted(SPECIMENS))
def pair(request: pytest.FixtureRequest) -> tuple[Anatomy, Anatomy]:
    """A model with whole MLPs, and with MLPs of four blocks."""
    whole = Anatomy(random_model(request.param))
    return whole, whole.cut_into(whole.neurons // 4)


def joined(graph: Graph, values: np.ndarray) -> np.ndarray:
    """[source, slot] of a cut model with the rows and columns of each MLP's blocks added up."""
    for axis, names in ((0, graph.sources), (1, graph.slot_names)):
        owners = [name.split(".")[0] if name.startswith("m") else name for name in names]
        starts = [i for i, owner in enumerate(owners) if i == 0 or owner != owners[i - 1]]
        values = np.add.reduceat(values, starts, axis=axis)
    return values


@torch.no_grad()
def test_what_blocks_write_and_the_bias_add_up_to_what_the_mlp_writes(pair, batch):
    whole, cut = pair
    written: list[torch.Tensor] = []

    def keep(y: torch.Tensor) -> None:
        written.append(y.flatten(0, -2).clone())  # some models go on to add to it in place

    with hooked(after=[(block.mlp_write, keep) for block in cut.blocks]):
        out = source_outputs(cut, run_writes(cut, batch.clean))
    for layer, block in enumerate(cut.blocks):
        rows = [cut.graph.source(f"m{layer}.b{n}") for n in range(4)]
        bias = 0.0 if block.mlp_out.bias is None else block.mlp_out.bias
        torch.testing.assert_close(out[rows].sum(dim=0) + bias, written[layer], rtol=0, atol=1e-12)
    assert out.shape[0] == len(whole.graph.sources) + 3 * whole.graph.n_layers


@torch.no_grad()
def test_a_block_writes_what_its_own_neurons_write(pair, batch):
    """With all other neurons silenced by hand, at the output projection's input."""
    _, cut = pair
    block, size = cut.blocks[1], cut.neurons // 4
    if block.mlp_post_norm is not None:
        return  # it asks what all neurons write: see the sum above
    written: list[torch.Tensor] = []

    def only_the_third(h: torch.Tensor) -> torch.Tensor:
        silenced = torch.zeros_like(h)
        silenced[..., 2 * size : 3 * size] = h[..., 2 * size : 3 * size]
        return silenced

    def keep(y: torch.Tensor) -> None:
        written.append(y.flatten(0, -2).clone())

    with hooked(before=[(block.mlp_out, only_the_third)], after=[(block.mlp_write, keep)]):
        cut.hidden(batch.clean)
    out = source_outputs(cut, run_writes(cut, batch.clean))[cut.graph.source("m1.b2")]
    bias = 0.0 if block.mlp_out.bias is None else block.mlp_out.bias
    torch.testing.assert_close(out + bias, written[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["eap", "eap-ig"])
@pytest.mark.parametrize("ablation", ["counterfactual", "mean"])
def test_scores_of_blocks_add_up_to_those_of_the_mlp(pair, batch, method, ablation):
    whole, cut = pair
    wanted = attribute(whole, batch, method=method, ablation=ablation).values
    found = joined(cut.graph, attribute(cut, batch, method=method, ablation=ablation).values)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


def test_with_zero_ablation_the_bias_is_what_is_missing(batch):
    whole = Anatomy(random_model("gpt2"))
    cut = whole.cut_into(32)
    wanted = attribute(whole, batch, ablation="zero").values
    found = joined(cut.graph, attribute(cut, batch, ablation="zero").values)
    heads = [row for row, name in enumerate(whole.graph.sources) if not name.startswith("m")]
    np.testing.assert_allclose(found[heads], wanted[heads], rtol=0, atol=1e-11)
    with torch.no_grad():
        for block in whole.blocks:
            block.mlp_out.bias.zero_()
    wanted = attribute(whole, batch, ablation="zero").values
    found = joined(cut.graph, attribute(cut, batch, ablation="zero").values)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


def test_a_circuit_of_whole_mlps_is_the_circuit_of_all_their_blocks(pair, batch):
    whole, cut = pair
    chosen = np.random.default_rng(0).random(whole.graph.exists.shape) < 0.5
    mask = whole.graph.exists & chosen
    apart = np.zeros_like(cut.graph.exists)
    for row, column in np.argwhere(cut.graph.exists):
        names = cut.graph.sources[row], cut.graph.slot_names[column]
        one, other = (n.split(".")[0] if n.startswith("m") else n for n in names)
        apart[row, column] = mask[whole.graph.source(one), whole.graph.slot(other)]
    for ablation in ("counterfactual", "mean"):
        np.testing.assert_allclose(
            metric_of_circuit(cut, batch, Circuit(cut.graph, apart), ablation=ablation),
            metric_of_circuit(whole, batch, Circuit(whole.graph, mask), ablation=ablation),
            rtol=0,
            atol=1e-8,
        )


def test_one_block_of_all_neurons_is_the_whole_mlp():
    whole = Anatomy(random_model("gpt2"))
    assert whole.cut_into(whole.neurons).graph == whole.graph
    assert whole.cut_into(0) is whole


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (-3, r"mlp_block is -3, but must be from 1 to 128.*nearest is 1"),
        (48, r"mlp_block is 48.*128 neurons.*nearest are 32 and 64. 0 leaves"),
        (500, r"mlp_block is 500, but must be from 1 to 128.*nearest is 128"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_with_those_that_do(size, said):
    with pytest.raises(OutOfRange, match=said):
        Anatomy(random_model("gpt2"), mlp_block=size)


def test_a_graph_that_is_too_large_for_the_memory_says_how_large_it_is(monkeypatch):
    monkeypatch.setattr(mlp_blocks, "memory_to_plan_with", lambda _: 5_000_000)
    # 1 + 3 (4 + 128) sources, 3 (3 * 4 + 128) + 1 slots, 48 bytes for each pair
    said = r"397 sources and 421 slots \(mlp_block 1\) needs at least 8 MB.*5 MB are available.*4"
    with pytest.raises(CtvizError, match=said):
        Anatomy(random_model("gpt2"), mlp_block=1)
    Anatomy(random_model("gpt2"), mlp_block=8)


def test_a_bias_in_front_of_a_norm_belongs_to_no_block():
    model = random_model("gemma2")
    out = model.model.layers[0].mlp.down_proj
    out.bias = torch.nn.Parameter(torch.ones(out.weight.shape[0]))
    with pytest.raises(UnsupportedModel, match="output bias in front of a norm"):
        Anatomy(model, mlp_block=8)
    assert Anatomy(model).graph.mlp_blocks == 1


@pytest.mark.parametrize("ablation", ["counterfactual", "mean", "zero"])
def test_exact_scores_of_a_small_model_in_blocks(ablation):
    """Against the circuit runner, with one edge between blocks corrupted."""
    cut, batch = Anatomy(random_model("llama"), mlp_block=12), random_batch()
    graph = cut.graph
    scores = attribute(cut, batch, method="exact", ablation=ablation).values
    full = Circuit(graph, graph.exists.copy())
    clean = metric_of_circuit(cut, batch, full, ablation=ablation)
    for name in ("m0.b1->m1.b3", "m0.b2->a1.h0<v>", "a0.h1->m0.b0", "m2.b1->logits"):
        mask = graph.exists.copy()
        mask[graph.edge(name)] = False
        without = metric_of_circuit(cut, batch, Circuit(graph, mask), ablation=ablation)
        assert (clean - without).mean() == pytest.approx(scores[graph.edge(name)], abs=1e-10)
