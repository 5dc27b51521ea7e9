"""The process that runs models for a page: asked on standard input, it answers on standard output.

`ctviz.inspection.client` starts it and asks. A question is the name of one of `ANSWERS` with its
arguments, an answer is True with a value or False with what went wrong as text; both are pickled.
It ends when its standard input does, so it does not outlive the page.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from transformers.utils import logging as transformers_logging

from ctviz.config import Ablation
from ctviz.errors import CtvizError, DamagedRun
from ctviz.inspection import reading, switching
from ctviz.inspection.prompt import own_prompt, pair_prompt
from ctviz.inspection.readings import (
    Aimed,
    Live,
    NodeReading,
    OnPrompt,
    OnTask,
    Prompt,
    PromptReading,
)
from ctviz.inspection.weights import model_at
from ctviz.material import Material, gather
from ctviz.models.loading import Loaded
from ctviz.runs import open_run

__all__ = ["ANSWERS", "main", "serve"]

KEPT = 4  # models in memory: two steps of two runs


@lru_cache(maxsize=KEPT)
def _model(live: Live) -> Loaded:
    return model_at(open_run(live.folder), live.step)


@lru_cache(maxsize=KEPT)
def _material(first: Live) -> Material:
    """The examples of the run, as the tokenizer of its model makes them."""
    return gather(_model(first), open_run(first.folder).config)


def load(*models: Live) -> None:
    """Load what will be asked about."""
    for live in models:
        _model(live)


def aim_own(live: Live, text: str, answer: str, foil: str) -> Aimed:
    """A prompt of the user's, see `own_prompt`."""
    return _aimed(live, own_prompt(_model(live), text, answer=answer, foil=foil))


def aim_probe(live: Live, first: Live, at: int, tokens: tuple[str, ...]) -> Aimed:
    """A stored probe as a prompt; raises DamagedRun if it is no longer made of these tokens."""
    prompt = pair_prompt(_model(live), _material(first).probe_pairs[at])
    if prompt.tokens != tokens:
        raise DamagedRun(
            f"The examples of {open_run(live.folder).config.task} are no longer those of this run, "
            "so its probe cannot be run again. Type it as your own prompt to read more."
        )
    return _aimed(live, prompt)


def _aimed(live: Live, prompt: Prompt) -> Aimed:
    loaded, likeliest = _model(live), prompt.answer is None
    prompt = reading.aimed(loaded, prompt)
    answer, foil = (
        "" if token is None else str(loaded.tokenizer.decode([token]))
        for token in (prompt.answer, prompt.foil)
    )
    return Aimed(prompt, answer, foil, likeliest)


def read_prompt(live: Live, prompt: Prompt) -> PromptReading:
    """What a model makes of a prompt."""
    return reading.read_prompt(_model(live), prompt)


def read_node(live: Live, prompt: Prompt, node: str) -> NodeReading:
    """What one of its nodes does on a prompt."""
    return reading.read_node(_model(live), prompt, node)


def off_on_prompt(
    live: Live, first: Live, prompt: Prompt, node: str, ablation: Ablation
) -> OnPrompt:
    """A prompt with a node switched off; ``first``: the run's first step, for the mean."""
    others = _material(first).dev_pairs if ablation == "mean" else None
    return switching.off_on_prompt(_model(live), prompt, node, ablation, others=others)


def off_on_task(live: Live, first: Live, node: str, ablation: Ablation) -> OnTask:
    """The task with a node switched off, on the run's dev examples."""
    examples = _material(first)
    return switching.off_on_task(_model(live), examples.dev_pairs, node, ablation, examples.metric)


def write_model(run: str, folder: str) -> None:
    """The tuned model of a run's folder, see `ctviz.export.model.export_model`."""
    from ctviz.export.model import export_model  # with matplotlib, which nothing else here needs

    export_model(open_run(run), Path(folder))


ANSWERS: dict[str, Callable[..., Any]] = {
    made.__name__: made
    for made in (
        load,
        aim_own,
        aim_probe,
        read_prompt,
        read_node,
        off_on_prompt,
        off_on_task,
        write_model,
    )
}


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the questions end."""
    while True:
        try:
            name, arguments = pickle.load(questions)
        except (EOFError, pickle.UnpicklingError):
            return
        answer: tuple[bool, Any]
        try:
            answer = True, ANSWERS[name](*arguments)
        except CtvizError as error:
            answer = False, str(error)
        except Exception as error:
            traceback.print_exc()
            answer = (
                False,
                f"{type(error).__name__}: {error} (what the model was asked: {name}; where it "
                "failed is in the log of the app).",
            )
        pickle.dump(answer, answers)
        answers.flush()


def main() -> None:
    """Answer on what was standard output; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    transformers_logging.disable_progress_bar()
    try:
        serve(sys.stdin.buffer, answers)
    except (KeyboardInterrupt, BrokenPipeError):  # the page ended
        return


if __name__ == "__main__":
    main()
