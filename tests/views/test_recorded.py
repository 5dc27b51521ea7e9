"""What is made of a run again and again while it goes on: each thing once, and always the same."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctviz.errors import DamagedRun
from ctviz.files import read_tensors, write_tensors
from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.directory import read_snapshot
from ctviz.runs.groups import NodeGroup
from ctviz.views import recorded as module
from ctviz.views.compare import pack_pair, pack_steps
from ctviz.views.compared import Side, read_side
from ctviz.views.packing import pack
from ctviz.views.recorded import packed, read_once, recorded
from tests.small_graph import GRAPH
from tests.small_runs import ABOUT, CONFIG, snapshot, write
from tests.written_runs import write_run


@pytest.fixture
def whole(tmp_path: Path) -> Run:
    """A run of eight snapshots."""
    return write_run(tmp_path / "whole" / "r", "tiny", snapshots=8)


def started(whole: Run, folder: Path) -> Run:
    """The same run before its first snapshot."""
    shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return Run(folder)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of snapshots that are read from now on."""
    seen: list[Path] = []
    read = module.read_snapshot
    monkeypatch.setattr(
        module, "read_snapshot", lambda file, graph: (seen.append(file), read(file, graph))[1]
    )
    return seen


def test_a_growing_run_reads_what_is_new_and_is_packed_as_from_scratch(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = started(whole, tmp_path / "live" / "r"), reads(monkeypatch)
    for count, file in enumerate(whole.snapshot_files(), start=1):
        shutil.copy(file, run.folder / "snapshots")
        seen.clear()
        payload = json.dumps(packed(recorded(run)))
        assert [each.name for each in seen] == [file.name]
        copied = Run(Path(shutil.copytree(run.folder, tmp_path / f"copy-{count}" / "r")))
        assert json.dumps(packed(recorded(copied))) == payload


def test_nothing_is_made_again_before_there_is_something_new(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(whole, tmp_path / "live" / "r")
    shutil.copy(whole.snapshot_files()[0], run.folder / "snapshots")
    first, seen = recorded(run), reads(monkeypatch)
    with (run.folder / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps({"step": whole.config.steps, "loss": 1.0}) + "\n")
    assert recorded(Run(run.folder)) is first
    assert packed(first) is packed(first)
    assert seen == []


def test_whatever_the_run_says_anew_is_shown(whole: Run) -> None:
    run = Run(whole.folder)
    shown = [recorded(run)]
    shown.append(recorded(run, groups=(NodeGroup("late", ("m1", "m0")),)))
    last = shown[0].steps[-1]
    with (run.folder / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps({"step": last, "loss": 123.0}) + "\n")
    shown.append(recorded(run))
    for name, values in (("status", {"state": "failed"}), ("run", {"examples": 5})):
        file = run.folder / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))
        shown.append(recorded(Run(whole.folder)))
    assert len({json.dumps(packed(each)) for each in shown}) == len(shown)


def test_a_snapshot_is_read_once_for_all_pages(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reads(monkeypatch)
    recorded(whole)
    list(Run(whole.folder).snapshots(read=read_once))
    assert len(seen) == len(whole.snapshot_files())
    file = whole.snapshot_files()[0]
    os.utime(file, ns=(0, 0))
    list(Run(whole.folder).snapshots(read=read_once))
    assert seen[len(whole.snapshot_files()) :] == [file]


def test_runs_side_by_side_are_packed_once_until_one_says_something_new(
    whole: Run, tmp_path: Path
) -> None:
    run = started(whole, tmp_path / "live" / "r")
    files = whole.snapshot_files()
    for file in files[:2]:
        shutil.copy(file, run.folder / "snapshots")

    def sides() -> tuple[Side, Side]:
        return read_side(Run(whole.folder), "A · whole"), read_side(Run(run.folder), "B · live")

    before = pack_pair(*sides())
    assert pack_pair(*sides()) is before
    assert pack_steps(sides()[1], 0) is pack_steps(sides()[1], 0)
    shutil.copy(files[2], run.folder / "snapshots")
    after = pack_pair(*sides())
    assert after["other"]["last_step"] > before["other"]["last_step"]


def test_how_specific_nodes_are_comes_from_the_snapshots_and_runs_of_before_have_no_such_map(
    tmp_path: Path,
) -> None:
    old = recorded(write(tmp_path / "old"))
    assert old is not None
    assert old.specific is None
    assert "specific" not in pack(old)["maps"]
    writer = RunWriter(tmp_path / "new", CONFIG)
    writer.describe(GRAPH, **ABOUT)
    share = np.linspace(0, 1, len(GRAPH.nodes), dtype=np.float32)
    share[-1] = np.nan
    writer.snapshot(snapshot(0))
    writer.snapshot(replace(snapshot(2), specific=share))
    writer.status("finished", step=2)
    new = recorded(open_run("new", tmp_path))
    assert new is not None
    np.testing.assert_array_equal(new.specific, [np.full_like(share, np.nan), share])
    assert "specific" in pack(new)["maps"]
    assert "neutral sentences" in new.provenance["specific"]
    assert new.on_clock([0, 1], [1, 1]).specific[0][1] == share[1]
    file = tmp_path / "new" / "snapshots" / "000002.safetensors"
    tensors, about = read_tensors(file)
    write_tensors(file, {**tensors, "specific": share[:-1]}, about)
    with pytest.raises(DamagedRun, match="specific"):
        read_snapshot(file, GRAPH)


def test_what_heads_do_on_repeated_words_is_a_map_of_runs_that_recorded_it(tmp_path: Path) -> None:
    old = recorded(write(tmp_path / "old"))
    assert old is not None
    assert old.heads == {}
    writer = RunWriter(tmp_path / "new", CONFIG)
    writer.describe(GRAPH, **ABOUT)
    share = np.linspace(0, 1, len(GRAPH.nodes), dtype=np.float32)
    writer.snapshot(snapshot(0))
    later = snapshot(2)
    metrics = {**later.metrics, "prefix_matching": 0.75}
    writer.snapshot(replace(later, heads={"matching": share}, metrics=metrics))
    writer.status("finished", step=2)
    run = open_run("new", tmp_path)
    new = recorded(run)
    assert new is not None
    np.testing.assert_array_equal(new.heads["matching"], [np.full_like(share, np.nan), share])
    assert list(pack(new)["maps"]) == ["effect", "matching"]
    assert "said twice" in new.provenance["matching"]
    assert new.on_clock([0, 1], [1, 1]).heads["matching"][0][1] == share[1]
    [curve] = [curve for curve in new.curves if curve.panel == "heads"]
    assert (curve.key, curve.steps.tolist()) == ("prefix_matching", [2])
    file = run.snapshot_files()[-1]
    tensors, about = read_tensors(file)
    write_tensors(file, {**tensors, "heads.matching": share[:-1]}, about)
    with pytest.raises(DamagedRun, match=r"heads\.matching"):
        read_snapshot(file, GRAPH)
