"""Identities that every supported family must satisfy, in float64 on tiny random models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from ctviz.ablation import corrupt_writes, source_means
from ctviz.attribute import attribute
from ctviz.circuit import Circuit, random_circuit
from ctviz.config import ABLATIONS
from ctviz.evaluate import _PatchedRun, metric_of_circuit, metric_of_model
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.writes import run_writes, source_outputs
from ctviz.tasks.metrics import logit_difference
from tests.conftest import CONFIGS, random_batch, random_model


def test_writes_and_biases_add_up_to_the_residual_stream(anatomy, batch):
    reads = {}
    before = [(anatomy.final_norm.module, lambda x: reads.__setitem__("logits", x))]
    for layer, block in enumerate(anatomy.blocks):
        before.append(
            (block.attention_norm.module, lambda x, i=layer: reads.__setitem__(f"a{i}", x))
        )
        before.append((block.mlp_norm.module, lambda x, i=layer: reads.__setitem__(f"m{i}", x)))
    with torch.no_grad(), hooked(before=before):
        out = source_outputs(anatomy, run_writes(anatomy, batch.clean).per_token())
    graph = anatomy.graph
    for slot in graph.slots:
        place = (
            "logits"
            if slot.kind == "logits"
            else f"{'m' if slot.kind == 'mlp' else 'a'}{slot.layer}"
        )
        total = out[: slot.n_sources].sum(dim=0)
        bias_layers = slot.layer + 1 if slot.kind == "mlp" else slot.layer
        for block in anatomy.blocks[:bias_layers]:
            if block.attention_out.bias is not None:
                total = total + block.attention_out.bias
        torch.testing.assert_close(total, reads[place].flatten(0, 1), rtol=0, atol=1e-12)


def test_full_circuit_is_the_clean_run(anatomy, batch):
    full = Circuit(anatomy.graph, anatomy.graph.exists.copy())
    for ablation in ABLATIONS:
        run = metric_of_circuit(anatomy, batch, full, ablation=ablation)
        np.testing.assert_allclose(run, metric_of_model(anatomy, batch), rtol=0, atol=1e-11)


def test_empty_circuit_is_the_corrupt_run(anatomy, batch):
    empty = Circuit(anatomy.graph, np.zeros_like(anatomy.graph.exists))
    run = metric_of_circuit(anatomy, batch, empty)
    np.testing.assert_allclose(
        run, metric_of_model(anatomy, batch, corrupt=True), rtol=0, atol=1e-11
    )


@pytest.fixture
def exact_norms(monkeypatch):
    """RMSNorm computes in float32 whatever the model's type; finite differences need float64."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        )

    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)


@pytest.mark.usefixtures("exact_norms")
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_score_is_the_derivative_along_its_edge(anatomy, batch, ablation):
    graph = anatomy.graph
    scores = attribute(anatomy, batch, ablation=ablation).values
    means = source_means(anatomy, batch, 5) if ablation == "mean" else None
    corrupt = corrupt_writes(anatomy, batch, ablation, means)
    full = Circuit(graph, graph.exists.copy())

    @torch.no_grad()
    def metric(row: int, column: int, size: float) -> float:
        run = _PatchedRun(anatomy, batch, full, corrupt)
        run.outside[row, column] = size  # corrupt a part of this edge alone
        with hooked(before=run.before, after=run.after):
            hidden = anatomy.hidden(batch.clean)
        return logit_difference(anatomy.logits_at(hidden, batch.last), batch).mean().item()

    edges = np.argwhere(random_circuit(graph, 40, seed=3).mask)
    scale = np.abs(scores).max()
    step = 1e-4
    for row, column in edges:
        found = (metric(row, column, -step) - metric(row, column, step)) / (2 * step)
        assert found == pytest.approx(scores[row, column], abs=2e-6 * scale), graph.edge_name(
            row, column
        )
    assert not scores[~graph.exists].any()


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_micro_batches_do_not_change_scores(anatomy, batch, ablation):
    whole = attribute(anatomy, batch, ablation=ablation, micro_batch=5).values
    parts = attribute(anatomy, batch, ablation=ablation, micro_batch=2).values
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tokens", [1, 3, 8])
def test_the_size_of_the_workspace_does_not_change_scores(anatomy, batch, tokens, monkeypatch):
    whole = attribute(anatomy, batch).values
    per_token = (len(anatomy.graph.sources) + 100) * anatomy.d_model * 8
    monkeypatch.setattr("ctviz.attribute.WORKSPACE", tokens * per_token)
    monkeypatch.setattr("ctviz.attribute.GROUP", 1)
    np.testing.assert_allclose(attribute(anatomy, batch).values, whole, rtol=0, atol=1e-12)


def test_grouped_slots_are_the_sum_over_their_heads():
    """A grouped model and its ungrouped twin (shared weights copied per head) agree."""
    grouped = random_model("llama-grouped")
    config = LlamaConfig(**{**CONFIGS["llama-grouped"].to_dict(), "num_key_value_heads": 6})
    single = AutoModelForCausalLM.from_config(config).double().eval()
    state = grouped.state_dict()
    for name, value in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            shape = (2, 12, *value.shape[1:])
            state[name] = value.view(shape).repeat_interleave(3, dim=0).flatten(0, 1)
    single.load_state_dict(state)
    batch = random_batch()
    one, many = Anatomy(grouped), Anatomy(single)
    shared, each = attribute(one, batch).values, attribute(many, batch).values
    for column, slot in enumerate(one.graph.slots):
        kind = f"<{slot.kind}>" if slot.kind in "qkv" else ""
        columns = [many.graph.slot(f"{node}{kind}") for node in slot.feeds]
        np.testing.assert_allclose(shared[:, column], each[:, columns].sum(axis=1), atol=1e-11)


def test_hooks_vanish_after_an_exception(anatomy, batch):
    def fail(_: torch.Tensor) -> None:
        raise RuntimeError("on purpose")

    before, after = [(anatomy.final_norm.module, fail)], [(anatomy.embedding, lambda x: x)]
    with pytest.raises(RuntimeError, match="on purpose"), hooked(before=before, after=after):
        anatomy.hidden(batch.clean)
    for module in anatomy.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_attribution_leaves_the_model_as_it_was(anatomy, batch):
    before = {k: v.clone() for k, v in anatomy.model.state_dict().items()}
    asked = [p.requires_grad for p in anatomy.model.parameters()]
    attribute(anatomy, batch)
    assert asked == [p.requires_grad for p in anatomy.model.parameters()]
    assert all(p.grad is None for p in anatomy.model.parameters())
    for key, value in anatomy.model.state_dict().items():
        assert torch.equal(value, before[key])
