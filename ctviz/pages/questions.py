"""What a run's models at kept steps say, asked of the engine's process.

Answers are kept for all sessions of the server. While an answer is not there, the page says how
many questions go first, and a button cancels all that the page still has to ask. A question is
withdrawn if its page is left, or shows something else.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ctviz.circuits.choices import Ablation
from ctviz.errors import CtvizError, EngineFailed, MissingModel
from ctviz.files import written
from ctviz.inspection.answers import (
    ModelAtStep,
    NeuronOnTask,
    NodeReading,
    OnPrompt,
    OnTask,
    PreparedPrompt,
    Prompt,
    PromptReading,
)
from ctviz.models.known import resolve
from ctviz.models.places import place_of
from ctviz.pages.session import engine
from ctviz.runs import Run
from ctviz.runs.series import series_of
from ctviz.runs.weights import weights_of
from ctviz.tasks import is_file
from ctviz.tasks.files import path_of

__all__ = [
    "load",
    "model_at_step",
    "neurons_at",
    "node_at",
    "not_here",
    "off_prompt_at",
    "off_task_at",
    "offer_to_ask_again",
    "prepare",
    "prompt_at",
]


CANCELLED = "questions-cancelled"  # the address at which no more is asked
NUMBERS = itertools.count()  # of buttons
UNSAID = 2  # looks at an answer that is not there, before the page says so


def _ask(name: str, *arguments: object) -> Any:
    """The answer to a question; raises EngineFailed, also if it was cancelled."""
    if not engine().kept(name, *arguments) and _cancelled():
        raise EngineFailed("The question was cancelled.")
    place, looks = st.empty(), 0
    said: DeltaGenerator | None = None

    def waiting(ahead: int) -> None:
        nonlocal looks, said
        looks += 1
        if looks <= UNSAID:
            place.empty()  # anything said to the browser ends the script if the page was left
            return
        if said is None:
            with place.container(horizontal=True, vertical_alignment="center"):
                said = st.empty()
                st.button(
                    "Cancel",
                    key=f"cancel-{next(NUMBERS)}",
                    on_click=_cancel,
                    icon=":material/close:",
                )
        said.caption(_position(ahead), width="content")

    try:
        return engine().ask(name, *arguments, keep=True, waiting=waiting)
    finally:
        place.empty()


def _position(ahead: int) -> str:
    if not ahead:
        return "The model is at it …"
    return f"{ahead} question{'s' * (ahead > 1)} of other windows go{'es' * (ahead == 1)} first …"


def _cancel() -> None:
    st.session_state[CANCELLED] = st.query_params.to_dict()


def _cancelled() -> bool:
    """Whether the user wants no more of what the page shows now."""
    return CANCELLED in st.session_state and (
        st.session_state[CANCELLED] == st.query_params.to_dict()
    )


def offer_to_ask_again() -> None:
    """Say that questions were cancelled, if they were, with a button that asks them after all."""
    if not _cancelled():
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Cancelled: what is not known yet is not asked of the model.", width="content")
        st.button(
            "Ask again",
            on_click=lambda: st.session_state.pop(CANCELLED, None),
            icon=":material/refresh:",
        )


def model_at_step(run: Run, step: int) -> ModelAtStep:
    """The model of a step and what it is asked about, as they are on disk now."""
    weights, task, model = weights_of(run, step), run.config.task, _model(run, step)
    stamp = (
        run.config,
        run.about.get("model", {}).get("revision"),
        _written_in(model),
        weights and written(weights),
        written(path_of(task)) if is_file(task) else None,
    )
    return ModelAtStep(str(run.folder), step, stamp)


def not_here(run: Run, step: int) -> str:
    """Why the recorded model of a step cannot be had on this machine; empty if it can, or if only
    asking tells."""
    if run.config.method == "recorded":
        try:
            resolve(_model(run, step))
        except MissingModel as error:
            return str(error)
    return ""


def _model(run: Run, step: int) -> str:
    """The model that a run has at a step, by name."""
    model = run.config.model
    if run.config.method == "recorded":
        model = next((m.model for m in series_of(run).members if m.step == step), model)
    return model


def _written_in(model: str) -> tuple[tuple[str, tuple[int, int] | None], ...]:
    """What lies in the folders of a model, and when it was written; nothing for a hub's."""
    try:
        place = place_of(model)
    except CtvizError:  # it is asked for all the same, and says what is wrong
        return ()
    folders = (place.weights, *([place.adapter.where] if place.adapter else []))
    files = (file for folder in folders for file in sorted(Path(folder).glob("*")))
    return tuple((file.name, written(file)) for file in files)


def load(*models: ModelAtStep) -> None:
    """See that models can be run here; raises EngineFailed if one cannot."""
    _ask("load", *models)


def prepare(
    live: ModelAtStep,
    first: ModelAtStep,
    probe: tuple[int, tuple[str, ...]] | None,
    own: tuple[str, str, str, str],
) -> PreparedPrompt:
    """One of the run's probes, by number and tokens, or of the user's a prompt, its answer, its
    foil and its counterfactual.

    ``first``: the run's first step, whose tokenizer cut its examples.
    """
    if probe is None:
        return cast(PreparedPrompt, _ask("prepare_own", live, *own))
    return cast(PreparedPrompt, _ask("prepare_probe", live, first, *probe))


def prompt_at(live: ModelAtStep, prompt: Prompt) -> PromptReading:
    """What a model of a run makes of a prompt."""
    return cast(PromptReading, _ask("read_prompt", live, prompt))


def node_at(live: ModelAtStep, prompt: Prompt, node: str) -> NodeReading:
    """What one of its nodes does on a prompt."""
    return cast(NodeReading, _ask("read_node", live, prompt, node))


def neurons_at(live: ModelAtStep, first: ModelAtStep, node: str) -> tuple[NeuronOnTask, ...]:
    """The neurons of one of its MLPs or blocks on the run's dev examples."""
    return cast(tuple[NeuronOnTask, ...], _ask("neurons_on_task", live, first, node))


def off_prompt_at(
    live: ModelAtStep, first: ModelAtStep, prompt: Prompt, node: str, ablation: Ablation
) -> OnPrompt:
    """A prompt with a node switched off; ``first``: the run's first step, for the mean."""
    return cast(OnPrompt, _ask("off_on_prompt", live, first, prompt, node, ablation))


def off_task_at(live: ModelAtStep, first: ModelAtStep, node: str, ablation: Ablation) -> OnTask:
    """The task with a node switched off, on the run's dev examples."""
    return cast(OnTask, _ask("off_on_task", live, first, node, ablation))
