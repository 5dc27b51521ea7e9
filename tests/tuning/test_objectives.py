"""Losses, learning rates and optimizers against plain transformers and torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from ctviz.models.known import resolve
from ctviz.models.loading import load
from ctviz.tasks.example import Example
from ctviz.tasks.texts import encode_texts
from ctviz.tuning.loop import Tuning
from ctviz.tuning.ownership import UnitOptimizer, whole_units
from tests.short_runs import config, own_file, records, shorten, told, tuning

ROWS = list(range(7))
OBJECTIVES = ("target", "text", "weighted")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


@pytest.fixture
def task(tmp_path) -> str:
    return own_file(tmp_path, told())


def plain_model(dtype=torch.float32):
    """The same weights, and nothing of ours."""
    return AutoModelForCausalLM.from_pretrained(resolve("tiny"), dtype=dtype).eval()


def plain_loss(model, tokenizer, examples, objective, weight=10.0):
    """One example at a time, with transformers' own loss over labels that are masked by hand."""
    total, count = 0.0, 0.0
    for example in examples:
        prompt = tokenizer(example.prompt)["input_ids"]
        target = tokenizer(example.target, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([prompt + target])
        only_target = torch.tensor([[-100] * len(prompt) + target])
        only_prompt = torch.tensor([prompt + [-100] * len(target)])
        parts = [(only_target, len(target), 1.0)]
        if objective != "target":
            parts = [(only_target, len(target), weight if objective == "weighted" else 1.0)]
            if len(prompt) > 1:
                parts.append((only_prompt, len(prompt) - 1, 1.0))
        for labels, tokens, counts in parts:
            # a mean over the labels that are not masked: back to their sum
            total = total + model(ids, labels=labels).loss * tokens * counts
            count += tokens * counts
    return total / count


def train_examples(run: Tuning, rows=ROWS):
    from ctviz.tasks.fitting import fitting_examples

    found, _ = fitting_examples(run.loaded, run.dataset.task, 32, "train", run.config.seed)
    return [found[row] for row in rows]


def in_full(task: str, dtype=torch.float32, **changes) -> Tuning:
    asked = config(task=task, method="full", ablation="mean", batch_size=7, **changes)
    return Tuning(load("tiny", dtype=dtype), asked)


# ---------------------------------------------------------------------- objectives


def test_a_target_token_is_predicted_one_position_before_it():
    tokenizer = load("tiny").tokenizer
    examples = [Example("The keys", " are old"), Example("The keys to the door", " is")]
    texts = encode_texts(examples, tokenizer)
    assert texts.begin.tolist() == [2, 5]
    assert texts.last.tolist() == [3, 5]
    assert texts.weights(prompt=0.0, target=1.0).tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert texts.weights(prompt=1.0, target=4.0).tolist() == [[1, 4, 4, 0, 0], [1, 1, 1, 1, 4]]


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradients_are_those_of_transformers(task, objective, dtype):
    run = in_full(task, dtype, objective=objective, target_weight=3.0)
    units = [unit.name for unit in run.method.units]
    loss = run.gradients(ROWS, units, 7)
    other = plain_model(dtype)
    expected = plain_loss(other, run.loaded.tokenizer, train_examples(run), objective, weight=3.0)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    theirs = dict(other.named_parameters())
    for name, parameter in run.anatomy.model.named_parameters():
        # our cross-entropy is float32 also for a float64 model
        scale = float(theirs[name].grad.abs().max())
        torch.testing.assert_close(
            parameter.grad, theirs[name].grad, rtol=1e-3, atol=1e-5 * scale, msg=name
        )


def test_the_objectives_differ():
    losses = {o: records(list(tuning(objective=o)))[0].loss for o in OBJECTIVES}
    assert len(set(losses.values())) == 3
    # the flipped verb is all that is unusual about these sentences
    assert losses["text"] < losses["weighted"] < losses["target"]


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("micro", [1, 2, 3, 6, 7, 100])
def test_micro_batches_of_any_size_give_the_gradient_of_the_whole(task, objective, micro):
    run = in_full(task, torch.float64, objective=objective)
    units = [unit.name for unit in run.method.units]
    whole = run.gradients(ROWS, units, 7)
    expected = {n: p.grad.clone() for n, p in run.anatomy.model.named_parameters()}
    assert run.gradients(ROWS, units, micro) == pytest.approx(whole, rel=1e-6)
    for name, parameter in run.anatomy.model.named_parameters():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(
            parameter.grad, expected[name], rtol=1e-3, atol=1e-6 * scale, msg=name
        )


@pytest.mark.slow
def test_a_run_in_micro_batches_is_the_run_in_whole_ones():
    whole, parts = (records(list(tuning(micro_batch=micro))) for micro in (0, 2))
    assert [r.micro_batch for r in whole] == [6] * 4
    assert [r.micro_batch for r in parts] == [2] * 4
    assert [r.loss for r in parts] == pytest.approx([r.loss for r in whole], rel=1e-4)


def test_a_model_with_adapters_has_the_gradients_of_its_adapters(task):
    run = Tuning(load("tiny"), config(task=task, method="lora", ablation="mean", batch_size=7))
    units = [unit.name for unit in run.method.units]
    torch.manual_seed(0)
    with torch.no_grad():  # the second factors are zero, and so were the first ones' gradients
        for unit in run.method.units:
            unit.parts[0].view.add_(torch.randn(unit.parts[0].view.shape), alpha=0.02)
    loss = run.gradients(ROWS, units, 3)
    found = {u.name: u.parts[0].parameter.grad.clone() for u in run.method.units}
    for parameter in run.anatomy.model.parameters():
        parameter.grad = None
    expected = plain_loss(
        run.loaded.model, run.loaded.tokenizer, train_examples(run), run.config.objective
    )
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for unit in run.method.units:
        theirs = unit.parts[0].parameter.grad
        scale = float(theirs.abs().max())
        torch.testing.assert_close(found[unit.name], theirs, rtol=1e-3, atol=1e-5 * scale)


# ---------------------------------------------------------------------- steps


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_full_tuning_is_a_plain_training_loop(task, optimizer):
    """Batches, clipping, warm-up, weight decay: the same weights after four steps."""
    changes = {
        "optimizer": optimizer,
        "learning_rate": 1e-3,
        "weight_decay": 0.1,
        "warmup": 2,
        "rate_course": "linear",
        "max_norm": 0.5,
    }
    # float64: the gradients of key biases are zero, and AdamW would make steps out of their noise
    run, rows = (in_full(task, torch.float64, **changes) for _ in range(2))
    batches = [rows.batches.draw() for _ in range(4)]
    found = records(list(run))
    model = plain_model(torch.float64)
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9, weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=1.0, weight_decay=0.1),
    }
    theirs = make[optimizer](list(model.parameters()))
    for batch, rate, record in zip(batches, (5e-4, 1e-3, 1e-3, 5e-4), found, strict=True):
        loss = plain_loss(model, run.loaded.tokenizer, train_examples(run, batch), "target")
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        theirs.zero_grad()
        assert record.loss == pytest.approx(float(loss.detach()), rel=1e-4)
        assert record.gradient_norm == pytest.approx(float(norm), rel=1e-3)
        assert record.learning_rate == pytest.approx(rate)
    other = dict(model.named_parameters())
    for name, parameter in run.anatomy.model.named_parameters():
        # the steps add up to 3e-3; our cross-entropy is float32
        torch.testing.assert_close(parameter, other[name], rtol=0, atol=3e-6, msg=name)


