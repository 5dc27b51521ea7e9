"""Which run a page is about, what its tab is called, and what a newcomer is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from tests.opened_pages import open_page, said
from tests.written_runs import write_run

SAMPLE = "sva-flip on tiny, circuit-tuning"
FIRST_SIGHT = "40 of 479 edges of a tiny model carry 97 ± 2 % of subject-verb agreement"
NEWCOMER = "parts of a language model that do a task"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the pages have called the browser's tab."""
    titles: list[str] = []
    monkeypatch.setattr(st, "set_page_config", lambda *, page_title: titles.append(page_title))
    return titles


@pytest.mark.slow
@pytest.mark.parametrize("name", ["watch", "inspect"])
def test_the_tab_is_called_by_the_run(runs: Path, tab: list[str], name: str) -> None:
    write_run(runs / "mine", "tiny", task="sva", method="full")
    open_page(name, {"run": "sample-sva-flip"})
    assert tab == [f"{SAMPLE} · ctviz"]
    open_page(name, {"run": "mine"})
    assert tab[1:] == ["sva on tiny, full fine-tuning · ctviz"]


def test_a_comparison_is_called_by_both_runs(runs: Path, tab: list[str]) -> None:
    write_run(runs / "mine", "tiny", task="sva", method="full")
    open_page("compare", {"runs": "sample-sva-flip,mine"})
    assert tab == [f"{SAMPLE} / sva on tiny, full fine-tuning · ctviz"]


def test_a_newcomer_is_told_what_it_is_on_a_sample_until_they_put_it_away(runs: Path) -> None:
    write_run(runs / "mine", "tiny")
    app = open_page("watch", {"run": "sample-sva-flip"})
    assert NEWCOMER in said(app)
    assert [b.label for b in app.button] == ["Lesson 1: What a circuit is", "Hide"]
    app.button[1].click().run()
    assert NEWCOMER not in said(app)
    app = open_page("watch", {})
    assert FIRST_SIGHT in said(app)
    app.button[1].click().run()
    assert FIRST_SIGHT not in said(app)
    assert NEWCOMER not in said(open_page("watch", {"run": "mine"}))
