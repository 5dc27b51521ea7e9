"""What a run will take, from what was measured."""

from __future__ import annotations

import json

import pytest

from ctviz.runs import open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.estimate import Estimate, GradeBefore, by_earlier_run, grade_before
from ctviz.views.estimated import estimate_lines, grade_words
from tests.written_runs import write_run

MEASURED = {
    "load": {"units": 1, "seconds": 2.0},
    "baseline": {"units": 3, "seconds": 6.0},
    "discovery": {"units": 1, "seconds": 3.0},
    "steps": {"units": 10, "seconds": 5.0},
    "snapshots": {"units": 5, "seconds": 10.0},
    "final evaluation": {"units": 1, "seconds": 4.0},
}


def earlier(folder, **changes):
    run = write_run(folder / "r", "tiny", model="tiny", steps=10, examples=8)
    file = run.folder / "status.json"
    status = {"state": "finished", "step": 10, "steps": 10, "measured": MEASURED} | changes
    file.write_text(json.dumps(json.loads(file.read_text()) | status))
    return run


def asked(**changes) -> TuneConfig:
    usual = {"model": "tiny", "task": "sva-flip", "steps": 20, "examples": 8, "snapshot_every": 8}
    return TuneConfig(**usual | changes)


def test_an_earlier_run_says_what_units_take(tmp_path):
    found = by_earlier_run(asked(), [earlier(tmp_path)])
    assert found.seconds == {
        "load": 2,
        "baseline": 6,
        "discovery": 3,
        "steps": 10,  # 20 of 0.5
        "snapshots": 6,  # 3, after 8, 16 and 20 steps, of 2
        "final evaluation": 4,
    }
    assert (found.total, found.run) == (31, "r")
    twice = by_earlier_run(asked(batch_size=32), [earlier(tmp_path / "other")])
    assert twice.seconds["steps"] == 20


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "cancelled"},
        {"measured": {}},
        {"measured": {**MEASURED, "baseline": {"units": 0, "seconds": 0.0}}},
    ],
)
def test_a_run_that_did_not_measure_all_says_nothing(tmp_path, changes):
    assert by_earlier_run(asked(), [earlier(tmp_path, **changes)]) is None


@pytest.mark.parametrize(
    "other", [{"method": "full"}, {"evaluate": "full"}, {"examples": 9}, {"task": "sva"}]
)
def test_a_run_of_another_kind_says_nothing(tmp_path, other):
    assert by_earlier_run(asked(**other), [earlier(tmp_path)]) is None


def test_an_estimate_in_words_and_back_from_plain_values():
    found = Estimate(
        seconds={"load": 1.25, "steps": 30.0, "snapshots": 0.01},
        memory=1_200_000_000,
        available=9_900_000_000,
        disk=7_700_000,
        disk_most=23_000_000,
        disk_free=80_000_000_000,
        device="cpu",
        whole=True,
        grade=GradeBefore("accuracy", 0.75, 16, "dev"),
    )
    assert estimate_lines(found) == [
        "time: about 31 s (loading the model 1.2 s, steps 30 s)",
        "memory: about 1.2 GB at the most, of 9.9 GB available",
        "disk: about 7.7 MB in the end, 23 MB at the most, of 80.0 GB free",
        "before tuning: accuracy 75 % on 16 dev examples",
    ]
    assert Estimate.of_plain(found.plain()) == found
    assert estimate_lines(Estimate(seconds={"load": 2.0})) == [
        "time: about 2 s (loading the model 2 s)"
    ]


def test_what_does_not_suffice_is_said_with_numbers_and_what_to_do():
    short = Estimate(memory=3 * 10**9, available=2 * 10**9, disk=1, disk_most=5, disk_free=4)
    memory, disk = short.problems
    assert memory.startswith("It takes about 3.0 GB of memory, and 2.0 GB are available")
    assert "Take a smaller model" in memory
    assert disk.startswith("It takes up to 0.0 GB of disk, and 0.0 GB are free. Keep fewer")
    assert estimate_lines(short)[-2:] == [memory, disk]


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        # of 16 guesses at two choices the standard error is 0.125, so guessing ends at 25 and 75 %
        (0.76, "so the model does the task, and there is something to explain"),
        (0.75, "so it does not do the task yet: there may be no circuit to find"),
        (0.25, "so it does not do the task yet: there may be no circuit to find"),
        (0.24, "so it does the opposite, which tuning has to turn around"),
    ],
)
def test_whether_the_model_does_the_task_is_said_beyond_the_noise_of_guessing(value, verdict):
    said = grade_words(GradeBefore("accuracy", value, 16, "dev", 0.5))
    assert said == (
        f"before tuning: accuracy {100 * value:.0f} % on 16 dev examples, guessing 50 %, {verdict}"
    )


def test_an_earlier_run_says_how_well_the_model_does_the_task(tmp_path):
    run = earlier(tmp_path)
    assert grade_before(asked(), [run]) is None  # it says nothing of a grade
    file = run.folder / "run.json"
    about = json.loads(file.read_text())
    about["before"] = {"accuracy": 0.125, "test_examples": 100}
    file.write_text(json.dumps(about))
    run = open_run("r", tmp_path)
    assert grade_before(asked(method="lora"), [run]) == GradeBefore("accuracy", 0.125, 100, "test")
    assert grade_before(asked(task="sva"), [run]) is None
    about["config"]["method"] = "recorded"
    file.write_text(json.dumps(about))
    assert grade_before(asked(), [open_run("r", tmp_path)]) is None
