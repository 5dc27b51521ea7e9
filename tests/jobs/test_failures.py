"""What can go wrong in a run: it says so in one sentence, and what was written stays."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from ctviz.attribution.attribute import attribute
from ctviz.cli import main
from ctviz.errors import (
    BadTask,
    CtvizError,
    DiskFull,
    Diverged,
    EmptyCircuit,
    UndefinedMetric,
)
from ctviz.jobs import tune
from ctviz.models.memory import is_out_of_memory
from ctviz.runs import open_run
from ctviz.runs.weights import latest_checkpoint
from ctviz.tuning import loop, measure
from ctviz.tuning.checkpoint import save_checkpoint
from ctviz.tuning.loop import Tuning
from tests.short_runs import (
    config,
    notices,
    own_file,
    records,
    shorten,
    snapshots,
    told,
    tuning,
)

ON_THE_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")
ON_THE_CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)"
)
IN_CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


# ---------------------------------------------------------------------- numbers that diverge


def nan_loss(monkeypatch, at: int) -> None:
    usual = Tuning.gradients

    def gradients(self, rows, units, micro):
        loss = usual(self, rows, units, micro)
        return math.nan if self.step == at - 1 else loss

    monkeypatch.setattr(Tuning, "gradients", gradients)


def infinite_gradient(monkeypatch, at: int) -> None:
    usual = Tuning.gradients

    def gradients(self, rows, units, micro):
        loss = usual(self, rows, units, micro)
        if self.step == at - 1:
            owned = [part for unit in units for part in self.optimizer.units[unit].parts]
            self.optimizer.add({part: torch.full_like(part.view, math.inf) for part in owned})
        return loss

    monkeypatch.setattr(Tuning, "gradients", gradients)


def nan_discovery(monkeypatch, at: int) -> None:
    def scores(anatomy, pairs, **options):
        if len(pairs) == 6 and len(steps := seen) >= at - 1:  # a step's own batch
            raise UndefinedMetric(f"The metric of example 0 is nan after {len(steps)} steps.")
        seen.extend([1] * (len(pairs) == 6))
        return attribute(anatomy, pairs, **options)

    seen: list[int] = []
    monkeypatch.setattr(loop, "attribute", scores)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nan_loss, "The loss at step 4 is nan: it diverged"),
        (infinite_gradient, "The gradient at step 4 is inf: it diverged"),
        (nan_discovery, "The model diverged before step 4: The metric of example 0"),
    ],
)
def test_a_run_that_diverges_stops_there_and_keeps_its_last_good_weights(
    tmp_path, monkeypatch, capsys, break_it, says
):
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)  # with each snapshot
    whole = tune.tune(config(snapshot_every=1), tmp_path / "whole")
    break_it(monkeypatch, 4)
    with pytest.raises(Diverged, match=says):
        tune.tune(config(snapshot_every=1), tmp_path / "r")
    run = open_run("r", tmp_path)
    status = run.status()
    assert (status.state, status.step, status.diverged) == ("failed", 3, True)
    assert says in status.message
    assert "The last good weights are those of step 3, in 000003.safetensors" in status.message
    file, step = latest_checkpoint(run.folder)
    assert step == 3
    tensors = load_file(file)
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())
    assert [s.step for s in run.snapshots()] == [0, 1, 2, 3]
    done = open_run(whole["run"], tmp_path).metrics()
    assert run.metrics()["loss"].tolist()[1:] == done["loss"].tolist()[1:4]
    assert "step 4" in (run.folder / "log.txt").read_text()
    assert main(["show", "r", "--out", str(tmp_path)]) == 0
    assert says in capsys.readouterr().out


def test_without_a_checkpoint_that_is_said(tmp_path, monkeypatch):
    nan_loss(monkeypatch, 1)
    with pytest.raises(Diverged, match="The loss at step 1 is nan"):
        tune.tune(config(), tmp_path / "r")
    assert "There is no checkpoint" in open_run("r", tmp_path).status().message


def test_no_weight_moves_at_a_step_whose_gradient_is_infinite(monkeypatch):
    infinite_gradient(monkeypatch, 2)
    run = tuning(method="full", snapshot_every=4)
    events = iter(run)
    next(events)
    next(events)
    before = {n: p.detach().clone() for n, p in run.anatomy.model.named_parameters()}
    with pytest.raises(Diverged, match="step 2 is inf"):
        next(events)
    assert run.step == 1
    assert all(torch.equal(p, before[n]) for n, p in run.anatomy.model.named_parameters())
    assert all(p.grad is None for p in run.anatomy.model.parameters())


@pytest.mark.slow
def test_a_rate_that_destroys_the_model_says_at_which_step():
    """Nothing is made up here: SGD with a rate of 1 and without clipping."""
    run = tuning(
        method="full",
        optimizer="sgd",
        learning_rate=1.0,
        max_norm=0.0,
        steps=60,
        snapshot_every=60,
    )
    with pytest.raises(Diverged, match=r"at step \d+ is (inf|nan): it diverged"):
        list(run)
    assert 0 < run.step < 60
    assert all(bool(torch.isfinite(p).all()) for p in run.anatomy.model.parameters())


# ---------------------------------------------------------------------- nothing to work on


def test_a_threshold_above_every_score_is_explained_in_the_status(tmp_path):
    with pytest.raises(EmptyCircuit, match=r"the largest is .*Lower the threshold"):
        tune.tune(config(select="threshold", threshold=1e6), tmp_path / "r")
    status = open_run("r", tmp_path).status()
    assert status.state == "failed"
    assert "Lower the threshold" in status.message


def test_prompts_that_are_all_too_long_are_explained(tmp_path):
    rows = [{"prompt": f"{i} {'key ' * 80}to", "target": " the door"} for i in range(20)]
    task = own_file(tmp_path, rows)
    with pytest.raises(BadTask, match=r"None of \d+ train examples .* reads at most 64"):
        tune.tune(config(task=task, ablation="mean"), tmp_path / "r")
    assert "reads at most 64" in open_run("r", tmp_path).status().message


def test_some_that_are_too_long_are_left_out_and_counted(tmp_path):
    rows = [
        *told(30),
        *({"prompt": f"{i} {'key ' * 80}to", "target": " the door"} for i in range(20)),
    ]
    run = tuning(task=own_file(tmp_path, rows), ablation="mean", method="full")
    assert len(run.dataset.train) + len(run.dataset.left_out) <= 50
    assert len(run.dataset.left_out) > 5
    assert all("the model reads at most 64" in reason for reason in run.dataset.left_out)
    assert run.dataset.train.ids.shape[1] <= 64
    assert len(records(list(run))) == 4


def test_without_counterfactual_prompts_mean_ablation_is_recommended(tmp_path):
    task = own_file(tmp_path, told())
    with pytest.raises(BadTask, match=r"no counterfactual prompts.*--ablation mean"):
        tune.tune(config(task=task), tmp_path / "r")
    assert "--ablation mean" in open_run("r", tmp_path).status().message


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "circuit", "random"])
def test_prompts_with_targets_alone_can_be_tuned(tmp_path, method):
    task = own_file(tmp_path, told())
    changes = {"method": method, "task": task, "ablation": "mean", "learning_rate": 3e-3}
    result = tune.tune(config(**changes, steps=8, snapshot_every=8), tmp_path / "r")
    assert result["state"] == "finished"
    run = open_run("r", tmp_path)
    losses = run.metrics()["loss"].dropna()
    assert losses.iloc[-1] < losses.iloc[0]
    assert result["metric_after"] > result["metric_before"]  # log p(target)
    first, last = run.snapshots()
    assert first.probes == last.probes == ()
    assert first.circuit.sum() == 30


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize("error", [ON_THE_GPU, ON_THE_CPU, IN_CUBLAS, MemoryError()])
def test_running_out_of_memory_is_recognized(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


def fail_first(monkeypatch, where: str, times: int, error: BaseException, after: int = 0) -> list:
    """Raise the first times that something is done after ``after`` times; counts the calls."""
    calls: list[int] = []
    usual = Tuning.gradients if where == "gradients" else attribute

    def failing(*arguments, **options):
        calls.append(1)
        result = usual(*arguments, **options)  # what it leaves behind must not count
        if after < len(calls) <= after + times:
            raise type(error)(*error.args)  # a new one: else it would hold on to what it came from
        return result

    if where == "gradients":
        monkeypatch.setattr(Tuning, "gradients", failing)
    else:
        monkeypatch.setattr(loop, "attribute", failing)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "where", "error"),
    [
        ("circuit", "gradients", ON_THE_GPU),
        ("circuit", "attribute", ON_THE_CPU),
        ("full", "gradients", ON_THE_CPU),
        ("lora", "attribute", ON_THE_GPU),
    ],
)
def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    monkeypatch, method, where, error
):
    whole = list(tuning(method=method))
    # the first attribution is the snapshot's before the first step
    fail_first(monkeypatch, where, 2, error)
    again = tuning(method=method)
    again.first_scores = None  # those of the trial, which would save it
    found = list(again)
    assert [r.micro_batch for r in records(found)] == [1] * 4  # of 6: 3, then 1
    assert len(notices(found)) == 2
    assert all("Out of memory at step 1" in text for text in notices(found))
    assert "3 examples at a time" in notices(found)[0]
    assert [r.loss for r in records(found)] == pytest.approx(
        [r.loss for r in records(whole)], rel=1e-4
    )
    one, other = snapshots(whole)[-1], snapshots(found)[-1]
    assert abs(one.scores - other.scores).max() < 1e-3 * abs(one.scores).max()


def test_out_of_memory_midway_is_noticed_at_its_step(monkeypatch):
    fail_first(monkeypatch, "gradients", 1, ON_THE_GPU, after=2)
    run = list(tuning())
    kinds = [type(event).__name__[0] + str(getattr(event, "step", "")) for event in run]
    assert kinds == ["S0", "S1", "S2", "S2", "N", "S3", "S4", "S4"]
    assert [r.micro_batch for r in records(run)] == [6, 6, 3, 3]
    assert "step 3" in notices(run)[0]


def test_out_of_memory_in_the_last_snapshot_is_noticed_too(tmp_path, monkeypatch):
    # four steps, 2, 4; the trial has scored what the first snapshot shows
    fail_first(monkeypatch, "attribute", 1, ON_THE_GPU, after=5)
    run = list(tuning())
    assert type(run[-2]).__name__ == "Notice"
    assert snapshots(run)[-1] is run[-1]


def test_notices_are_in_the_status_and_the_log(tmp_path, monkeypatch):
    fail_first(monkeypatch, "gradients", 1, ON_THE_GPU)
    result = tune.tune(config(), tmp_path / "r")
    assert result["state"] == "finished"
    status = open_run("r", tmp_path).status()
    assert len(status.notices) == 1
    assert "Out of memory at step 1: 3 examples at a time" in status.notices[0]
    assert status.notices[0] in (tmp_path / "r" / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["gradients", "attribute"])
def test_out_of_memory_with_one_example_at_a_time_is_explained(tmp_path, monkeypatch, where):
    fail_first(monkeypatch, where, 99, ON_THE_CPU)
    with pytest.raises(CtvizError, match="does not suffice for one example at a time"):
        tune.tune(config(), tmp_path / "r")
    status = open_run("r", tmp_path).status()
    assert status.state == "failed"
    assert "The memory of cpu does not suffice" in status.message


def test_a_small_batch_that_does_not_fit_is_discovered_on_in_parts(monkeypatch):
    """Batches of one example, but more dev pairs than fit at a time."""

    def scores(anatomy, pairs, *, micro_batch, **options):
        if len(pairs) > 1 and micro_batch != 1:
            raise ON_THE_GPU
        return attribute(anatomy, pairs, micro_batch=micro_batch, **options)

    monkeypatch.setattr(loop, "attribute", scores)
    assert len(records(list(tuning(batch_size=1)))) == 4


@pytest.mark.slow
@pytest.mark.parametrize("where", ["grade", "metric_of_model", "Evaluation"])
def test_out_of_memory_elsewhere_is_explained_and_not_a_crash(tmp_path, monkeypatch, where):
    def failing(*arguments, **options):
        raise ON_THE_GPU

    monkeypatch.setattr(measure, where, failing)
    with pytest.raises(CtvizError, match=r"The memory does not suffice.*CUDA out of memory"):
        tune.tune(config(), tmp_path / "r")
    message = open_run("r", tmp_path).status().message
    assert message.startswith("The memory does not suffice (after step 0): CUDA out of memory.")
    assert "Traceback" not in (tmp_path / "r" / "log.txt").read_text()


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    fail_first(monkeypatch, "gradients", 1, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(tuning())


# ---------------------------------------------------------------------- disk

LIMITED = """
import resource, signal, sys
import pytest
from ctviz.jobs import tune
from ctviz.cli import main
from tests.short_runs import shorten
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
shorten(pytest.MonkeyPatch())
tune.CHECKPOINT_SHARE = 1e12
usual = tune.Tuning
def limited(*given, **named):  # once everything is loaded
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
    return usual(*given, **named)
