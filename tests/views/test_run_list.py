"""The list of all runs, and what a search finds in it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from ctviz.runs import list_runs
from ctviz.runs.notes import RunNotes
from ctviz.views.run_list import ListedRun, found, listed, table
from tests.small_runs import write
from tests.written_runs import write_run

NOW = datetime(2026, 3, 10, 12, 0)


def made(folder: Path, when: str, **about: object) -> None:
    """Say when a run was begun, and more of it."""
    file = folder / "run.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**values, "created": when, **about}), encoding="utf-8")


@pytest.fixture
def rows(tmp_path: Path) -> list[ListedRun]:
    write_run(tmp_path / "one", "tiny", task="sva", method="full")
    made(tmp_path / "one", "2026-03-10T09:00:00+0000", before={"accuracy": 0.25}, after={})
    write_run(tmp_path / "two", "tiny", task="ioi", method="lora", model="/a/b/Mine-1B")
    made(tmp_path / "two", "2026-03-01T09:00:00+0000")
    write(tmp_path / "three", state="failed")
    made(tmp_path / "three", "2026-03-09T13:00:00+0000", before={"accuracy": float("nan")})
    notes = {"two": RunNotes("Best", ("paper",), "Try more"), "three": RunNotes(archived=True)}
    return listed(list_runs(tmp_path), ["one"], notes)


def ids(rows: list[ListedRun]) -> list[str]:
    return [row.id for row in rows]


def test_a_line_says_what_the_run_is(rows: list[ListedRun]) -> None:
    one, three, two = rows
    assert (one.name, one.model, one.task) == ("sva on tiny, full fine-tuning", "tiny", "sva")
    assert (one.before, one.after, one.grade) == (0.25, None, "accuracy")
    assert (one.sample, two.sample) == (True, False)
    assert (two.name, two.model, two.method) == ("Best", "Mine-1B", "LoRA")
    assert (three.outcome, three.step, three.steps, three.before) == ("failed", 2, 4, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["one", "two"]),
        ("SVA", ["one"]),
        ("mine lora", ["two"]),
        ("mine sva", []),
        ("best", ["two"]),
        ("paper", ["two"]),
        ("try", ["two"]),
        ("2026-03-10", ["one"]),
        ("finished", ["one", "two"]),
    ],
)
def test_all_words_are_looked_for_everywhere(
    rows: list[ListedRun], text: str, expected: list[str]
) -> None:
    assert ids(found(rows, text=text)) == expected


def test_filters_leave_what_was_chosen(rows: list[ListedRun]) -> None:
    assert ids(found(rows, chosen={"task": ["ioi", "sva"], "method": ["LoRA"]})) == ["two"]
    assert ids(found(rows, chosen={"model": ["tiny"], "outcome": []})) == ["one"]
    assert ids(found(rows, chosen={"outcome": ["failed"]})) == []
    assert ids(found(rows, chosen={"outcome": ["failed"]}, archived=True)) == ["three"]


def test_runs_are_found_by_their_age(rows: list[ListedRun]) -> None:
    everything = {"archived": True, "now": NOW}
    assert ids(found(rows, days=1, **everything)) == ["one", "three"]
    assert ids(found(rows, days=7, **everything)) == ["one", "three"]
    assert ids(found(rows, days=30, **everything)) == ["one", "three", "two"]


def test_the_table_says_what_is_put_away_and_how_far_a_run_came(rows: list[ListedRun]) -> None:
    seen = table(rows).set_index("name")
    assert seen.loc["Best", "tags"] == ["paper"]
    assert list(seen["outcome"]) == ["finished", "failed, archived", "finished"]
    assert list(seen["steps"])[1] == "2 of 4"
    assert list(seen["made"]) == ["ships with ctviz", "2026-03-09 13:00", "2026-03-01 09:00"]
