"""The tuned model of a run, as transformers loads it."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ctviz.cli import main
from ctviz.errors import DamagedRun, DiskFull, RunExists
from ctviz.files import write_json
from ctviz.jobs import tune
from ctviz.models.loading import load
from ctviz.runs import open_run
from ctviz.runs.weights import latest_checkpoint, weights_of
from ctviz.tuning.lora import is_adapter
from ctviz.tuning.tuned_model import CHANGED, export_model
from tests.short_runs import config, shorten

PROMPTS = ("The keys to the cabinet", "When Anna and Tom went home, Tom gave the ring to")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of each kind, with the model as it was in memory at its end."""
    folder = tmp_path_factory.mktemp("runs")
    models = {}
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        for method in ("circuit", "full", "lora"):
            models[method] = load("tiny")
            asked = config(method=method, edges=6, learning_rate=3e-3)
            tune.tune(asked, folder / method, loaded=models[method])
    return folder, models


def logits(model, tokenizer) -> torch.Tensor:
    with torch.no_grad():
        ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in PROMPTS]
        return torch.cat([model(one).logits[0] for one in ids])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_transformers_loads_the_tuned_model(finished, tmp_path, method):
    runs, models = finished
    loaded = models[method]
    result = export_model(open_run(method, runs), tmp_path / "m")
    assert result == {
        "run": method,
        "step": 4,
        "folder": str(tmp_path / "m"),
        "changed": result["changed"],
    }
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    found, tuned = logits(model, tokenizer), logits(loaded.model, loaded.tokenizer)
    if method == "lora":  # here still two factors beside the weight, there one sum
        torch.testing.assert_close(found, tuned, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(found, tuned)
    untuned = logits(load("tiny").model, loaded.tokenizer)
    assert (found - untuned).abs().max() > 0.1
    assert not any(is_adapter(name) or "base_layer" in name for name in model.state_dict())
    assert loaded.anatomy.blocks  # the folder is one that ctviz itself opens
    assert load(str(tmp_path / "m")).anatomy.graph.n_edges == 479


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_what_changed_is_what_makes_the_untuned_model_the_tuned_one(finished, tmp_path, method):
    runs, _ = finished
    result = export_model(open_run(method, runs), tmp_path / "m", changed_only=True)
    assert sorted(f.name for f in (tmp_path / "m").iterdir()) == ["changed.json", CHANGED]
    changed = load_file(tmp_path / "m" / CHANGED)
    kept = load_file(latest_checkpoint(runs / method)[0])
    loaded = load("tiny")
    parameters = dict(loaded.model.named_parameters())
    differ = {n for n, p in parameters.items() if not torch.equal(p, kept[f"model.{n}"])}
    assert set(changed) == differ
    assert 0 < len(changed) == result["changed"] <= len(parameters)
    assert (len(changed) == len(parameters)) == (method == "full")
    with torch.no_grad():
        for name, value in changed.items():
            parameters[name].copy_(value)
    assert all(torch.equal(p, kept[f"model.{n}"]) for n, p in parameters.items())
    about = json.loads((tmp_path / "m" / "changed.json").read_text())
    assert about["tensors"] == [n for n in parameters if n in differ]
    assert about["model"]["name"] == "tiny"
    assert about["model"]["revision"] == loaded.origin
    assert (about["run"], about["step"]) == (method, 4)


@pytest.mark.slow
def test_an_interrupted_run_gives_its_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)

    def stop(step, steps, message):
        if step == 3:
            raise KeyboardInterrupt

    for method in ("circuit", "lora"):
        with pytest.raises(KeyboardInterrupt):
            tune.tune(config(method=method), tmp_path / method, progress=stop)
    result = export_model(open_run("circuit", tmp_path), tmp_path / "m")
    assert result["step"] == 2
    assert load(str(tmp_path / "m")).anatomy.graph.n_edges == 479
    # LoRA's adapters are merged at each snapshot that keeps its weights
    assert export_model(open_run("lora", tmp_path), tmp_path / "other")["step"] == 2


def test_adapters_that_are_not_merged_are_not_a_model(tmp_path):
    def stop(step, steps, message):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune.tune(config(method="lora", keep_weights=0), tmp_path / "r", progress=stop)
    with pytest.raises(DamagedRun, match=r"not merged yet.*resume it first"):
        export_model(open_run("r", tmp_path), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_run_without_weights_says_so(tmp_path):
    tune.tune(config(steps=1, snapshot_every=1), tmp_path / "r", keep_model=False)
    with pytest.raises(DamagedRun, match="r has kept no weights"):
        export_model(open_run("r", tmp_path), tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("changed_only", [False, True])
def test_all_its_files_can_be_read_by_the_same_people(finished, tmp_path, changed_only):
    run = open_run("circuit", finished[0])
    export_model(run, tmp_path / "m", changed_only=changed_only)
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    assert {file.stat().st_mode for file in (tmp_path / "m").iterdir()} == {usual}


@pytest.mark.slow
def test_nothing_is_overwritten(finished, tmp_path):
    run = open_run("circuit", finished[0])
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine").write_text("kept")
    for changed_only in (False, True):
        with pytest.raises(RunExists, match="not an empty folder"):
            export_model(run, tmp_path / "m", changed_only=changed_only)
    assert [f.name for f in (tmp_path / "m").iterdir()] == ["mine"]
    with pytest.raises(RunExists, match="not an empty folder"):
        export_model(run, tmp_path / "m" / "mine")
    (tmp_path / "empty").mkdir()
    assert export_model(run, tmp_path / "empty")["step"] == 4


@pytest.mark.slow
def test_damaged_weights_and_another_model_are_named(finished, tmp_path):
    shutil.copytree(finished[0] / "circuit", tmp_path / "r")
    file = weights_of(open_run("r", tmp_path), 4)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DamagedRun, match=r"000004\.safetensors cannot be read"):
        export_model(open_run("r", tmp_path), tmp_path / "m")
    run = open_run("r", tmp_path)
    about = run.about | {"model": run.about["model"] | {"revision": "sha256:0"}}
    write_json(tmp_path / "r" / "run.json", about)
    with pytest.raises(DamagedRun, match=r"tuned from tiny at sha256:0, but .* is now sha256:"):
        export_model(open_run("r", tmp_path), tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
@pytest.mark.parametrize("changed_only", [False, True])
def test_a_folder_that_cannot_be_written_is_explained(finished, tmp_path, changed_only):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskFull, match="could not be written"):
        export_model(
            open_run("circuit", finished[0]), tmp_path / "file" / "m", changed_only=changed_only
        )


@pytest.mark.slow
def test_the_command_exports(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = ["--out", str(finished[0])]
    assert main(["export", "circuit", "--model", "m", "--json", *out]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["run"], result["step"]) == ("circuit", 4)
    assert (tmp_path / "m" / "model.safetensors").is_file()
    assert main(["export", "lora", "--model", "c", "--changed", *out]) == 0
    assert f"c: {len(load_file(tmp_path / 'c' / CHANGED))} tensors" in capsys.readouterr().out
    assert main(["export", "circuit", "--model", "m", *out]) == 1
    assert "not an empty folder" in capsys.readouterr().err
    assert main(["export", "curcuit", "--model", "n", *out]) == 1
    said = capsys.readouterr().err
    assert "no run 'curcuit'" in said
    assert "Did you mean 'circuit'" in said
