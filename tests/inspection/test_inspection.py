"""What is said of a node, against the model itself: identities on every supported family."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from ctviz.circuits.choices import ABLATIONS
from ctviz.circuits.graph import kind_of, layer_of
from ctviz.circuits.scores import Circuit
from ctviz.errors import BadTask, UndefinedMetric, UnknownName
from ctviz.inspection import reading
from ctviz.inspection.answers import Prompt
from ctviz.inspection.lens import added_logits, direct_attribution, normed
from ctviz.inspection.neurons import CONTEXT, neurons_on_task
from ctviz.inspection.patterns import eager_attention
from ctviz.inspection.probe import read_probe
from ctviz.inspection.prompt import LONGEST, own_prompt, pair_prompt
from ctviz.inspection.reading import (
    PREDICTIONS,
    neuron_outputs,
    read_last_position,
    read_node,
    read_prompt,
    with_answer,
)
from ctviz.inspection.switching import ROWS, off_metrics, off_on_prompt, off_on_task
from ctviz.interventions.ablation import source_means
from ctviz.interventions.circuit_runs import metrics_of_circuits
from ctviz.interventions.corrupted import corrupted
from ctviz.interventions.faithfulness import metric_of_circuit, metric_of_model
from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.loading import Loaded, load
from ctviz.tasks import Pair, find_task
from ctviz.tasks.batch import encode
from tests.random_models import random_batch, random_model

IDS = (3, 14, 15, 92, 65, 35)
PROMPT = Prompt(IDS, tuple(f"t{i}" for i in IDS), answer=7, foil=11, corrupt=(3, 14, 16, 92, 8, 35))


class Numbers:
    """A tokenizer that knows tokens by their numbers."""

    pad_token_id = 0

    def decode(self, ids: list[int]) -> str:
        return " ".join(str(token) for token in ids)

    def convert_ids_to_tokens(self, ids: int) -> str:
        return self.decode([ids])


@pytest.fixture
def loaded(anatomy) -> Loaded:
    return Loaded("random", "0", anatomy.model, Numbers(), anatomy)


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load("tiny")


@dataclass
class Seen:
    """The model's own view of the prompt's last position."""

    residual: torch.Tensor
    logits: torch.Tensor


def seen(anatomy: Anatomy) -> Seen:
    kept = []
    handle = anatomy.final_norm.module.register_forward_pre_hook(lambda _, args: kept.append(args))
    with torch.no_grad():
        logits = anatomy.model(torch.tensor([IDS])).logits[0, -1]
    handle.remove()
    return Seen(kept[0][0][0, -1], logits)


def uncapped(anatomy: Anatomy, logits: torch.Tensor) -> torch.Tensor:
    cap = anatomy.table.softcap
    return logits if cap is None else cap * torch.atanh(logits / cap)


# ---------------------------------------------------------------------- logit lens, attribution


@pytest.mark.usefixtures("double_throughout")
def test_all_that_is_written_adds_up_to_the_logits(loaded):
    """Sources, and what belongs to no node: biases of outputs, last norm and unembedding."""
    anatomy, model = loaded.anatomy, seen(loaded.anatomy)
    with torch.no_grad():
        run = read_last_position(anatomy, PROMPT)
        biases = [block.attention_out.bias for block in anatomy.blocks]
        parts = torch.stack([*run.outputs, *(bias for bias in biases if bias is not None)])
        torch.testing.assert_close(parts.sum(dim=0), model.residual, rtol=0, atol=1e-12)
        torch.testing.assert_close(run.residual, model.residual, rtol=0, atol=1e-12)
        lens = added_logits(anatomy, parts, model.residual).sum(dim=0)
        weight = anatomy.unembedding.weight
        rest = torch.zeros_like(model.logits)
        if anatomy.final_norm.bias is not None:
            rest = rest + weight @ anatomy.final_norm.bias
        if anatomy.unembedding.bias is not None:
            rest = rest + anatomy.unembedding.bias
        direct = direct_attribution(anatomy, parts, model.residual, 7, 11).sum()
        above = direct_attribution(anatomy, parts, model.residual, 7, None).sum()
        logits = uncapped(anatomy, model.logits)
        whole = normed(anatomy, parts, model.residual).sum(dim=0)
        shift = anatomy.final_norm.bias if anatomy.final_norm.bias is not None else 0
        torch.testing.assert_close(
            whole + shift, anatomy.final_norm(model.residual), rtol=0, atol=1e-11
        )
    lens = lens + rest - rest.mean()
    torch.testing.assert_close(lens, logits - logits.mean(), rtol=0, atol=1e-9)
    assert float(direct + rest[7] - rest[11]) == pytest.approx(
        float(logits[7] - logits[11]), abs=1e-9
    )
    assert float(above + rest[7] - rest.mean()) == pytest.approx(
        float(logits[7] - logits.mean()), abs=1e-9
    )


@pytest.mark.usefixtures("double_throughout")
def test_what_neurons_write_adds_up_to_what_the_mlp_writes(loaded):
    anatomy = loaded.anatomy
    for node in (n for n in anatomy.graph.sources if kind_of(n) == "mlp"):
        block = anatomy.blocks[layer_of(node, anatomy.graph.n_layers)]
        with torch.no_grad():
            run = read_last_position(anatomy, PROMPT, node)
            outputs = neuron_outputs(block, run)
            bias = block.mlp_out.bias
            assert block.mlp_post_norm is None or bias is None
            total = outputs.sum(dim=0) + (0 if bias is None else bias)
        written = run.outputs[anatomy.graph.source(node)]
        torch.testing.assert_close(total, written, rtol=0, atol=1e-12)
        found = read_node(loaded, PROMPT, node)
        every = direct_attribution(anatomy, outputs, run.residual, 7, 11).detach()
        assert [n.index for n in found.neurons] == every.abs().topk(
            reading.NEURONS
        ).indices.tolist()
        first = found.neurons[0]
        assert first.attribution == pytest.approx(float(every[first.index]), rel=1e-9)
        assert first.activation == float(run.activations[first.index])
        lens = added_logits(anatomy, outputs[first.index], run.residual)
        assert first.promotes[0][0] == str(int(lens.argmax()))
        assert found.attention is None


@pytest.mark.usefixtures("double_throughout")
def test_what_a_node_promotes_is_at_the_ends_of_its_lens(loaded):
    anatomy = loaded.anatomy
    for node in ("a0.h1", f"m{anatomy.graph.n_layers - 1}"):
        found = read_node(loaded, PROMPT, node)
        row = anatomy.graph.source(node)
        with torch.no_grad():
            run = read_last_position(anatomy, PROMPT)
            lens = added_logits(anatomy, run.outputs[row], run.residual)
            order = lens.argsort(descending=True).tolist()
        assert [int(t) for t, _ in found.promotes] == order[: reading.TOKENS]
        assert [int(t) for t, _ in found.suppresses] == order[::-1][: reading.TOKENS]
        assert found.promotes[0][1] == pytest.approx(float(lens.max()), rel=1e-9)
        assert found.whole.attribution[row] == pytest.approx(float(lens[7] - lens[11]), rel=1e-5)
        assert np.isnan(found.whole.attribution[-1])


# ---------------------------------------------------------------------- attention, predictions


def test_attention_is_a_causal_distribution(loaded):
    """For each family: rows sum to 1, nothing ahead is seen, and it is that of the model."""
    anatomy = loaded.anatomy
    if getattr(anatomy.model.config, "alibi", False):  # eager adds ALiBi twice: it says nothing
        assert read_node(loaded, PROMPT, "a0.h0").attention is None
        return
    with torch.no_grad():
        usual = anatomy.hidden(torch.tensor([IDS]))
        with eager_attention(anatomy):
            other = anatomy.hidden(torch.tensor([IDS]))
    torch.testing.assert_close(other, usual, rtol=0, atol=1e-5)
    for node in ("a0.h0", f"a{anatomy.graph.n_layers - 1}.h{anatomy.graph.n_heads - 1}"):
        pattern = read_node(loaded, PROMPT, node).attention
        assert pattern.shape == (6, 6)
        np.testing.assert_allclose(pattern.sum(axis=1), 1, atol=1e-5)
        assert not np.triu(pattern, 1).any()
        assert len(np.unique(pattern.round(4))) > 6


def test_a_probe_reads_the_same(tiny):
    """What is stored at snapshots is what is computed live, for every head."""
    for pair in find_task("sva-flip").pairs(2, split="dev"):
        stored = read_probe(tiny, pair)
        prompt = pair_prompt(tiny, pair)
        assert prompt.tokens == stored.tokens
        whole = read_prompt(tiny, prompt)
        np.testing.assert_allclose(whole.attribution, stored.attribution, atol=1e-5)
        assert [t for t, _ in whole.top[: len(stored.top)]] == [t for t, _ in stored.top]
        batch = encode([pair], tiny.tokenizer)
        with torch.no_grad():
            chance = tiny.model(batch.clean).logits[0, -1].double().softmax(dim=-1)
        ids = int(batch.answer[0, -1]), int(batch.foil[0])
        assert stored.chances == pytest.approx([float(chance[i]) for i in ids], abs=1e-5)
        for layer in range(4):
            for head in range(4):
                found = read_node(tiny, prompt, f"a{layer}.h{head}")
                np.testing.assert_allclose(
                    found.attention, stored.attention[layer, head], atol=1e-3
                )  # half precision
                np.testing.assert_allclose(found.whole.attribution, whole.attribution, atol=1e-5)


def test_the_value_is_the_metric_of_the_task(tiny):
    pairs = find_task("sva").pairs(4, split="dev")
    batch = encode(pairs, tiny.tokenizer)
    for pair, metric in zip(pairs, metric_of_model(tiny.anatomy, batch), strict=True):
        found = read_prompt(tiny, pair_prompt(tiny, pair))
        assert found.value == pytest.approx(metric, abs=1e-4)


def test_without_an_answer_it_is_the_likeliest_token_above_the_mean(tiny):
    prompt = own_prompt(tiny, "The keys to the cabinet")
    assert prompt.answer is None
    with torch.no_grad():
        logits = tiny.model(torch.tensor([prompt.ids])).logits[0, -1]
    chosen = with_answer(tiny, prompt)
    assert chosen.answer == int(logits.argmax())
    found = read_prompt(tiny, prompt)
    assert found.value == pytest.approx(float(logits.max() - logits.mean()), abs=1e-4)
    assert found.top[0][1] == pytest.approx(float(logits.softmax(dim=-1).max()), abs=1e-6)
    assert len(found.top) == PREDICTIONS
    given = replace(prompt, answer=5)
    assert with_answer(tiny, given) is given


def test_an_unknown_node_is_named(tiny):
    prompt = own_prompt(tiny, "The keys")
    for node in ("a9.h0", "logits", "nonsense"):
        with pytest.raises(UnknownName, match=node):
            read_node(tiny, prompt, node)


def test_the_model_is_left_as_it_was(loaded):
    model = loaded.model
    before = {n: p.clone() for n, p in model.named_parameters()}
    implementation = model.config._attn_implementation
    hooks = lambda: sum(  # noqa: E731
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )
    read_node(loaded, PROMPT, "a0.h0")
    there = hooks()  # transformers puts its own ones when it is first asked for patterns
    read_node(loaded, PROMPT, "a0.h0")
    off_on_prompt(loaded, PROMPT, "m0", "zero")
    assert hooks() == there
    assert model.config._attn_implementation == implementation
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


# ---------------------------------------------------------------------- neurons on the task


def test_neurons_raise_what_they_add_in_a_run(loaded):
    """The tokens of a neuron's weights are those that it promotes on a prompt, or suppresses."""
    known = {neuron.index: neuron for neuron in neurons_on_task(loaded, random_batch(), "m1")}
    assert len(known) == min(64, loaded.anatomy.neurons)
    read = [n for n in read_node(loaded, PROMPT, "m1").neurons if n.index in known and n.activation]
    assert read
    for neuron in read:
        weights = known[neuron.index]
        said = weights.raises if neuron.activation > 0 else weights.lowers
        assert said == tuple(token for token, _ in neuron.promotes)


