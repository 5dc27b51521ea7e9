"""Checkpoints, adapters and models are recorded as the steps of a run, whoever made them."""

from __future__ import annotations

import gc
import io
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

import ctviz
from ctviz import paths
from ctviz.attribution.attribute import attribute
from ctviz.cli import main
from ctviz.errors import CtvizError, DamagedRun, MissingModel, RunExists
from ctviz.export.origin import timeline_of
from ctviz.export.table import table_files
from ctviz.jobs import worker
from ctviz.jobs.record import record
from ctviz.models.loading import load
from ctviz.progress import Cancelled, Phase
from ctviz.runs import RunWriter, Status, open_run
from ctviz.runs.estimate import Estimate, together
from ctviz.runs.series import Series, of_adapters, of_checkpoints, of_models, series_of
from ctviz.runs.weights import kept_steps, playable_steps
from ctviz.series.recording import Recording
from ctviz.tasks.batch import encode
from ctviz.tasks.fitting import fitting_examples
from ctviz.tuning.stored_weights import model_at
from ctviz.views import compared
from ctviz.views.compare_figures import axis_name, draw_tradeoff
from ctviz.views.recorded import packed
from ctviz.views.underway import phase_words, stretches
from tests.opened_pages import open_page, said
from tests.random_models import random_model
from tests.short_series import BRIEF, config


