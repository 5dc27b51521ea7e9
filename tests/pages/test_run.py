"""What the page Run says before anything is run, without a browser."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ctviz import paths
from ctviz.jobs.measuring import Measured
from ctviz.models import limits
from ctviz.pages import session
from ctviz.runs.estimate import Estimate
from tests.stand_in_hub import REPO, no_network, stand_in
from tests.written_runs import write_run

PAGE = str(paths.pages() / "run.py")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    nobody = SimpleNamespace(warm=lambda: None)
    monkeypatch.setattr(session, "standby", lambda: nobody)
    return tmp_path / "runs"


def finished(runs: Path, step: float, **changes: Any) -> None:
    """A run of the model tiny of 30 steps of so many seconds, and what else it took: 8 s."""
    run = write_run(runs / "r", "tiny", model="tiny", steps=30, examples=32, edges=40)
    others = ("load", "baseline", "discovery", "final evaluation")
    measured = {name: {"units": 1, "seconds": 1.0} for name in others}
    measured["baseline"] = {"units": 3, "seconds": 1.0}
    measured |= {"steps": {"units": 30, "seconds": 30 * step}}
    measured |= {"snapshots": {"units": 15, "seconds": 3.0}}
    status = {"state": "finished", "step": 30, "steps": 30, "measured": measured} | changes
    file = run.folder / "status.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | status))


def said() -> str:
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not app.exception
    return "\n".join(caption.value for caption in app.caption).replace("\\", "")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0.5, "time: about 38 s (loading the model 1 s, measuring it before 1 s, discovery 1 s, "),
        (5, "time: about 5 minutes"),
        (1000, "time: about 16.7 hours"),
    ],
)
def test_the_estimate_is_of_the_whole_run(runs: Path, step: float, expected: str) -> None:
    finished(runs, step)
    assert f"By the last such run here, {expected}" in said()  # for the usual 60 steps


def test_an_earlier_run_says_whether_the_model_does_the_task(runs: Path) -> None:
    words = "An earlier run measured the model before tuning: accuracy 0 % on 100 test examples."
    assert words in said()  # the sample of the usual task, which is agreement turned around


def test_a_link_fills_in_model_task_and_method(runs: Path) -> None:
    app = AppTest.from_file(PAGE, default_timeout=60)
    app.query_params.update({"model": "induction", "task": "induction", "method": "full"})
    app.run()
    assert not app.exception
    chosen = [app.selectbox(key="model").value, app.selectbox(key="task").value]
    assert [*chosen, app.radio(key="method").value] == ["induction", "induction", "full"]
    app.radio(key="method").set_value("lora").run()
    assert app.radio(key="method").value == "lora"  # the link is followed once
    app = AppTest.from_file(PAGE, default_timeout=60)
    app.query_params.update({"model": "org/model", "task": "none", "method": "recorded"})
    app.run()
    assert not app.exception
    assert app.text_input(key="model-name").value == "org/model"
    assert app.selectbox(key="task").value == "sva-flip"
    assert app.radio(key="method").value == "circuit"


def test_without_a_run_that_says_it_nothing_is_estimated(runs: Path) -> None:
    assert "such run" not in said()
    finished(runs, 1, measured={})  # of an earlier version
    assert "such run" not in said()


def test_what_is_measured_is_shown_as_it_comes(runs: Path, monkeypatch) -> None:
    asked = []
    told = {"now": None}

    class Measuring:
        def of(self, config):
            return told["now"]

        def start(self, config, folder):
            asked.append((config.model, config.steps, folder))
            told["now"] = Measured()

    monkeypatch.setattr(session, "measuring", Measuring)
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    next(b for b in app.button if b.label == "Estimate time and memory").click().run()
    assert asked == [("tiny", 60, runs)]
    assert "loading the model" in app.info[0].value
    begun = Estimate(seconds={"load": 2.0})
    told["now"] = Measured(begun)
    assert app.run().info[0].value.endswith("Measuring the rest …")
    whole = replace(begun, memory=3 * 10**9, available=2 * 10**9, whole=True)
    told["now"] = Measured(whole, over=True)
    app.run()
    assert "about 3.0 GB at the most, of 2.0 GB available" in app.info[0].value.replace("\\", "")
    assert "It takes about 3.0 GB of memory" in app.warning[0].value.replace("\\", "")
    told["now"] = Measured(error="No.", over=True)
    assert app.run().error[0].value == "No\\."


def test_what_cannot_be_for_lack_of_memory_is_said_before_the_start(runs: Path, monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 10**6)
    monkeypatch.setattr(limits, "surely_cpu", lambda: True)
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    assert "Tuning tiny by circuit-tuning needs at least" in app.error[0].value.replace("\\", "")
    assert not any(button.label.startswith("Estimate") for button in app.button)


def test_lora_says_what_to_install_where_it_cannot_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def about() -> str:
        app = AppTest.from_file(PAGE, default_timeout=60).run()
        return app.radio(key="method").proto.captions[-1]

    assert "pip install" not in about()
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "pip install 'ctviz[lora]'" in about()


def test_blocks_that_do_not_fit_are_explained_and_those_that_do_have_more_edges(
    runs: Path,
) -> None:
    """Blocks of 64 of the model tiny's 512 neurons: four layers of four heads and eight blocks."""
    app = AppTest.from_file(PAGE, default_timeout=60).run()

    def field(label: str) -> Any:
        return next(each for each in app.number_input if each.label == label)

    assert field("Number of edges").max == 479
    field("Neurons a block").set_value(100).run()
    assert "must divide: the nearest are 64 and 128" in app.error[0].value.replace("\\", "")
    field("Neurons a block").set_value(64).run()
    before, edges = 1, 0  # nodes in front of a part of the model, and what they send into it
    for slots, nodes in [(12, 4), (8, 8)] * 4 + [(1, 0)]:
        edges += before * slots
        before += nodes
    assert not app.error
    assert field("Number of edges").max == edges