def test_neurons_fire_where_each_prompt_alone_says(tiny):
    batch = encode(find_task("sva").pairs(6, split="dev"), tiny.tokenizer)
    found = neurons_on_task(tiny.cut_into(64), batch, "m2.b3")
    assert {neuron.index for neuron in found} == set(range(192, 256))
    out = tiny.model.transformer.h[2].mlp.c_proj
    alone: dict[tuple[int, ...], torch.Tensor] = {}
    for row, real in zip(batch.clean, batch.real, strict=True):
        ids, seen = row[real], []
        hook = out.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        with torch.no_grad():
            tiny.model(ids[None])
        hook.remove()
        alone |= {tuple(ids[: at + 1].tolist()): seen[0][0, at] for at in range(len(ids))}
    writes = []
    for neuron in found:
        values = {ids: float(value[neuron.index]) for ids, value in alone.items()}
        best = sorted(values, key=lambda ids: -abs(values[ids]))[:3]
        assert [f.activation for f in neuron.firings] == pytest.approx(
            [values[ids] for ids in best], abs=1e-4
        )
        for firing, ids in zip(neuron.firings, best, strict=True):
            assert abs(values[ids]) < 1e-3 or firing.tokens == tuple(
                tiny.tokenizer.decode([token]) for token in ids[-CONTEXT:]
            )
        length = float(out.weight[neuron.index].detach().norm())
        assert neuron.writes == pytest.approx(abs(values[best[0]]) * length, rel=1e-3, abs=1e-4)
        writes.append(neuron.writes)
    assert writes == sorted(writes, reverse=True)


