"""Revisions of a hub's model are downloaded, recorded and let go one after another."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import ctviz
from ctviz.cli import main
from ctviz.errors import CtvizError, DamagedRun, MissingModel, UnknownName, Unreachable
from ctviz.jobs.record import record
from ctviz.models.hub import Borrowed
from ctviz.models.loading import load
from ctviz.progress import Cancelled
from ctviz.runs import open_run
from ctviz.runs.revisions import log_spaced, of_revisions, step_in
from ctviz.runs.series import Series, series_of
from ctviz.series.recording import Recording
from ctviz.tuning.stored_weights import model_at
from tests.short_series import BRIEF, config
from tests.stand_in_hub import REPO, StandInHub, gated, no_network, stand_in

MOVED = {"step0": 0.0, "step512": 0.3, "step1": 0.3, "step8": 0.1, "main": 0.3}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInHub:
    """Has a training whose step 1 repeats the weights of its end, as some public ones do."""
    made = stand_in(tmp_path / "hub", monkeypatch)
    for revision, moved in MOVED.items():
        loaded = load("tiny")
        with torch.no_grad():
            for block in loaded.model.transformer.h:
                block.mlp.c_proj.weight *= 1 + moved
        made.revisions[revision] = tmp_path / "served" / revision
        loaded.model.save_pretrained(made.revisions[revision])
        loaded.tokenizer.save_pretrained(made.revisions[revision])
    return made


def said(error: BaseException) -> str:
    return str(error).replace("\\", "")


def test_each_is_downloaded_recorded_and_let_go(tmp_path: Path, hub: StandInHub):
    series = of_revisions(REPO, ["step*"])
    assert [(m.step, m.name, m.model) for m in series.members] == [
        (step, "", f"{REPO}@step{step}") for step in (0, 1, 8, 512)
    ]
    assert series.slug == "trained"
    found = record(series, config(), tmp_path / "r")
    assert found["steps"] == [0, 1, 8, 512]
    assert found["skipped"] == {}
    assert found["repeated"] == {512: 1}
    assert "step 512 has the very same weights as step 1." in found["notices"]
    # the last one first, since it decides how edges are scored, and again in its turn
    assert hub.downloads == ["step512", "step0", "step1", "step8", "step512"]
    assert hub.most == 2  # the first one, which the others are compared with, and one more
    assert hub.cached == set()
    assert not hub.place.exists()
    run = open_run("r", tmp_path)
    assert not (run.folder / "borrowed.json").exists()
    assert series_of(run) == series
    assert len(run.about["model"]["revision"]) == 40  # a commit
    # Inspect brings what it wants to run
    weights = model_at(run, 512).model.transformer.h[0].mlp.c_proj.weight
    assert torch.allclose(weights, 1.3 * load("tiny").model.transformer.h[0].mlp.c_proj.weight)
    hub.revisions["step8"] = hub.revisions["step1"]
    with pytest.raises(DamagedRun, match="has other weights than when r was recorded"):
        model_at(run, 8)


def test_what_was_in_the_cache_stays_there(tmp_path: Path, hub: StandInHub):
    load(f"{REPO}@main")
    load(f"{REPO}@step8")
    hub.revisions["step512"] = hub.revisions["main"]  # one commit under two names
    series = of_revisions(REPO, ["step*"])
    record(series, config(), tmp_path / "r")
    assert hub.cached == {"main", "step8", "step512"}
    assert load(f"{REPO}@main").fingerprint == load(f"{REPO}@step512").fingerprint
    assert hub.downloads.count("step8") == 1


def test_downloads_can_be_kept(tmp_path: Path, hub: StandInHub, capsys):
    asked = ["record", "--model", REPO, "--revisions", "step0,step8", "--keep-downloads"]
    assert main([*asked, *options(), "--out", str(tmp_path / "runs"), "--json"]) == 0
    assert "2 models: 0, 8\n" in capsys.readouterr().err
    assert hub.cached == {"step0", "step8"}
    assert hub.downloads == ["step8", "step0"]
    hub.fails = no_network()  # all is here
    assert [m.step for m in of_revisions(REPO, ["step8", "step0"]).members] == [0, 8]


def test_a_cancelled_recording_leaves_nothing_behind_and_goes_on(
    tmp_path: Path, hub: StandInHub, monkeypatch
):
    usual = Recording.snapshot

    def stop(self, loaded, step, *, first):
        if step == 8:
            raise Cancelled
        return usual(self, loaded, step, first=first)

    series = of_revisions(REPO, ["step*"])
    monkeypatch.setattr(Recording, "snapshot", stop)
    assert record(series, config(), tmp_path / "r")["state"] == "cancelled"
    assert hub.cached == set()
    monkeypatch.setattr(Recording, "snapshot", usual)
    hub.downloads.clear()
    again = ["record", "--resume", "r", "--out", str(tmp_path), "--json"]
    assert main(again) == 0
    assert hub.downloads == ["step512", "step0", "step8", "step512"]
    assert [snapshot.step for snapshot in open_run("r", tmp_path).snapshots()] == [0, 1, 8, 512]


def test_a_network_that_fails_ends_the_recording_until_it_is_resumed(
    tmp_path: Path, hub: StandInHub, monkeypatch
):
    usual = Recording.snapshot

    def fail(self, loaded, step, *, first):
        if step == 1:
            hub.fails = no_network()
        return usual(self, loaded, step, first=first)

    monkeypatch.setattr(Recording, "snapshot", fail)
    with pytest.raises(Unreachable, match=f"{REPO}@step8' is not on this machine"):
        record(of_revisions(REPO, ["step*"]), config(), tmp_path / "r")
    run = open_run("r", tmp_path)
    assert run.status().state == "failed"
    assert run.status().failure == "Unreachable"
    hub.fails = None
    assert record(series_of(run), run.config, run.folder, resume=True)["steps"] == [0, 1, 8, 512]


def test_a_dry_run_counts_the_downloads_and_lets_go_of_its_own(
    tmp_path: Path, hub: StandInHub, capsys
):
    load(f"{REPO}@step8")
    hub.downloads.clear()
    asked = ["record", "--model", REPO, *options(), "--dry-run", "--json", "--out", str(tmp_path)]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert hub.downloads == ["step512"]
    assert hub.cached == {"step8"}
    size = (hub.revisions["step0"] / "model.safetensors").stat().st_size
    assert found["disk_most"] - found["disk"] == 2 * size
    assert found["seconds_by_phase"]["fetch"] > 0
    assert main([*asked, "--keep-downloads"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept["disk_most"] == kept["disk"]
    assert kept["disk"] == pytest.approx(found["disk"] + 3 * size, abs=100)


def test_a_revision_without_safetensors_is_passed_over(tmp_path: Path, hub: StandInHub):
    step = hub.revisions["step1"]
    (step / "model.safetensors").rename(step / "pytorch_model.bin")
    found = record(of_revisions(REPO, ["step*"]), config(), tmp_path / "r")
    assert found["steps"] == [0, 8, 512]
    assert "pytorch_model.bin, a pickle" in found["skipped"][f"{REPO}@step1"]
    assert hub.cached == set()


def test_python_records_revisions(tmp_path: Path, hub: StandInHub):
    out = tmp_path / "runs"
    run = ctviz.record(REPO, "sva-flip", revisions="step*", at_most=2, out=out, **BRIEF)
    assert [snapshot.step for snapshot in run.snapshots()] == [0, 512]
    assert run.config.model == f"{REPO}@step0"
    with pytest.raises(CtvizError, match="no base"):
        ctviz.record(REPO, "sva-flip", revisions="step*", base="tiny")
    with pytest.raises(CtvizError, match="leave base, tokenizer, revisions"):
        ctviz.record(series_of(run), "sva-flip", at_most=3)


def test_a_model_at_a_revision_is_one_like_any_other(hub: StandInHub):
    loaded = load(f"{REPO}@step8")
    assert loaded.name == f"{REPO}@step8"
    assert len(loaded.revision) == 40
    assert loaded.reloadable
    with pytest.raises(MissingModel, match=f"not at the hub: {REPO} has no revision step9"):
        load(f"{REPO}@step9")


def test_borrowing_is_of_what_comes_alone(tmp_path: Path, hub: StandInHub):
    borrowed = Borrowed(tmp_path / "borrowed.json")
    with borrowed.bringing("tiny"):
        pass
    load(f"{REPO}@step8")
    with borrowed.bringing(f"{REPO}@step8"):
        load(f"{REPO}@step8")
    with borrowed.bringing(f"{REPO}@step0"):
        load(f"{REPO}@step0")
    borrowed.let_go(f"{REPO}@step8")
    assert hub.cached == {"step8", "step0"}
    Borrowed(tmp_path / "borrowed.json").let_all_go()  # of a job that was killed
    assert hub.cached == {"step8"}
    assert load(f"{REPO}@step8")


# ---------------------------------------------------------------------- which revisions


def test_names_without_steps_are_called_by_their_names(hub: StandInHub):
    hub.revisions |= dict.fromkeys(("v1", "v2"), hub.revisions["main"])
    series = of_revisions(REPO, ["v2", "v1", "step1"])
    assert [(m.step, m.name) for m in series.members] == [(0, "v2"), (1, "v1"), (2, "step1")]
    assert [m.step for m in of_revisions(REPO).members] == [0, 1, 8, 512]
    assert [m.step for m in of_revisions(REPO, ["*"]).members] == [0, 1, 8, 512]
    again = Series.from_dict(json.loads(json.dumps(of_revisions(REPO).to_dict())))
    assert again == of_revisions(REPO)


def test_two_courses_are_told_apart(hub: StandInHub):
    names = [f"stage{n}-step{step}-tokens{step}B" for n in (1, 2) for step in (1000, 2000)]
    hub.revisions = dict.fromkeys(names, hub.revisions["main"])
    with pytest.raises(CtvizError, match=r"both stand for step 1000: .* 'stage1-step\*'"):
        of_revisions(REPO, at_most=3)
    assert [m.step for m in of_revisions(REPO, ["stage1-step*"]).members] == [1000, 2000]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step512", 512),
        ("step1000-tokens4B", 1000),
        ("stage1-step140000-tokens294B", 140_000),
        ("step-50K-105b", 50_000),
        ("global_step1000", 1000),
        ("ckpt_007", 7),
        ("main", None),
        ("v1.0", None),
    ],
)
def test_steps_are_read_from_names(name: str, step: int | None):
    assert step_in(name) == step


def test_log_spaced_steps_have_both_ends_and_even_gaps():
    pythia = [0, *(2**n for n in range(10)), *range(1000, 143_001, 1000)]
    chosen = log_spaced(pythia, 12)
    assert (chosen[0], chosen[-1]) == (0, 143_000)
    assert len(chosen) == 12
    ratios = [b / a for a, b in pairwise(chosen[1:])]
    even = 143_000 ** (1 / 10)
    assert all(even / 2 < ratio < even * 2 for ratio in ratios)
    assert log_spaced([5, 6], 9) == [5, 6]
    assert log_spaced([0, 5, 9], 2) == [0, 9]
    assert log_spaced([1, 10, 100], 2) == [1, 100]


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        ({"wanted": ["stp1", "step0"]}, UnknownName, "no revision 'stp1'. Did you mean 'step1'"),
        ({"wanted": ["stage*"]}, MissingModel, "matches 'stage*'. someone/trained has step0"),
        ({"wanted": ["step0"]}, CtvizError, "at least two models"),
        ({"wanted": ["main", "v1"], "at_most": 2}, CtvizError, "Only names with a step"),
        ({"at_most": 1}, CtvizError, "at least two members, and 1 were"),
        ({"model": "tiny"}, CtvizError, "tiny has no revisions"),
        ({"model": "no/such/folder"}, CtvizError, "no/such/folder has no revisions"),
    ],
)
def test_what_is_no_series_of_revisions_is_explained(hub: StandInHub, asked, kind, says):
    hub.revisions["v1"] = hub.revisions["main"]
    with pytest.raises(kind) as caught:
        of_revisions(**{"model": REPO, **asked})
    assert says in said(caught.value)


def test_a_model_without_numbered_revisions_says_what_it_has(hub: StandInHub):
    hub.revisions = {"main": hub.revisions["main"]}
    with pytest.raises(MissingModel, match=r"has a step in its name. someone/trained has main\."):
        of_revisions(REPO, at_most=12)


def test_without_a_network_what_is_here_is_offered_by_name(hub: StandInHub):
    for name in ("step0", "step8"):
        load(f"{REPO}@{name}")
    load(f"{REPO}@step1")
    (hub.place / "snapshots" / load(f"{REPO}@step8").revision / "model.safetensors").unlink()
    hub.fails = no_network()
    with pytest.raises(Unreachable, match=r"cannot be reached .*revisions step0, step1: name some"):
        of_revisions(REPO, ["step*"])
    assert [m.step for m in of_revisions(REPO, ["step1", "step0"]).members] == [0, 1]


def test_a_gated_model_says_how_to_get_it(tmp_path: Path, hub: StandInHub, capsys):
    series = of_revisions(REPO, ["step*"])
    hub.fails = gated()
    with pytest.raises(Unreachable, match=r"gated: .*https://huggingface.co/someone/trained, then"):
        record(series, config(), tmp_path / "r")
    assert open_run("r", tmp_path).status().notices == ()  # it was not tried one by one
    assert main(["record", "--model", REPO, "--out", str(tmp_path)]) == 1
    assert "gated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--revisions", "step0"], "Say what the series is made of"),
        (["--models", "tiny", "tiny", "--at-most", "3"], "give --model"),
        (["--model", REPO, "--base", "tiny"], "--base does not go with --model"),
        (["--model", REPO, "--revisions", "step7"], "Did you mean"),
    ],
)
def test_a_bad_request_is_explained(tmp_path: Path, hub: StandInHub, asked, says, capsys):
    assert main(["record", *asked, "--out", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err


def options() -> list[str]:
    found = ["--task", "sva-flip", "--edges", "30", "--examples", "6", "--attribution", "eap"]
    for name in ("test_examples", "retention_prompts", "retention_examples", "draws"):
        found += ["--set", f"{name}={BRIEF[name]}"]
    return [*found, "--set", "retention_test_examples=6", "--set", "other_tasks=ioi"]
