"""Where things lie: as the environment says, or in the usual places."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctviz import paths


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home without settings; the current folder is another."""
    for name in ("CTVIZ_CACHE", "CTVIZ_RUNS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_what_ships_is_there():
    assert paths.app().is_file()
    assert paths.pages().is_dir()
    assert (paths.data() / "tiny" / "config.json").is_file()
    assert [run for run in paths.shipped_runs().iterdir() if (run / "run.json").is_file()]


def test_weights_lie_in_the_users_cache_unless_told_otherwise(home, monkeypatch):
    assert paths.cache() == home / ".cache" / "ctviz"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "other"))
    assert paths.cache() == home / "other" / "ctviz"
    monkeypatch.setenv("CTVIZ_CACHE", "~/weights")
    assert paths.cache() == home / "weights"


def test_runs_lie_in_the_current_folder_unless_told_otherwise(home, monkeypatch):
    assert paths.runs() == home.parent / "work" / "ctviz-runs"
    monkeypatch.setenv("CTVIZ_RUNS", "~/runs")
    assert paths.runs() == home / "runs"