def test_a_head_has_no_neurons_and_says_so(tiny):
    batch = encode(find_task("sva").pairs(2, split="dev"), tiny.tokenizer)
    with pytest.raises(UnknownName, match=r"a0\.h0"):
        neurons_on_task(tiny, batch, "a0.h0")


# ---------------------------------------------------------------------- switching off


@pytest.mark.slow
@pytest.mark.usefixtures("double_throughout")
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_switching_a_node_off_is_the_circuit_without_its_edges(loaded, ablation):
    anatomy, batch = loaded.anatomy, random_batch()
    graph = anatomy.graph
    for node in ("a0.h0", f"a{graph.n_layers - 1}.h1", "m0", f"m{graph.n_layers - 1}"):
        mask = graph.exists.copy()
        mask[graph.source(node)] = False
        before, after = off_metrics(anatomy, batch, node, ablation, "logit_difference")
        wanted = metric_of_circuit(anatomy, batch, Circuit(graph, mask), ablation=ablation)
        np.testing.assert_allclose(after, wanted, rtol=0, atol=1e-10)
        np.testing.assert_allclose(before, metric_of_model(anatomy, batch), rtol=0, atol=1e-10)
        assert np.abs(after - before).max() > 1e-6
        found = off_on_task(loaded, batch, node, ablation, "logit_difference")
        assert (found.before, found.after) == (before.mean(), after.mean())
        assert found.error == pytest.approx((after - before).std(ddof=1) / np.sqrt(5))
        assert found.examples == 5


