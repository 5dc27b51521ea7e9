"""The course of the bundled model's training, as it ships: three tasks on one clock."""

from __future__ import annotations

import pytest

from ctviz import paths
from ctviz.errors import MissingModel
from ctviz.lessons.facts import Facts
from ctviz.runs import open_run
from ctviz.runs.series import series_of
from ctviz.tuning.stored_weights import model_at
from ctviz.views.naming import run_name
from tests.opened_pages import open_page, said

TASKS = ("sva", "ioi", "induction")


@pytest.fixture(scope="module")
def courses() -> dict[str, Facts]:
    return {task: Facts(open_run(f"sample-tiny-{task}", paths.shipped_runs())) for task in TASKS}


def test_three_tasks_were_recorded_of_the_same_checkpoints(courses):
    assert len({facts.steps for facts in courses.values()}) == 1
    assert len({facts.run.about["fingerprints"]["0"] for facts in courses.values()}) == 1
    for task, facts in courses.items():
        assert facts.run.about["id"] == f"sample-tiny-{task}"
        assert run_name(facts.run) == f"{task} on tiny, recorded weights"
        assert not facts.run.status().notices
        for member in series_of(facts.run).members:
            assert member.model == f"tiny/checkpoint-{member.step}"


def test_they_are_small():
    folders = [paths.shipped_runs() / f"sample-tiny-{task}" for task in TASKS]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3_000_000
    assert not any(file.parent.name in ("weights", "checkpoint") for file in files)


def test_agreement_is_learnt_before_indirect_objects_and_these_before_induction(courses):
    def learnt(task: str) -> int:
        facts = courses[task]
        return next(step for step in facts.steps if facts.metric("accuracy", step) > 0.85)

    assert learnt("sva") < learnt("ioi") < learnt("induction")
    for facts in courses.values():
        assert 0.2 < facts.metric("accuracy", facts.first) < 0.8  # it guesses
        assert facts.metric("faithfulness", facts.last) > facts.metric(
            "random_faithfulness", facts.last
        )


def test_heads_that_match_prefixes_come_with_induction(courses):
    facts = courses["induction"]
    first, last = (
        facts.head("matching", facts.best_head("matching", step), step)
        for step in (facts.first, facts.last)
    )
    assert first < 0.2
    assert last > 0.4


def test_its_checkpoints_do_not_ship_and_it_is_said_how_to_make_them(courses):
    with pytest.raises(MissingModel, match="ctviz models train-tiny --checkpoints N"):
        model_at(courses["sva"].run, 0)
    app = open_page("inspect", {"run": "sample-tiny-sva", "node": "a2.h0"})
    assert "does not ship with ctviz" in said(app)
