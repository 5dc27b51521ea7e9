"""What the button Keep makes before anything is asked of it, without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ctviz import export
from tests.written_runs import write_run

APP = str(Path(__file__).parents[1] / "browser" / "keep_app.py")


def test_the_replay_is_made_once_to_say_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))
    run = write_run(tmp_path / "r", "tiny")
    made, make = [], export.make_replay
    monkeypatch.setattr(export, "make_replay", lambda *a, **k: (made.append(a), make(*a, **k))[1])
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params["run"] = "r"
    app.run()
    assert not app.exception
    assert made == []  # the list is not open
    app.session_state["keep-r"] = True
    for _ in range(3):
        app.run()
        assert not app.exception
        assert any("plays offline" in each.value for each in app.markdown)
    assert len(made) == 1
    run.folder.joinpath("status.json").write_text(
        run.folder.joinpath("status.json").read_text().replace("finished", "failed")
    )
    app.run()
    assert len(made) == 2  # it says another state by now
