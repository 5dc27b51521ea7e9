"""Run: pick a model and a task, press one button, and watch it."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.extras import lacking
from ctviz.models.families import FAMILIES
from ctviz.models.known import KNOWN, resolve
from ctviz.models.limits import available_memory, surely_cpu
from ctviz.pages.prompts import STYLE, asks_one_thing, example_html, plain
from ctviz.pages.record_form import ask_recording
from ctviz.pages.session import folders, measuring, standby
from ctviz.pages.settings import ask_settings
from ctviz.pages.underway import POLL, show_underway
from ctviz.pages.uploaded_file import ask_for_file, has_counterfactuals, show_file, show_problems
from ctviz.runs import Run, list_runs
from ctviz.runs.config import METHOD_NAMES, METHODS, Method, TuneConfig
from ctviz.runs.estimate import by_earlier_run, grade_before
from ctviz.runs.least_memory import check_blocks, check_tunable
from ctviz.runs.paper import deviations
from ctviz.tasks import GRADES, TASKS, Task
from ctviz.tasks.task import Kind
from ctviz.views.estimated import beside_line, estimate_lines, grade_words
from ctviz.views.naming import run_name

FAMILY_TITLES = ", ".join(family.title for family in FAMILIES.values())
OTHER = "another model …"
OWN = "your own file …"
USUAL = "sva-flip"
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_NAMES = {"known": "Known answers"}  # the others are their own names
WAYS = {"tune": "Discover and tune", "record": "Record what is there"}
UPDATES: dict[Method, str] = {
    "circuit": "discover again and again, update only what the circuit owns",
    "frozen-circuit": "discover once, then update only that",
    "circuit-and-random": "the circuit, and parts beside it drawn at random: a control",
    "random": "as many parameters, drawn at random: the control",
    "full": "update everything: the baseline",
    "lora": "train small adapters beside every linear layer",
}


def main() -> None:
    """The page."""
    st.set_page_config(page_title="Run · ctviz")
    standby().warm()
    _follow_link()
    st.html(STYLE)
    st.subheader("Find a circuit, tune only that circuit, watch it change", anchor=False)
    st.fragment(_show_live, run_every=POLL if _live() else None)()
    way = st.radio(
        "What to do",
        list(WAYS),
        format_func=WAYS.__getitem__,
        key="way",
        horizontal=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    if way == "record":
        ask_recording(_ask_known_task)
        return
    left, right = st.columns([9, 10], gap="large")
    with left:
        preset, model = _ask_model()
        key = _ask_task()
        if key == OWN:
            own, task = ask_for_file()
        else:
            chosen = _ask_level(TASKS[key])
            task = chosen.name
        method = _ask_method()
    paired, ready, bias = True, True, key != OWN and TASKS[key].grade == "bias"
    if key == OWN:
        with right:
            report = show_file(own, task, model)
            if report and not report.problems:
                paired = has_counterfactuals(each.example for each in report.checked)
                bias = report.grade == "bias"
                _show_judgement(report.grade)
        ready = bool(own and report and show_problems(own, task, report))
    else:
        with right:
            _show_task(chosen)
    with st.expander("Settings"):
        values = ask_settings(preset, model, method, paired=paired, bias=bias)
    if not paired:
        st.caption(
            "There are no counterfactual prompts, so edges are corrupted with their "
            f"{values['ablation']}."
        )
    config = _config(model, task, method, values) if ready else None
    if config and config.paper:
        st.caption(deviations(config))
    _expectation(model, config)
    st.fragment(_show_beside, run_every=POLL if _live() else None)(config)
    if st.button(
        "Discover and tune", type="primary", icon=":material/play_arrow:", disabled=not ready
    ):
        _start(model, task, method, values)


def _follow_link() -> None:
    """A link may ask for model, task and method; what is not known is left as it is."""
    query = st.query_params.to_dict()
    if not query:
        return
    st.query_params.clear()
    model, task, method = (query.get(name, "") for name in ("model", "task", "method"))
    st.session_state["way"] = "tune"
    if model in KNOWN:
        st.session_state["model"] = model
    elif model:
        st.session_state["model"], st.session_state["model-name"] = OTHER, model
    key, _, level = task.partition(":")
    if key in TASKS:
        st.session_state["task"] = key
        if level in {each.key for each in TASKS[key].levels}:
            st.session_state[f"level-{key}"] = level
    if method in METHODS:
        st.session_state["method"] = method


def _ask_known_task() -> str | None:
    """A task at a difficulty, or a file of one's own; None while there is none."""
    key = _ask_task()
    if key != OWN:
        return _ask_level(TASKS[key]).name
    own, task = ask_for_file()
    return task if own else None


