"""The examples of a task that fit one model."""

from __future__ import annotations

from ctviz.circuits.choices import Metric
from ctviz.errors import BadTask, OutOfRange
from ctviz.models.loading import Loaded
from ctviz.tasks import Example, Split, Task, find_task
from ctviz.tasks.batch import Batch, Fitting, encode, fitting, problem
from ctviz.tasks.tokens import Tokens, too_long

__all__ = ["encode_task", "fitting_examples"]


def encode_task(
    loaded: Loaded,
    name: str,
    n: int,
    *,
    split: Split,
    seed: int,
    metric: Metric = "logit_difference",
) -> tuple[Batch, Fitting]:
    """``n`` pairs of a task that fit the model's tokenizer (fewer if the task has no more)."""
    if n < 1:
        raise OutOfRange("examples", n, 1, None)
    pairs = find_task(name).pairs(2 * n, split=split, seed=seed)
    longest = loaded.anatomy.context
    chosen = fitting(pairs, loaded.tokenizer, metric=metric, limit=n, longest=longest)
    batch = encode(chosen.pairs, loaded.tokenizer, metric=metric)
    return batch.to(loaded.anatomy.device), chosen


def fitting_examples(
    loaded: Loaded, task: Task, n: int, split: Split, seed: int
) -> tuple[list[Example], list[str]]:
    """At most ``n`` examples whose text and pair fit the model, and why others were left out.

    Raises BadTask if there is none.
    """
    tokens, longest = Tokens(loaded.tokenizer), loaded.anatomy.context
    found: list[Example] = []
    left_out: list[str] = []
    for example in task.examples(2 * n, split=split, seed=seed):
        reason = too_long(example, tokens, longest)
        if not reason and example.pair is not None:
            reason = problem(tokens.cut(example.pair), "logit_difference", longest)
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
    return found, left_out