# ---------------------------------------------------------------------- recording


def test_checkpoints_are_recorded_from_the_page(runs: Path, tmp_path: Path, monkeypatch) -> None:
    for step in (4, 12):
        (tmp_path / "out" / f"checkpoint-{step}").mkdir(parents=True)
    asked = []

    def record(series, config, folder, *, compared):
        asked.append((series, config, folder))
        return "some-run"

    worker = SimpleNamespace(warm=lambda: None, record=record)
    monkeypatch.setattr(session, "standby", lambda: worker)
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    app.radio(key="way").set_value("record").run()
    assert not app.exception
    assert [button.disabled for button in app.button if button.label == "Record"] == [True]
    app.text_input(key="series-folder").set_value(str(tmp_path)).run()
    assert "has no checkpoints" in app.error[0].value
    app.text_input(key="series-folder").set_value(str(tmp_path / "out"))
    app.text_input(key="series-base").set_value("tiny").run()
    assert "3 models: 0, 4, 12" in "".join(c.value for c in app.caption).replace("\\", "")
    app.number_input(key="series-edges").set_value(40)
    next(button for button in app.button if button.label == "Record").click().run()
    ((series, config, folder),) = asked
    assert [member.step for member in series.members] == [0, 4, 12]
    assert (config.task, config.edges, config.method) == ("sva-flip", 40, "circuit")
    assert folder == runs


def test_revisions_are_recorded_from_the_page(runs: Path, tmp_path: Path, monkeypatch) -> None:
    hub = stand_in(tmp_path / "hub", monkeypatch)
    hub.revisions = dict.fromkeys([f"step{2**n}" for n in range(9)], tmp_path)
    asked = []
    worker = SimpleNamespace(
        warm=lambda: None, record=lambda *given, **_: asked.append(given) or "run"
    )
    monkeypatch.setattr(session, "standby", lambda: worker)
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    app.radio(key="way").set_value("record").run()
    app.radio(key="series-kind").set_value("revisions").run()
    hub.fails = no_network()
    app.text_input(key="series-hub").set_value(REPO).run()
    assert "cannot be reached" in app.error[0].value
    hub.fails = None
    app.text_input(key="series-revisions").set_value("stp1").run()
    assert "Did you mean" in app.error[0].value
    app.text_input(key="series-revisions").set_value("step*")
    app.number_input(key="series-at-most").set_value(3).run()
    assert "3 models: 1, 16, 256" in "".join(c.value for c in app.caption).replace("\\", "")
    app.checkbox(key="series-keep").check()
    next(button for button in app.button if button.label == "Record").click().run()
    ((series, config, _),) = asked
    assert [member.model for member in series.members] == [
        f"{REPO}@step{step}" for step in (1, 16, 256)
    ]
    assert series.keep_downloads
    assert config.model == f"{REPO}@step1"


def test_a_second_run_is_mentioned_with_what_it_does_to_the_time(
    runs: Path,
) -> None:
    finished(runs, 0.5)
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not [each for each in app.warning if "Under way here" in each.value]
    other = write_run(runs / "other", "tiny", model="tiny", task="sva", method="full")
    file = other.folder / "status.json"
    now = {"state": "running", "heartbeat": time.time(), "pid": os.getpid()}
    file.write_text(json.dumps(json.loads(file.read_text()) | now))
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not app.exception
    [warning] = [each.value.replace("\\", "") for each in app.warning]
    assert "Under way here: sva on tiny, full fine-tuning" in warning
    assert "up to about 2 times as long, here 76 s instead of 38 s" in warning