def test_the_task_is_the_same_in_parts(tiny, monkeypatch):
    batch = encode(find_task("sva").pairs(7, split="dev"), tiny.tokenizer)
    whole = off_metrics(tiny.anatomy, batch, "m3", "mean", "logit_difference")
    monkeypatch.setattr("ctviz.inspection.switching.ROWS", 3)
    parts = off_metrics(tiny.anatomy, batch, "m3", "mean", "logit_difference")
    np.testing.assert_allclose(parts, whole, atol=1e-4)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_one_prompt_switched_off_is_the_circuit_without_the_node(tiny, ablation):
    pairs = find_task("sva").pairs(6, split="dev")
    others, one = encode(pairs, tiny.tokenizer), encode(pairs[:1], tiny.tokenizer)
    graph = tiny.anatomy.graph
    means = source_means(tiny.anatomy, others, ROWS)
    for node in ("a3.h0", "m2"):
        mask = graph.exists.copy()
        mask[graph.source(node)] = False
        metric_of = BatchMetric(tiny.anatomy, one, "logit_difference")
        part = corrupted(tiny.anatomy, one, metric_of, ablation, means)
        wanted = metrics_of_circuits(tiny.anatomy, part, [mask], room=2**30)[0].numpy()
        prompt = pair_prompt(tiny, pairs[0])
        found = off_on_prompt(tiny, prompt, node, ablation, others=others)
        assert found.after == pytest.approx(wanted[0], abs=1e-4)
        assert found.before == pytest.approx(read_prompt(tiny, prompt).value, abs=1e-4)
        assert [t for t, _ in found.top_before] == [t for t, _ in read_prompt(tiny, prompt).top]
        assert sum(p for _, p in found.top_after) <= 1 + 1e-6
    if ablation == "zero":  # the last MLP's output is gone: only the others' are left
        run = read_last_position(tiny.anatomy, prompt)
        weight = tiny.anatomy.unembedding.weight
        rest = run.residual - run.outputs[graph.source("m3")]
        logits = tiny.anatomy.final_norm(rest) @ weight.T
        after = off_on_prompt(tiny, prompt, "m3", "zero").top_after
        assert after[0][0] == tiny.tokenizer.decode([int(logits.argmax())])


