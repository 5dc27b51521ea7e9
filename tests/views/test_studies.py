"""Studies as they lie on disk, whole or half done, and the names of their runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctviz.errors import UnknownName
from ctviz.runs import open_run
from ctviz.runs.directory import find_study_run
from ctviz.runs.groups import change_groups
from ctviz.views.studies import arms_table, list_studies, runs_table, studies_table
from tests.written_studies import write_study


def test_a_whole_study_is_read(tmp_path: Path) -> None:
    write_study(tmp_path / "one")
    (study,), damaged = list_studies(tmp_path)
    assert damaged == []
    assert study.summary == ("Found *this*.", "And that.")
    assert list(study.figures) == ["front"]
    (row,) = studies_table([study]).to_dict("records")
    assert (row["task"], row["arms"], row["runs"]) == ("sva-flip", ["circuit", "full"], "4")
    arms = arms_table([study])
    assert list(arms["grade"]) == ["0.25 ± 0.125", "0.5"]
    assert list(arms["learning rate"]) == ["0.0001", "0.001"]
    assert len(runs_table(study)) == 4


def test_two_studies_are_one_table(tmp_path: Path) -> None:
    write_study(tmp_path / "one")
    write_study(tmp_path / "two")
    table = arms_table(list_studies(tmp_path)[0])
    assert list(table.columns)[:2] == ["study", "arm"]
    assert len(table) == 4


def test_a_study_at_work_says_how_far_it_is(tmp_path: Path) -> None:
    write_study(tmp_path / "begun", done=0)
    write_study(tmp_path / "half", done=2)
    found = {study.id: study for study in list_studies(tmp_path)[0]}
    assert found["begun"].progress == "0 of 4"
    assert found["half"].progress == "2 of 4"
    assert found["half"].summary == ()
    assert arms_table([found["begun"]]).empty


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": 3, "task": "sva", "rates": [1]}'])
def test_a_damaged_study_costs_itself_alone(tmp_path: Path, content: str) -> None:
    write_study(tmp_path / "good", done=0)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.json").write_text(content, encoding="utf-8")
    studies, (problem,) = list_studies(tmp_path)
    assert [study.id for study in studies] == ["good"]
    assert "bad" in str(problem)


def test_a_studys_run_is_opened_by_its_id(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    write_study(mine / "one")
    (study,), _ = list_studies(mine)
    name = study.run("full", 0.001, 0)
    assert name == "one/runs/full-rate0.001-seed0"
    run = find_study_run(name, mine)
    assert run is not None
    assert run.id == name
    assert open_run(name, mine) == run
    assert open_run(name, mine / "one" / "runs").folder == run.folder  # that folder by itself
    change_groups(run, mine, {"add": {"name": "g", "nodes": ["m0", "m1"]}})
    assert (run.folder / "groups.json").is_file()
    assert not (mine / ".groups").exists()


@pytest.mark.parametrize(
    "name",
    [
        "one/runs/none",
        "two/runs/full-rate0.001-seed0",
        "../mine/one",
        "one/runs/..",
        "a/b",
        "\0/runs/x",
    ],
)
def test_no_other_path_is_a_studys_run(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    write_study(mine / "one")
    assert find_study_run(name, mine) is None


def test_a_run_that_no_study_has_is_unknown(tmp_path: Path) -> None:
    write_study(tmp_path / "one", done=1)
    with pytest.raises(UnknownName):
        open_run("one/runs/full-rate0.001-seed0", tmp_path)
