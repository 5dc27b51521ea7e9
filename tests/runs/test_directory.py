"""The run directory: round trips, damage, and what a killed writer leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctviz.circuits.graph import Graph
from ctviz.errors import DamagedRun, RunExists, UnknownName
from ctviz.files import write_bytes
from ctviz.runs import Run, RunWriter, list_runs, new_folder, open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import ProbeReading, Snapshot, StepRecord

GRAPH = Graph(2, 2)
CONFIG = TuneConfig(model="tiny", task="sva-flip", steps=4, edges=5)
ABOUT = {
    "model": {"name": "tiny", "revision": "x"},
    "task": {"key": "sva-flip", "title": "t", "metric": "m"},
    "examples": 3,
}


def snapshot(step: int, seed: int = 0) -> Snapshot:
    draw = np.random.default_rng(seed + step)
    scores = np.where(GRAPH.exists, draw.normal(size=GRAPH.exists.shape), 0).astype(np.float32)
    probe = ProbeReading(
        tokens=("The", " keys<b>"),
        answer=" are",
        foil=" is",
        attention=draw.random((2, 2, 2, 2)).astype(np.float16),
        top=((" are", 0.5), (" is", 0.25)),
        attribution=draw.normal(size=len(GRAPH.nodes)).astype(np.float32),
    )
    return Snapshot(
        step=step,
        scores=scores,
        circuit=GRAPH.exists & (scores > 0.5),
        tuned=GRAPH.exists & (scores < -0.5),
        redundancy={
            "circuit": draw.random(len(GRAPH.nodes)).astype(np.float32),
            "mass": draw.random(len(GRAPH.nodes)).astype(np.float32),
        },
        metrics={"metric": float(step), "accuracy": 0.5},
        probes=(probe,),
        error=draw.random(GRAPH.exists.shape).astype(np.float32),
    )


def record(step: int) -> StepRecord:
    return StepRecord(step, 2.5, 0, 0.25, 5, 1.0, 1e-4, 16, 0.1)


def write(folder: Path, *, state: str = "finished") -> Run:
    writer = RunWriter(folder, CONFIG)
    writer.describe(GRAPH, **ABOUT)
    writer.snapshot(snapshot(0))
    for step in (1, 2):
        writer.record(record(step))
    writer.snapshot(snapshot(2))
    writer.status(state, step=2, rate=1.5)
    return open_run(folder.name, folder.parent)


def test_everything_comes_back_as_it_was_written(tmp_path):
    run = write(tmp_path / "r")
    assert run.config == CONFIG
    assert run.graph == GRAPH
    assert run.status().state == "finished"
    back = list(run.snapshots())
    assert [s.step for s in back] == [0, 2]
    for found, wrote in zip(back, (snapshot(0), snapshot(2)), strict=True):
        for name in ("scores", "error", "circuit", "tuned"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wrote, name))
        for key, values in wrote.redundancy.items():
            np.testing.assert_array_equal(found.redundancy[key], values)
        assert found.metrics == wrote.metrics
        assert found.probes[0].tokens == wrote.probes[0].tokens
        assert found.probes[0].top == wrote.probes[0].top
        np.testing.assert_array_equal(found.probes[0].attention, wrote.probes[0].attention)
    table = run.metrics().set_index("step")
    assert list(table.index) == [0, 1, 2]
    assert table.loc[2, "metric"] == 2.0
    assert table.loc[2, "outside_moved"] == 0.0


def test_other_tools_can_read_a_snapshot_without_ctviz(tmp_path):
    run = write(tmp_path / "r")
    from safetensors import safe_open

    with safe_open(str(run.snapshot_files()[0]), framework="numpy") as file:
        header = file.metadata()
        shape = file.get_tensor("scores").shape
    assert json.loads(header["sources"]) == list(GRAPH.sources)
    assert json.loads(header["slots"]) == list(GRAPH.slot_names)
    assert shape == (len(GRAPH.sources), len(GRAPH.slots))


def test_a_second_run_does_not_overwrite_the_first(tmp_path):
    write(tmp_path / "r")
    with pytest.raises(RunExists, match="already holds a run"):
        RunWriter(tmp_path / "r", CONFIG)
    assert new_folder(tmp_path, "x") != new_folder(tmp_path, "x")


def test_a_cut_off_snapshot_costs_that_snapshot(tmp_path):
    run = write(tmp_path / "r")
    file = run.snapshot_files()[1]
    file.write_bytes(file.read_bytes()[:100])
    damaged: list[DamagedRun] = []
    assert [s.step for s in run.snapshots(damaged=damaged)] == [0]
    assert file.name in str(damaged[0])


def test_a_snapshot_of_another_graph_is_refused(tmp_path):
    run = write(tmp_path / "r")
    about = json.loads((run.folder / "run.json").read_text())
    about["graph"]["n_heads"] = 4
    about["graph"]["n_kv_heads"] = 4
    (run.folder / "run.json").write_text(json.dumps(about))
    damaged: list[DamagedRun] = []
    assert list(Run(run.folder).snapshots(damaged=damaged)) == []
    assert "shape" in str(damaged[0])


def test_a_half_written_line_costs_that_line(tmp_path):
    run = write(tmp_path / "r")
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert list(run.metrics()["step"]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1}', "bad config"),
        ('{"schema": 1, "config": {"model": "tiny", "task": "gone"}}', "no task 'gone'"),
        ('{"schema": 1, "config": {"model": "tiny", "task": "sva", "x": 1}}', "no setting 'x'"),
    ],
)
def test_damaged_runs_are_listed_with_their_file_and_the_others_open(tmp_path, content, says):
    good = write(tmp_path / "good")
    write(tmp_path / "bad")
    (tmp_path / "bad" / "run.json").write_text(content)
    found = list_runs(tmp_path)
    assert [run.id for run in found if isinstance(run, Run)] == [good.id]
    error = next(item for item in found if isinstance(item, DamagedRun))
    assert "bad" in str(error)
    assert "run.json" in str(error)
    assert says in str(error)


def test_a_missing_status_is_damage_too(tmp_path):
    write(tmp_path / "r")
    (tmp_path / "r" / "status.json").unlink()
    assert "status.json is missing" in str(list_runs(tmp_path)[0])


def test_unknown_runs_name_near_misses(tmp_path):
    write(tmp_path / "sva-flip-tiny")
    with pytest.raises(UnknownName, match="Did you mean 'sva-flip-tiny'"):
        open_run("sva-flip-tiny2", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DamagedRun, match="is not a run"):
        open_run("empty", tmp_path)


def test_a_run_whose_worker_was_killed_is_interrupted(tmp_path):
    code = (
        "import os, signal, pathlib; from tests.runs.test_directory import *; "
        f"w = RunWriter(pathlib.Path({str(tmp_path / 'r')!r}), CONFIG); "
        "w.describe(GRAPH, **ABOUT); w.snapshot(snapshot(0)); w.status('running', step=1); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    run = open_run("r", tmp_path)
    assert run.status().state == "interrupted"
    assert not run.status().live
    assert [s.step for s in run.snapshots()] == [0]


def test_a_live_run_is_live_while_its_process_is(tmp_path):
    run = write(tmp_path / "r", state="running")
    assert run.status().live
    assert run.status().seconds_left == pytest.approx((4 - 2) / 1.5)


def test_writing_a_file_never_leaves_a_part_behind(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    write_bytes(file, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_the_runs_room_does_not_import_torch():
    code = (
        "import sys, ctviz.runs, ctviz.jobs.standby, ctviz.views.recorded, ctviz.models.known, "
        "ctviz.tasks; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
