"""What a run's models at kept steps say, asked of the engine's process and kept between reruns."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import streamlit as st

from ctviz.circuits.choices import Ablation
from ctviz.errors import CtvizError, MissingModel
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
    "prepare",
    "prompt_at",
]


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


@st.cache_data(max_entries=64, show_spinner=False)
def load(*models: ModelAtStep) -> None:
    """See that models can be run here; raises EngineFailed if one cannot."""
    engine().ask("load", *models)


@st.cache_data(max_entries=64, show_spinner=False)
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
        return cast(PreparedPrompt, engine().ask("prepare_own", live, *own))
    return cast(PreparedPrompt, engine().ask("prepare_probe", live, first, *probe))


@st.cache_data(max_entries=64, show_spinner=False)
def prompt_at(live: ModelAtStep, prompt: Prompt) -> PromptReading:
    """What a model of a run makes of a prompt."""
    return cast(PromptReading, engine().ask("read_prompt", live, prompt))


@st.cache_data(max_entries=64, show_spinner=False)
def node_at(live: ModelAtStep, prompt: Prompt, node: str) -> NodeReading:
    """What one of its nodes does on a prompt."""
    return cast(NodeReading, engine().ask("read_node", live, prompt, node))


@st.cache_data(max_entries=64, show_spinner=False)
def neurons_at(live: ModelAtStep, first: ModelAtStep, node: str) -> tuple[NeuronOnTask, ...]:
    """The neurons of one of its MLPs or blocks on the run's dev examples."""
    return cast(tuple[NeuronOnTask, ...], engine().ask("neurons_on_task", live, first, node))


@st.cache_data(max_entries=64, show_spinner=False)
def off_prompt_at(
    live: ModelAtStep, first: ModelAtStep, prompt: Prompt, node: str, ablation: Ablation
) -> OnPrompt:
    """A prompt with a node switched off; ``first``: the run's first step, for the mean."""
    return cast(OnPrompt, engine().ask("off_on_prompt", live, first, prompt, node, ablation))


@st.cache_data(max_entries=64, show_spinner=False)
def off_task_at(live: ModelAtStep, first: ModelAtStep, node: str, ablation: Ablation) -> OnTask:
    """The task with a node switched off, on the run's dev examples."""
    return cast(OnTask, engine().ask("off_on_task", live, first, node, ablation))
