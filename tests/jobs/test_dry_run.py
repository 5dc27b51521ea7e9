"""What a job will take is measured on the model itself, and nothing of that stays."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ctviz.cli import main
from ctviz.errors import CtvizError
from ctviz.jobs import dry_run, tune
from ctviz.jobs.dry_run import dry_tune
from ctviz.jobs.measuring import Measuring
from ctviz.runs import open_run
from ctviz.runs.estimate import PHASES
from tests.short_runs import config, shorten

PARTS = ("load", "discovery", "evaluation")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"evaluate": "full", "keep_weights": 0},
        {"evaluate": "none"},
        {"method": "full"},
        {"method": "lora"},
        {"rediscover": 3, "steps": 9},
        {"steps": 1, "snapshot_every": 1},
    ],
)
def test_time_memory_and_disk_of_a_run_are_told_without_making_it(tmp_path, monkeypatch, changes):
    shorten(monkeypatch)
    asked, told = config(**changes), []
    found = dry_tune(asked, tmp_path / "runs", tell=told.append)
    assert not list(tmp_path.iterdir())
    assert set(found.seconds) == set(PHASES)
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.whole
    assert not found.problems
    assert set(told[0].seconds) == {"load"}
    assert not any(each.whole for each in told)
    tune.tune(asked, tmp_path / "r")
    run = open_run("r", tmp_path)
    first = run.metrics().iloc[0]
    assert found.grade.value == first["accuracy"]
    assert (found.grade.name, found.grade.examples) == ("accuracy", run.about["examples"])
    assert found.grade.guessing == 0.5
    size = sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file())
    assert found.disk == pytest.approx(size, rel=0.25)
    assert found.disk_most >= found.disk


def test_the_command_says_it_in_words_and_as_json(tmp_path, capsys):
    options = ["--out", str(tmp_path / "none"), "--examples", "4", "--dry-run"]
    assert main(["discover", *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith("time: about ")
    assert "memory: about " in said
    assert "disk: about " in said
    assert main(["discover", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert tuple(found["seconds_by_phase"]) == PARTS
    assert found["problems"] == []
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_is_not_measured(tmp_path, capsys):
    assert main(["tune", "--dry-run", "--resume", "sample-sva-flip", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err


def test_too_little_memory_is_a_problem_and_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dry_run, "free_memory", lambda device: -(10**12))
    options = ["--out", str(tmp_path / "none"), "--examples", "4", "--dry-run"]
    assert main(["discover", *options]) == 1
    assert "GB are available" in capsys.readouterr().out


@pytest.mark.slow
def test_a_page_measures_in_another_process(tmp_path):
    measuring = Measuring()
    asked = config(test_examples=8, other_tasks=(), train_examples=32)
    measuring.start(asked, tmp_path)
    assert measuring.of(config()) is None
    found = until_over(measuring, asked)
    assert found.error == ""
    assert found.estimate.whole
    wrong = config(edges=10**6)
    measuring.start(wrong, tmp_path)
    assert measuring.of(asked) is None
    assert "must be from 1 to" in until_over(measuring, wrong).error
    measuring.start(asked, tmp_path)
    measuring.stop()
    assert measuring.of(asked) is None


def until_over(measuring: Measuring, asked):
    while not (found := measuring.of(asked)).over:
        time.sleep(0.1)
    return found


def test_a_run_that_could_not_be_is_not_measured():
    with pytest.raises(CtvizError, match="must be from 1 to"):
        dry_tune(config(edges=10**6), Path())
