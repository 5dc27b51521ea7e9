"""Weights at snapshots: which are kept, that they are the model of that step, what goes wrong."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ctviz.cli import main
from ctviz.errors import DamagedRun, DiskFull, MissingModel, OutOfRange
from ctviz.files import write_json
from ctviz.inspection.probe import read_probe
from ctviz.interventions.faithfulness import metric_of_model
from ctviz.jobs import tune
from ctviz.jobs.study.conduct import conduct
from ctviz.jobs.study.plan import Arm, Study
from ctviz.models.loading import load
from ctviz.models.untuned import Untuned
from ctviz.runs import open_run
from ctviz.runs.weights import BUDGET, kept_steps, latest_checkpoint, steps_to_keep, weights_of
from ctviz.tuning.checkpoint import SnapshotWeights
from ctviz.tuning.dataset import make_dataset
from ctviz.tuning.stored_weights import model_at, put_in
from ctviz.tuning.tuned_model import export_model
from tests.short_runs import SHORT, config, shorten, tuning


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each kind that has kept all weights."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        for method in ("circuit", "full", "lora"):
            tune.tune(config(method=method, edges=6, learning_rate=3e-3), folder / method)
    return folder


def parameters(loaded) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in loaded.model.named_parameters()}


# ---------------------------------------------------------------------- which


@pytest.mark.parametrize(
    ("keep", "steps", "every", "kept"),
    [
        (0, 10, 2, []),
        (1, 10, 2, [10]),
        (2, 10, 2, [4, 10]),
        (3, 9, 1, [3, 6, 9]),
        (3, 10, 3, [3, 6, 10]),
        (50, 10, 3, [3, 6, 9, 10]),
        (-1, 10, 4, [4, 8, 10]),
    ],
)
def test_kept_steps_are_evenly_spread_and_end_with_the_last(keep, steps, every, kept):
    asked = config(keep_weights=keep, steps=steps, snapshot_every=every)
    assert steps_to_keep(asked, 1) == kept


def test_unasked_only_what_fits_is_kept():
    asked = config(steps=10, snapshot_every=1)
    assert steps_to_keep(asked, BUDGET // 2) == [5, 10]
    assert steps_to_keep(asked, BUDGET + 1) == []
    assert steps_to_keep(config(steps=10, snapshot_every=1, keep_weights=1), BUDGET + 1) == [10]


def test_the_setting_is_checked():
    for wrong in (-2, 10**6):
        with pytest.raises(OutOfRange, match="keep_weights is"):
            config(keep_weights=wrong)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_the_bound_on_the_size_holds(runs, method):
    whole = parameters(load("tiny"))
    parts = (".attn.", ".mlp.") if method != "full" else ("",)
    tuned = {name for name in whole if any(part in name for part in parts)}
    bound = sum(whole[name].numel() * 4 for name in tuned)
    for file in open_run(method, runs).weight_files():
        kept = load_file(file)
        assert set(kept) <= tuned
        assert sum(weight.numel() * 4 for weight in kept.values()) <= bound
    assert (tuned == set(whole)) == (method == "full")


# ---------------------------------------------------------------------- what


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_the_model_of_a_step_is_the_one_that_was_recorded(runs, method):
    run = open_run(method, runs)
    assert kept_steps(run) == [0, 2, 4]
    for snapshot in run.snapshots():
        loaded = model_at(run, snapshot.step)
        dataset = make_dataset(loaded, run.config)
        metric = metric_of_model(loaded.anatomy, dataset.dev_pairs).mean()
        assert metric == pytest.approx(snapshot.metrics["metric"], abs=1e-4)
        for pair, stored in zip(dataset.probe_pairs, snapshot.probes, strict=True):
            found = read_probe(loaded, pair)
            assert found.tokens == stored.tokens
            assert abs(found.attribution - stored.attribution)[:-1].max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_only_what_differs_is_stored_and_the_last_is_the_checkpoint(runs, method):
    run = open_run(method, runs)
    untuned = parameters(load("tiny"))
    for file in run.weight_files():
        kept = load_file(file)
        assert kept
        assert not any(torch.equal(weight, untuned[name]) for name, weight in kept.items())
        with safe_open(file, "pt") as opened:
            about = {key: json.loads(value) for key, value in opened.metadata().items()}
        assert about == {"step": int(file.stem), "model": "tiny", "revision": load("tiny").revision}
    checkpoint = load_file(latest_checkpoint(run.folder)[0])
    last = parameters(model_at(run, 4))
    assert all(torch.equal(weight, checkpoint[f"model.{name}"]) for name, weight in last.items())
    middle = parameters(model_at(run, 2))
    assert any(not torch.equal(middle[name], last[name]) for name in last)
    assert all(
        torch.equal(weight, untuned[n]) for n, weight in parameters(model_at(run, 0)).items()
    )


@pytest.mark.slow
def test_a_folder_of_weights_alone_will_do_and_so_will_the_checkpoint(runs, tmp_path):
    """As in the sample, which has no checkpoint, and in runs without kept weights."""
    shutil.copytree(runs / "circuit", tmp_path / "weights-only")
    shutil.rmtree(tmp_path / "weights-only" / "checkpoint")
    one = open_run("weights-only", tmp_path)
    shutil.copytree(runs / "circuit", tmp_path / "checkpoint-only")
    shutil.rmtree(tmp_path / "checkpoint-only" / "weights")
    other = open_run("checkpoint-only", tmp_path)
    assert kept_steps(one) == [0, 2, 4]
    assert kept_steps(other) == [0, 4]
    found, same = parameters(model_at(one, 4)), parameters(model_at(other, 4))
    assert all(torch.equal(weight, same[name]) for name, weight in found.items())
    with pytest.raises(MissingModel, match=r"no weights of step 2; it has those of step 0, 4\."):
        model_at(other, 2)


@pytest.mark.slow
def test_studies_and_runs_that_keep_no_model_keep_no_weights(tmp_path):
    tune.tune(config(), tmp_path / "r", keep_model=False)
    assert kept_steps(open_run("r", tmp_path)) == [0]
    assert not (tmp_path / "r" / "weights").exists()
    tune.tune(config(keep_weights=0), tmp_path / "none")
    assert kept_steps(open_run("none", tmp_path)) == [0, 4]
    assert weights_of(open_run("none", tmp_path), 4).parent.name == "checkpoint"
    settings = {key: value for key, value in SHORT.items() if key not in ("model", "task")}
    study = Study(
        model="tiny",
        task="sva-flip",
        arms=(Arm("full", "full"),),
        seeds=1,
        rates=(1e-3,),
        settings=settings,
    )
    conduct(study, tmp_path / "study")
    assert not list((tmp_path / "study").rglob("weights"))


# ---------------------------------------------------------------------- going on


def interrupted(tmp_path, monkeypatch, at: int, **changes):
    """A run that was stopped from the keyboard at a step."""
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)

    def stop(step, steps, message):
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune.tune(config(**changes), tmp_path / "r", progress=stop)
    return open_run("r", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "lora"])
def test_a_resumed_run_has_the_weights_of_a_whole_one(tmp_path, monkeypatch, method):
    settings = {"method": method, "snapshot_every": 1, "keep_weights": 4}
    run = interrupted(tmp_path, monkeypatch, 3, **settings)
    assert kept_steps(run) == [0, 1, 2]
    assert latest_checkpoint(run.folder)[1] == 2
    # as if it had ended between the checkpoint and the weights
    (run.folder / "weights" / "000002.safetensors").unlink()
    newer = run.folder / "weights" / "000004.safetensors"
    newer.write_bytes(b"of a step that is going to be done again")
    tune.tune(run.config, run.folder, resume=True)
    tune.tune(run.config, tmp_path / "whole")
    whole = open_run("whole", tmp_path)
    for kept in (1, 2, 3, 4):
        one, other = load_file(weights_of(run, kept)), load_file(weights_of(whole, kept))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_run_that_starts_over_starts_without_weights(tmp_path, monkeypatch):
    run = interrupted(tmp_path, monkeypatch, 4, snapshot_every=1)
    shutil.rmtree(run.folder / "checkpoint")
    assert run.weight_files()
    seen = []
    tune.tune(
        run.config,
        run.folder,
        resume=True,
        progress=lambda step, *_: seen.append((step, len(run.weight_files()))),
    )
    assert seen[0] == (0, 0)
    assert kept_steps(run) == [0, 1, 2, 3, 4]


def test_a_full_disk_is_explained_and_leaves_no_half_file(tmp_path, monkeypatch):
    def full(tensors, file, metadata=None):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    run = tuning()
    monkeypatch.setattr("ctviz.tuning.checkpoint.save_file", full)
    weights = SnapshotWeights(run, tmp_path, Untuned(run.loaded))
    run.step = 2
    with pytest.raises(DiskFull, match=r"weights/000002\.safetensors could not be written"):
        weights.keep()
    assert not list((tmp_path / "weights").iterdir())


# ---------------------------------------------------------------------- what does not fit


@pytest.mark.slow
def test_damaged_weights_and_another_model_are_named(runs, tmp_path):
    shutil.copytree(runs / "circuit", tmp_path / "r")
    run = open_run("r", tmp_path)
    file = weights_of(run, 2)
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    with pytest.raises(DamagedRun, match=r"000002\.safetensors cannot be read"):
        model_at(run, 2)
    about = run.about | {"model": run.about["model"] | {"revision": "sha256:0"}}
    write_json(tmp_path / "r" / "run.json", about)
    with pytest.raises(DamagedRun, match=r"tuned from tiny at sha256:0, but .* is now sha256:"):
        model_at(open_run("r", tmp_path), 0)


@pytest.mark.slow
def test_a_file_that_does_not_fit_changes_nothing(runs):
    loaded = load("induction")
    before = {name: weight.clone() for name, weight in parameters(loaded).items()}
    for file in (weights_of(open_run("full", runs), 2), latest_checkpoint(runs / "full")[0]):
        with pytest.raises(DamagedRun, match=r"does not fit the model: .* is missing or misshapen"):
            put_in(loaded, file)
    assert all(torch.equal(weight, before[n]) for n, weight in parameters(loaded).items())


def test_adapters_that_are_not_merged_are_no_weights(tmp_path, monkeypatch):
    run = interrupted(tmp_path, monkeypatch, 3, method="lora", keep_weights=0)
    file, step = latest_checkpoint(run.folder)
    assert kept_steps(run) == [0]
    with pytest.raises(MissingModel, match=f"no weights of step {step}"):
        model_at(run, step)
    with pytest.raises(DamagedRun, match="not merged yet"):
        put_in(load("tiny"), file)
    file.write_bytes(b"cut off")
    assert kept_steps(run) == [0]


@pytest.mark.slow
def test_an_older_run_without_the_setting_opens(runs, tmp_path):
    shutil.copytree(runs / "circuit", tmp_path / "r")
    about = json.loads((tmp_path / "r" / "run.json").read_text())
    del about["config"]["keep_weights"]
    write_json(tmp_path / "r" / "run.json", about)
    assert open_run("r", tmp_path).config.keep_weights == -1


@pytest.mark.slow
def test_the_command_keeps_as_many_as_asked(tmp_path, capsys):
    asked = ["--steps", "4", "--snapshot-every", "1", "--examples", "4", "--batch-size", "6"]
    asked += ["--edges", "6", "--keep-weights", "2", "--json", "--out", str(tmp_path)]
    assert main(["tune", *asked]) == 0
    run = open_run(json.loads(capsys.readouterr().out)["run"], tmp_path)
    assert kept_steps(run) == [0, 2, 4]
    export_model(run, tmp_path / "m")
    assert torch.equal(
        parameters(load(str(tmp_path / "m")))["transformer.h.0.mlp.c_fc.weight"],
        parameters(model_at(run, 4))["transformer.h.0.mlp.c_fc.weight"],
    )