tune.Tuning = limited
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "what", "kept"),
    [(8_000, "snapshots/000000.safetensors", []), (1_000_000, "checkpoint/000002", [0, 2])],
)
def test_a_full_disk_is_one_clear_line_and_the_run_stays_readable(
    tmp_path, capsys, limit, what, kept
):
    arguments = ["tune", "--steps", "4", "--snapshot-every", "2", "--examples", "4"]
    arguments += ["--batch-size", "6", "--edges", "30", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    said = [line for line in lines if line.startswith("ctviz: ")]
    assert said == lines[-1:]  # before it there is how far it was
    assert what in said[0]
    assert "could not be written" in said[0]
    assert "Make room on the disk" in said[0]
    run = next(folder for folder in tmp_path.iterdir() if folder.is_dir())
    assert not list(run.rglob("*.part"))
    assert main(["runs", "--out", str(tmp_path)]) == 0
    assert run.name in capsys.readouterr().out
    assert main(["show", run.name, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "failed" in shown
    assert what in shown
    assert [s.step for s in open_run(run.name, tmp_path).snapshots()] == kept


@pytest.mark.slow
def test_a_run_goes_on_when_the_disk_has_room_again(tmp_path, monkeypatch):
    """An older checkpoint stays until the newer one is whole."""
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)
    tune.tune(config(), tmp_path / "whole")
    calls = []

    def full(tuning, folder, **options):
        calls.append(1)
        if len(calls) == 2:
            raise DiskFull("checkpoint/000004.safetensors could not be written")
        return save_checkpoint(tuning, folder, **options)

    monkeypatch.setattr(tune, "save_checkpoint", full)
    with pytest.raises(DiskFull):
        tune.tune(config(), tmp_path / "parts")
    assert latest_checkpoint(tmp_path / "parts")[1] == 2
    assert tune.tune(config(), tmp_path / "parts", resume=True)["state"] == "finished"
    files = [latest_checkpoint(tmp_path / name)[0] for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_log_that_cannot_be_written_costs_lines_and_not_the_run(tmp_path, capsys):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "log.txt").symlink_to("/dev/full")
    tune.log.setLevel("INFO")
    try:
        result = tune.tune(config(steps=1, snapshot_every=1), tmp_path / "r")
    finally:
        tune.log.setLevel("NOTSET")
    assert result["state"] == "finished"
    assert "Traceback" not in capsys.readouterr().err


def test_a_log_that_cannot_be_opened_is_explained(tmp_path):
    (tmp_path / "r" / "log.txt").mkdir(parents=True)
    with pytest.raises(DiskFull, match=r"log\.txt could not be written"):
        tune.tune(config(), tmp_path / "r")