def test_rates_rise_and_fall_as_they_should():
    assert [config(learning_rate=0.1).rate_at(step) for step in (1, 4)] == [0.1, 0.1]
    rising = config(learning_rate=0.1, warmup=4)
    assert [rising.rate_at(s) for s in (1, 2, 3, 4)] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    linear = config(learning_rate=0.1, steps=6, warmup=2, rate_course="linear")
    rates = [linear.rate_at(step) for step in range(1, 7)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])
    cosine = config(learning_rate=0.1, rate_course="cosine")
    rates = [cosine.rate_at(step) for step in range(1, 5)]
    half = 0.5**0.5
    assert rates == pytest.approx([0.1, 0.05 * (1 + half), 0.05, 0.05 * (1 - half)])


def test_the_rate_of_a_record_is_the_rate_of_its_step():
    run = tuning(warmup=2, rate_course="cosine")
    seen = []
    usual = run.optimizer.step

    def step(**options):
        seen.append(run.optimizer.optimizer.param_groups[0]["lr"])
        return usual(**options)

    run.optimizer.step = step
    found = [record.learning_rate for record in records(list(run))]
    assert found == seen == [run.config.rate_at(step) for step in (1, 2, 3, 4)]


@pytest.mark.parametrize(("max_norm", "moved"), [(0.25, 0.25), (0.0, None), (1e9, None)])
def test_the_first_step_of_sgd_is_as_long_as_the_clipped_gradient(max_norm, moved):
    run = tuning(
        method="full",
        optimizer="sgd",
        learning_rate=0.01,
        max_norm=max_norm,
        steps=1,
        snapshot_every=1,
    )
    before = {n: p.detach().clone() for n, p in run.anatomy.model.named_parameters()}
    record = records(list(run))[0]
    assert record.gradient_norm > 0.3  # before clipping
    squares = [
        (p.detach() - before[n]).double().square().sum()
        for n, p in run.anatomy.model.named_parameters()
    ]
    length = float(torch.stack(squares).sum().sqrt())
    assert length == pytest.approx(0.01 * (moved or record.gradient_norm), rel=1e-3)


