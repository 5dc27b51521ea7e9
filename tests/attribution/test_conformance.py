"""Identities that every supported family must satisfy, in float64 on tiny random models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.attribution.exact import exact_nodes
from ctviz.attribution.gradients import read_gradients
from ctviz.attribution.plan import Plan
from ctviz.circuits.choices import ABLATIONS
from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.scores import Circuit
from ctviz.errors import UnsupportedModel
from ctviz.interventions.ablation import corrupt_writes, source_means
from ctviz.interventions.circuit_runs import metrics_of_circuits
from ctviz.interventions.corrupted import corrupted
from ctviz.interventions.faithfulness import metric_of_circuit, metric_of_model
from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy
from ctviz.models.families import FAMILIES
from ctviz.models.hooks import hooked
from ctviz.models.writes import run_writes, source_outputs
from ctviz.tasks.batch import IGNORED, Batch
from tests.patched_by_hand import PatchedRun
from tests.random_models import WHOLE_AND_CUT, random_batch, random_model, with_masses

pytestmark = pytest.mark.usefixtures("double_throughout")
whole_and_cut = pytest.mark.parametrize("anatomy", WHOLE_AND_CUT, indirect=True)


@whole_and_cut
def test_writes_and_biases_add_up_to_the_residual_stream(anatomy, batch):
    reads = {}
    before = [(anatomy.final_norm.module, lambda x: reads.__setitem__("logits", x))]
    for layer, block in enumerate(anatomy.blocks):
        before.append((block.module, lambda x, i=layer: reads.__setitem__(f"a{i}", x)))
        own = block.mlp_read if block.mlp_norm is None else block.mlp_norm.module
        before.append((own, lambda x, i=layer: reads.setdefault(f"m{i}", x)))
    with torch.no_grad(), hooked(before=before):
        out = source_outputs(anatomy, run_writes(anatomy, batch.clean))
    graph = anatomy.graph
    for slot in graph.slots:
        place = {"logits": "logits", "mlp": f"m{slot.layer}"}.get(slot.kind, f"a{slot.layer}")
        total = out[: slot.n_sources].sum(dim=0)
        ahead = slot.kind == "mlp" and not graph.parallel
        for block in anatomy.blocks[: slot.layer + 1 if ahead else slot.layer]:
            if block.attention_out.bias is not None:
                total = total + block.attention_out.bias
        for block in anatomy.blocks[: slot.layer if graph.mlp_blocks > 1 else 0]:
            if block.mlp_out.bias is not None:
                total = total + block.mlp_out.bias
        torch.testing.assert_close(total, reads[place].flatten(0, -2), rtol=0, atol=1e-12)


@whole_and_cut
def test_full_circuit_is_the_clean_run(anatomy, batch):
    full = Circuit(anatomy.graph, anatomy.graph.exists.copy())
    for ablation in ABLATIONS:
        run = metric_of_circuit(anatomy, batch, full, ablation=ablation)
        np.testing.assert_allclose(run, metric_of_model(anatomy, batch), rtol=0, atol=1e-11)


@whole_and_cut
def test_empty_circuit_is_the_corrupt_run(anatomy, batch):
    empty = Circuit(anatomy.graph, np.zeros_like(anatomy.graph.exists))
    run = metric_of_circuit(anatomy, batch, empty)
    np.testing.assert_allclose(
        run, metric_of_model(anatomy, batch, corrupt=True), rtol=0, atol=1e-11
    )


@torch.no_grad()
def test_what_follows_a_prompt_is_as_if_it_ran_with_it(anatomy, batch):
    ids = batch.clean[:, :6]
    past = DynamicCache(config=anatomy.model.config)
    whole, begin = anatomy.hidden(ids), anatomy.hidden(ids[:, :3], past=past)
    past.batch_select_indices(torch.tensor([3, 1, 1]))
    rest = anatomy.hidden(ids[[3, 1, 1], 3:], past=past)
    torch.testing.assert_close(begin, whole[:, :3], rtol=0, atol=1e-12)
    torch.testing.assert_close(rest, whole[[3, 1, 1], 3:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("ablation", ABLATIONS)
@whole_and_cut
def test_circuits_that_run_together_are_the_definition_one_by_one(anatomy, batch, ablation):
    """Circuits of all sizes, most of them full of dead ends, on prompts that begin alike."""
    graph = anatomy.graph
    batch = replace(batch, corrupt=batch.corrupt.clone())
    batch.corrupt[:, :1] = batch.clean[:, :1]
    batch.corrupt[1, :3] = batch.clean[1, :3]
    sizes = (3, graph.n_edges // 8, graph.n_edges // 3, graph.n_edges * 9 // 10)
    circuits = [random_circuit(graph, size, seed=size) for size in sizes]
    circuits += [Circuit(graph, np.zeros_like(graph.exists)), Circuit(graph, graph.exists)]
    means = source_means(anatomy, batch, 5) if ablation == "mean" else None
    corrupt = corrupt_writes(anatomy, batch, ablation, means)
    metric_of = BatchMetric(anatomy, batch, "logit_difference")
    part = corrupted(anatomy, batch, metric_of, ablation, means)
    masks = [circuit.mask for circuit in circuits]
    for room in (2**30, 1):
        found = metrics_of_circuits(anatomy, part, masks, room=room)
        for circuit, values in zip(circuits, found, strict=True):
            run = PatchedRun(anatomy, batch, circuit, corrupt)
            with torch.no_grad(), hooked(before=run.before, after=run.after):
                wanted = metric_of(anatomy.hidden(batch.clean, batch.first))
            # behind a circuit that writes next to nothing a norm magnifies rounding
            atol = 1e-9 if anatomy.blocks[0].mlp_post_norm is None else 1e-7
            torch.testing.assert_close(values, wanted, rtol=0, atol=atol)


def derivative(anatomy, batch, corrupt, metric, row, column, *, embedding=None):
    """Of the mean metric along one edge, by central differences: minus what corrupting it does."""
    full = Circuit(anatomy.graph, anatomy.graph.exists.copy())
    metric_of = BatchMetric(anatomy, batch, metric)

    @torch.no_grad()
    def value(size: float) -> float:
        run = PatchedRun(anatomy, batch, full, corrupt)
        run.outside[row, column] = size  # corrupt a part of this edge alone
        with hooked(before=run.before, after=run.after):
            hidden = anatomy.hidden(batch.clean, batch.first)
        return metric_of(hidden).mean().item()

    step = 1e-4
    return (value(-step) - value(step)) / (2 * step)


@pytest.mark.slow
@pytest.mark.parametrize("ablation", ABLATIONS)
@whole_and_cut
def test_score_is_the_derivative_along_its_edge(anatomy, batch, ablation):
    graph = anatomy.graph
    scores = attribute(anatomy, batch, ablation=ablation).values
    means = source_means(anatomy, batch, 5) if ablation == "mean" else None
    corrupt = corrupt_writes(anatomy, batch, ablation, means)
    scale = np.abs(scores).max()
    for row, column in np.argwhere(random_circuit(graph, 30, seed=3).mask):
        found = derivative(anatomy, batch, corrupt, "logit_difference", row, column)
        name = graph.edge_name(row, column)
        assert found == pytest.approx(scores[row, column], abs=2e-6 * scale), name
    assert not scores[~graph.exists].any()


@pytest.mark.parametrize("answers", [1, 3])
@pytest.mark.parametrize("metric", ["probability_difference", "log_probability"])
@pytest.mark.parametrize("anatomy", ["gpt2", "gemma2"], indirect=True)
def test_score_is_the_derivative_of_each_metric(anatomy, metric, answers):
    batch = random_batch(answers=answers)
    if answers > 1:
        batch.answer[1, 0] = IGNORED  # answers of different length
    scores = attribute(anatomy, batch, metric=metric).values
    corrupt = corrupt_writes(anatomy, batch, "counterfactual", None)
    scale = np.abs(scores).max()
    for row, column in np.argwhere(random_circuit(anatomy.graph, 20, seed=4).mask):
        found = derivative(anatomy, batch, corrupt, metric, row, column)
        assert found == pytest.approx(scores[row, column], abs=2e-6 * scale)


@pytest.mark.parametrize("anatomy", ["gpt2", "gemma2"], indirect=True)
def test_score_is_the_derivative_of_a_difference_of_masses(anatomy):
    batch = with_masses(random_batch())
    scores = attribute(anatomy, batch, metric="probability_difference").values
    corrupt = corrupt_writes(anatomy, batch, "counterfactual", None)
    scale = np.abs(scores).max()
    for row, column in np.argwhere(random_circuit(anatomy.graph, 20, seed=4).mask):
        found = derivative(anatomy, batch, corrupt, "probability_difference", row, column)
        assert found == pytest.approx(scores[row, column], abs=2e-6 * scale)


@whole_and_cut
def test_exact_scores_are_what_corrupting_each_edge_does(anatomy, batch):
    """Against the circuit runner, which corrupts the edge as part of a circuit."""
    graph = anatomy.graph
    scores = attribute(anatomy, batch, method="exact").values
    clean = metric_of_model(anatomy, batch)
    for row, column in np.argwhere(random_circuit(graph, 20, seed=5).mask):
        circuit = Circuit(graph, graph.exists.copy())
        circuit.mask[row, column] = False
        change = (clean - metric_of_circuit(anatomy, batch, circuit)).mean()
        assert change == pytest.approx(scores[row, column], abs=1e-11)
    assert not scores[~graph.exists].any()


@whole_and_cut
def test_corrupting_a_node_is_corrupting_all_its_edges(anatomy, batch):
    graph = anatomy.graph
    for ablation in ABLATIONS:
        means = source_means(anatomy, batch, 5) if ablation == "mean" else None
        corrupt = corrupt_writes(anatomy, batch, ablation, means)
        found = exact_nodes(
            anatomy, batch, corrupt, BatchMetric(anatomy, batch, "logit_difference")
        )
        clean = metric_of_model(anatomy, batch)
        np.testing.assert_allclose(found.clean, clean, rtol=0, atol=1e-12)
        means_over = exact_node_scores(anatomy, batch, ablation=ablation)
        atol = 1e-12 * max(1, float(found.scores.abs().max()))
        np.testing.assert_allclose(means_over.values, found.scores.mean(dim=0), rtol=0, atol=atol)
        for row in (0, 1, graph.n_heads + 1, len(graph.sources) - 1):
            circuit = Circuit(graph, graph.exists.copy())
            circuit.mask[row] = False
            change = clean - metric_of_circuit(anatomy, batch, circuit, ablation=ablation)
            np.testing.assert_allclose(found.scores[:, row], change, rtol=0, atol=1e-11)


@whole_and_cut
def test_node_attribution_is_the_derivative_along_the_node(anatomy, batch):
    """The scores of a node's edges add up to the effect of moving its output as a whole."""
    graph, full = anatomy.graph, Circuit(anatomy.graph, anatomy.graph.exists.copy())
    nodes = attribute(anatomy, batch).nodes().values
    corrupt = corrupt_writes(anatomy, batch, "counterfactual", None)
    metric_of = BatchMetric(anatomy, batch, "logit_difference")

    @torch.no_grad()
    def value(row: int, size: float) -> float:
        run = PatchedRun(anatomy, batch, full, corrupt)
        run.outside[row] = size * torch.tensor(graph.exists[row])
        with hooked(before=run.before, after=run.after):
            return metric_of(anatomy.hidden(batch.clean)).mean().item()

    for row in range(0, len(graph.sources), 3):
        found = (value(row, -1e-4) - value(row, 1e-4)) / 2e-4
        assert found == pytest.approx(nodes[row], abs=2e-5 * np.abs(nodes).max())


