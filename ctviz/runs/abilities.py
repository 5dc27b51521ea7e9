"""General abilities of the untuned and the tuned model, as lm-evaluation-harness measured them.

They are among the grades of a run's ``run.json``, ``before`` and ``after``, under
``lm-eval.TASK.METRIC`` (with ``METRIC_stderr`` beside), where METRIC is the harness's own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "FILE",
    "PREFIX",
    "Ability",
    "abilities_of",
    "ability_key",
    "lm_eval_tasks",
    "located_abilities",
]

PREFIX = "lm-eval"
ERROR = "_stderr"
FILE = ".yaml"


@dataclass(frozen=True, slots=True)
class Ability:
    """One metric of one of the harness's tasks; ``after`` is None until the run has ended.

    Errors are standard errors by the harness, None where it gives none.
    """

    task: str
    metric: str
    before: float
    after: float | None
    before_error: float | None
    after_error: float | None

    @property
    def name(self) -> str:
        """Task and metric."""
        return f"{self.task} {self.metric}"


def lm_eval_tasks(asked: str) -> tuple[str, ...]:
    """The tasks in ``lm-eval:TASK,...``: names of the harness, or files of tasks (.yaml).

    Raises ValueError for another text; "" asks for none.
    """
    if not asked:
        return ()
    harness, colon, names = asked.partition(":")
    tasks = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if harness != PREFIX or not colon or not tasks:
        raise ValueError(
            f"abilities is {asked!r}, but must read lm-eval:TASK,... with names of tasks of "
            "lm-evaluation-harness (`lm-eval ls tasks`), or files of tasks (.yaml)."
        )
    return tasks


def located_abilities(asked: str) -> str:
    """The same with the files of tasks from the root."""
    tasks = (
        str(Path(task).expanduser().absolute()) if task.endswith(FILE) else task
        for task in lm_eval_tasks(asked)
    )
    return f"{PREFIX}:{','.join(tasks)}" if asked else ""


def ability_key(task: str, metric: str) -> str:
    """Under which name a number is among the grades; a metric after the harness's ``none`` filter
    goes by its bare name.

    >>> ability_key("arc_easy", "acc_stderr,none"), ability_key("gsm8k", "exact_match,strict")
    ('lm-eval.arc_easy.acc_stderr', 'lm-eval.gsm8k.exact_match,strict')
    """
    name, _, chosen = metric.partition(",")
    return f"{PREFIX}.{task}.{name if chosen in ('', 'none') else metric}"


def abilities_of(about: Mapping[str, Any]) -> list[Ability]:
    """What a run's ``run.json`` says of them, in its order; none before the untuned model was
    measured."""
    before, after = about.get("before") or {}, about.get("after") or {}
    found = []
    for key, value in before.items():
        harness, _, rest = key.partition(".")
        task, _, metric = rest.rpartition(".")
        name, comma, chosen = metric.partition(",")
        if harness != PREFIX or value is None or name.endswith(ERROR):
            continue
        error = f"{PREFIX}.{task}.{name}{ERROR}{comma}{chosen}"
        found.append(
            Ability(task, metric, value, after.get(key), before.get(error), after.get(error))
        )
    return found
