"""The page of studies: a list, one of them, several beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.opened_pages import open_page, said
from tests.written_studies import write_study


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))
    return tmp_path


def test_without_a_study_it_says_how_to_make_one(runs: Path) -> None:
    app = open_page("studies", {})
    assert "There is no study yet" in said(app)
    assert "ctviz study" in app.code[0].value


def test_a_study_is_listed_and_opened(runs: Path) -> None:
    write_study(runs / "one")
    write_study(runs / "two", done=1)
    app = open_page("studies", {})
    assert sorted(app.dataframe[0].value["runs"]) == ["1 of 4", "4"]
    app.multiselect[0].set_value(["one"]).run()
    assert app.query_params["study"] == "one"
    assert "Found *this*." in said(app)
    assert len(app.dataframe) == 2  # arms, runs
    assert "1 of 4 of its runs are done" in said(open_page("studies", {"study": "two"}))


def test_several_studies_are_compared(runs: Path) -> None:
    write_study(runs / "a,b")
    write_study(runs / "two")
    app = open_page("studies", {"study": "a%2Cb,two,gone"})
    assert len(app.dataframe[0].value) == 4
    assert [e.label for e in app.expander] != []


def test_a_damaged_one_is_named(runs: Path) -> None:
    write_study(runs / "one")
    (runs / "one" / "results.csv").write_text('a,b\n1,2,3\n4,"', encoding="utf-8")
    app = open_page("studies", {})
    assert "one is no study that can be read" in said(app)


def test_a_run_of_a_study_is_watched(runs: Path) -> None:
    write_study(runs / "one")
    app = open_page("watch", {"run": "one/runs/full-rate0.001-seed0"})
    assert app.selectbox(key="choice").value == "one/runs/full-rate0.001-seed0"
    assert "There is no run" not in said(app)
    names = "one/runs/full-rate0.001-seed0,one/runs/circuit-rate0.001-seed0"
    app = open_page("compare", {"runs": names})
    assert app.selectbox(key="compare-a").value == "one/runs/full-rate0.001-seed0"
