"""A job that is cancelled, in whatever phase, ends there and goes on to the very same result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ctviz import progress
from ctviz.jobs import tune
from ctviz.jobs.discovery import Search, discover
from ctviz.jobs.study.conduct import conduct
from ctviz.jobs.study.plan import Arm, Study
from ctviz.models.loading import load
from ctviz.progress import Cancelled, Progress
from ctviz.runs import open_run
from ctviz.runs.weights import latest_checkpoint
from tests import ROOT
from tests.same_runs import assert_same
from tests.short_runs import config, shorten


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)
    monkeypatch.setattr(progress, "LOOK", 0.0)  # every tick is a look, and told
    monkeypatch.setattr(progress, "TELL", 0.0)


class Stop:
    """Counts the ticks of each phase, and cancels at one of them."""

    def __init__(self, name: str = "none", tick: int = 0) -> None:
        self.name, self.tick, self.seen, self.now = name, tick, Counter[str](), ""

    def tell(self, job: Progress) -> None:
        self.now = job.phase.name if job.phase else ""
        self.seen[self.now] += 1

    def cancelled(self) -> bool:
        return self.now == self.name and self.seen[self.now] > self.tick

    @property
    def listening(self) -> Progress:
        return Progress(self.tell, cancelled=self.cancelled)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody cancels, and its ticks in each phase."""
    folder, stop = tmp_path_factory.mktemp("whole") / "r", Stop()
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        patch.setattr(progress, "TELL", 0.0)
        with stop.listening:
            tune.tune(config(), folder)
    return open_run(str(folder)), stop.seen


PHASES = ("load", "baseline", "discovery", "steps", "snapshots", "final evaluation")


def test_a_run_has_these_phases(whole):
    assert set(PHASES) == set(whole[1]) - {""}
    assert min(whole[1][name] for name in PHASES) > 10


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("name", PHASES)
def test_a_run_that_is_cancelled_inside_a_phase_goes_on_to_the_same_end(whole, tmp_path, name, at):
    stop = Stop(name, int(at * whole[1][name]))
    with stop.listening:
        result = tune.tune(config(), tmp_path / "r")
    run = open_run("r", tmp_path)
    status = run.status()
    assert (result["state"], status.state) == ("cancelled", "cancelled")
    assert status.message == f"at step {status.step}, during {name}"
    assert result["steps"] == status.step == run.metrics()["step"].max() if status.step else True
    if status.step:
        assert latest_checkpoint(run.folder)[1] == status.step
    run.announce()
    assert tune.tune(config(), run.folder, resume=True)["state"] == "finished"
    assert_same(whole[0], open_run("r", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"method": "lora"}, {"method": "full"}, {"micro_batch": 2}])
def test_so_it_does_with_other_methods_and_between_micro_batches(tmp_path, changes):
    stop = Stop()
    with stop.listening:
        tune.tune(config(**changes), tmp_path / "whole")
    for name in ("steps", "snapshots"):
        with Stop(name, stop.seen[name] // 2).listening:
            assert tune.tune(config(**changes), tmp_path / name)["state"] == "cancelled"
        open_run(name, tmp_path).announce()
        tune.tune(config(**changes), tmp_path / name, resume=True)
        assert_same(open_run("whole", tmp_path), open_run(name, tmp_path))


@pytest.mark.slow
def test_a_run_can_be_cancelled_again_and_again(whole, tmp_path):
    with Stop("snapshots", 3).listening:
        tune.tune(config(), tmp_path / "r")
    run = open_run("r", tmp_path)
    for name in ("load", "baseline", "snapshots", "steps", "final evaluation"):
        run.announce()
        with Stop(name, 2).listening:
            assert tune.tune(config(), run.folder, resume=True)["state"] == "cancelled"
    run.announce()
    tune.tune(config(), run.folder, resume=True)
    assert_same(whole[0], open_run("r", tmp_path))


def test_the_file_that_a_page_writes_cancels(tmp_path):
    def stop(step: int, steps: int, message: str) -> None:
        open_run("r", tmp_path).cancel()

    assert tune.tune(config(), tmp_path / "r", progress=stop)["state"] == "cancelled"
    assert open_run("r", tmp_path).status().step == 0


def test_a_model_that_was_given_is_given_back_as_it_was_lent(tmp_path):
    loaded = load("tiny")
    asked = [p.requires_grad for p in loaded.model.parameters()]
    with Stop("steps", 20).listening:
        tune.tune(config(), tmp_path / "r", loaded=loaded)
    assert [p.requires_grad for p in loaded.model.parameters()] == asked
    assert all(p.grad is None for p in loaded.model.parameters())
    assert not any(m._forward_pre_hooks for m in loaded.model.modules())


@pytest.mark.parametrize("name", ["discovery", "evaluation"])
def test_a_discovery_is_cancelled_in_both_of_its_phases(tmp_path, name):
    with Stop(name, 5).listening, pytest.raises(Cancelled):
        discover(load("tiny"), Search(task="sva", examples=4), tmp_path)
    assert (tmp_path / "scores.safetensors").exists() == (name == "evaluation")


@pytest.mark.slow
def test_a_study_ends_with_the_run_that_is_cancelled_and_goes_on_with_it(tmp_path):
    settings = {key: config().to_dict()[key] for key in ("steps", "edges", "examples")}
    study = Study(
        model="tiny",
        task="sva-flip",
        arms=(Arm("full", "full"),),
        seeds=1,
        rates=(1e-4,),
        settings=settings,
    )
    with Stop("steps", 20).listening, pytest.raises(Cancelled):
        conduct(study, tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    assert open_run(str(run)).status().state == "cancelled"
    conduct(study, tmp_path)
    assert open_run(str(run)).status().state == "finished"


@pytest.mark.slow
def test_control_c_cancels_a_run_of_the_command(tmp_path):
    command = [sys.executable, "-m", "ctviz.cli", "tune", "--steps", "5000", "--edges", "20"]
    job = subprocess.Popen(
        [*command, "--out", str(tmp_path), "--json", "--set=other_tasks="],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_steps(tmp_path, job)
    job.send_signal(signal.SIGINT)
    out, errors = job.communicate(timeout=60)
    assert job.returncode == 130
    result = json.loads(out)
    assert result["state"] == "cancelled"
    assert "stopping, so that nothing is lost" in errors
    assert latest_checkpoint(Path(result["folder"]))[1] == result["steps"] > 0


def until_steps(parent: Path, job: subprocess.Popen[str]) -> None:
    """Wait until the only run is past its first steps."""
    while job.poll() is None:
        for folder in parent.glob("*/status.json"):
            if json.loads(folder.read_text())["step"] >= 3:
                return
        time.sleep(0.1)
