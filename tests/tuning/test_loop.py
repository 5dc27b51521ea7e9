"""The loop: what it yields, that it learns, how it fails early, and that it can be resumed."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ctviz import progress
from ctviz.attribution import attribute
from ctviz.circuits.scores import Circuit
from ctviz.errors import (
    BadTask,
    CtvizError,
    DamagedRun,
    MissingModel,
    OutOfRange,
    RunExists,
    UnknownName,
)
from ctviz.interventions.faithfulness import metric_of_circuit
from ctviz.jobs import tune
from ctviz.models import memory
from ctviz.models.loading import load, pick_device
from ctviz.runs import open_run
from ctviz.runs.config import METHODS, TuneConfig
from ctviz.runs.snapshot import Snapshot, StepRecord
from ctviz.runs.weights import latest_checkpoint
from ctviz.tasks import TASKS, Pair, find_task
from ctviz.tasks.batch import IGNORED, encode, fitting
from ctviz.tasks.grading import grade
from ctviz.tuning import measure
from ctviz.tuning.checkpoint import load_checkpoint, save_checkpoint
from ctviz.tuning.loop import Tuning
from tests.same_runs import assert_same
from tests.short_runs import SHORT, config, records, shorten, snapshots, tuning


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def tokenizer():
    return load("tiny").tokenizer


# ---------------------------------------------------------------------- what a run yields


def test_snapshots_and_steps_come_in_order():
    events = list(tuning(steps=5, snapshot_every=2))
    kinds = [(type(event), event.step) for event in events]
    step, seen = StepRecord, Snapshot
    assert kinds == [
        (seen, 0),
        (step, 1),
        (step, 2),
        (seen, 2),
        (step, 3),
        (step, 4),
        (seen, 4),
        (step, 5),
        (seen, 5),
    ]
    found = snapshots(events)
    assert all(s.circuit.sum() == 30 for s in found)
    assert not found[0].tuned.any()
    assert all(s.tuned.sum() == 30 for s in found[1:])
    assert found[0].metrics["retention_kl"] == 0.0
    assert found[-1].metrics["retention_kl"] > 0
    assert all(0 < r.trained_fraction < 1 for r in records(events))
    assert [r.n_circuit_edges for r in records(events)] == [30] * 5


@pytest.mark.slow
def test_tuning_turns_agreement_into_disagreement(tmp_path):
    result = tune.tune(
        config(steps=40, edges=40, batch_size=16, examples=16, snapshot_every=20), tmp_path / "r"
    )
    assert result["metric_before"] < -2
    assert result["metric_after"] > 1
    assert (result["judged_by"], result["outside_moved"]) == ("accuracy", 0)
    assert result["before"]["accuracy"] < 0.2
    assert result["after"]["accuracy"] > 0.6
    assert result["before"]["test_examples"] == result["after"]["test_examples"] == 8
    first = next(open_run("r", tmp_path).snapshots()).metrics
    assert first["faithfulness"] > 0.5
    assert abs(first["random_faithfulness"]) < 0.2


def test_what_a_run_did_is_in_its_folder(tmp_path):
    result = tune.tune(config(), tmp_path / "r")
    about = open_run("r", tmp_path).about
    assert about["before"] == result["before"]
    assert about["after"] == result["after"]
    assert (about["train_examples"], about["examples"], about["left_out"]) == (32, 4, 0)
    assert about["config"] == config().to_dict()
    assert {(row["layer"], row["kind"]) for row in about["weight_change"]} == {
        (-1, "other"),
        *((layer, kind) for layer in range(4) for kind in ("attention", "mlp")),
    }
    changes = {(r["layer"], r["kind"]): r["change"] for r in about["weight_change"]}
    assert changes.pop((-1, "other")) == 0.0  # embeddings and norms
    assert max(changes.values()) > 0
    status = open_run("r", tmp_path).status()
    assert (status.state, status.step, status.notices) == ("finished", 4, ())
    metrics = open_run("r", tmp_path).metrics()
    assert metrics["step"].tolist() == [0, 1, 2, 3, 4]
    assert metrics["overlap_since_start"].notna().tolist() == [False, False, True, False, True]


def test_progress_is_told_after_every_event(tmp_path):
    seen = []
    tune.tune(config(), tmp_path / "r", progress=lambda *told: seen.append(told[:2]))
    assert seen == [(0, 4), (1, 4), (2, 4), (2, 4), (3, 4), (4, 4), (4, 4)]


def test_nothing_is_overwritten(tmp_path):
    tune.tune(config(steps=1, snapshot_every=1), tmp_path / "r")
    with pytest.raises(RunExists, match="already holds a run"):
        tune.tune(config(), tmp_path / "r")
    assert open_run("r", tmp_path).status().state == "finished"


@pytest.mark.slow
def test_without_its_model_a_run_keeps_no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)
    kept = tune.tune(config(), tmp_path / "kept")
    result = tune.tune(config(), tmp_path / "r", keep_model=False)
    assert not list((tmp_path / "r").rglob("checkpoint/*"))
    assert latest_checkpoint(tmp_path / "kept")[1] == 4
    same = ("metric_before", "metric_after", "before", "after", "trained_fraction")
    assert {key: result[key] for key in same} == {key: kept[key] for key in same}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "lora"])
def test_a_given_snapshot_and_what_is_known_change_nothing_but_the_time(
    tmp_path, monkeypatch, method
):
    tune.tune(config(method=method), tmp_path / "without")
    tune.tune(config(method="full"), tmp_path / "first")
    measured = []
    monkeypatch.setattr(measure, "grade", lambda *args: (measured.append(1), grade(*args))[1])
    first = next(open_run("first", tmp_path).snapshots())
    tune.tune(config(method=method), tmp_path / "with", first=first)
    assert len(measured) == 3  # at steps 2 and 4, and at the end
    assert_same(*(open_run(name, tmp_path) for name in ("without", "with")))


def test_circuits_larger_than_the_graph_are_refused(tmp_path):
    for name, changes in (
        ("one", {"edges": 5000}),
        ("two", {"edges_end": 5000, "edges_course": "linear"}),
    ):
        with pytest.raises(OutOfRange, match="edges is 5,000, but must be from 1 to 479"):
            tune.tune(config(**changes), tmp_path / name)
        assert open_run(name, tmp_path).status().state == "failed"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"task": "sva-flop"}, UnknownName, "Did you mean 'sva-flip'"),
        ({"method": "lorra"}, UnknownName, "Did you mean 'lora'"),
        ({"objective": "answer"}, UnknownName, "target, text, weighted"),
        ({"optimizer": "adam"}, UnknownName, "adamw, sgd"),
        ({"precision": "float16"}, UnknownName, "float32, bfloat16"),
        ({"rate_course": "step"}, UnknownName, "constant, linear, cosine"),
        ({"steps": 0}, OutOfRange, "steps is 0, but must be from 1"),
        ({"learning_rate": -1.0}, OutOfRange, "learning_rate"),
        ({"learning_rate": math.nan}, OutOfRange, "learning_rate"),
        ({"snapshot_every": 9}, OutOfRange, "from 0 to 4"),
        ({"examples": 1}, OutOfRange, "examples"),
        ({"micro_batch": 7}, OutOfRange, "from 0 to 6"),
        ({"warmup": 5}, OutOfRange, "from 0 to 4"),
        ({"rediscover": 0}, OutOfRange, "rediscover is 0"),
        ({"lora_rank": 0}, OutOfRange, "lora_rank is 0"),
        ({"target_weight": -1.0}, OutOfRange, "target_weight"),
        ({"edges_course": "linear"}, CtvizError, "needs an end"),
    ],
)
def test_bad_settings_are_explained_before_anything_is_loaded(changes, error, says):
    with pytest.raises(error, match=says):
        TuneConfig(**{**SHORT, **changes})


def test_unknown_models_and_devices_are_explained(tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match="Did you mean 'tiny'"):
        load("tinny")
    with pytest.raises(UnknownName, match="no device 'gpu'"):
        pick_device("gpu")
    with pytest.raises(MissingModel, match=r"no config\.json"):
        load(str(tmp_path))
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingModel, match="ctviz models fetch smollm2-135m"):
        load("smollm2-135m")


def test_an_unsupported_family_says_which_are(tmp_path):
    from transformers import BloomConfig

    from ctviz.errors import UnsupportedModel

    BloomConfig(hidden_size=16, n_layer=1, n_head=2, vocab_size=50).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match=r"'bloom'.*Supported families: .*gpt2, .*llama"):
        load(str(tmp_path))


def test_pickled_weights_are_not_loaded(tmp_path):
    shutil.copytree(load("tiny").model.config.name_or_path, tmp_path / "m")
    torch.save({}, tmp_path / "m" / "pytorch_model.bin")
    (tmp_path / "m" / "model.safetensors").unlink()
    with pytest.raises(MissingModel, match="safetensors"):
        load(str(tmp_path / "m"))


# ---------------------------------------------------------------------- tasks and batches


@pytest.mark.parametrize("key", sorted(TASKS))
def test_pairs_are_different_reproducible_and_split(key, tokenizer):
    task = find_task(key)
    dev, again, train = (
        task.pairs(100, split="dev"),
        task.pairs(100, split="dev"),
        task.pairs(100, split="train"),
    )
    assert dev == again
    examples = task.examples(100, split="dev")
    assert 60 <= len(set(examples)) == len(examples) <= 100  # some have no more in a split
    assert not set(dev) & set(train)
    chosen = fitting(dev, tokenizer)
    assert len(chosen.pairs) + len(chosen.dropped) == len(dev)
    assert len(encode(chosen.pairs, tokenizer)) == len(chosen.pairs) > 0


def test_flip_is_agreement_with_the_verbs_exchanged():
    agree = {(p.clean, p.answer, p.foil) for p in find_task("sva").pairs(300, split="train")}
    flip = find_task("sva-flip").pairs(300, split="train")
    for pair in flip:
        assert pair.clean.split()[1] != pair.corrupt.split()[1]
        assert (pair.clean, pair.answer, pair.foil) not in agree


def test_batches_pad_on_the_right_and_know_their_last_position(tokenizer):
    pairs = [
        Pair("The keys", "The key", " are", " is"),
        Pair("The keys to the cabinet", "The key to the cabinet", " are", " is"),
    ]
    batch = encode(pairs, tokenizer)
    assert batch.last.tolist() == [1, 4]
    assert batch.real.sum(dim=1).tolist() == [2, 5]
    assert batch[:1].clean.shape[1] == 2


GOOD = Pair("The keys", "The key", " are", " is")
BAD = {
    "clean has 2 tokens and corrupt 1": Pair("The keys", "The", " are", " is"),
    "the foil's tokens are the beginning of the answer's": Pair(
        "The keys", "The key", " is old", " is"
    ),
    "answer and foil are the same": Pair("The keys", "The key", " is", " is"),
    "clean has no tokens": Pair("", "", " is", " are"),
    "the answer has no tokens": Pair("The keys", "The key", "", " is"),
}


def test_pairs_that_do_not_fit_are_left_out_with_their_reason(tokenizer):
    chosen = fitting([*BAD.values(), GOOD], tokenizer)
    assert chosen.pairs == (GOOD,)
    for (pair, reason), (expected, bad) in zip(chosen.dropped, BAD.items(), strict=True):
        assert pair == bad
        assert expected in reason
    with pytest.raises(BadTask, match="None of 5 pairs fits"):
        fitting(list(BAD.values()), tokenizer)


@pytest.mark.parametrize("reason", BAD)
def test_encoding_names_the_pair_that_does_not_fit(tokenizer, reason):
    with pytest.raises(BadTask, match=f"Pair 1 .*{reason}"):
        encode([GOOD, BAD[reason]], tokenizer)
    with pytest.raises(BadTask, match="no pairs"):
        encode([], tokenizer)


def test_answer_and_foil_are_compared_where_they_part(tokenizer):
    """What they begin with alike goes to the end of both prompts."""
    batch = encode([Pair("The keys", "The key", " is old", " is the"), GOOD], tokenizer)
    is_, old, the = (tokenizer(f" {word}")["input_ids"][0] for word in ("is", "old", "the"))
    assert batch.answer[0].tolist() == [old]
    assert batch.foil[0].item() == the
    assert batch.last.tolist() == [2, 1]
    assert batch.clean[0, 2].item() == batch.corrupt[0, 2].item() == is_


def test_an_answer_of_several_tokens_stands_at_the_end_of_both_prompts(tokenizer):
    long = Pair("The keys", "The key", " are is the", " is")
    batch = encode([long, GOOD], tokenizer, metric="log_probability")
    are, is_, the = (tokenizer(f" {word}")["input_ids"][0] for word in ("are", "is", "the"))
    assert batch.answer.tolist() == [[are, is_, the], [IGNORED, IGNORED, are]]
    assert batch.last.tolist() == [3, 1]
    assert batch.positions[0].tolist() == [1, 2, 3]
    assert batch.clean[0, 2:].tolist() == batch.corrupt[0, 2:].tolist() == [are, is_]


# ---------------------------------------------------------------------- checkpoint and resume


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("circuit", {"rediscover": 3}),
        ("circuit", {"optimizer": "sgd", "edges_course": "linear", "edges_end": 5}),
        ("frozen-circuit", {}),
        ("circuit-and-random", {}),
        ("random", {"rediscover": 3}),
        ("full", {"warmup": 3, "rate_course": "cosine", "micro_batch": 4}),
        ("lora", {"objective": "weighted"}),
    ],
)
def test_a_resumed_run_ends_bit_identical_to_an_uninterrupted_one(
    tmp_path, monkeypatch, method, changes
):
    """Interrupted in the middle of the fourth step, where the order of batches wraps around."""
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)  # with each snapshot
    asked = config(method=method, batch_size=12, weight_decay=0.1, **changes)
    tune.tune(asked, tmp_path / "whole")
    usual = Tuning.gradients

    def stop(self, rows, units, micro):
        result = usual(self, rows, units, micro)
        if self.step == 3:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Tuning, "gradients", stop)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(asked, tmp_path / "parts")
    stopped = open_run("parts", tmp_path)
    assert stopped.status().state == "failed"
    assert stopped.status().message == "stopped from the keyboard"
    assert stopped.metrics()["step"].max() == 3
    assert latest_checkpoint(stopped.folder)[1] == 2
    monkeypatch.setattr(Tuning, "gradients", usual)
    calls = []
    grades = Tuning.test_grades
    monkeypatch.setattr(Tuning, "test_grades", lambda self: (calls.append(1), grades(self))[1])
    result = tune.tune(asked, tmp_path / "parts", resume=True)
    assert (result["state"], result["steps"]) == ("finished", 4)
    assert len(calls) == 1  # what the untuned model can do is known already
    assert_same(*(open_run(name, tmp_path) for name in ("whole", "parts")))


@pytest.mark.slow
def test_a_checkpoint_puts_a_fresh_run_into_the_very_same_state(tmp_path):
    for method in METHODS:
        run = tuning(method=method, rediscover=3)
        for event in run:
            if isinstance(event, StepRecord) and event.step == 3:
                break
        run.micro = 2
        file = save_checkpoint(run, tmp_path / method if (tmp_path / method).mkdir() else tmp_path)
        again = tuning(method=method, rediscover=3)
        load_checkpoint(again, file)
        assert (again.step, again.micro) == (3, 2)
        assert again.optimizer.state().keys() == run.optimizer.state().keys() != set()
        for state, other in (
            (again.optimizer.state(), run.optimizer.state()),
            (again.method.state(), run.method.state()),
            (again.batches.state(), run.batches.state()),
        ):
            assert all(torch.equal(value, other[key]) for key, value in state.items())
        whole, rest = [list(x) for x in (run, again)]
        assert [r.loss for r in records(whole)] == [r.loss for r in records(rest)]
        file.unlink()


def test_a_run_is_cancelled_after_the_step_that_it_is_at(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LOOK", 0.0)

    def stop(step: int, steps: int, message: str) -> None:
        if step == 1:
            open_run("r", tmp_path).cancel()

    assert tune.tune(config(), tmp_path / "r", progress=stop)["steps"] == 1
    assert [s.step for s in open_run("r", tmp_path).snapshots()] == [0]
    assert latest_checkpoint(tmp_path / "r")[1] == 1


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"attribution": "eap-ig"}, {"method": "full"}])
def test_a_resumed_run_is_the_same_also_where_memory_was_tight_in_between(
    tmp_path, monkeypatch, changes
):
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)
    asked = config(**{"attribution": "eap", "batch_size": 12, "examples": 12, **changes})
    tune.tune(asked, tmp_path / "whole")
    plans = []
    usual = attribute.plan
    monkeypatch.setattr(
        attribute, "plan", lambda *a, **k: plans.append(usual(*a, **k)) or plans[-1]
    )

    def stop(step: int, steps: int, message: str) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune.tune(asked, tmp_path / "parts", progress=stop)
    roomy, loaded, other = {str(plan) for plan in plans}, load("tiny"), load("tiny")
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000)
    tight = Tuning(other, asked)
    tight.discover(tight.dataset.score_pairs)
    assert str(plans[-1]) not in roomy  # it would be planned otherwise
    plans.clear()
    tune.tune(asked, tmp_path / "parts", loaded=loaded, resume=True)
    assert {str(plan) for plan in plans} <= roomy
    assert_same(*(open_run(name, tmp_path) for name in ("whole", "parts")))


@pytest.mark.slow
def test_a_run_without_a_checkpoint_starts_over(tmp_path):
    def stop(step: int, steps: int, message: str) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune.tune(config(), tmp_path / "r", progress=stop)
    assert latest_checkpoint(tmp_path / "r") is None
    result = tune.tune(config(), tmp_path / "r", resume=True)
    assert result["steps"] == 4
    assert list(open_run("r", tmp_path).metrics()["step"]) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_finished_runs_checkpoint_is_the_tuned_model(tmp_path):
    loaded = load("tiny")
    tune.tune(config(), tmp_path / "r", loaded=loaded)
    file, step = latest_checkpoint(tmp_path / "r")
    assert step == 4
    tensors = load_file(file)
    names = dict(loaded.model.named_parameters())
    assert set(tensors) == {f"model.{name}" for name in names}
    for name, parameter in names.items():
        assert torch.equal(tensors[f"model.{name}"], parameter)
    with pytest.raises(DamagedRun, match="nothing to resume"):
        load_checkpoint(tuning(), file)


def test_older_checkpoints_and_halves_of_killed_workers_are_cleared_away(tmp_path):
    run = tuning()
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "000001.part").write_bytes(b"half")
    run.step = 2
    save_checkpoint(run, tmp_path)
    run.step = 4
    save_checkpoint(run, tmp_path)
    assert [file.name for file in (tmp_path / "checkpoint").iterdir()] == ["000004.safetensors"]


def test_a_damaged_checkpoint_is_named(tmp_path):
    file = tmp_path / "000002.safetensors"
    file.write_bytes(b"cut off")
    with pytest.raises(DamagedRun, match=r"000002\.safetensors"):
        load_checkpoint(tuning(), file)


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    file = save_checkpoint(tuning(method="lora"), tmp_path)
    with pytest.raises(DamagedRun, match="does not fit the model"):
        load_checkpoint(tuning(), file)


def test_a_large_circuit_is_measured_by_its_backbone_too():
    loaded = load("tiny")
    loop = Tuning(loaded, config(edges=100, evaluate="quick"))
    first = next(event for event in loop if isinstance(event, Snapshot))
    # The fewest of its edges, strongest first, with half of its |score|, but at least 20.
    size = np.where(first.circuit, np.abs(first.scores), 0.0).astype(float)
    order = np.argsort(-size, axis=None, kind="stable")
    held, count = 0.0, 0
    while held < size.sum() / 2:
        held += size.ravel()[order[count]]
        count += 1
    count = max(20, count)
    assert count < 60
    bones = np.zeros(size.size, dtype=bool)
    bones[order[:count]] = True
    graph, pairs = loaded.anatomy.graph, loop.dataset.judged_pairs
    masks = (bones.reshape(size.shape), np.zeros_like(first.circuit), graph.exists)
    alone, empty, full = (
        metric_of_circuit(loaded.anatomy, pairs, Circuit(graph, mask)).mean() for mask in masks
    )
    expected = (alone - empty) / (full - empty)
    assert first.metrics["backbone_faithfulness"] == pytest.approx(expected, rel=1e-5)
    assert first.metrics["backbone_error"] > 0
    small = next(event for event in tuning() if isinstance(event, Snapshot))
    assert "backbone_faithfulness" not in small.metrics