@pytest.mark.parametrize("ablation", ABLATIONS)
@whole_and_cut
def test_integrated_gradients_average_over_interpolated_inputs(anatomy, batch, ablation):
    """One step is plain attribution; more are the mean over runs made here by hand."""
    one = attribute(anatomy, batch, method="eap-ig", steps=1, ablation=ablation).values
    plain = attribute(anatomy, batch, ablation=ablation).values
    np.testing.assert_allclose(one, plain, rtol=0, atol=1e-12 * np.abs(plain).max())
    means = source_means(anatomy, batch, 5) if ablation == "mean" else None
    corrupt = corrupt_writes(anatomy, batch, ablation, means)
    clean = run_writes(anatomy, batch.clean)
    delta = source_outputs(anatomy, clean if corrupt is None else clean.minus(corrupt))
    metric_of = BatchMetric(anatomy, batch, "logit_difference")
    start = torch.zeros(()) if corrupt is None else corrupt.tensors[0]
    column = len(anatomy.graph.slots) - 1
    found = torch.zeros(len(delta))
    for step in (1, 2, 3):
        between = start + (clean.tensors[0] - start) * step / 3
        with torch.no_grad():
            _, reads, _ = read_gradients(anatomy, batch, metric_of, embedding=between)
        found = found + torch.einsum("std,td->s", delta, reads.final_gradient.flatten(0, 1)) / 15
    scores = attribute(anatomy, batch, method="eap-ig", steps=3, ablation=ablation).values
    np.testing.assert_allclose(scores[:, column], found, rtol=0, atol=1e-11)


