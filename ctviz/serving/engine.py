"""What the process that runs models for a page answers.

`ctviz.serving.client` starts it and asks. A question is the name of one of `ANSWERS` with its
arguments, an answer is True with a value or False with what went wrong as text; both are pickled.
It ends when the questions do, so it does not outlive the page.
"""

from __future__ import annotations

import pickle
import tempfile
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from transformers.utils import logging as transformers_logging

from ctviz.circuits.choices import Ablation
from ctviz.errors import CtvizError, DamagedRun
from ctviz.inspection import neurons, reading, switching
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
from ctviz.inspection.prompt import own_prompt, pair_prompt
from ctviz.models.loading import Loaded
from ctviz.models.reader import open_reader
from ctviz.runs import open_run
from ctviz.tasks.files.check import Report, check
from ctviz.tasks.token_text import token_text
from ctviz.tuning.dataset import Dataset, make_dataset
from ctviz.tuning.stored_weights import model_at
from ctviz.tuning.tuned_model import export_model

__all__ = ["ANSWERS", "serve"]

KEPT = 4  # models in memory: two steps of two runs


@lru_cache(maxsize=KEPT)
def _model(live: ModelAtStep) -> Loaded:
    return model_at(open_run(live.folder), live.step)


@lru_cache(maxsize=KEPT)
def _dataset(first: ModelAtStep) -> Dataset:
    """The examples of the run, as the tokenizer of its model makes them."""
    return make_dataset(_model(first), open_run(first.folder).config)


def check_file(name: str, model: str) -> Report:
    """The check of a file of examples for a model, see `ctviz.tasks.files.check.check`."""
    reader = open_reader(model)
    return check(
        name,
        reader.tokenizer,
        longest=reader.longest,
        vocabulary=reader.vocabulary,
        notes=reader.notes,
    )


def load(*models: ModelAtStep) -> None:
    """Load what will be asked about."""
    for live in models:
        _model(live)


def prepare_own(
    live: ModelAtStep, text: str, answer: str, foil: str, corrupt: str
) -> PreparedPrompt:
    """A prompt of the user's, see `own_prompt`."""
    return _prepared(
        live, own_prompt(_model(live), text, answer=answer, foil=foil, corrupt=corrupt)
    )


def prepare_probe(
    live: ModelAtStep, first: ModelAtStep, at: int, tokens: tuple[str, ...]
) -> PreparedPrompt:
    """A stored probe as a prompt; raises DamagedRun if it is no longer made of these tokens."""
    pairs = _dataset(first).probe_pairs
    prompt = pair_prompt(_model(live), pairs[at]) if at < len(pairs) else None
    if prompt is None or prompt.tokens != tokens:
        raise DamagedRun(
            f"The examples of {open_run(live.folder).config.task} are no longer those of this run, "
            "so its probe cannot be run again. Type it as your own prompt to read more."
        )
    return _prepared(live, prompt)


def _prepared(live: ModelAtStep, prompt: Prompt) -> PreparedPrompt:
    loaded, likeliest = _model(live), prompt.answer is None
    prompt = reading.with_answer(loaded, prompt)
    answer, foil = (
        "" if token is None else token_text(loaded.tokenizer, token)
        for token in (prompt.answer, prompt.foil)
    )
    return PreparedPrompt(prompt, answer, foil, likeliest)


def read_prompt(live: ModelAtStep, prompt: Prompt) -> PromptReading:
    """What a model makes of a prompt."""
    return reading.read_prompt(_model(live), prompt)


def read_node(live: ModelAtStep, prompt: Prompt, node: str) -> NodeReading:
    """What one of its nodes does on a prompt."""
    return reading.read_node(_model(live), prompt, node)


def neurons_on_task(live: ModelAtStep, first: ModelAtStep, node: str) -> tuple[NeuronOnTask, ...]:
    """An MLP's neurons on the run's dev examples."""
    return neurons.neurons_on_task(_model(live), _dataset(first).dev_pairs, node)


def off_on_prompt(
    live: ModelAtStep, first: ModelAtStep, prompt: Prompt, node: str, ablation: Ablation
) -> OnPrompt:
    """A prompt with a node switched off; ``first``: the run's first step, for the mean."""
    others = _dataset(first).dev_pairs if ablation == "mean" else None
    return switching.off_on_prompt(_model(live), prompt, node, ablation, others=others)


def off_on_task(live: ModelAtStep, first: ModelAtStep, node: str, ablation: Ablation) -> OnTask:
    """The task with a node switched off, on the run's dev examples."""
    examples = _dataset(first)
    return switching.off_on_task(_model(live), examples.dev_pairs, node, ablation, examples.metric)


def model_files(run: str) -> dict[str, bytes]:
    """The tuned model of a run's folder by file name, see
    `ctviz.tuning.tuned_model.export_model`."""

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        export_model(open_run(run), folder)
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


ANSWERS: dict[str, Callable[..., Any]] = {
    made.__name__: made
    for made in (
        check_file,
        load,
        prepare_own,
        prepare_probe,
        read_prompt,
        read_node,
        neurons_on_task,
        off_on_prompt,
        off_on_task,
        model_files,
    )
}


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the questions end."""
    transformers_logging.disable_progress_bar()
    while True:
        try:
            name, arguments = pickle.load(questions)
        except (EOFError, pickle.UnpicklingError):
            return
        try:
            answer = pickle.dumps((True, ANSWERS[name](*arguments)))
        except CtvizError as error:
            answer = pickle.dumps((False, str(error)))
        except Exception as error:
            traceback.print_exc()
            said = ": ".join(filter(None, (type(error).__name__, str(error).strip().rstrip("."))))
            answer = pickle.dumps((False, f"{said}. The log of the app says more."))
        answers.write(answer)
        answers.flush()
