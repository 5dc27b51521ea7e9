"""The page Learn without a browser: links, what is remembered, and what is done on the page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ctviz import paths
from ctviz.errors import MissingModel
from ctviz.lessons import LESSONS
from ctviz.lessons.facts import Facts
from ctviz.lessons.lesson import Question, SwitchOff
from ctviz.runs import open_run
from tests.opened_pages import open_page, said


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))


def page(**query: str) -> AppTest:
    return open_page("learn", query)


def press(app: AppTest, label: str) -> AppTest:
    """Press the button of that label."""
    [button] = [button for button in app.button if button.label == label]
    button.click().run()
    assert not app.exception
    return app


def onward(app: AppTest) -> str:
    """The label of the button to the next step."""
    return next(button.label for button in app.button if button.key == "learn:next")


def question_of(key: str) -> tuple[int, Question]:
    """The first step of a lesson that asks a question, counted from 1."""
    lesson = LESSONS[key]
    steps = lesson.steps(Facts(open_run(lesson.run, paths.shipped_runs())))
    return next(
        (at, step.until) for at, step in enumerate(steps, 1) if isinstance(step.until, Question)
    )


def test_all_lessons_are_listed_with_minutes():
    app = page()
    text = said(app)
    for lesson in LESSONS.values():
        assert lesson.title in text
        assert lesson.learns in text
    assert [button.label for button in app.button].count("Start") == len(LESSONS)
    assert not app.warning


@pytest.mark.slow
@pytest.mark.parametrize("key", list(LESSONS))
def test_a_link_opens_each_step_of_a_lesson(key):
    lesson = LESSONS[key]
    steps = lesson.steps(Facts(open_run(lesson.run, paths.shipped_runs())))
    for at, step in enumerate(steps, start=1):
        app = page(lesson=key, at=str(at))
        assert lesson.title in said(app)
        assert not app.warning
        assert not app.error
        if step.ask:
            assert step.ask in said(app) + "".join(radio.label for radio in app.radio)
        assert app.query_params["at"] == str(at)


def test_next_and_back_write_the_address():
    app = press(page(lesson="tuning"), "Next")
    assert app.query_params == {"lesson": "tuning", "at": "2"}
    press(app, "Skip")
    assert app.query_params["at"] == "3"
    press(press(app, "Back"), "Back")
    assert app.query_params["at"] == "1"
    assert next(button for button in app.button if button.label == "Back").disabled
    press(app, "6")
    assert app.query_params["at"] == "6"


def test_show_me_does_it():
    app = page(lesson="circuit", at="2")
    assert "Your turn" in said(app)
    press(app, "Show me")
    assert "Done" in said(app)
    assert "Your turn" not in said(app)
    press(app, "Next")
    assert app.query_params["at"] == "3"
    press(app, "Back")
    assert "Done" in said(app)  # it stays done


def test_a_question_says_whether_the_answer_is_right():
    at, question = question_of("faithfulness")
    app = page(lesson="faithfulness", at=str(at))
    wrong = next(option for option in question.options if option != question.right)
    app.radio[0].set_value(wrong).run()
    assert "Not that one" in said(app)
    assert question.why not in said(app)
    app.radio[0].set_value(question.right).run()
    assert question.why in said(app)
    again = page(lesson="faithfulness", at=str(at))
    press(again, "Show me")
    assert again.radio[0].value == question.right


def test_a_lesson_can_be_finished_and_left_and_continued():
    app = page(lesson="graph", at="8")
    press(app, "Finish")
    assert app.query_params == {}
    assert "finished" in said(app)
    assert [button.label for button in app.button].count("Again") == 1
    app.query_params["lesson"], app.query_params["at"] = "tuning", "4"
    press(app.run(), "All lessons")
    press(app, "Continue at step 4")
    assert app.query_params == {"lesson": "tuning", "at": "4"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"lesson": "tunning"}, "There is no lesson “tunning”; this is “Circuit-tuning"),
        ({"lesson": "<b>*x*"}, "&#60;b&#62;&#42;x&#42;"),
        ({"lesson": "x" * 10_000}, "There is no lesson"),
        ({"lesson": "graph", "at": "99"}, "no step “99”: its steps are 1 to 8. This is step 8"),
        ({"lesson": "graph", "at": "0"}, "This is step 1"),
        ({"lesson": "graph", "at": "-3"}, "This is step 1"),
        ({"lesson": "graph", "at": "two"}, "no step “two”"),
        ({"lesson": "graph", "at": "9" * 10_000}, "no step"),
    ],
)
def test_a_link_to_nothing_opens_the_nearest_and_says_so(query, words):
    app = page(**query)
    assert len(app.warning) == 1
    assert words in app.warning[0].value
    assert len(app.warning[0].value) < 1000
    assert app.subheader


def test_a_missing_run_is_said_and_the_list_stays(tmp_path, monkeypatch):
    shutil.copytree(paths.shipped_runs() / "sample-sva-flip", tmp_path / "runs/sample-sva-flip")
    monkeypatch.setattr(paths, "shipped_runs", lambda: tmp_path / "runs")
    app = page(lesson="induction")
    assert "sample-induction" in app.error[0].value
    assert [button.label for button in app.button].count("Start") == len(LESSONS)


def test_the_glossary_opens_by_link_and_follows_the_box():
    app = page(term="faithful")
    assert app.text_input[0].value == "faithful"
    assert app.expander[0].proto.expanded
    app.text_input[0].set_value("redundancy").run()
    assert app.query_params["term"] == "redundancy"
    app.text_input[0].set_value("").run()
    assert "term" not in app.query_params
    assert not page(lesson="graph").expander[0].proto.expanded


def test_a_word_that_is_not_there_is_said():
    app = page(term="<script>zzzz")
    assert "No word is like “&#60;script&#62;zzzz”" in app.info[0].value
    assert not page(term="faithfullnes").info


def test_what_was_predicted_is_said_again_later():
    app = page(lesson="forming", at="3")
    assert "You predicted" not in said(app)
    app.query_params["at"] = "1"
    app.run()
    assert [button.label for button in app.button].count("Show me") == 0  # there is no right one
    assert onward(app) == "Skip"
    chosen = app.radio[0].options[2]
    app.radio[0].set_value(chosen).run()
    press(press(app, "Next"), "Skip")
    assert f"You predicted: {chosen}" in said(app)
    press(press(app, "Back"), "Back")
    assert app.radio[0].value == chosen


def test_a_head_is_switched_off_in_the_model_that_ships():
    lesson = LESSONS["forming"]
    steps = lesson.steps(Facts(open_run(lesson.run, paths.shipped_runs())))
    at, until = next((n, s.until) for n, s in enumerate(steps, 1) if isinstance(s.until, SwitchOff))
    app = page(lesson="forming", at=str(at))
    before, after = until.steps
    press(app, f"Switch {until.node} off at step {before}")
    assert f"Step {before}: metric" in said(app)
    assert onward(app) == "Skip"
    press(app, f"Switch {until.node} off at step {after}")
    assert re.search(rf"Step {after}: metric \*\*\+1\d\.\d\d\*\*, with it off", said(app))
    assert "Done" in said(app)
    assert onward(app) == "Next"
    press(press(app, "Next"), "Back")
    assert f"Step {before}: metric" in said(app)  # it stays done


def test_a_model_that_cannot_be_run_is_said_and_can_be_skipped(monkeypatch):
    def gone(*_: object) -> None:
        raise MissingModel("It is gone.")

    monkeypatch.setattr("ctviz.pages.questions.off_task_at", gone)
    app = page(lesson="forming", at="7")
    [button, *_] = [button for button in app.button if button.label.startswith("Switch")]
    press(app, button.label)
    assert "It is gone" in app.warning[0].value
    assert onward(app) == "Skip"
