"""The run directory: round trips, damage, and what a killed writer leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ctviz.errors import DamagedRun, RunExists, UnknownName
from ctviz.progress import Phase
from ctviz.runs import Run, RunWriter, list_runs, new_folder, open_run
from tests.small_graph import GRAPH
from tests.small_runs import CONFIG, snapshot, write


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
        assert found.probes[0].chances == wrote.probes[0].chances == (0.5, 0.125)
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
        "import os, signal, pathlib; from ctviz.runs import RunWriter; "
        "from tests.small_graph import GRAPH; "
        "from tests.small_runs import ABOUT, CONFIG, snapshot; "
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


def test_a_status_says_in_which_phase_the_run_is_and_how_long_it_takes(tmp_path):
    write(tmp_path / "r")
    writer = RunWriter.resume(tmp_path / "r", 2)
    at = Phase("steps", 2.5, 4, "step", 0.8, 1.9)
    spent = {"steps": {"units": 2, "seconds": 2.5}}
    writer.status("running", step=2, phase=at, left=30.5, measured=spent)
    status = open_run("r", tmp_path).status()
    assert (status.phase, status.left, status.measured) == (at, 30.5, spent)
    stored = json.loads((tmp_path / "r" / "status.json").read_text())
    assert stored["phase"] == {
        "name": "steps",
        "done": 2.5,
        "total": 4,
        "unit": "step",
        "rate": 0.8,
        "left": 1.9,
    }
    open_run("r", tmp_path).announce()
    assert (open_run("r", tmp_path).status().phase, status.live) == (None, True)


def test_the_runs_room_does_not_import_torch():
    code = (
        "import sys, ctviz.runs, ctviz.jobs.standby, ctviz.views.recorded, ctviz.models.known, "
        "ctviz.tasks; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