def _live() -> list[Run]:
    """The runs that are under way here."""
    return [run for run in _here() if run.status().live]


def _here() -> list[Run]:
    """The user's runs, newest first."""
    return [run for run in list_runs(folders()[0]) if isinstance(run, Run)]


def _show_live() -> None:
    for run in _live():
        with st.container(border=True):
            show_underway(run, run.status(), name=run_name(run))


def _show_beside(config: TuneConfig | None) -> None:
    """That other runs are under way, and what that does to the time."""
    found = by_earlier_run(config, _here()) if config is not None else None
    said = beside_line([run_name(run) for run in _live()], found.total if found else None)
    if said:
        st.warning(plain(said), icon=":material/stacks:")


def _ask_model() -> tuple[str, str]:
    """The model's key among the presets (empty for another one), and its name."""
    choice = st.selectbox(
        "Model",
        [*KNOWN, OTHER],
        format_func=_model_label,
        key="model",
        on_change=_follow_model,
        persist_state="session",
    )
    if choice != OTHER:
        return choice, choice
    name = st.text_input(
        "Hub id or folder",
        placeholder="HuggingFaceTB/SmolLM2-360M",
        help=f"{FAMILY_TITLES}; weights as safetensors.",
        key="model-name",
        persist_state="session",
    )
    return "", name.strip()


def _follow_model() -> None:
    """A model that was made for a task comes with it."""
    choice, task = st.session_state["model"], st.session_state.get("task")
    if choice in KNOWN and KNOWN[choice].task:
        st.session_state["task"] = KNOWN[choice].task
    elif task in TASKS and TASKS[task].kind == "known":
        st.session_state["task"] = USUAL


def _ask_task() -> str:
    """The key of a task, or OWN."""
    order = [*sorted(TASKS, key=lambda key: KINDS.index(TASKS[key].kind)), OWN]
    st.session_state.setdefault("task", USUAL)
    return st.selectbox("Task", order, format_func=_task_label, key="task", persist_state="session")


def _ask_level(task: Task) -> Task:
    """The task at the difficulty that is asked for, if it has several."""
    if not task.levels:
        return task
    texts = {level.key: level.text for level in task.levels}
    level = st.selectbox(
        "Difficulty",
        list(texts),
        index=list(texts).index(task.usual),
        format_func=lambda key: f"{key}: {texts[key]}",
        key=f"level-{task.key}",
        persist_state="session",
    )
    return task.at(level)


def _ask_method() -> Method:
    return st.radio(
        "Method",
        METHODS,
        format_func=lambda method: METHOD_NAMES[method][0].upper() + METHOD_NAMES[method][1:],
        captions=[_about_method(method) for method in METHODS],
        key="method",
        persist_state="session",
    )


def _about_method(method: Method) -> str:
    about = UPDATES[method]
    if method == "lora" and lacking("lora"):
        about += ": needs `pip install 'ctviz[lora]'`"
    return about


def _show_task(task: Task) -> None:
    st.markdown(task.explanation)
    example = task.examples(1, split="train")[0]
    st.html(example_html(example))
    if asks_one_thing(example):
        said = "A prompt should go on with what is green rather than with what is red."
    else:
        said = (
            "Tuning teaches the first row. Discovery explains green rather than red in the others."
        )
    st.caption(f"{said} Metric: {plain(task.metric)}.")
    _show_judgement(task.grade)
    if task.shared:
        st.caption(f"Train and test examples share {plain(task.shared)}.")