def test_a_head_that_does_the_task_is_found_by_switching_it_off():
    """The induction head of a model made by hand, beside a silent one."""
    model, tokenizer = KNOWN_ANSWERS["induction"].build()
    known = Loaded("induction", "0", model.eval(), tokenizer, Anatomy(model))
    pairs = find_task("induction").pairs(8, split="dev")
    batch = encode(pairs, tokenizer)
    heads = [n for n in known.anatomy.graph.sources if kind_of(n) == "head"]
    lost = {
        node: (found := off_on_task(known, batch, node, "zero", "logit_difference")).before
        - found.after
        for node in heads
    }
    strong = [node for node, loss in lost.items() if loss > 1]
    assert len(strong) == 2  # the previous-token head and the induction head
    prompt = pair_prompt(known, pairs[0])
    last = max(strong)
    found = read_node(known, prompt, last)
    assert found.promotes[0][0] == tokenizer.decode([prompt.answer])
    looked = int(found.attention[-1].argmax())
    assert prompt.tokens[looked] == tokenizer.decode([prompt.answer])


def test_an_ablation_without_what_it_needs_is_explained(tiny):
    prompt = own_prompt(tiny, "The keys to the cabinet")
    with pytest.raises(UndefinedMetric, match="no counterfactual"):
        off_on_prompt(tiny, prompt, "m0", "counterfactual")
    with pytest.raises(UndefinedMetric, match="no prompts of the task"):
        off_on_prompt(tiny, prompt, "m0", "mean")
    with pytest.raises(UnknownName, match="ablation"):
        off_on_prompt(tiny, prompt, "m0", "noise")
    batch = encode(find_task("sva").pairs(2, split="dev"), tiny.tokenizer)
    with pytest.raises(UnknownName, match="ablation"):
        off_on_task(tiny, batch, "m0", "noise", "logit_difference")
    alone = off_on_task(tiny, batch[:1], "m0", "zero", "logit_difference")
    assert np.isnan(alone.error)


# ---------------------------------------------------------------------- prompts of one's own


def test_a_prompt_of_ones_own_is_any_text(tiny):
    prompt = own_prompt(tiny, "The keys", answer=" are", foil=" is")
    assert "".join(prompt.tokens) == "The keys"
    assert tiny.tokenizer.decode([prompt.answer]) == " are"
    assert tiny.tokenizer.decode([prompt.foil]) == " is"
    assert prompt.corrupt is None
    strange = "<b>x</b> \x00\x07\n\t{{}} $a$ ü 漢"
    found = read_node(tiny, own_prompt(tiny, strange), "a0.h0")
    assert found.attention.shape[0] == len(own_prompt(tiny, strange).ids)
    assert np.isfinite(found.whole.value)
    one = read_node(tiny, own_prompt(tiny, "The"), "a1.h2")
    assert one.attention.tolist() == [[1.0]]


def test_a_prompt_of_ones_own_is_switched_off_as_the_pair_that_it_is(tiny):
    pair = Pair("The keys to the cabinet", "The key to the cabinet", " are", " is")
    own = own_prompt(tiny, pair.clean, answer=pair.answer, foil=pair.foil, corrupt=pair.corrupt)
    assert own == pair_prompt(tiny, pair)
    one = off_on_prompt(tiny, own, "m0", "counterfactual")
    assert one.after == off_on_prompt(tiny, pair_prompt(tiny, pair), "m0", "counterfactual").after
    assert one.after != one.before
    bare = own_prompt(tiny, pair.clean, corrupt=pair.corrupt)
    assert (bare.answer, bare.corrupt) == (None, own.corrupt)


