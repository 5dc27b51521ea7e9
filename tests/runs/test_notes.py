"""What a person says about a run, and deleting a run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ctviz.errors import CtvizError, DamagedRun
from ctviz.runs import Run, RunWriter, list_runs, open_run
from ctviz.runs.notes import RunNotes, delete_run, read_notes, write_notes
from tests.small_runs import CONFIG, write

SAID = RunNotes("Ours <b>", ("paper", "β"), "Twice as fast.\nAgain?", archived=True)


def test_notes_come_back_with_the_run_wherever_it_is_copied(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    run = write(mine / "one")
    assert read_notes(run, mine) == RunNotes()
    write_notes(run, mine, SAID)
    shutil.copytree(run.folder, tmp_path / "theirs" / "two")
    assert read_notes(open_run("two", tmp_path / "theirs"), tmp_path / "theirs") == SAID


def test_a_run_that_ships_is_not_written_to(tmp_path: Path) -> None:
    run = write(tmp_path / "shipped" / "sample")
    before = sorted(path.name for path in run.folder.iterdir())
    write_notes(run, tmp_path / "mine", SAID)
    assert sorted(path.name for path in run.folder.iterdir()) == before
    assert read_notes(run, tmp_path / "mine") == SAID
    assert list_runs(tmp_path / "mine") == []  # what is kept there is no run


def test_what_is_written_is_short_and_on_a_line(tmp_path: Path) -> None:
    run = write(tmp_path / "one")
    write_notes(run, tmp_path, RunNotes(" a\n b\x07" + "x" * 999, ("t", "", " t ", "a,b"), " n "))
    kept = read_notes(run, tmp_path)
    assert kept.title.startswith("a b x")
    assert len(kept.title) == 120
    assert kept.tags == ("t", "a b")
    assert kept.note == "n"


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"title": 3}', '{"tags": [1]}', '{"archived": "no"}', '{"tags": {}}']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    run = write(tmp_path / "one")
    (run.folder / "notes.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedRun, match=r"notes\.json"):
        read_notes(run, tmp_path)


def test_a_deleted_run_leaves_nothing(tmp_path: Path) -> None:
    run, other = write(tmp_path / "one"), write(tmp_path / "two")
    delete_run(run)
    assert os.listdir(tmp_path) == ["two"]
    assert list_runs(tmp_path) == [other]


def test_no_reader_sees_half_of_a_run_that_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = write(tmp_path / "one"), []
    remove = shutil.rmtree

    def watched(path: Path, **options: bool) -> None:
        seen.append((run.folder.exists(), list_runs(tmp_path)))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    delete_run(run)
    assert seen[0] == (False, [])


def test_a_live_run_is_not_deleted(tmp_path: Path) -> None:
    RunWriter(tmp_path / "one", CONFIG).status("running")
    with pytest.raises(CtvizError, match="still running; cancel it first"):
        delete_run(Run(tmp_path / "one"))
    assert os.listdir(tmp_path) == ["one"]


def test_one_that_is_resumed_at_that_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, rename = write(tmp_path / "one", state="cancelled"), os.rename
    before = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))

    def resumed(source: Path, target: Path) -> None:
        if source == run.folder:
            run.announce()
        rename(source, target)

    monkeypatch.setattr(os, "rename", resumed)
    with pytest.raises(CtvizError, match="still running"):
        delete_run(run)
    assert os.listdir(tmp_path) == ["one"]
    assert json.loads((run.folder / "run.json").read_text(encoding="utf-8")) == before


def test_a_damaged_run_can_be_deleted(tmp_path: Path) -> None:
    run = write(tmp_path / "one")
    (run.folder / "status.json").write_text("{", encoding="utf-8")
    delete_run(run)
    assert os.listdir(tmp_path) == []


def test_a_run_that_ships_is_not_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = write(tmp_path / "sample")
    monkeypatch.setattr("ctviz.paths.shipped_runs", lambda: tmp_path)
    with pytest.raises(CtvizError, match="archive it instead"):
        delete_run(run)
    assert run.folder.is_dir()


def test_a_folder_that_cannot_be_moved_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write(tmp_path / "one")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(CtvizError, match="cannot be deleted: Permission denied"):
        delete_run(run)
    assert os.listdir(tmp_path) == ["one"]
    assert open_run("one", tmp_path).status().state == "finished"