@pytest.mark.parametrize("method", ["eap", "eap-ig", "exact"])
def test_left_and_right_padding_give_the_same_scores(anatomy, batch, method):
    width = batch.clean.shape[1]
    shift = width - 1 - batch.last
    rows = (torch.arange(width) - shift[:, None]) % width
    left = Batch(
        clean=batch.clean.gather(1, rows),
        corrupt=batch.corrupt.gather(1, rows),
        last=torch.full_like(batch.last, width - 1),
        answer=batch.answer,
        foil=batch.foil,
        first=shift,
    )
    for ablation in ABLATIONS:
        one = attribute(anatomy, batch, method=method, ablation=ablation).values
        other = attribute(anatomy, left, method=method, ablation=ablation).values
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-11 * max(1, np.abs(one).max()))


@pytest.mark.parametrize("method", ["eap", "eap-ig", "exact"])
def test_micro_batches_do_not_change_scores_or_their_errors(anatomy, batch, method):
    for ablation in ABLATIONS:
        whole, parts = (
            attribute(anatomy, batch, method=method, ablation=ablation, micro_batch=size)
            for size in (5, 2)
        )
        atol = 1e-12 * max(1, np.abs(whole.values).max())
        np.testing.assert_allclose(parts.values, whole.values, rtol=0, atol=atol)
        np.testing.assert_allclose(parts.error, whole.error, rtol=0, atol=atol)
        assert parts.examples == whole.examples == 5


