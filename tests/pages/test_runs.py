"""All runs on one page: found, named, put away."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ctviz.runs import open_run
from ctviz.runs.notes import RunNotes, write_notes
from tests.opened_pages import open_page, said
from tests.written_runs import write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's runs: two of them, one with a title."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("CTVIZ_RUNS", str(folder))
    write_run(folder / "first", "tiny", task="ioi")
    write_notes(write_run(folder / "second", "tiny"), folder, RunNotes("Ours *b*", ("paper",)))
    return folder


def names(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["name"])


def test_a_link_opens_what_was_searched(runs: Path) -> None:
    app = open_page("runs", {"search": "paper"})
    assert names(app) == ["Ours *b*"]
    app.text_input(key="search").set_value("nothing like it").run()
    assert "No run fits" in said(app)
    app.text_input(key="search").set_value("").run()
    app.multiselect(key="task").set_value(["ioi"]).run()
    assert names(app) == ["ioi on tiny, circuit-tuning", "ioi on tiny, recorded weights"]


def test_a_title_is_what_a_run_is_called_elsewhere(runs: Path) -> None:
    app = open_page("watch", {"run": "second"})
    (option,) = (text for text in app.selectbox(key="choice").options if "Ours" in text)
    assert option.startswith("Ours *b* · 20")
    app = open_page("compare", {"runs": "second,first"})
    assert app.selectbox(key="compare-a").options[0] == "Ours *b*"


def test_an_archived_run_is_offered_only_where_it_is_asked_for(runs: Path) -> None:
    write_notes(open_run("first", runs), runs, RunNotes(archived=True))
    assert "ioi on tiny, circuit-tuning" not in names(open_page("runs", {}))
    assert "ioi on tiny, circuit-tuning" in names(open_page("runs", {"archived": "true"}))
    offered = [
        len(open_page("watch", q).selectbox(key="choice").options)
        for q in ({"run": "second"}, {"run": "first"})
    ]
    assert offered[1] == offered[0] + 1


def test_damaged_notes_cost_the_notes_alone(runs: Path) -> None:
    (runs / "second" / "notes.json").write_text("{", encoding="utf-8")
    app = open_page("runs", {})
    assert "sva-flip on tiny, circuit-tuning" in names(app)
    assert "notes.json cannot be read" in said(app)
