"""What a finished run says of itself, and where it leads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from ctviz import paths
from ctviz.runs import Run, open_run
from ctviz.views.compared import asked
from ctviz.views.outcome import outcome, strongest_head
from ctviz.views.view import View
from tests.small_runs import write

BEFORE = {"accuracy": 0.25, "test_examples": 40, "perplexity": 80.0, "other_accuracy": 0.5}
AFTER = {"accuracy": 0.995, "perplexity": 100.0, "other_accuracy": 0.25, "retention_kl": 0.125}


def made(folder: Path, *, method: str = "circuit", state: str = "finished", **about: Any) -> Run:
    """A run whose file says more of itself."""
    run = write(folder, state=state)
    file = folder / "run.json"
    known = json.loads(file.read_text())
    known["config"]["method"] = method
    known |= {"before": BEFORE, "after": AFTER, **about}
    file.write_text(json.dumps(known))
    return Run(run.folder)


def test_it_says_the_grade_what_moved_and_what_was_forgotten(tmp_path: Path) -> None:
    found = outcome(made(tmp_path / "r"), [])
    assert found is not None
    assert found.grade == "accuracy 25 % → 99.5 % on 40 test examples"
    assert found.rest == (
        "a step moved 25 % of the parameters",  # tests.small_runs.record
        "KL from the untuned model 0.125 nats a token",
        "perplexity on English +25 %",
        "other tasks 50 % → 25 %",
    )


def test_what_was_not_measured_is_not_said(tmp_path: Path) -> None:
    found = outcome(made(tmp_path / "r", before={"accuracy": 0}, after={"accuracy": 1}), [])
    assert found is not None
    assert found.grade == "accuracy 0 % → 100 % on test examples"
    assert found.rest == ("a step moved 25 % of the parameters",)


@pytest.mark.parametrize("more", [{"state": "failed"}, {"state": "running"}, {"after": None}])
def test_a_run_that_has_not_come_to_its_end_says_nothing(tmp_path: Path, more: dict) -> None:
    assert outcome(made(tmp_path / "r", **more), []) is None


def test_a_bias_is_better_when_it_is_lower(tmp_path: Path) -> None:
    task = {"key": "bias", "title": "t", "metric": "m", "judged_by": "bias", "better": "lower"}
    grades = {"before": {"bias": 0.5}, "after": {"bias": 0.125}}
    found = outcome(made(tmp_path / "r", task=task, **grades), [])
    assert found is not None
    assert found.grade == "bias 50 % → 12 % (lower is better) on test examples"


def test_it_leads_to_the_strongest_head_and_to_what_it_is_compared_with(tmp_path: Path) -> None:
    run = made(tmp_path / "r")
    last = list(run.snapshots())[-1]
    head = strongest_head(last, run.graph.sources)
    sums = {
        name: np.abs(last.scores[row][last.circuit[row]]).sum()
        for row, name in enumerate(run.graph.sources)
        if name.startswith("a")
    }
    assert head == max(sums, key=sums.get)
    found = outcome(run, [])
    assert found is not None
    (inspect, there), (again, form) = found.links
    assert inspect == f"Inspect {head}, its strongest head"
    query = {key: value for key, (value,) in parse_qs(urlsplit(there).query).items()}
    assert query.pop("run") == "r"
    assert View.from_query(query) == View(step=last.step, nodes=(head,))
    assert again == "Run full fine-tuning to compare with"
    assert parse_qs(urlsplit(form).query) == {
        "model": ["tiny"],
        "task": ["sva-flip"],
        "method": ["full"],
    }
    full = made(tmp_path / "full", method="full")
    others = [made(tmp_path / "late", method="full", state="running"), run, full]
    found = outcome(run, others)
    assert found is not None
    words, address = found.links[1]
    assert words == "Compare with full fine-tuning"
    query = {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
    assert asked(query) == (["r", "full"], None)
    found = outcome(full, others)
    assert found is not None
    assert found.links[1][0] == "Compare with circuit-tuning"


def test_a_recording_has_words_of_its_own() -> None:
    found = outcome(open_run(str(paths.shipped_runs() / "sample-tiny-ioi")), [])
    assert found is not None
    assert found.grade == "First model to last: accuracy 53 % → 100 % on 100 test examples"
    assert found.rest == ("KL from the first model 12.5 nats a token", "other tasks 53 % → 95 %")
    assert [words for words, _ in found.links] == ["Inspect a2.h1, its strongest head"]