def test_errors_are_those_of_the_mean_over_examples(anatomy, batch):
    each = np.stack([attribute(anatomy, batch[i : i + 1]).values for i in range(5)])
    whole = attribute(anatomy, batch)
    atol = 1e-12 * np.abs(each).max()
    np.testing.assert_allclose(whole.values, each.mean(axis=0), rtol=0, atol=atol)
    error = each.std(axis=0, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(whole.error, error, rtol=0, atol=atol)
    nodes = each.sum(axis=2).std(axis=0, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(whole.nodes().error, nodes, rtol=0, atol=10 * atol)
    assert np.isnan(attribute(anatomy, batch[:1]).error).all()


@pytest.mark.parametrize(("scored", "positions"), [(5, 7), (2, 7), (1, 7), (1, 3), (1, 1)])
def test_the_plan_does_not_change_scores(anatomy, batch, scored, positions, monkeypatch):
    whole = attribute(anatomy, batch)
    made = Plan(examples=5, scored=scored, positions=positions, length=7)
    monkeypatch.setattr("ctviz.attribution.attribute.plan", lambda *_, **__: made)
    monkeypatch.setattr("ctviz.attribution.plan.GROUP", 1)
    other = attribute(anatomy, batch)
    atol = 1e-12 * np.abs(whole.values).max()
    np.testing.assert_allclose(other.values, whole.values, rtol=0, atol=atol)
    np.testing.assert_allclose(other.error, whole.error, rtol=0, atol=atol)


def test_a_common_beginning_is_skipped_without_a_trace(anatomy, batch):
    same = replace(batch, corrupt=batch.corrupt.clone())
    same.corrupt[:, :2] = same.clean[:, :2]
    assert same.changed_from == 2
    scores = attribute(anatomy, same).values
    corrupt = corrupt_writes(anatomy, same, "counterfactual", None)
    for row, column in np.argwhere(random_circuit(anatomy.graph, 10, seed=6).mask):
        found = derivative(anatomy, same, corrupt, "logit_difference", row, column)
        assert found == pytest.approx(scores[row, column], abs=2e-6 * np.abs(scores).max())


GROUPED = ["llama-grouped", "qwen3", "gemma2", "phi3", "falcon-new", "falcon"]


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_slots_are_the_sum_over_their_heads(name):
    """A grouped model and its ungrouped twin (shared weights copied per head) agree."""
    grouped = random_model(name)
    one = Anatomy(grouped)
    heads, groups, d = one.graph.n_heads, one.graph.kv_heads, one.d_head
    config = AutoConfig.for_model(**grouped.config.to_dict())
    config.num_key_value_heads = heads
    if name.startswith("falcon"):
        config.num_kv_heads, config.multi_query = heads, False
    single = AutoModelForCausalLM.from_config(config).double().eval()
    state = dict(grouped.state_dict())
    shapes = {key: value.shape for key, value in single.state_dict().items()}
    for block in one.blocks:
        each = {}
        for kind in "qkv":
            projection = block.projection(kind)
            each[kind] = [projection.columns(i) for i in range(len(projection.slices))]
        for kind in "kv":  # group g's slice for each of its heads
            each[kind] = [each[kind][head * groups // heads] for head in range(heads)]
        for module, kinds in block.projections.items():
            if name.startswith("falcon"):  # head by head: its query, its key, its value
                order = [each[kind][head] for head in range(heads) for kind in "qkv"]
            else:
                order = [piece for kind in kinds for piece in each[kind]]
            rows = torch.cat([torch.arange(s.start, s.stop) for s in order])
            label = next(n for n, m in grouped.named_modules() if m is module)
            for key in (f"{label}.weight", f"{label}.bias"):
                if key in state:
                    state[key] = state[key][rows]
    assert {key: value.shape for key, value in state.items()} == shapes
    single.load_state_dict(state)
    batch, many = random_batch(), Anatomy(single)
    np.testing.assert_allclose(
        metric_of_model(one, batch), metric_of_model(many, batch), rtol=0, atol=1e-11
    )
    for method in ("eap", "eap-ig"):
        shared = attribute(one, batch, method=method).values
        apart = attribute(many, batch, method=method).values
        for column, slot in enumerate(one.graph.slots):
            kind = f"<{slot.kind}>" if slot.kind in "qkv" else ""
            columns = [many.graph.slot(f"{node}{kind}") for node in slot.feeds]
            total = apart[:, columns].sum(axis=1)
            np.testing.assert_allclose(shared[:, column], total, rtol=0, atol=1e-10)
    assert groups < heads
    assert d == many.d_head


def test_every_listed_family_has_a_specimen_of_its_own_type():
    for model_type, family in FAMILIES.items():
        assert family.specimens, model_type
        for name in family.specimens:
            assert random_model(name).config.model_type == model_type


def test_an_unknown_family_is_named_with_those_that_are_supported():
    config = AutoConfig.for_model("bloom", hidden_size=16, n_layer=1, n_head=2, vocab_size=20)
    with pytest.raises(UnsupportedModel, match=r"'bloom'.*gemma2.*gpt2.*CONTRIBUTING"):
        Anatomy(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize(
    ("family", "settings", "said"),
    [
        ("opt", {"do_layer_norm_before": False}, "OPT-350m"),
        ("falcon", {"new_decoder_architecture": True, "parallel_attn": False}, "Falcon"),
        ("gemma2", {"attention_bias": True}, "bias in front of a norm"),
    ],
)
def test_a_model_that_breaks_an_identity_is_refused(family, settings, said):
    size = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    more = {"word_embed_proj_dim": 16} if family == "opt" else {}
    more |= {"num_key_value_heads": 2} if family == "gemma2" else {}
    config = AutoConfig.for_model(family, vocab_size=20, pad_token_id=0, **size, **settings, **more)
    with pytest.raises(UnsupportedModel, match=said):
        Anatomy(AutoModelForCausalLM.from_config(config))


def test_hooks_vanish_after_an_exception(anatomy, batch):
    def fail(_: torch.Tensor) -> None:
        raise RuntimeError("on purpose")

    before, after = [(anatomy.final_norm.module, fail)], [(anatomy.blocks[0].mlp_write, fail)]
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