def _show_judgement(key: str) -> None:
    grade = GRADES[key]
    name = grade.name.replace("_", " ")
    st.caption(plain(f"Judged by {name}, {grade.better} is better: {grade.text}."))


def _start(model: str, task: str, method: Method, values: dict[str, Any]) -> None:
    if not model:
        st.error("Give a hub id or a folder first.")
        return
    try:
        resolve(model)
        config = TuneConfig(model=model, task=task, method=method, **values)
        config.check_startable()
        check_blocks(config)
        measuring().stop()
        name = standby().submit(config, folders()[0])
    except (CtvizError, OSError) as error:
        st.error(plain(str(error)))
        return
    st.switch_page(str(paths.pages() / "watch.py"), query_params={"run": name})


def _config(model: str, task: str, method: Method, values: dict[str, Any]) -> TuneConfig | None:
    """The settings of the run; None while they are none, which is said when it is started."""
    try:
        resolve(model)
        return TuneConfig(model=model, task=task, method=method, **values)
    except CtvizError:
        return None


def _model_label(key: str) -> str:
    if key == OTHER:
        return OTHER
    known = KNOWN[key]
    if known.ready:
        return known.title
    return f"{known.title}: {'from the hub' if known.of_hub else 'not fetched'}"


def _task_label(key: str) -> str:
    if key == OWN:
        return OWN
    task = TASKS[key]
    return f"{KIND_NAMES.get(task.kind, task.kind.capitalize())} · {task.title} ({key})"


def _expectation(model: str, config: TuneConfig | None) -> None:
    """What the run will take: by an earlier one here at once, or measured if that is asked for."""
    known = KNOWN.get(model)
    if known and known.of_hub and not known.ready:
        page = f" [The model's page](https://huggingface.co/{known.hub})." if known.gated else ""
        st.info(
            plain(f"It comes from the hub when the run starts: {known.terms}.") + page,
            icon=":material/download:",
        )
        return
    if known and not known.ready:
        st.warning(
            f"The weights of {model} are not on this machine. Run `ctviz models fetch {model}` "
            "once, then come back."
        )
        return
    if config is None:
        return
    try:
        check_blocks(config)
        if config.device == "cpu" or surely_cpu():
            check_tunable(config, available_memory())
    except CtvizError as error:
        st.error(plain(str(error)), icon=":material/memory:")
        return
    found = measuring().of(config)
    live = found is not None and not found.over
    st.fragment(_show_estimate, run_every=POLL if live else None)(config, live)


def _show_estimate(config: TuneConfig, was_live: bool) -> None:
    found = measuring().of(config)
    if was_live and (found is None or found.over):
        st.rerun()  # nothing more will come
    if found is None:
        runs = [run for run in list_runs(*folders()) if isinstance(run, Run)]
        if earlier := by_earlier_run(config, _here()):
            st.caption(plain(f"By the last such run here, {estimate_lines(earlier)[0]}."))
        if before := grade_before(config, runs):
            st.caption(plain(f"An earlier run measured the model {grade_words(before)}."))
        if st.button(
            "Estimate time and memory",
            icon=":material/timer:",
            help="Measure a step and an evaluation on the model itself, without making a run",
        ):
            measuring().start(config, folders()[0])
            st.rerun()
        return
    if found.error:
        st.error(plain(found.error))
    elif found.estimate is None:
        st.info("Measuring what it will take: loading the model …", icon=":material/timer:")
    else:
        problems = found.estimate.problems
        lines = [line for line in estimate_lines(found.estimate) if line not in problems]
        if not found.over:
            lines.append("measuring the rest …")
        said = "  \n".join(plain(line[:1].upper() + line[1:]) for line in lines)
        st.info(said, icon=":material/timer:")
        for problem in problems:
            st.warning(plain(problem), icon=":material/memory:")


main()
