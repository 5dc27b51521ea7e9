"""A run's models as they were at kept steps, and what is read from them, kept between reruns.

The engine is imported when it is first asked for something: torch is slow to start.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from ctviz.config import Ablation
from ctviz.errors import DamagedRun
from ctviz.runs import Run, open_run
from ctviz.runs.files import written
from ctviz.runs.weights import weights_of
from ctviz.snapshot import Snapshot

__all__ = [
    "Live",
    "live_at",
    "material_of",
    "model_of",
    "node_at",
    "off_prompt_at",
    "off_task_at",
    "prompt_at",
    "read_snapshots",
]

if TYPE_CHECKING:  # torch, which a page must not wait for
    from ctviz.inspection.prompt import Prompt
    from ctviz.inspection.reading import NodeReading, PromptReading
    from ctviz.inspection.switching import OnPrompt, OnTask
    from ctviz.material import Material
    from ctviz.models.loading import Loaded


@dataclass(frozen=True)
class Live:
    """The model of a run at a step; ``stamp`` changes when the weights on disk do."""

    folder: str
    step: int
    stamp: tuple[Any, ...]


@st.cache_resource(max_entries=8, show_spinner=False)
def read_snapshots(
    folder: str, stamp: tuple[tuple[str, int | None], ...]
) -> tuple[tuple[Snapshot, ...], tuple[str, ...]]:
    """The snapshots of a run, and what is wrong with those that cannot be read."""
    damaged: list[DamagedRun] = []
    found = tuple(open_run(folder).snapshots(damaged=damaged))
    return found, tuple(str(error) for error in damaged)


def live_at(run: Run, step: int) -> Live:
    """The model of a step, as it is on disk now."""
    file = weights_of(run, step)
    stamp = (run.about.get("model", {}).get("revision"), file and written(file))
    return Live(str(run.folder), step, stamp)


@st.cache_resource(max_entries=4, show_spinner=False)
def model_of(live: Live) -> tuple[Loaded, threading.Lock]:
    """A model of a run, and what to hold while it is used: sessions share it."""
    from ctviz.inspection.weights import model_at

    return model_at(open_run(live.folder), live.step), threading.Lock()


@st.cache_resource(max_entries=4, show_spinner=False)
def material_of(first: Live) -> Material:
    """The examples of the run, as the tokenizer of its model makes them."""
    from ctviz.material import gather

    return gather(model_of(first)[0], open_run(first.folder).config)


@st.cache_data(max_entries=64, show_spinner=False)
def prompt_at(live: Live, prompt: Prompt) -> PromptReading:
    """What a model of a run makes of a prompt."""
    from ctviz.inspection.reading import read_prompt

    loaded, lock = model_of(live)
    with lock:
        return read_prompt(loaded, prompt)


@st.cache_data(max_entries=64, show_spinner=False)
def node_at(live: Live, prompt: Prompt, node: str) -> NodeReading:
    """What one of its nodes does on a prompt."""
    from ctviz.inspection.reading import read_node

    loaded, lock = model_of(live)
    with lock:
        return read_node(loaded, prompt, node)


@st.cache_data(max_entries=64, show_spinner=False)
def off_prompt_at(
    live: Live, first: Live, prompt: Prompt, node: str, ablation: Ablation
) -> OnPrompt:
    """A prompt with a node switched off; ``first``: the run's first step, for the mean."""
    from ctviz.inspection.switching import off_on_prompt

    others = material_of(first).dev_pairs if ablation == "mean" else None
    loaded, lock = model_of(live)
    with lock:
        return off_on_prompt(loaded, prompt, node, ablation, others=others)


@st.cache_data(max_entries=64, show_spinner=False)
def off_task_at(live: Live, first: Live, node: str, ablation: Ablation) -> OnTask:
    """The task with a node switched off, on the run's dev examples."""
    from ctviz.inspection.switching import off_on_task

    examples = material_of(first)
    loaded, lock = model_of(live)
    with lock:
        return off_on_task(loaded, examples.dev_pairs, node, ablation, examples.metric)