@pytest.mark.parametrize(
    ("corrupt", "said"),
    [
        ("The key", "5 tokens and the counterfactual 2: they must have as many"),
        ("The keys to the cabinet", "is the prompt itself"),
    ],
)
def test_a_counterfactual_that_cannot_be_one_says_why(tiny, corrupt, said):
    text = "The keys to the cabinet"
    for answer, foil in (("", ""), (" are", " is")):
        with pytest.raises(BadTask, match=said):
            own_prompt(tiny, text, answer=answer, foil=foil, corrupt=corrupt)


def test_answers_that_begin_alike_are_compared_where_they_part(tiny):
    pair = Pair("In 1856", "In 1831", " the dog", " the cat")
    both = own_prompt(tiny, pair.clean, answer=pair.answer, foil=pair.foil)
    assert both.tokens[-1] == " the"
    assert both.corrupt is None
    assert len(pair_prompt(tiny, pair).corrupt) == len(both.ids)


@pytest.mark.parametrize(
    ("text", "answer", "foil", "read", "notes"),
    [
        ("The keys", " are", " is", [" are", " is"], []),
        ("The keys", "are", "", [" are"], ["The answer is read as ' are', with the space"]),
        ("The keys", "are", "is", [" are", " is"], ["The answer is read", "The foil is read"]),
        ("The keys", "is", "", ["is"], ["where the prompt ends, 'The keysis': type a space"]),
        (
            "The",
            "disestablishment",
            "",
            ["d"],
            ["'Thedisestablishment'", "9 tokens, 'd', 'is', 'est', 'ab' …; only the"],
        ),
        (
            "In",
            " the dogs bark",
            " the cat",
            [" dogs", " cat"],
            ["goes on, where answer and foil part, with 3 tokens, ' dogs', ' b' and 'ark'"],
        ),
    ],
)
def test_what_is_read_otherwise_than_typed_is_said(tiny, text, answer, foil, read, notes):
    prompt = own_prompt(tiny, text, answer=answer, foil=foil)
    ids = [token for token in (prompt.answer, prompt.foil) if token is not None]
    assert [tiny.tokenizer.decode([token]) for token in ids] == read
    assert len(prompt.notes) == len(notes)
    assert all(wanted in said for wanted, said in zip(notes, prompt.notes, strict=True))


@pytest.mark.parametrize(
    ("text", "answer", "foil", "said"),
    [
        ("", "", "", "The prompt is empty"),
        ("The keys", "", " is", "a foil but no answer"),
        ("The keys", " is", " is", "answer and foil are the same"),
        ("The keys ", "are", "", "End the prompt without a space, and begin the answer with it"),
        ("word " * 100, "", "", "202 tokens, but the model reads at most 64: 138 too many"),
    ],
)
def test_a_prompt_that_cannot_be_run_says_why(tiny, text, answer, foil, said):
    with pytest.raises(BadTask, match=said):
        own_prompt(tiny, text, answer=answer, foil=foil)


def test_a_prompt_that_is_too_long_says_by_how_much(tiny, monkeypatch):
    count = len(tiny.tokenizer("x" * 10_000)["input_ids"])
    for answer, foil in (("", ""), (" are", " is")):
        with pytest.raises(BadTask, match=f"reads at most 64: {count - 64:,} too many"):
            own_prompt(tiny, "x" * 10_000, answer=answer, foil=foil)
    monkeypatch.setattr(tiny.model.config, "n_positions", 10 * LONGEST)
    with pytest.raises(BadTask, match=f"inspection takes at most 2,048: {count - 2048:,} too"):
        own_prompt(tiny, "x" * 10_000)


def test_the_longest_prompt_that_fits_is_read(tiny):
    prompt = own_prompt(tiny, " the" * 64)
    assert len(prompt.ids) == 64
    assert read_node(tiny, prompt, "m1").neurons


@pytest.mark.parametrize("name", ["gpt2", "llama-grouped"])
def test_half_precision_is_read(name):
    model = random_model(name, dtype=torch.bfloat16)
    known = Loaded("half", "0", model, Numbers(), Anatomy(model))
    for node in ("a0.h0", "m1"):
        assert np.isfinite(read_node(known, PROMPT, node).whole.value)
        assert np.isfinite(off_on_prompt(known, PROMPT, node, "counterfactual").after)
