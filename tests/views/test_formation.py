"""Tasks of one series, side by side: in words, as a figure, and on the page Compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ctviz.runs.formation import course_of
from ctviz.views import compared
from ctviz.views.compare_figures import draw_formation
from ctviz.views.formation import course, formation_words
from tests.opened_pages import open_page, said
from tests.written_recordings import ONE, OTHER, write


@pytest.fixture
def sides(tmp_path: Path) -> list[compared.Side]:
    runs = [
        write(tmp_path / "runs" / "one", "sva", ONE, (0.5, 0.5, 0.8, 0.9)),
        write(tmp_path / "runs" / "two", "ioi", OTHER, (0.5, 0.5, 0.5, 0.5)),
    ]
    return [
        compared.read_side(run, label)
        for run, label in zip(runs, compared.labels(runs), strict=True)
    ]


def test_a_page_and_a_command_say_the_same(sides):
    for side in sides:
        one, other = course(side), course_of(side.run, side.run.config.task)
        assert (one.steps, one.formed, one.learned) == (other.steps, other.formed, other.learned)
        assert one.with_last.tolist() == other.with_last.tolist()
        assert (one.task, one.graded, one.rises, one.examples, one.names) == (
            *(other.task, other.graded, other.rises, other.examples, other.names),
        )


def test_words_say_which_forms_first_and_what_is_shared(sides):
    courses = [course(side) for side in sides]
    assert formation_words(courses) == (
        "ioi forms first (sva at step 1; ioi at step 0). Their grades are half way: sva at step 8; "
        "ioi never. At the end the circuits of sva and ioi share 50% of their edges (by chance "
        "3.0%) and 67% of their heads and MLPs."
    )
    same = [courses[0], replace(courses[0], task="logic")]
    assert formation_words(same).startswith("The circuits form together (sva at step 1; logic at")
    named = replace(courses[1], names={0: "base", 512: "chat"})
    assert "ioi at base" in formation_words([courses[0], named])
    three = [*courses, replace(courses[1], task="logic")]
    assert "of ioi and logic share 100% of their edges" in formation_words(three)
    assert formation_words(three).endswith("the most of all pairs.")


def test_the_figure_has_each_task_and_each_pair_on_the_members(sides):
    figure = draw_formation([course(side) for side in sides])
    lines = {line.name: list(line.y) for line in figure.data}
    assert lines["sva: circuit"] == [0.25, 0.5, 0.75, 1.0]
    assert lines["sva: accuracy"] == pytest.approx([0.5, 0.5, 0.8, 0.9])
    assert lines["sva and ioi: edges"] == [0, 0, 0.25, 0.5]
    assert list(figure.data[0].x) == [0, 1, 2, 3]
    assert list(figure.layout.xaxis.ticktext) == ["0", "1", "8", "512"]


def test_compare_shows_it_for_recordings_of_one_series_alone(sides, tmp_path, monkeypatch):
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    both = open_page("compare", {"runs": "one,two"})
    assert not both.exception
    assert "Which circuit forms first" in [each.value for each in both.subheader]
    assert "ioi forms first" in said(both)
    write(tmp_path / "runs" / "again", "sva")
    other = open_page("compare", {"runs": "one,again"})
    assert "Which circuit forms first" not in [each.value for each in other.subheader]
