"""Run: pick a model and a task, press one button, and watch it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from ctviz.config import ABLATIONS, METHODS, Method, TuneConfig
from ctviz.errors import CtvizError
from ctviz.models.families import FAMILIES
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.known import KNOWN, resolve
from ctviz.pages.session import folders, standby
from ctviz.runs import Run, list_runs
from ctviz.tasks import TASKS

FAMILY_TITLES = ", ".join(family.title for family in FAMILIES.values())
OTHER = "another model …"
PRESETS = {
    # edges, steps, batch size, learning rate, examples
    "tiny": (40, 60, 16, 3e-4, 32),
    "smollm2-135m": (400, 40, 16, 1e-4, 16),
    **{key: (len(known.true_edges), 40, 16, 1e-3, 32) for key, known in KNOWN_ANSWERS.items()},
    OTHER: (400, 40, 16, 1e-4, 16),
}
METHOD_NAMES = {
    "circuit": "Circuit-tuning: update only what the circuit owns",
    "full": "Full fine-tuning: update everything (baseline)",
}


def main() -> None:
    """The page."""
    standby().warm()
    st.subheader("Find a circuit, tune only that circuit, watch it change", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        choice = st.selectbox("Model", [*KNOWN, OTHER], format_func=_model_label, key="model")
        model = choice
        if choice == OTHER:
            model = st.text_input(
                "Hub id or folder",
                placeholder="HuggingFaceTB/SmolLM2-360M",
                help=f"{FAMILY_TITLES}; weights as safetensors.",
            ).strip()
        method = st.radio("Method", METHODS, format_func=METHOD_NAMES.__getitem__, key="method")
    with right:
        order = sorted(TASKS, key=lambda key: key != "sva-flip")
        key = st.selectbox(
            "Task", order, format_func=lambda k: f"{TASKS[k].title} ({k})", key="task"
        )
        task = TASKS[key]
        st.markdown(task.explanation)
        pair = task.pairs(1, split="train")[0]
        st.caption(
            f"For example: “{pair.clean} …” should go on with “{pair.answer.strip()}” rather than "
            f"“{pair.foil.strip()}”. Metric: {task.metric}."
        )
    edges, steps, batch, rate, examples = PRESETS[choice]
    with st.expander("Settings"):
        one, two, three = st.columns(3)
        values: dict[str, Any] = {
            "steps": one.number_input("Steps", 1, 100_000, steps, key=f"steps-{choice}"),
            "edges": two.number_input(
                "Edges in the circuit", 1, 10_000_000, edges, key=f"edges-{choice}"
            ),
            "learning_rate": three.number_input(
                "Learning rate", 0.0, 1.0, rate, format="%.1e", step=1e-5, key=f"rate-{choice}"
            ),
            "batch_size": one.number_input("Batch size", 1, 4096, batch, key=f"batch-{choice}"),
            "examples": two.number_input(
                "Pairs to evaluate on", 2, 4096, examples, key=f"examples-{choice}"
            ),
            "snapshot_every": three.number_input(
                "Steps between snapshots (0: about 20 a run)", 0, int(steps), 0
            ),
            "optimizer": one.selectbox("Optimizer", ["adamw", "sgd"]),
            "ablation": two.selectbox("Ablation", ABLATIONS),
            "seed": three.number_input("Seed", 0, 2**31 - 1, 0),
        }
    _expectation(model, method)
    if st.button("Discover and tune", type="primary", icon=":material/play_arrow:"):
        _start(model, key, method, values)


def _start(model: str, task: str, method: Method, values: dict[str, Any]) -> None:
    if not model:
        st.error("Give a hub id or a folder first.")
        return
    try:
        resolve(model)
        config = TuneConfig(model=model, task=task, method=method, **values)
        name = standby().submit(config, folders()[0])
    except CtvizError as error:
        st.error(str(error))
        return
    st.switch_page("ctviz/pages/watch.py", query_params={"run": name})


def _model_label(key: str) -> str:
    if key == OTHER:
        return OTHER
    known = KNOWN[key]
    return known.title if known.ready else f"{known.title}: not fetched"


def _expectation(model: str, method: str) -> None:
    """What the last finished run of this kind took on this machine, measured."""
    if model in KNOWN and not KNOWN[model].ready:
        st.warning(
            f"The weights of {model} are not on this machine. Run `ctviz models fetch {model}` "
            "once, then come back."
        )
        return
    for run in list_runs(folders()[0]):
        if not isinstance(run, Run) or run.status().state != "finished":
            continue
        if run.config.model == model and run.config.method == method:
            seconds = run.metrics()["seconds"].dropna()
            if len(seconds):
                st.caption(
                    f"On this machine, the last run of {Path(model).name} took "
                    f"{seconds.median():.2g} s a step, without its snapshots."
                )
            return


main()
