"""What the page Run says before anything is run, without a browser."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from ctviz import paths
from ctviz.pages import session
from tests.written_runs import write_run

PAGE = str(paths.pages() / "run.py")
STARTED = "2026-11-23T01:00:00+0000"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    nobody = SimpleNamespace(warm=lambda: None)
    monkeypatch.setattr(session, "standby", lambda: nobody)
    return tmp_path / "runs"


def finished(runs: Path, seconds: float, *, steps: int = 30, born: float = -60.0) -> None:
    """A run of the model tiny that took so long; ``born``: when its process began, against it."""
    run = write_run(runs / "r", "tiny", model="tiny")
    started = datetime.fromisoformat(STARTED).timestamp()
    for name, values in (
        ("run.json", {"created": STARTED}),
        (
            "status.json",
            {
                "state": "finished",
                "step": steps,
                "born": started + born,
                "heartbeat": started + seconds,
            },
        ),
    ):
        file = run.folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))


def said() -> str:
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not app.exception
    return "\n".join(caption.value for caption in app.caption).replace("\\", "")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (
            19.9,
            "About 40 s in all, by the last such run here: tiny, circuit-tuning, 30 steps in 20",
        ),
        (0.5, "About 1 s in all"),
        (300, "About 10 minutes in all"),
        (30_000, "About 16.7 hours in all"),
    ],
)
def test_the_estimate_is_of_the_whole_run(runs: Path, seconds: float, expected: str) -> None:
    finished(runs, seconds)
    assert expected in said()  # for the usual 60 steps


def test_without_a_run_that_says_it_nothing_is_estimated(runs: Path) -> None:
    assert "in all" not in said()
    finished(runs, 20, born=60)  # resumed: nobody knows how long it had paused
    assert "in all" not in said()


def test_a_run_without_a_step_says_nothing(runs: Path) -> None:
    finished(runs, 20, steps=0)
    assert "in all" not in said()


def test_lora_says_what_to_install_where_it_cannot_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def about() -> str:
        app = AppTest.from_file(PAGE, default_timeout=60).run()
        return app.radio(key="method").proto.captions[-1]

    assert "pip install" not in about()
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "pip install 'ctviz[lora]'" in about()