@pytest.mark.slow
def test_bfloat16_trains_and_leaves_the_weights_in_float32():
    changes = {"method": "full", "steps": 12, "snapshot_every": 12, "learning_rate": 1e-3}
    half, whole = (
        records(list(run)) for run in (tuning(precision="bfloat16", **changes), tuning(**changes))
    )
    assert half[-1].loss < 0.8 * half[0].loss
    assert [r.loss for r in half] != [r.loss for r in whole]
    assert half[0].loss == pytest.approx(whole[0].loss, rel=0.02)  # 8 bits, averaged
    run = tuning(precision="bfloat16", **changes)
    scores = next(iter(run)).scores
    plain = next(iter(tuning(**changes))).scores
    assert (scores == plain).all()  # discovery stays in float32
    list(run)
    assert {p.dtype for p in run.anatomy.model.parameters()} == {torch.float32}
    assert {v.dtype for v in run.optimizer.state().values()} == {torch.float32}


def test_bfloat16_runs_the_matrix_products_in_it():
    run = tuning(precision="bfloat16")
    seen = []
    module = run.anatomy.blocks[0].mlp_out
    handle = module.register_forward_hook(lambda m, given, out: seen.append(out.dtype))
    run.gradients([0, 1], [run.method.units[0].name], 2)
    handle.remove()
    assert seen == [torch.bfloat16]
    asked = replace(run.config, precision="float32")
    assert asked.precision == "float32"


def test_nothing_is_kept_of_a_step_but_the_optimizers_memory():
    run = tuning(method="full")
    for _ in run:
        assert all(p.grad is None for p in run.anatomy.model.parameters())
    owner = UnitOptimizer(whole_units(run.anatomy), lambda views: torch.optim.SGD(views, lr=0.1))
    assert owner.state() == {}


def test_the_numbers_of_examples_and_sgd_follow_the_settings():
    run = tuning(
        optimizer="sgd", momentum=0.25, train_examples=9, first_pairs=5, test_examples=3, draws=2
    )
    assert run.optimizer.optimizer.param_groups[0]["momentum"] == 0.25
    assert len(run.dataset.train) == 9
    assert run.test_grades()["test_examples"] == 3


def test_tau_decides_how_much_of_a_node_a_snapshot_calls_redundant():
    strict, lax = (
        next(iter(tuning(tau=tau, steps=1, snapshot_every=1))).redundancy["mass"]
        for tau in (1.0, 0.5)
    )
    assert (lax[1:] >= strict[1:]).all()
    assert lax[1:].sum() > strict[1:].sum()


@pytest.mark.slow
def test_another_seed_of_examples_gives_other_dev_examples_and_the_same_training():
    one, other = tuning(), tuning(examples_seed=1)
    assert one.dataset.graded != other.dataset.graded
    assert one.dataset.train.ids.equal(other.dataset.train.ids)


def test_retention_looks_at_the_tasks_that_are_asked_for():
    run = tuning(other_tasks=("ioi", "induction"), retention_prompts=2, retention_examples=6)
    assert run.retention.others == ("ioi", "induction")
    assert set(run.retention.measure()) >= {"other.ioi", "other.induction", "retention_kl"}
