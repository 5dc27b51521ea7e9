"""The loop: what it yields, that it repeats, that it keeps its promise, and how it fails."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ctviz import work
from ctviz.checkpoint import latest_checkpoint, load_checkpoint
from ctviz.config import TuneConfig
from ctviz.errors import BadTask, DamagedRun, MissingModel, OutOfRange, UndefinedMetric, UnknownName
from ctviz.models.loading import load, pick_device
from ctviz.runs import open_run
from ctviz.snapshot import Snapshot, StepRecord
from ctviz.tasks import TASKS, Pair, find_task
from ctviz.tasks.batch import IGNORED, encode, fitting
from ctviz.tune import Tuning

SMALL = {"model": "tiny", "task": "sva-flip", "steps": 4, "edges": 30, "examples": 8}


@pytest.fixture(scope="module")
def tokenizer():
    return load("tiny").tokenizer


def run(**changes):
    config = TuneConfig(**{**SMALL, "batch_size": 8, "snapshot_every": 2, **changes})
    return list(Tuning(load("tiny"), config))


def test_snapshots_and_steps_come_in_order():
    events = run()
    assert [e.step for e in events if isinstance(e, Snapshot)] == [0, 2, 4]
    assert [e.step for e in events if isinstance(e, StepRecord)] == [1, 2, 3, 4]
    snapshots = [e for e in events if isinstance(e, Snapshot)]
    assert all(s.circuit.sum() == 30 for s in snapshots)
    assert not snapshots[0].tuned.any()
    assert snapshots[1].tuned.sum() == 30
    assert snapshots[0].metrics["retention_kl"] == 0.0
    assert snapshots[-1].metrics["retention_kl"] > 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_nothing_outside_the_circuit_moves(optimizer):
    records = [
        e
        for e in run(optimizer=optimizer, weight_decay=0.1, edges=6, steps=6)
        if isinstance(e, StepRecord)
    ]
    assert [r.outside_moved for r in records] == [0.0] * 6
    assert all(0 < r.trained_fraction < 0.9 for r in records)


def test_full_tuning_moves_everything_and_has_no_outside():
    records = [e for e in run(method="full") if isinstance(e, StepRecord)]
    assert all(r.trained_fraction == 1.0 for r in records)
    assert all(r.outside_moved is None for r in records)


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    one, same, other = (
        [e for e in run(seed=seed) if isinstance(e, Snapshot)][-1] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.scores, same.scores)
    assert one.metrics == same.metrics
    assert (one.scores != other.scores).any()


def test_tuning_turns_agreement_into_disagreement():
    snapshots = [
        e
        for e in run(steps=60, edges=40, batch_size=16, snapshot_every=0)
        if isinstance(e, Snapshot)
    ]
    assert snapshots[0].metrics["metric"] < -2
    assert snapshots[-1].metrics["metric"] > 1
    assert snapshots[0].metrics["faithfulness"] > 0.5
    assert abs(snapshots[0].metrics["random_faithfulness"]) < 0.2


def test_a_diverging_loss_stops_the_run_and_keeps_what_there_is(tmp_path, monkeypatch):
    usual = Tuning.loss
    calls = []

    def loss(self, batch):
        calls.append(1)
        return usual(self, batch) * (math.nan if len(calls) == 4 else 1)

    monkeypatch.setattr(Tuning, "loss", loss)
    config = TuneConfig(**SMALL, snapshot_every=1, batch_size=4)
    with pytest.raises(UndefinedMetric, match="step 4"):
        work.tune(config, tmp_path / "r")
    found = open_run("r", tmp_path)
    assert found.status().state == "failed"
    assert "step 4" in found.status().message
    assert [s.step for s in found.snapshots()] == [0, 1, 2, 3]
    assert "step 4" in (tmp_path / "r" / "log.txt").read_text()


def test_a_run_can_be_cancelled(tmp_path):
    def stop(step: int, steps: int, message: str) -> None:
        if step == 2:
            (tmp_path / "r" / "cancel").touch()

    config = TuneConfig(**SMALL, batch_size=4)
    result = work.tune(config, tmp_path / "r", progress=stop)
    assert result["state"] == "cancelled"
    assert open_run("r", tmp_path).status().state == "cancelled"
    assert result["steps"] < 4


def test_circuits_larger_than_the_graph_are_refused(tmp_path):
    with pytest.raises(OutOfRange, match="edges is 5,000, but must be from 1 to 479"):
        work.tune(TuneConfig(**{**SMALL, "edges": 5000}), tmp_path / "r")
    assert open_run("r", tmp_path).status().state == "failed"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"task": "sva-flop"}, UnknownName, "Did you mean 'sva-flip'"),
        ({"method": "lora"}, UnknownName, "circuit, full"),
        ({"steps": 0}, OutOfRange, "steps is 0, but must be from 1"),
        ({"learning_rate": -1.0}, OutOfRange, "learning_rate"),
        ({"learning_rate": math.nan}, OutOfRange, "learning_rate"),
        ({"snapshot_every": 9}, OutOfRange, "from 0 to 4"),
        ({"examples": 1}, OutOfRange, "examples"),
    ],
)
def test_bad_settings_are_explained_before_anything_is_loaded(changes, error, says):
    with pytest.raises(error, match=says):
        TuneConfig(**{**SMALL, **changes})


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
    assert len(set(dev)) == 100
    assert not set(dev) & set(train)
    assert len(encode(dev, tokenizer)) == 100
    assert fitting(dev, tokenizer).dropped == ()


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
    "the answer ' are is' has 2 tokens": Pair("The keys", "The key", " are is", " is"),
    "answer and foil are the same token": Pair("The keys", "The key", " is", " is"),
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


def test_an_answer_of_several_tokens_stands_at_the_end_of_both_prompts(tokenizer):
    long = Pair("The keys", "The key", " are is the", " is")
    batch = encode([long, GOOD], tokenizer, metric="log_probability")
    are, is_, the = (tokenizer(f" {word}")["input_ids"][0] for word in ("are", "is", "the"))
    assert batch.answer.tolist() == [[are, is_, the], [IGNORED, IGNORED, are]]
    assert batch.last.tolist() == [3, 1]
    assert batch.positions[0].tolist() == [1, 2, 3]
    assert batch.clean[0, 2:].tolist() == batch.corrupt[0, 2:].tolist() == [are, is_]


# ---------------------------------------------------------------------- checkpoint and resume


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_run_ends_bit_identical_to_an_uninterrupted_one(tmp_path, monkeypatch, optimizer):
    monkeypatch.setattr(work, "CHECKPOINT_SECONDS", 0.0)
    settings = {**SMALL, "steps": 8, "batch_size": 200, "optimizer": optimizer}
    config = TuneConfig(**settings, snapshot_every=2, weight_decay=0.1)
    work.tune(config, tmp_path / "whole")

    usual = Tuning.loss

    def fail(self, batch):
        if self.step == 5:
            raise KeyboardInterrupt
        return usual(self, batch)

    monkeypatch.setattr(Tuning, "loss", fail)
    with pytest.raises(KeyboardInterrupt):
        work.tune(config, tmp_path / "parts")
    stopped = open_run("parts", tmp_path)
    assert stopped.status().state == "failed"
    assert stopped.metrics()["step"].max() == 5
    assert latest_checkpoint(stopped.folder)[1] == 4
    monkeypatch.setattr(Tuning, "loss", usual)
    result = work.tune(config, tmp_path / "parts", resume=True)
    assert result["state"] == "finished"
    assert result["steps"] == 8

    whole, parts = (list(open_run(name, tmp_path).snapshots()) for name in ("whole", "parts"))
    assert [s.step for s in parts] == [s.step for s in whole] == [0, 2, 4, 6, 8]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        assert one.metrics == other.metrics
    files = [latest_checkpoint(tmp_path / name)[0] for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    steps = [open_run(name, tmp_path).metrics()["loss"].tolist()[1:] for name in ("whole", "parts")]
    assert steps[0] == steps[1]


def test_a_run_without_a_checkpoint_starts_over(tmp_path):
    config = TuneConfig(**SMALL, batch_size=4)

    def stop(step: int, steps: int, message: str) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.tune(config, tmp_path / "r", progress=stop)
    assert latest_checkpoint(tmp_path / "r") is None
    result = work.tune(config, tmp_path / "r", resume=True)
    assert result["steps"] == 4
    assert list(open_run("r", tmp_path).metrics()["step"]) == [0, 1, 2, 3, 4]


def test_a_finished_runs_checkpoint_is_the_tuned_model(tmp_path):
    config = TuneConfig(**SMALL, batch_size=4)
    loaded = load("tiny")
    work.tune(config, tmp_path / "r", loaded=loaded)
    file, step = latest_checkpoint(tmp_path / "r")
    assert step == 4
    tensors = load_file(file)
    names = dict(loaded.model.named_parameters())
    assert set(tensors) == {f"model.{name}" for name in names}
    for name, parameter in names.items():
        assert torch.equal(tensors[f"model.{name}"], parameter)
    with pytest.raises(DamagedRun, match="nothing to resume"):
        load_checkpoint(Tuning(load("tiny"), config), file)


def test_a_damaged_checkpoint_is_named(tmp_path):
    file = tmp_path / "000002.safetensors"
    file.write_bytes(b"cut off")
    with pytest.raises(DamagedRun, match=r"000002\.safetensors"):
        load_checkpoint(Tuning(load("tiny"), TuneConfig(**SMALL)), file)