def save(folder: Path, *, moved: float, tokenizer: bool = False) -> Path:
    """The bundled model with every MLP's output scaled, as a checkpoint."""
    loaded = load("tiny")
    with torch.no_grad():
        for block in loaded.model.transformer.h:
            block.mlp.c_proj.weight *= 1 + moved
    loaded.model.save_pretrained(folder)
    if tokenizer:
        loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Steps 3, 10 (the weights of 3 again) and 20 of a training, their tokenizer above them."""
    root = tmp_path / "out"
    load("tiny").tokenizer.save_pretrained(root)
    for step, moved in ((10, 0.1), (3, 0.1), (20, 0.3)):
        save(root / f"checkpoint-{step}", moved=moved)
    (root / "runs").mkdir()
    return root


def test_every_checkpoint_is_a_step_with_the_scores_that_it_has_by_itself(
    tmp_path: Path, checkpoints: Path
):
    found = record(of_checkpoints(str(checkpoints), base="tiny"), config(), tmp_path / "r")
    assert found["steps"] == [0, 3, 10, 20]
    assert found["repeated"] == {10: 3}
    assert found["skipped"] == {}
    assert found["state"] == "finished"
    assert "step 10 has the very same weights as step 3." in found["notices"]
    run = open_run("r", tmp_path)
    snapshots = {snapshot.step: snapshot for snapshot in run.snapshots()}
    for step, model in (
        (0, "tiny"),
        (3, checkpoints / "checkpoint-3"),
        (20, checkpoints / "checkpoint-20"),
    ):
        loaded = load(model)
        examples, _ = fitting_examples(loaded, run_task(), 6, "train", 0)
        batch = encode([example.pair for example in examples], loaded.tokenizer)
        alone = attribute(loaded.anatomy, batch, method="eap", ablation="counterfactual")
        assert np.allclose(snapshots[step].scores, alone.values, atol=1e-6)
    # the MLPs own two matrices of equal shape, one of which grew by 10 %
    moved = dict(zip(run.graph.nodes, snapshots[3].moved, strict=True))
    first = load("tiny").model.transformer.h[1].mlp
    sizes = [
        float(w.detach().double().square().sum()) for w in (first.c_proj.weight, first.c_fc.weight)
    ]
    owned = sum(sizes) + float(first.c_fc.bias.detach().double().square().sum())
    assert moved["m1"] == pytest.approx(0.1 * (sizes[0] / owned) ** 0.5, rel=0.02)
    assert moved["a1.h0"] == 0
    assert np.array_equal(snapshots[3].scores, snapshots[10].scores)
    assert run.about["before"]["retention_kl"] == 0 < run.about["after"]["retention_kl"]


def run_task():
    from ctviz.tasks import find_task

    return find_task("sva-flip")


def test_a_recording_opens_like_a_run_and_its_models_can_be_run(tmp_path: Path, checkpoints: Path):
    record(of_checkpoints(str(checkpoints)), config(), tmp_path / "r")
    run = open_run("r", tmp_path)
    timeline = timeline_of(run)
    assert timeline.steps == [3, 10, 20]
    assert timeline.method == "recorded"
    assert playable_steps(run) == [3, 10, 20]
    assert kept_steps(run) == [0]
    weights = [model_at(run, step).model.transformer.h[0].mlp.c_proj.weight for step in (3, 20)]
    assert torch.allclose(weights[0] / 1.1, weights[1] / 1.3, atol=1e-6)
    with pytest.raises(MissingModel, match="is of the steps 3, 10, 20, and 4 is none"):
        model_at(run, 4)
    save(checkpoints / "checkpoint-20", moved=0.4)
    with pytest.raises(DamagedRun, match="has other weights than when r was recorded"):
        model_at(run, 20)


def test_what_cannot_be_read_or_is_of_another_kind_is_named_and_passed_over(
    tmp_path: Path, checkpoints: Path
):
    (checkpoints / "checkpoint-3" / "model.safetensors").write_bytes(b"half of a wri")
    other = random_model("gpt2")
    other.save_pretrained(checkpoints / "checkpoint-12")
    shutil.copytree(checkpoints / "checkpoint-20", checkpoints / "checkpoint-30")
    (checkpoints / "checkpoint-30" / "model.safetensors").unlink()
    found = record(of_checkpoints(str(checkpoints)), config(), tmp_path / "r")
    assert found["steps"] == [10, 20]
    skipped = {Path(model).name: why for model, why in found["skipped"].items()}
    assert set(skipped) == {"checkpoint-3", "checkpoint-12", "checkpoint-30"}
    assert "its graph is not that of the first" in skipped["checkpoint-12"]
    assert sum("was passed over" in notice for notice in found["notices"]) == 3


def test_a_series_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, checkpoints: Path):
    for file in checkpoints.rglob("model.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(CtvizError, match=r"checkpoint-\d+"):
        record(of_checkpoints(str(checkpoints)), config(), tmp_path / "r")
    status = open_run("r", tmp_path).status()
    assert status.state == "failed"
    assert status.message


def test_a_cancelled_recording_goes_on_to_the_same_end(
    tmp_path: Path, checkpoints: Path, monkeypatch
):
    series = of_checkpoints(str(checkpoints), base="tiny")
    whole = record(series, config(), tmp_path / "whole")
    usual, taken = Recording.snapshot, []

    def stop(self, loaded, step, *, first):
        if step == 10:
            raise Cancelled
        taken.append(step)
        return usual(self, loaded, step, first=first)

    monkeypatch.setattr(Recording, "snapshot", stop)
    assert record(series, config(), tmp_path / "r")["state"] == "cancelled"
    monkeypatch.setattr(
        Recording,
        "snapshot",
        lambda self, loaded, step, *, first: (
            taken.append(step) or usual(self, loaded, step, first=first)
        ),
    )
    again = record(series, config(), tmp_path / "r", resume=True)
    assert taken == [0, 3, 10, 20]
    assert again["repeated"] == whole["repeated"]
    one, other = (open_run(name, tmp_path) for name in ("whole", "r"))
    for a, b in zip(one.snapshots(), other.snapshots(), strict=True):
        assert a.step == b.step
        assert np.array_equal(a.scores, b.scores)
        assert a.metrics == pytest.approx(b.metrics, nan_ok=True)
    with pytest.raises(RunExists, match="finished"):
        record(series, config(), tmp_path / "r", resume=True)


def test_a_worker_records_what_a_page_has_announced(tmp_path: Path, checkpoints: Path, monkeypatch):
    series = of_checkpoints(str(checkpoints))
    RunWriter(tmp_path / "r", series.settings(config()), series=series.to_dict())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path / 'r'}\n"))
    assert worker.main() == 0
    run = open_run("r", tmp_path)
    assert run.status().state == "finished"
    assert [snapshot.step for snapshot in run.snapshots()] == [3, 10, 20]


def test_python_records_a_folder_as_the_command_does(tmp_path: Path, checkpoints: Path):
    settings = {name: value for name, value in BRIEF.items()}
    run = ctviz.record(checkpoints, "sva-flip", base="tiny", out=tmp_path / "runs", **settings)
    assert isinstance(run, type(ctviz.open_run("sample-sva-flip")))  # with all that a run can
    assert [snapshot.step for snapshot in run.snapshots()] == [0, 3, 10, 20]
    assert run.about["repeated"] == {"10": 3}
    assert run.folder.parent == tmp_path / "runs"
    with pytest.raises(CtvizError, match="leave base, tokenizer, revisions"):
        ctviz.record(series_of(run), "sva", base="tiny")


def test_models_are_called_by_their_names_on_the_clock(tmp_path: Path):
    for name in ("base", "chat"):
        save(tmp_path / name, moved=0.1, tokenizer=True)
    series = of_models([str(tmp_path / "base"), str(tmp_path / "chat")])
    record(series, config(), tmp_path / "r")
    timeline = timeline_of(open_run("r", tmp_path))
    assert timeline.names == ("base", "chat")
    assert packed(timeline)["names"] == ["base", "chat"]


def test_nothing_that_is_shown_of_a_recording_is_called_untuned(
    tmp_path: Path, checkpoints: Path, monkeypatch, capsys
):
    runs = tmp_path / "runs"
    asked = ["record", "--checkpoints", str(checkpoints), "--out", str(runs), *options()]
    asked += ["--attribution", "auto", "--evaluate", "full", "--set", "other_tasks=ioi"]
    assert main([*asked, "--dry-run"]) == 0
    assert main(asked) == 0
    (run,) = (open_run(folder.name, runs) for folder in runs.iterdir())
    assert main(["show", run.id, "--out", str(runs)]) == 0
    shown = capsys.readouterr()
    monkeypatch.setenv("CTVIZ_RUNS", str(runs))
    texts = {"terminal": shown.out + shown.err, "notices": " ".join(run.status().notices)}
    timeline = timeline_of(run)
    texts["player"] = json.dumps(packed(timeline))
    assert packed(timeline)["start"] == "the first model"
    kl = next(curve for curve in timeline.curves if curve.panel == "retention")
    assert kl.label == "KL from the first model"
    assert "nodes of the last model" in timeline.provenance["scores"]
    texts["tables"] = table_files(run, "csv")["about.json"].decode()
    side = compared.read_side(run, "A")
    texts["figure"] = str(draw_tradeoff([side], "grade", "retention_kl").to_json())
    assert "KL from the first model" in texts["figure"]
    status = Status("running", 3, 20, phase=Phase("first", 0.5, 2))
    texts["under way"] = " ".join(
        [each.label for each in stretches(status, recorded=True)]
        + [phase_words(Phase(name, 0.5, 1)) for name in run.status().measured]
    )
    for page, query in (("watch", {"run": run.id}), ("compare", {"runs": run.id})):
        app = open_page(page, query)
        assert not app.exception
        texts[page] = said(app)
    for where, text in texts.items():
        assert "tuned" not in text.lower().replace("fine-tuned", ""), where
    own = compared.read_side(open_run("sample-sva-flip", paths.shipped_runs()), "B")
    assert axis_name("retention_kl", [own]).startswith("KL from the untuned model (")
    assert axis_name("retention_kl", [side, own]).startswith("KL from the start of each (")


# ---------------------------------------------------------------------- what a series is made of


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path: Path):
    for name in ("checkpoint-10", "checkpoint-9", "step_200", "best", "checkpoint-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-11").write_text("a file")
    series = of_checkpoints(str(tmp_path))
    assert [member.step for member in series.members] == [9, 10, 200]
    assert Series.from_dict(json.loads(json.dumps(series.to_dict()))) == series
    (tmp_path / "epoch-10").mkdir()
    with pytest.raises(CtvizError, match="both stand for step 10: name each step once"):
        of_checkpoints(str(tmp_path))


def test_adapters_follow_their_base_in_natural_order(tmp_path: Path):
    for name in ("epoch10", "epoch9", "notes"):
        (tmp_path / name).mkdir()
    for name in ("epoch10", "epoch9"):
        (tmp_path / name / "adapter_config.json").write_text("{}")
    series = of_adapters(str(tmp_path), "tiny")
    assert [(m.step, m.name) for m in series.members] == [(0, ""), (9, ""), (10, "")]
    (tmp_path / "epoch10").rename(tmp_path / "final")
    series = of_adapters(str(tmp_path), "tiny")
    assert [(m.step, m.name) for m in series.members] == [(0, "base"), (1, "epoch9"), (2, "final")]


def test_models_have_names_on_the_clock():
    series = of_models(["tiny", "/a/chat", "/b/chat"])
    assert [m.name for m in series.members] == ["tiny", "/a/chat", "/b/chat"]
    assert of_models(["tiny", "/a/chat"]).members[1].name == "chat"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda at: of_checkpoints(str(at)), "has no checkpoints"),
        (lambda at: of_checkpoints(str(at / "none")), "is not a folder"),
        (lambda at: of_adapters(str(at), "tiny"), "has no adapters"),
        (lambda at: of_models(["tiny"]), "at least two models"),
    ],
)
def test_what_is_no_series_is_explained(tmp_path: Path, make, says: str):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(CtvizError, match=says):
        make(tmp_path)


def test_one_checkpoint_alone_is_no_series(tmp_path: Path):
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(CtvizError, match="`ctviz discover` is for"):
        of_checkpoints(str(tmp_path))
    (tmp_path / "checkpoint-0").mkdir()
    with pytest.raises(CtvizError, match="step 0 already"):
        of_checkpoints(str(tmp_path), base="tiny")


# ---------------------------------------------------------------------- the command


def options() -> list[str]:
    said = ["--edges", "30", "--examples", "6", "--attribution", "eap"]
    for name in ("test_examples", "retention_prompts", "retention_examples", "draws"):
        said += ["--set", f"{name}={BRIEF[name]}"]
    return [*said, "--set", "retention_test_examples=6", "--set", "other_tasks=ioi"]


def test_the_command_makes_a_run_for_each_task(tmp_path: Path, checkpoints: Path, capsys):
    for folder in checkpoints.glob("checkpoint-*"):
        assert not (folder / "tokenizer.json").exists()
    (checkpoints / "tokenizer.json").unlink()
    asked = ["record", "--checkpoints", str(checkpoints), "--out", str(tmp_path / "runs")]
    asked += ["--model-for-tokenizer", "tiny", *options()]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == [3, 10, 20]
    assert found["repeated"] == {"10": 3}
    assert found["skipped"] == {}
    run = open_run(found["run"], tmp_path / "runs")
    assert series_of(run).tokenizer == "tiny"
    assert main(asked) == 0
    assert f"watch it: ctviz app --out {tmp_path / 'runs'}" in capsys.readouterr().out
    assert main([*asked, "--task", "sva", "--task", "ioi", "--json"]) == 0
    several = json.loads(capsys.readouterr().out)
    assert [each["task"] for each in several["runs"]] == ["sva", "ioi"]
    assert [each["task"] for each in several["formation"]["tasks"]] == ["sva", "ioi"]
    assert several["formation"]["shared"][0]["steps"] == [3, 10, 20]
    assert main([*asked[:3], "--resume", found["run"], "--out", str(tmp_path / "runs")]) == 1
    assert "finished; there is nothing to resume" in capsys.readouterr().err


def test_a_dry_run_says_what_it_takes_and_leaves_nothing(tmp_path: Path, checkpoints: Path, capsys):
    asked = ["record", "--checkpoints", str(checkpoints), *options()]
    assert main([*asked, "--out", str(tmp_path / "runs"), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["seconds_by_phase"]) == {"load", "first", "snapshots", "last"}
    assert all(seconds > 0 for seconds in found["seconds_by_phase"].values())
    assert found["problems"] == []
    assert not (tmp_path / "runs").exists()
    assert main([*asked, "--out", str(tmp_path / "runs"), "--json"]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["folder"])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert found["disk"] == pytest.approx(size, rel=0.25)
    assert main(["record", "--resume", folder.name, "--dry-run"]) == 1
    assert "without --resume" in capsys.readouterr().err


def test_jobs_one_after_another_take_the_time_of_all_and_the_memory_of_one():
    one = Estimate(seconds={"load": 1.0}, memory=5, disk=2, disk_most=9, whole=True)
    other = Estimate(seconds={"load": 2.0, "fetch": 3.0}, memory=4, disk=1, disk_most=1, whole=True)
    both = together([one, other])
    assert both.seconds == {"load": 3.0, "fetch": 3.0}
    assert (both.memory, both.disk, both.disk_most, both.whole) == (5, 3, 10, True)


def test_one_model_beside_the_first_is_in_memory(tmp_path: Path, checkpoints: Path, monkeypatch):
    usual, alive, most = Recording.snapshot, weakref.WeakSet(), []

    def count(self, loaded, step, *, first):
        alive.add(loaded.model)
        gc.collect()
        most.append(len(alive))
        return usual(self, loaded, step, first=first)

    monkeypatch.setattr(Recording, "snapshot", count)
    record(of_checkpoints(str(checkpoints), base="tiny"), config(), tmp_path / "r")
    assert most == [1, 2, 2, 2]


def test_the_last_that_can_be_read_is_measured_at_the_end(
    tmp_path: Path, checkpoints: Path, monkeypatch
):
    (checkpoints / "checkpoint-20" / "model.safetensors").write_bytes(b"half of a wri")
    found = record(of_checkpoints(str(checkpoints), base="tiny"), config(), tmp_path / "r")
    assert found["steps"] == [0, 3, 10]
    assert found["after"]["retention_kl"] > 0


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "Say what the series is made of"),
        (["--models", "tiny", "tiny", "--checkpoints", "x"], "one of them"),
        (["--adapters", "x"], "needs --base"),
        (["--models", "tiny", "tinny"], "Did you mean 'tiny'"),
        (["--models", "tiny", "tiny", "--task", "svaa"], "Did you mean 'sva'"),
    ],
)
def test_a_bad_request_is_explained(tmp_path: Path, asked: list[str], says: str, capsys):
    assert main(["record", *asked, "--out", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err


def test_a_recording_is_no_way_to_tune(capsys, tmp_path: Path):
    settings = ["--set", "method=recorded", "--out", str(tmp_path)]
    assert main(["tune", *settings]) == 1
    assert "`ctviz record` makes these" in capsys.readouterr().err
