"""The examples of a task that fit one model."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ctviz.circuits.choices import Metric
from ctviz.errors import BadTask, OutOfRange
from ctviz.models.loading import Loaded
from ctviz.tasks import Example, Split, Task
from ctviz.tasks.batch import Batch, Fitting, encode, fitting, misfit
from ctviz.tasks.tokens import Tokens, prompt_notes, text_problem

__all__ = ["encode_task", "fitting_examples"]

log = logging.getLogger(__name__)


def encode_task(
    loaded: Loaded,
    task: Task,
    n: int,
    *,
    split: Split,
    seed: int,
    metric: Metric = "logit_difference",
) -> tuple[Batch, Fitting]:
    """``n`` pairs of a task that fit the model's tokenizer (fewer if the task has no more).

    Logs what `ctviz.tasks.tokens.prompt_notes` says of them as a warning.
    """
    if n < 1:
        raise OutOfRange("examples", n, 1, None)
    pairs = task.pairs(2 * n, split=split, seed=seed)
    anatomy, tokenizer = loaded.anatomy, loaded.tokenizer
    known = {"longest": anatomy.context, "vocabulary": anatomy.vocabulary}
    chosen = fitting(pairs, tokenizer, metric=metric, limit=n, **known)
    batch = encode(chosen.pairs, tokenizer, metric=metric, vocabulary=anatomy.vocabulary)
    prompts = (text for pair in chosen.pairs for text in (pair.clean, pair.corrupt))
    _warn(Tokens(tokenizer), prompts)
    return batch.to(anatomy.device), chosen


def fitting_examples(
    loaded: Loaded,
    task: Task,
    n: int,
    split: Split,
    seed: int,
    *,
    metric: Metric = "logit_difference",
) -> tuple[list[Example], list[str]]:
    """At most ``n`` examples whose text and pair fit the model, and why others were left out.

    ``metric``: what is to be computed on the pairs. Logs the same warning as `encode_task`.
    Raises BadTask if there is none.
    """
    anatomy = loaded.anatomy
    tokens, longest = Tokens(loaded.tokenizer, anatomy.vocabulary), anatomy.context
    found: list[Example] = []
    left_out: list[str] = []
    for example in task.examples(2 * n, split=split, seed=seed):
        reason = text_problem(example, tokens, longest)
        if not reason and example.pair is not None:
            reason = misfit(tokens, example.pair, metric, longest)
        if reason:
            left_out.append(f"{example.prompt!r}: {reason}")
        else:
            found.append(example)
        if len(found) == n:
            break
    if not found:
        first = f" First: {left_out[0]}." if left_out else ""
        raise BadTask(
            f"None of {len(left_out)} {split} examples of {task.name} fits this model: there is "
            f"nothing to work on.{first}"
        )
    _warn(tokens, (example.prompt for example in found))
    return found, left_out


def _warn(tokens: Tokens, prompts: Iterable[str]) -> None:
    for note in prompt_notes(tokens, dict.fromkeys(prompts)):
        log.warning(note)
