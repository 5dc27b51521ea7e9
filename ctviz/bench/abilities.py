"""Which models do which tasks, at every level: what `ctviz tasks` says about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ctviz.errors import BadTask
from ctviz.models.loading import Loaded, load
from ctviz.tasks import TASKS, Example, Task
from ctviz.tasks.answers import last_number, overlap
from ctviz.tasks.fitting import fitting_examples
from ctviz.tasks.grading import chance, grade
from ctviz.tasks.task import SPLITS

__all__ = ["bench_abilities", "guessing"]

MODELS = ("tiny", "smollm2-135m", "induction", "induction-mlp", "few-heads")
ENOUGH = {"train": 2000, "dev": 500, "test": 500}  # counted no further


def bench_abilities(
    *,
    models: Sequence[str] = MODELS,
    examples: int = 50,
    device: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Sizes of all tasks, and each model's grade on dev examples at each level.

    ``guess`` is the grade of a guesser on these examples (see `guessing`); ``above`` whether the
    model's grade is higher than that by two standard errors, None for bias, where there is nothing
    to guess. A model without ``grade`` cannot read the task's examples.
    """
    levels = [task.at(level.key) for task in TASKS.values() for level in task.levels]
    tasks = [*levels, *(task for task in TASKS.values() if not task.levels)]
    rows: dict[str, dict[str, Any]] = {}
    for task in tasks:
        sizes = {s: len(task.examples(ENOUGH[s], split=s)) for s in SPLITS}
        rows[task.name] = {"task": task.key, "level": task.level, "sizes": sizes, "models": {}}
    for model in models:
        loaded = load(model, device=device)
        for task in tasks:
            progress(f"{model}: {task.name}")
            rows[task.name]["models"][model] = _ability(loaded, task, examples)
    return {"examples": examples, "enough": ENOUGH, "tasks": rows}


def _ability(loaded: Loaded, task: Task, n: int) -> dict[str, Any]:
    try:
        found, _ = fitting_examples(loaded, task, n, "dev", 0)
    except BadTask:
        return {}
    value = grade(loaded, task, found)[task.judged_by.name]
    guess = guessing(task, found)
    row = {"grade": round(value, 4), "examples": len(found), "guess": guess, "above": None}
    if guess is not None:
        error = math.sqrt(max(guess * (1 - guess), value * (1 - value)) / len(found))
        row["above"] = value - 2 * error > guess
    return row


def guessing(task: Task, examples: Sequence[Example]) -> float | None:
    """The grade of guessing: any choice with equal chance, or always the answer that is most
    frequent among a thousand train examples; None for bias."""
    if task.grade == "bias":
        return None
    if task.grade == "choice":
        return chance(task, examples)
    answers = Counter(e.accepted[0] for e in task.examples(1000, split="train"))
    usual = answers.most_common(1)[0][0]
    if task.grade == "exact":
        right = [last_number(usual) in e.accepted for e in examples]
        return sum(right) / len(examples)
    return sum(overlap(usual, e.accepted) for e in examples) / len(examples)
