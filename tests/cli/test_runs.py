"""``ctviz tune``, ``runs`` and ``show``, from an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctviz.cli import main
from ctviz.jobs.standby import Standby
from ctviz.runs import open_run
from ctviz.runs.config import TuneConfig
from tests.commands import ctviz
from tests.short_runs import BRIEF, BRIEF_OPTIONS
from tests.small_runs import write


@pytest.mark.slow
def test_tune_then_runs_then_show(tmp_path):
    arguments = (
        *BRIEF_OPTIONS,
        "--model",
        "tiny",
        "--task",
        "sva-flip",
        "--method",
        "circuit",
        "--steps",
        "6",
    )
    done = ctviz("tune", *arguments, "--edges", "60", "--json", "--seed", "3", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["metric_before"] < result["metric_after"]
    assert result["outside_moved"] == 0
    assert 0 < result["trained_fraction"] < 1
    listed = json.loads(ctviz("runs", "--json", cwd=tmp_path).stdout)["runs"]
    mine = next(row for row in listed if row.get("run") == result["run"])
    assert mine["state"] == "finished"
    shown = json.loads(ctviz("show", result["run"], "--json", cwd=tmp_path).stdout)
    assert shown["snapshots"] == [0, 1, 2, 3, 4, 5, 6]
    assert shown["about"]["config"]["seed"] == 3
    assert shown["metrics"][6]["metric"] == pytest.approx(result["metric_after"])
    text = ctviz("show", result["folder"], cwd=Path("/")).stdout
    assert "finished" in text


@pytest.mark.slow
def test_full_is_the_baseline_through_the_same_command(tmp_path):
    done = ctviz("tune", "--method", "full", "--steps", "2", "--json", *BRIEF_OPTIONS, cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["trained_fraction"] == 1.0
    assert result["outside_moved"] is None


def test_damaged_runs_are_listed_and_the_others_open(tmp_path, capsys):
    (tmp_path / "bad" / "snapshots").mkdir(parents=True)
    assert main(["runs", "--json", "--out", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert rows[-1]["state"] == "damaged"
    assert "bad/run.json" in rows[-1]["error"]


@pytest.mark.slow
def test_a_cancelled_run_is_resumed_by_the_command(tmp_path):
    config = TuneConfig(model="tiny", task="sva-flip", steps=3, edges=20, examples=4, **BRIEF)
    standby = Standby()
    worker = standby.warm()
    name = standby.submit(config, tmp_path)
    open_run(name, tmp_path).cancel()  # before the worker has begun: it stops after its first step
    assert worker.wait(timeout=120) == 0
    assert open_run(name, tmp_path).status().state == "cancelled"
    done = ctviz("tune", "--resume", name, "--out", str(tmp_path), "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert (result["run"], result["state"], result["steps"]) == (name, "finished", 3)
    again = ctviz("tune", "--resume", name, "--out", str(tmp_path), cwd=tmp_path, code=1)
    assert "is finished" in again.stderr


def test_a_run_is_noted_found_and_deleted(tmp_path, capsys):
    write(tmp_path / "one")
    out = ("--json", "--out", str(tmp_path))

    def said(*arguments):
        assert main([*arguments, *out]) == 0
        return json.loads(capsys.readouterr().out)

    said("note", "one", "--title", "Ours", "--tags", "a,b")
    kept = said("note", "one", "--note", "again", "--archive")
    assert kept == {"run": "one", "title": "Ours", "tags": ["a", "b"], "note": "again"} | {
        "archived": True
    }
    assert said("runs", "--search", "ours") == {"runs": []}
    (row,) = said("runs", "--search", "ours", "--archived")["runs"]
    assert (row["run"], row["title"], row["archived"]) == ("one", "Ours", True)
    assert not said("note", "one", "--take-back", "--title", "")["archived"]
    assert main(["delete", "one", "--out", str(tmp_path)]) == 1  # nobody is there to be asked
    assert "--yes" in capsys.readouterr().err
    assert said("delete", "one", "--yes") == {"deleted": "one"}
    assert not any(tmp_path.iterdir())
