"""Learn: short lessons that drive the real player on runs that ship with the project.

Links: ``?lesson=KEY&at=3`` opens the third step of a lesson, ``?term=WORD`` the glossary at a word.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal, NamedTuple

import streamlit as st

from ctviz.errors import CtvizError
from ctviz.files import written
from ctviz.inspection.answers import OnTask
from ctviz.lessons import LESSONS
from ctviz.lessons.facts import Facts
from ctviz.lessons.lesson import (
    EstimatorIs,
    HeatIs,
    Lesson,
    LessonStep,
    MapIs,
    Prediction,
    Question,
    SwitchOff,
)
from ctviz.lessons.markup import explained, literal
from ctviz.pages.glossary import show_glossary
from ctviz.pages.player import player
from ctviz.pages.progress_kept import keep_progress, kept_progress
from ctviz.pages.questions import model_at_step, off_task_at
from ctviz.pages.session import folders
from ctviz.runs import open_run
from ctviz.runs.weights import playable_steps
from ctviz.views.recorded import packed, recorded
from ctviz.views.view import View

OnPage = Question | Prediction | SwitchOff  # what is done beside the player, not in it
LONGEST = 80  # characters of a link's words that are looked at

STYLE = """
<style>
.ct-term { cursor: help; border-bottom: 1px dotted currentColor; border-radius: 2px; }
.ct-term:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
/* Below its line, as far left as the text: a definition is never cut off at the page's edge. */
.stMarkdown:has(.ct-term) { position: relative; }
.ct-tip {
  visibility: hidden; opacity: 0; position: absolute; z-index: 1000; left: 0; margin-top: 1.6em;
  max-width: min(24rem, 100%); padding: 0.6rem 0.75rem; border-radius: 8px;
  font-size: 0.82rem; line-height: 1.45; font-weight: 400; text-align: left; white-space: normal;
  color: CanvasText; background: Canvas; border: 1px solid rgb(128 128 128 / 0.6);
  box-shadow: 0 6px 24px rgb(0 0 0 / 0.22); transition: opacity 0.12s;
}
.ct-term:hover > .ct-tip, .ct-term:focus > .ct-tip { visibility: visible; opacity: 1; }
.ct-source { display: block; margin-top: 0.3rem; font-size: 0.76rem; opacity: 0.85; }
</style>
"""


class Place(NamedTuple):
    """A step of a lesson, counted from 1. A tuple, because it is remembered over reruns of this
    file, each of which makes another class, and instances of two dataclasses are never equal."""

    lesson: str
    at: int


def main() -> None:
    """The page."""
    _take_over()
    _page()
    keep_progress(_finished(), st.session_state.get("learn:place"))


def _page() -> None:
    st.set_page_config(page_title="Learn · ctviz")
    st.html(STYLE)
    asked = st.query_params.get("lesson")
    if asked is None:
        if "term" in st.query_params:
            show_glossary(opened=True)
            _overview()
        else:
            _overview()
            show_glossary(opened=False)
        return
    lesson = _find(asked[:LONGEST])
    st.set_page_config(page_title=f"{lesson.title} · ctviz")
    try:
        steps, payload = _material(lesson.key, written(folders()[1] / lesson.run / "run.json"))
    except CtvizError as error:
        st.error(
            f"This lesson shows the run “{lesson.run}”, which ships with ctviz but cannot be "
            f"opened here. {literal(str(error))}"
        )
        _overview()
        return
    _lesson(lesson, steps, payload, _step(len(steps)))
    show_glossary(opened="term" in st.query_params)


# ---------------------------------------------------------------------- what is asked for


def _find(asked: str) -> Lesson:
    """The lesson of a link, or the nearest with a word about it."""
    if asked in LESSONS:
        return LESSONS[asked]
    near = difflib.get_close_matches(asked.lower(), list(LESSONS), n=1, cutoff=0.4)
    lesson = LESSONS[near[0]] if near else next(iter(LESSONS.values()))
    st.warning(
        f"There is no lesson “{literal(asked)}”; this is “{lesson.title}”.",
        icon=":material/search:",
    )
    return lesson


def _step(count: int) -> int:
    """The step of a link, from 1 to ``count``, or the nearest with a word about it."""
    text = st.query_params.get("at", "1")
    asked = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    at = min(max(asked, 1), count)
    if at != asked:
        st.warning(
            f"This lesson has no step “{literal(text[:LONGEST])}”: its steps are 1 to {count}. "
            f"This is step {at}.",
            icon=":material/search:",
        )
    return at


@st.cache_resource(max_entries=len(LESSONS), show_spinner=False)
def _material(
    key: str, stamp: tuple[int, int] | None
) -> tuple[tuple[LessonStep, ...], dict[str, Any]]:
    """A lesson's steps and the player's payload; ``stamp`` tells versions of the run apart."""
    lesson = LESSONS[key]
    run = open_run(lesson.run, folders()[1])
    steps = lesson.steps(Facts(run))
    timeline = recorded(run)
    assert timeline is not None  # Facts has asked for its graph
    return steps, packed(timeline)


# ---------------------------------------------------------------------- what the session remembers


def _take_over() -> None:
    """Take over what the browser has kept of earlier visits, once it has told."""
    finished, place = kept_progress()
    if (finished, place) == st.session_state.get("learn:recalled", (set(), None)):
        return
    st.session_state["learn:recalled"] = finished, place
    _finished().update(finished & set(LESSONS))
    if place and place[0] in LESSONS:
        st.session_state.setdefault("learn:place", Place(*place))


def _finished() -> set[str]:
    """Keys of the lessons that were gone through to the end."""
    finished: set[str] = st.session_state.setdefault("learn:finished", set())
    return finished


def _done() -> set[Place]:
    """Steps on which the reader has done what was asked."""
    done: set[Place] = st.session_state.setdefault("learn:done", set())
    return done


def _answers() -> dict[Place, str]:
    """What the reader has predicted."""
    answers: dict[Place, str] = st.session_state.setdefault("learn:answers", {})
    return answers


def _go(lesson: str, at: int) -> None:
    st.query_params.from_dict({"lesson": lesson, "at": str(at)})
    st.session_state["learn:place"] = Place(lesson, at)


def _finish(lesson: str) -> None:
    _finished().add(lesson)
    st.session_state.pop("learn:place", None)
    st.query_params.clear()


def _leave() -> None:
    st.query_params.clear()


# ---------------------------------------------------------------------- all lessons

CARDS = """
<style>
.st-key-lessons {
  display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr));
}
.st-key-lessons > div { height: 100%; }
.st-key-lessons h3 { padding: 0 0 0.3rem; font-size: 1.15rem; }
</style>
"""


def _overview() -> None:
    minutes = sum(lesson.minutes for lesson in LESSONS.values())
    st.html(CARDS)
    st.header("Learn", anchor=False)
    st.markdown(
        f"{len(LESSONS)} short lessons, {minutes} minutes together, on runs that ship with ctviz. "
        "Each drives the player beside its text and now and then waits for you to do something. "
        "The address of any step can be sent to others."
    )
    place: Place | None = st.session_state.get("learn:place")
    with st.container(key="lessons"):
        for number, lesson in enumerate(LESSONS.values(), start=1):
            with st.container(border=True):
                _card(number, lesson, place.at if place and place.lesson == lesson.key else None)


def _card(number: int, lesson: Lesson, stopped: int | None) -> None:
    """One lesson on the list; ``stopped``: the step at which the reader has left it."""
    finished = lesson.key in _finished()
    state = " · :green[finished]" if finished else ""
    st.markdown(f"### {number}. {lesson.title}")
    st.markdown(lesson.learns)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = f"Continue at step {stopped}" if stopped else "Again" if finished else "Start"
        st.button(
            label,
            key=f"learn:start:{lesson.key}",
            type="secondary" if finished and not stopped else "primary",
            on_click=_go,
            args=(lesson.key, stopped or 1),
        )
        st.caption(f"{lesson.minutes} minutes{state}")


# ---------------------------------------------------------------------- one lesson

LAYOUT = """
<style>
.st-key-lesson-text p, .st-key-lesson-text li { line-height: 1.5; }
.st-key-lesson-text p code { padding: 0.1em 0.25em; margin: 0; white-space: nowrap; }
.st-key-lesson-head h3 { padding: 0.2rem 0; font-size: 1.25rem; }
.st-key-lesson-dots { row-gap: 0.3rem; }
.st-key-lesson-dots button {
  min-height: 1.5rem; height: 1.5rem; width: 1.5rem; padding: 0; border-radius: 50%;
}
.st-key-lesson-dots button p { font-size: 0.75rem; }
.st-key-turn { padding: 0.7rem 0.9rem; }
@media (min-width: 1180px) {
  .stMainBlockContainer { padding-left: 1.25rem; padding-right: 1.25rem; }
  .st-key-lesson {
    display: grid; grid-template-columns: 18.5rem minmax(0, 1fr); gap: 1.25rem; align-items: start;
  }
  .st-key-lesson > :first-child {
    position: sticky; top: 3.9rem; max-height: calc(100vh - 4.5rem); overflow-y: auto;
  }
  .st-key-turn-row { flex-direction: column; align-items: flex-start; }
  .st-key-turn-row > div { flex: none; max-width: 100%; }
}
@media (max-width: 1179px) {
  .st-key-lesson > :first-child {
    position: sticky; top: 3.6rem; z-index: 90; padding: 0.5rem 1rem 0.8rem;
    background: Canvas; border: 1px solid rgb(128 128 128 / 0.45); border-radius: 0 0 10px 10px;
    max-height: 38vh; overflow-y: auto; /* what the text is about stays in sight below it */
  }
}
</style>
"""
HEATMAP_FIRST = """
<style>.st-key-lesson-player { --cz-side-order: -1; --cz-inspector-order: 1 }</style>
"""


def _lesson(
    lesson: Lesson, steps: tuple[LessonStep, ...], payload: dict[str, Any], at: int
) -> None:
    step, place = steps[at - 1], Place(lesson.key, at)
    st.session_state["learn:place"] = place
    shown = st.session_state.get("learn:shown") == place
    asked = step.view
    if shown and step.until is not None and not isinstance(step.until, OnPage):
        asked = step.until.done_for(step.view)
    key = f"learn-{lesson.run}"
    st.html(LAYOUT)
    if isinstance(step.until, HeatIs | EstimatorIs | MapIs):
        st.html(HEATMAP_FIRST)  # or its buttons are below the graph, out of sight, in one column
    with st.container(key="lesson"):
        text = st.container(key="lesson-text", gap="small")
        with st.container(key="lesson-player"):
            now = player(payload, key=key, view=asked, camera=step.camera, occasion=(place, shown))
        with text:
            _head(lesson)
            if step.recalls:
                _recall(lesson, steps, at)
            st.markdown(explained(step.text, prefix=f"t{at}"), unsafe_allow_html=True)
            done = _turn(lesson, step, place, now)
            _controls(lesson, place, len(steps), ready=done)


def _head(lesson: Lesson) -> None:
    number = list(LESSONS).index(lesson.key) + 1
    with st.container(key="lesson-head", horizontal=True, vertical_alignment="center", gap="small"):
        st.button("All lessons", icon=":material/arrow_back:", type="tertiary", on_click=_leave)
        st.subheader(f"{number}. {lesson.title}", anchor=False)


def _recall(lesson: Lesson, steps: tuple[LessonStep, ...], at: int) -> None:
    """What the reader has predicted at an earlier step, if anything."""
    asked = [n for n, s in enumerate(steps[:at], 1) if isinstance(s.until, Prediction)]
    said = [_answers().get(Place(lesson.key, n)) for n in asked]
    for text in filter(None, said):
        st.caption(f"You predicted: {text}")


def _turn(lesson: Lesson, step: LessonStep, place: Place, now: View) -> bool:
    """What the reader is asked to do; returns whether it is done, or nothing is asked."""
    until = step.until
    if until is None:
        return True
    with st.container(border=True, key="turn", gap="small"):
        if isinstance(until, Question):
            return _question(until, step, place)
        if isinstance(until, Prediction):
            return _prediction(until, step, place)
        if isinstance(until, SwitchOff):
            return _switch_off(until, lesson, step, place)
        if until.met(now):
            _done().add(place)
        done = place in _done()
        with st.container(key="turn-row", horizontal=True, vertical_alignment="center"):
            with st.container(gap=None):
                _say("Done" if done else "Your turn", step.ask, done=done)
                if not done:
                    st.caption(step.hint)
            if not done:
                st.button("Show me", key="learn:show", on_click=_show, args=(place,))
    return done


def _question(question: Question, step: LessonStep, place: Place) -> bool:
    key = f"learn:answer:{place.lesson}:{place.at}"
    if place in _done() and st.session_state.get(key) is None:
        st.session_state[key] = question.right
    choice = st.radio(step.ask, question.options, index=None, key=key)
    if choice is None:
        if step.hint:
            st.caption(step.hint)
        st.button(
            "Show me",
            key="learn:show",
            on_click=lambda: st.session_state.update({key: question.right}),
        )
        return False
    if question.met(choice):
        _done().add(place)
        _say("Done", question.why, done=True)
        return True
    _say("Not that one.", question.wrong[choice], done=False)
    return False


def _prediction(prediction: Prediction, step: LessonStep, place: Place) -> bool:
    key = f"learn:answer:{place.lesson}:{place.at}"
    if st.session_state.get(key) is None:
        st.session_state[key] = _answers().get(place)
    choice = st.radio(step.ask, prediction.options, index=None, key=key)
    if choice is None:
        st.caption(step.hint)
        return False
    _answers()[place] = choice
    return True


def _switch_off(until: SwitchOff, lesson: Lesson, step: LessonStep, place: Place) -> bool:
    """Buttons that switch the node off at the steps, and what came of those that were pressed."""
    pressed: set[tuple[Place, int]] = st.session_state.setdefault("learn:switched", set())
    run = open_run(lesson.run, folders()[1])
    first = model_at_step(run, playable_steps(run)[0])
    above = st.container()
    found = 0
    for at in until.steps:
        if (place, at) not in pressed:
            st.button(
                f"Switch {until.node} off at step {at}",
                key=f"learn:off:{at}",
                icon=":material/power_settings_new:",
                on_click=pressed.add,
                args=((place, at),),
            )
            continue
        try:
            with st.spinner(f"Running the model of step {at} …"):
                _tell(off_task_at(model_at_step(run, at), first, until.node, "zero"), at)
            found += 1
        except CtvizError as error:
            st.warning(literal(str(error)))
    done = found == len(until.steps)
    with above:
        _say("Done" if done else "Your turn", step.ask, done=done)
    if done:
        _done().add(place)
    else:
        st.caption(step.hint)
    return done


def _tell(off: OnTask, at: int) -> None:
    """What the metric is with a node as it is and switched off."""
    before, after = (f"{value:+.2f}".replace("-", "−") for value in (off.before, off.after))
    st.markdown(f"Step {at}: metric **{before}**, with it off **{after}**")
    st.caption(
        f"Computed now on {off.examples} dev pairs; ± {off.error:.2f} is the standard error of the "
        "mean change."
    )


def _say(what: str, text: str, *, done: bool) -> None:
    if done:
        st.markdown(f":green[:material/check_circle: **{what}**] {text}")
    else:
        st.markdown(f":material/touch_app: **{what}** {text}")


def _controls(lesson: Lesson, place: Place, count: int, *, ready: bool) -> None:
    at = place.at
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(key="lesson-dots", horizontal=True, gap="xsmall", width="content"):
            for number in range(1, count + 1):
                st.button(
                    str(number),
                    key=f"learn:dot:{number}",
                    type="primary" if number == at else "secondary",
                    on_click=_go,
                    args=(lesson.key, number),
                )
        with st.container(horizontal=True, width="content", key="lesson-moves"):
            st.button("Back", disabled=at == 1, on_click=_go, args=(lesson.key, at - 1))
            kind: Literal["primary", "secondary"] = "primary" if ready else "secondary"
            if at < count:
                st.button(
                    "Next" if ready else "Skip",
                    key="learn:next",
                    type=kind,
                    on_click=_go,
                    args=(lesson.key, at + 1),
                )
            else:
                st.button("Finish", type=kind, on_click=_finish, args=(lesson.key,))


def _show(place: Place) -> None:
    st.session_state["learn:shown"] = place
    _done().add(place)


main()
