"""A training is recorded while it runs, and goes as it would without."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

import ctviz
from ctviz.api.recorder import Recorder
from ctviz.errors import CtvizError, UnknownName, UnsupportedModel
from ctviz.jobs.record import record
from ctviz.models.loading import load
from ctviz.runs import RunWriter, open_run
from ctviz.runs.series import of_checkpoints
from ctviz.series.replica import Replica, unwrapped
from ctviz.tasks import find_task
from tests.short_series import BRIEF, config

STEPS = 6


def rows() -> list[dict[str, list[int]]]:
    """Sentences to train on, all of one length."""
    loaded = load("tiny")
    texts = (e.prompt + e.target for e in find_task("sva-flip").examples(64, split="train", seed=0))
    ids = [loaded.tokenizer(text)["input_ids"] for text in texts]
    length = max(set(map(len, ids)), key=list(map(len, ids)).count)
    return [{"input_ids": each, "labels": each} for each in ids if len(each) == length]


def dropping(p: float = 0.1) -> Any:
    """The bundled model, with dropout, in training mode."""
    model = load("tiny").model
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = p
    return model.train()


def trained(out: Path, *callbacks: Any, save: int = 0) -> Any:
    """The weights that a Trainer comes to, and what was drawn after it."""
    model = dropping()
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=STEPS,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        logging_steps=2,
        save_strategy="steps" if save else "no",
        save_steps=save or 500,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=3,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows(),
        processing_class=load("tiny").tokenizer,
        callbacks=list(callbacks),
    )
    trainer.train()
    drawn = (torch.rand(3).tolist(), random.random(), float(np.random.rand()), model.training)
    return {name: p.detach().clone() for name, p in model.named_parameters()}, drawn


def recorder(out: Path, **changes: Any) -> Recorder:
    return ctviz.Recorder("sva-flip", **{"every": 2, "out": out, **BRIEF, **changes})


@pytest.mark.slow
def test_a_trainer_goes_bit_for_bit_as_without_and_its_checkpoints_say_the_same(tmp_path: Path):
    alone, drawn = trained(tmp_path / "alone")
    watching = recorder(tmp_path / "runs")
    weights, drawn_too = trained(tmp_path / "out", watching, save=2)
    assert all(torch.equal(weight, alone[name]) for name, weight in weights.items())
    assert drawn_too == drawn
    run = watching.run
    live = {snapshot.step: snapshot for snapshot in run.snapshots()}
    assert list(live) == [0, 2, 4, 6]
    assert run.status().state == "finished"
    assert run.about["after"]["accuracy"] >= 0
    losses = run.metrics().set_index("step")["loss"].dropna()
    assert list(losses.index) == [2, 4, 6]
    assert 0 < watching.share < 1
    assert run.about["recorder"]["share"] > 0
    record(of_checkpoints(str(tmp_path / "out"), base="tiny"), config(), tmp_path / "series")
    for snapshot in open_run("series", tmp_path).snapshots():
        assert np.allclose(snapshot.scores, live[snapshot.step].scores, atol=1e-6)


def test_a_loop_of_ones_own_is_recorded_and_not_touched(tmp_path: Path):
    def train(watch: Recorder | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = dropping()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        ids = torch.tensor([row["input_ids"] for row in rows()[:4]])
        for step in range(1, 5):
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            if watch:
                watch.snapshot(model, step, loss=float(loss.detach()))
            optimizer.step()
            optimizer.zero_grad()
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    alone = train(None)
    with recorder(tmp_path, tokenizer=load("tiny").tokenizer, every=2) as watching:
        weights = train(watching)
    assert all(torch.equal(weight, alone[name]) for name, weight in weights.items())
    run = watching.run
    assert [snapshot.step for snapshot in run.snapshots()] == [1, 2, 4]
    assert run.status().state == "finished"
    assert list(run.metrics()["loss"].dropna().index + 1) == [2, 3, 4]


def test_a_training_that_fails_leaves_its_recording(tmp_path: Path):
    watching = recorder(tmp_path, tokenizer=load("tiny").tokenizer)

    def train() -> None:
        with watching:
            watching.snapshot(dropping(), 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    status = watching.run.status()
    assert status.state == "failed"
    assert status.message == "the training ended with ZeroDivisionError"


def test_a_recording_that_fails_is_a_notice_and_no_end(tmp_path: Path, monkeypatch, caplog):
    model, watching = dropping(), recorder(tmp_path, tokenizer=load("tiny").tokenizer)
    assert watching.snapshot(model, 2)

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    usual = RunWriter.snapshot
    monkeypatch.setattr(RunWriter, "snapshot", full)
    assert watching.snapshot(model, 4)
    monkeypatch.setattr(RunWriter, "snapshot", usual)
    assert watching.snapshot(model, 6)
    watching.close()
    run = watching.run
    assert [snapshot.step for snapshot in run.snapshots()] == [2, 6]
    assert "No space left on device" in run.status().notices[0]
    assert "No space left" in caplog.text
    assert model.training


def test_a_model_that_cannot_be_recorded_is_said_once(tmp_path: Path, caplog):
    watching = recorder(tmp_path, tokenizer=load("tiny").tokenizer)
    for step in (2, 4):
        watching.snapshot(nn.Linear(2, 2), step)
    assert caplog.text.count("must be a causal language model") == 1
    watching.close()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"task": "svaa"}, UnknownName, "Did you mean 'sva'"),
        ({"edgess": 3}, UnknownName, "Did you mean 'edges'"),
        ({"every": 0}, CtvizError, "must be 1 step or more"),
    ],
)
def test_a_wrong_setting_is_said_before_the_training(tmp_path: Path, changes, error, says):
    task = changes.pop("task", "sva")
    with pytest.raises(error, match=says):
        ctviz.Recorder(task, out=tmp_path, **changes)


# ---------------------------------------------------------------------- the copy


class Wrapped(nn.Module):
    """As DDP and accelerate do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of torch.compile
def test_what_wraps_a_model_is_taken_off():
    model = load("tiny").model
    assert unwrapped(Wrapped(Wrapped(model))) is model
    compiled = torch.compile(model)
    assert unwrapped(Wrapped(compiled)) is model
    copy = Replica(Wrapped(compiled)).model
    for name, parameter in copy.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, of a name in transformers
def test_adapters_are_merged_into_the_copy_alone():
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    inner = load("tiny").model
    lora = peft.LoraConfig(r=2, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    model = peft.get_peft_model(inner, lora).train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ids = torch.arange(8)[None]
    with torch.no_grad():
        copy = Replica(model)
        wanted = model.eval()(input_ids=ids).logits
        assert torch.allclose(copy.model(input_ids=ids).logits, wanted, atol=1e-4)
        plain = load("tiny").model(input_ids=ids).logits
        assert not torch.allclose(plain, wanted, atol=1e-2)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])


def test_parameters_that_are_not_whole_here_are_refused():
    model = load("tiny").model
    copy = Replica(model)
    model.transformer.wpe.weight = nn.Parameter(torch.zeros(0))
    with pytest.raises(UnsupportedModel, match=r"wpe\.weight is \(0,\) in this process"):
        copy.update(model)
