"""What a run stores of where its model and its task lie: it can be gone on with from anywhere."""

from __future__ import annotations

import json
import shutil

import pytest

from ctviz import paths
from ctviz.errors import MissingModel
from ctviz.jobs import tune
from ctviz.jobs.discovery import Search, discover
from ctviz.jobs.study.conduct import conduct, open_study
from ctviz.jobs.study.plan import Arm, Study
from ctviz.models.known import located_model, resolve
from ctviz.models.loading import load
from ctviz.runs import RunWriter, open_run
from ctviz.runs.weights import latest_checkpoint
from ctviz.tasks import located_task
from ctviz.tuning.stored_weights import model_at
from tests.short_runs import config, own_file, shorten

ROWS = [
    {"clean": f"The {noun}s", "corrupt": f"The {noun}", "answer": " are", "foil": " is"}
    for noun in ("cabinet", "table", "door", "box", "room", "house", "garden", "tree") * 5
]


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """A folder with a model and a file, in which one is; and another one."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    shutil.copytree(paths.data() / "tiny", here / "mine")
    own_file(
        here,
        [
            {**row, "clean": f"x{i} {row['clean']}", "corrupt": f"x{i} {row['corrupt']}"}
            for i, row in enumerate(ROWS)
        ],
    )
    monkeypatch.chdir(here)
    shorten(monkeypatch)
    return here, there


def test_names_stay_and_folders_and_files_are_told_from_the_root(typed, monkeypatch):
    here, _ = typed
    (here / "tiny").mkdir()
    (here / "linked").symlink_to(here / "mine")
    assert located_model("tiny") == "tiny"
    assert located_model("./tiny") == str(here / "tiny")
    assert located_model("mine") == located_model("../here/mine") == str(here / "mine")
    assert located_model("linked") == str(here / "linked")
    assert located_model("owner/name") == "owner/name"
    assert located_model("nothing") == "nothing"
    assert located_model("") == ""
    assert located_task("sva:clause") == "sva:clause"
    assert located_task("own.jsonl") == str(here / "own.jsonl")
    assert located_task("own.jsonl?text=a&answer=b") == f"{here / 'own.jsonl'}?text=a&answer=b"
    monkeypatch.setenv("HOME", str(here))
    assert located_model("~/mine") == str(here / "mine")
    assert located_task("~/own.jsonl") == str(here / "own.jsonl")
    with pytest.raises(MissingModel, match=r"has no config\.json"):
        resolve("./tiny")


@pytest.mark.slow
def test_a_run_of_a_typed_folder_and_file_goes_on_from_another_folder(typed, monkeypatch):
    here, there = typed
    monkeypatch.setattr(tune, "CHECKPOINT_SHARE", 1e12)
    asked = config(model="mine", task="own.jsonl", keep_weights=2)
    folder = here / "runs" / "r"
    folder.mkdir(parents=True)
    RunWriter(folder, asked)  # announced, as a page does it

    def stop(step: int, steps: int, message: str) -> None:
        if step == 2:
            open_run("r", folder.parent).cancel()

    tune.tune(asked, folder, resume=True, progress=stop)
    run = open_run("r", folder.parent)
    assert run.status().state == "cancelled"
    assert latest_checkpoint(folder) is not None
    assert run.config.model == run.about["model"]["name"] == str(here / "mine")
    assert run.config.task == run.about["task"]["name"] == str(here / "own.jsonl")
    monkeypatch.chdir(there)
    (folder / "cancel").unlink()
    result = tune.tune(run.config, folder, resume=True)
    assert result["state"] == "finished"
    assert model_at(open_run("r", folder.parent), 2).origin == load("tiny").revision


def test_an_old_run_with_a_relative_folder_is_read_from_where_one_is(typed):
    here, _ = typed
    folder = here / "runs" / "r"
    RunWriter(folder, config(model="mine"))
    about = json.loads((folder / "run.json").read_text())
    about["config"] |= {"model": "mine", "task": "own.jsonl"}
    (folder / "run.json").write_text(json.dumps(about))
    run = open_run("r", folder.parent)
    assert run.config.model == "mine"
    assert resolve(run.config.model) == "mine"
    assert run.config.located().task == str(here / "own.jsonl")


def test_results_say_where_model_and_task_were(typed):
    here, _ = typed
    discover(load("mine"), Search(task="own.jsonl", examples=2, edges=3), here)
    stored = json.loads((here / "scores.json").read_text())
    assert stored["model"] == str(here / "mine")
    assert stored["task"] == str(here / "own.jsonl")
    assert stored["scores"] == str(here / "scores.safetensors")


@pytest.mark.slow
def test_a_study_goes_on_from_another_folder(typed, monkeypatch):
    here, there = typed
    study = Study(
        model="mine",
        task="own.jsonl",
        arms=(Arm("full", "full"),),
        seeds=1,
        rates=(1e-3,),
        settings={"steps": 1, "examples": 2, "batch_size": 2, "edges": 5},
    )
    conduct(study, here / "study")
    monkeypatch.chdir(there)
    again = open_study(here / "study")
    assert (again.model, again.task) == (str(here / "mine"), str(here / "own.jsonl"))
    monkeypatch.setattr(tune, "tune", lambda *_, **__: pytest.fail("a run was done again"))
    conduct(again, here / "study")
