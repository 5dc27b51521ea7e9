"""The command line as a person or a script uses it, from an empty folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from ctviz.bench.app import wait_for
from ctviz.cli import main
from ctviz.jobs.standby import Standby
from ctviz.runs import open_run
from ctviz.runs.config import TuneConfig
from ctviz.tasks import TASKS


def ctviz(*arguments: str, cwd, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ctviz.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_discover_prints_one_json_object_and_writes_scores(tmp_path):
    done = ctviz(
        "discover", "--model", "tiny", "--task", "sva", "--edges", "40", "--json", cwd=tmp_path
    )
    result = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert result["n_edges"] == 479
    assert result["n_circuit_edges"] == 40
    assert result["metric_clean"] > 2 > -2 > result["metric_corrupt"]
    assert result["faithfulness"] > 0.5 > abs(result["random_faithfulness"])
    assert result["seconds"] > 0
    with safe_open(result["scores"], framework="numpy") as file:
        values = file.get_tensor("values")
        sources = json.loads(file.metadata()["sources"])
        slots = json.loads(file.metadata()["slots"])
    assert values.shape == (len(sources), len(slots)) == (21, 53)
    beside = json.loads(Path(result["scores"]).with_suffix(".json").read_text())
    assert beside["sources"] == sources
    assert len(beside["circuit"]) == 40
    assert beside["redundancy"]["circuit"]["input"] is None


def test_tune_then_runs_then_show(tmp_path):
    arguments = ("--model", "tiny", "--task", "sva-flip", "--method", "circuit", "--steps", "6")
    done = ctviz("tune", *arguments, "--edges", "60", "--json", "--seed", "3", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["metric_before"] < result["metric_after"]
    assert result["max_outside_moved"] == 0
    assert 0 < result["trained_fraction"] < 1
    listed = json.loads(ctviz("runs", "--json", cwd=tmp_path).stdout)["runs"]
    mine = next(row for row in listed if row.get("run") == result["run"])
    assert mine["state"] == "finished"
    shown = json.loads(ctviz("show", result["run"], "--json", cwd=tmp_path).stdout)
    assert shown["snapshots"] == [0, 1, 2, 3, 4, 5, 6]
    assert shown["about"]["config"]["seed"] == 3
    assert shown["metrics"][6]["metric"] == pytest.approx(result["metric_after"])
    text = ctviz("show", result["folder"], cwd="/").stdout
    assert "finished" in text


def test_full_is_the_baseline_through_the_same_command(tmp_path):
    done = ctviz("tune", "--method", "full", "--steps", "2", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["trained_fraction"] == 1.0
    assert result["max_outside_moved"] is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("discover", "--model", "tinyy"), "Did you mean 'tiny'"),
        (("discover", "--task", "svaa"), "Known tasks: sva, sva-flip"),
        (("discover", "--edges", "5000"), "from 1 to 479"),
        (("discover", "--edges", "0"), "from 1 to 479"),
        (("discover", "--examples", "0"), "examples is 0"),
        (("tune", "--edges", "5000"), "from 1 to 479"),
        (("tune", "--steps", "0"), "steps is 0, but must be from 1"),
        (("tune", "--device", "gpu"), "no device 'gpu'"),
        (("show", "nothing"), "no run 'nothing'"),
        (("models", "fetch", "smollm"), "Did you mean 'smollm2-135m'"),
        (("tasks", "iio"), "no task 'iio'"),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing_behind(
    arguments, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.json"))


def test_tasks_and_models_are_listed(capsys):
    assert main(["tasks", "--json"]) == 0
    names = [task["name"] for task in json.loads(capsys.readouterr().out)["tasks"]]
    assert names == list(TASKS)
    assert main(["models", "--json"]) == 0
    models = {m["name"]: m for m in json.loads(capsys.readouterr().out)["models"]}
    assert models["tiny"]["ready"]
    assert models["induction"]["ready"]
    assert main(["tasks", "sva"]) == 0
    assert "examples:" in capsys.readouterr().out


def test_damaged_runs_are_listed_and_the_others_open(tmp_path, capsys):
    (tmp_path / "bad" / "snapshots").mkdir(parents=True)
    assert main(["runs", "--json", "--out", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert rows[-1]["state"] == "damaged"
    assert "bad/run.json" in rows[-1]["error"]


def test_a_cancelled_run_is_resumed_by_the_command(tmp_path):
    config = TuneConfig(model="tiny", task="sva-flip", steps=3, edges=20, examples=4)
    standby = Standby()
    name = standby.submit(config, tmp_path)
    open_run(name, tmp_path).cancel()  # before the worker has begun: it stops after its first step
    assert standby._busy[0].wait(timeout=120) == 0
    assert open_run(name, tmp_path).status().state == "cancelled"
    done = ctviz("tune", "--resume", name, "--out", str(tmp_path), "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert (result["run"], result["state"], result["steps"]) == (name, "finished", 3)
    again = ctviz("tune", "--resume", name, "--out", str(tmp_path), cwd=tmp_path, code=1)
    assert "is finished" in again.stderr


def test_the_app_starts_on_a_new_machine_without_asking_anything(tmp_path):
    """Streamlit would ask a first-time user for an e-mail address, and wait for the answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path), "BROWSER": "true"}
    server = subprocess.Popen(
        [sys.executable, "-m", "ctviz.cli", "app", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}")
        assert server.poll() is None
    finally:
        server.terminate()
        server.wait(timeout=20)
