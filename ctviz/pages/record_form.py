"""The part of Run that records weights which are there already."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.models.known import resolve
from ctviz.pages import session
from ctviz.pages.prompts import plain
from ctviz.pages.settings import TEXTS
from ctviz.runs.config import TuneConfig
from ctviz.runs.revisions import of_revisions
from ctviz.runs.series import Series, of_adapters, of_checkpoints, of_models

WAYS = {
    "checkpoints": "Checkpoints in a folder",
    "models": "Models, one after another",
    "adapters": "Adapters of a base model",
    "revisions": "Revisions of a model at the hub",
}
MEASURED = (
    "Quick: the circuit's faithfulness on a few pairs, and the distance from the first model. "
    "Distance only: without the former, on more text. Full: on all of them, and perplexity and "
    "other tasks. Of the first and the last all is measured"
)
LISTED = 600  # seconds for which the hub is not asked again which revisions a model has


def ask_recording(ask_task: Callable[[], str | None]) -> None:
    """Ask for a series, a task and what is measured, and start a recording of it.

    ``ask_task`` asks for the task; None while there is none.
    """
    left, right = st.columns([9, 10], gap="large")
    with left:
        way = st.radio(
            "What is recorded", list(WAYS), format_func=WAYS.__getitem__, key="series-kind"
        )
        series = _ask_series(way)
        task = ask_task()
    with right:
        st.markdown(
            "Each of them is loaded, its circuit found and measured as at a step of tuning, and "
            "let go. The recording plays like a run."
        )
        edges = st.number_input("Edges of the circuit", 1, None, 60, key="series-edges")
        examples = st.number_input("Examples to measure on", 2, 4096, 32, key="series-examples")
        scored, measured = TEXTS["attribution"], TEXTS["evaluate"]
        method = st.selectbox(
            "Edges scored by", list(scored), format_func=scored.__getitem__, key="series-scored"
        )
        evaluate = st.selectbox(
            "Measured of each",
            list(measured),
            index=list(measured).index("quick"),
            format_func=measured.__getitem__,
            key="series-evaluate",
            help=MEASURED,
        )
    ready = series is not None and task is not None
    if st.button(
        "Record", type="primary", icon=":material/fiber_manual_record:", disabled=not ready
    ):
        assert series is not None
        assert task is not None
        try:
            config = TuneConfig.from_dict(
                {
                    "model": series.members[0].model,
                    "task": task,
                    "edges": int(edges),
                    "examples": int(examples),
                    "attribution": method,
                    "evaluate": evaluate,
                }
            )
            config.check_startable()
            two = series.kind == "models" and len(series.members) == 2
            name = session.standby().record(series, config, session.folders()[0], compared=two)
        except (CtvizError, OSError) as error:
            st.error(plain(str(error)))
            return
        st.switch_page(str(paths.pages() / "watch.py"), query_params={"run": name})


def _ask_series(way: str) -> Series | None:
    """The series that is asked for, said in a line; None while it is none, and why."""
    where = many = base = ""
    at_most, keep = 0, False
    if way == "revisions":
        where = st.text_input(
            "Model", placeholder="EleutherAI/pythia-70m", key="series-hub", help="A hub id"
        ).strip()
        many = st.text_input(
            "Revisions",
            "step*",
            key="series-revisions",
            help="Names and patterns, with spaces between; step* is all with a step in the name",
        )
        at_most = int(
            st.number_input(
                "At most",
                2,
                None,
                12,
                key="series-at-most",
                help="Evenly spread over the logarithm of the step, the first and last among them",
            )
        )
        keep = st.checkbox(
            "Keep what is downloaded",
            key="series-keep",
            help="Left out, each revision is let go once it is recorded, and the disk holds two at "
            "a time",
        )
    elif way == "models":
        many = st.text_area(
            "Models, a line each", placeholder="gpt2\n/data/gpt2-chat", key="series-models"
        )
    else:
        where = st.text_input(
            "Folder", placeholder="/data/my-training", key="series-folder", help="On this machine"
        ).strip()
        base = st.text_input(
            "Base model" if way == "adapters" else "Trained from (becomes step 0)",
            key="series-base",
            help="A name, hub id or folder" if way == "adapters" else "May be left empty",
        ).strip()
    tokenizer = st.text_input(
        "Tokenizer",
        key="series-tokenizer",
        help="Whose tokenizer all take. Left empty, each has its own or that of the folder above",
    ).strip()
    models = [line.strip() for line in many.splitlines() if line.strip()]
    if not (models if way == "models" else where and (base or way != "adapters")):
        return None
    try:
        if way == "revisions":
            series = _revisions(where, tuple(many.split()), at_most, tokenizer, keep)
        elif way == "models":
            for model in models:
                resolve(model)
            series = of_models(models, tokenizer=tokenizer)
        elif way == "adapters":
            series = of_adapters(where, base, tokenizer=tokenizer)
        else:
            series = of_checkpoints(where, base=base, tokenizer=tokenizer)
    except CtvizError as error:
        st.error(plain(str(error)))
        return None
    st.caption(plain(series.words))
    return series


@st.cache_data(ttl=LISTED, max_entries=16, show_spinner="Asking the hub for the revisions")
def _revisions(
    model: str, wanted: tuple[str, ...], at_most: int, tokenizer: str, keep: bool
) -> Series:
    return of_revisions(model, wanted, at_most=at_most, tokenizer=tokenizer, keep_downloads=keep)
