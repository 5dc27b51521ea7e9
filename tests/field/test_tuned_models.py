"""A model that was tuned is never taken for the untuned one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import ctviz
from ctviz.errors import CtvizError, Diverged
from ctviz.jobs import tune
from ctviz.models.loading import load
from ctviz.runs import open_run
from ctviz.tuning.stored_weights import model_at
from ctviz.tuning.tuned_model import export_model
from tests.field.models import TINY, llama, measured, metric_of
from tests.short_runs import config, shorten


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


def is_plain(model: torch.nn.Module) -> bool:
    """Whether a model has the modules, the gradients and the freedom that it was loaded with."""
    fresh = dict(AutoModelForCausalLM.from_pretrained(TINY).named_parameters())
    here = dict(model.named_parameters())
    return fresh.keys() == here.keys() and all(
        parameter.requires_grad and parameter.grad is None for parameter in here.values()
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_a_tuned_model_says_what_it_is(tmp_path, method):
    loaded = load("tiny")
    untuned, before = loaded.revision, measured(loaded)
    tune.tune(config(method=method, learning_rate=3e-3), tmp_path / "first", loaded=loaded)
    run = open_run("first", tmp_path)
    assert run.about["model"]["revision"] == untuned
    assert loaded.changed
    assert loaded.revision.startswith("memory:")
    assert loaded.origin == untuned
    assert is_plain(loaded.model)

    export_model(run, tmp_path / "tuned")  # what it is now, by transformers alone
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned")
    words = AutoTokenizer.from_pretrained(tmp_path / "tuned")
    assert measured(loaded) == pytest.approx(metric_of(tuned, words), abs=1e-4)
    assert abs(measured(loaded) - before) > 0.01
    found = ctviz.discover(loaded, "sva", edges=5, examples=4)
    assert found.about["revision"] == loaded.revision

    # another run cannot be told that this is tiny; of the exported folder it can be made
    with pytest.raises(CtvizError, match=f"no longer {untuned}.*ctviz export"):
        tune.tune(config(), tmp_path / "second", loaded=loaded)
    assert not (tmp_path / "second").exists()
    with pytest.raises(CtvizError, match=f"no longer {untuned}"):
        ctviz.tune(loaded, "sva-flip", out=tmp_path / "runs")
    again = config(model=str(tmp_path / "tuned"), steps=1, snapshot_every=1)
    tune.tune(again, tmp_path / "third", loaded=load(tmp_path / "tuned"))
    third = open_run("third", tmp_path)
    assert third.about["model"]["revision"] != untuned
    last = run.metrics().dropna(subset=["metric"]).iloc[-1]["metric"]
    first = third.metrics().dropna(subset=["metric"]).iloc[0]["metric"]
    assert first == pytest.approx(last, abs=1e-3)


@pytest.mark.parametrize("method", ["circuit", "lora"])
def test_a_run_that_fails_gives_the_model_back_as_it_is(tmp_path, monkeypatch, method):
    def stop(step: int, steps: int, message: str) -> None:
        if step == 1:
            raise KeyboardInterrupt

    loaded = load("tiny")
    untuned = loaded.revision
    asked = config(method=method, learning_rate=3e-3, snapshot_every=4)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(asked, tmp_path / "r", loaded=loaded, progress=stop)
    assert is_plain(loaded.model)
    assert loaded.revision not in (untuned, load("tiny").revision)
    # the run goes on from its own files, not from what is in memory
    with pytest.raises(CtvizError, match="no longer"):
        tune.tune(asked, tmp_path / "r", loaded=loaded, resume=True)


def test_a_run_that_fails_before_it_moves_anything(tmp_path, monkeypatch):
    loaded = load("tiny")
    loaded.model.lm_head.weight.requires_grad_(False)
    asked = [p.requires_grad for p in loaded.model.parameters()]

    def diverge(*arguments: Any, **options: Any) -> float:
        raise Diverged("The loss at step 1 is nan: it diverged.")

    monkeypatch.setattr("ctviz.tuning.loop.Tuning.gradients", diverge)
    with pytest.raises(Diverged):
        tune.tune(config(), tmp_path / "r", loaded=loaded)
    assert [p.requires_grad for p in loaded.model.parameters()] == asked
    assert not loaded.changed
    assert loaded.revision == load("tiny").revision


def test_weights_that_a_user_has_changed(tmp_path):
    loaded = load("tiny")
    with torch.no_grad():
        loaded.model.transformer.h[1].attn.c_proj.weight[5, 7] += 1e-3
    found = ctviz.discover(loaded, "sva", edges=5, examples=4)
    assert found.about["revision"].startswith("memory:")
    with pytest.raises(CtvizError, match="have changed since they were loaded"):
        ctviz.tune(loaded, "sva-flip", out=tmp_path)


def test_swapped_rows_are_a_change():
    loaded = load("tiny")
    weight = loaded.model.transformer.wte.weight
    with torch.no_grad():
        weight[[3, 4]] = weight[[4, 3]].clone()
    assert loaded.changed


def test_what_does_not_change_weights_is_no_change():
    loaded = load("tiny")
    loaded.model.train()
    loaded.model.requires_grad_(False)
    measured(loaded)
    ctviz.discover(loaded, "sva", edges=5, examples=4)
    assert not loaded.changed
    assert loaded.stored


def test_a_run_is_given_the_model_that_it_names(tmp_path):
    other = load(llama(tmp_path / "llama"))
    with pytest.raises(CtvizError, match=r"one of tiny, but the model .* is .*llama"):
        tune.tune(config(), tmp_path / "r", loaded=other)


@pytest.mark.slow
def test_a_step_of_a_run_says_that_it_is_not_the_untuned_model(tmp_path):
    tune.tune(config(learning_rate=3e-3, keep_weights=2), tmp_path / "r")
    run = open_run("r", tmp_path)
    assert model_at(run, 0).revision == load("tiny").revision
    assert model_at(run, 4).revision.startswith("memory:")
