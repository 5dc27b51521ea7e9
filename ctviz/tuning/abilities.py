"""General abilities as people report them: lm-evaluation-harness, on the model as it is now."""

from __future__ import annotations

import copy
import importlib
import logging
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ctviz.errors import BadTask, UnknownName
from ctviz.extras import need
from ctviz.models.draws import draws_untouched
from ctviz.models.loading import Loaded
from ctviz.models.memory import is_out_of_memory
from ctviz.progress import tick
from ctviz.runs.abilities import FILE, ability_key

__all__ = ["Abilities"]

BATCH = 8  # prompts in one run of the model
COUNTS = ("sample_len", "sample_count")
DRAWS = 1000  # of a standard error that the harness finds by drawing examples again


class Abilities:
    """Tasks of lm-evaluation-harness, to be measured of one model as it changes.

    ``tasks``: names of the harness, or files of tasks (.yaml); ``examples``: as many of each, 0 for
    all. A name that is none is found here, before any task is loaded. Raises MissingExtra without
    the harness, and UnknownName.
    """

    def __init__(self, loaded: Loaded, tasks: Sequence[str], examples: int) -> None:
        self._loaded, self._tasks, self._examples = loaded, list(tasks), examples
        if tasks:
            need("lm-eval", "--abilities")
            known = self._manager.all_tasks
            for name in self._named:
                if name not in known:
                    raise UnknownName("lm-eval task", name, known)

    def measure(self) -> dict[str, float]:
        """Every metric that the harness has for the tasks, under its `ability_key`; of a group of
        tasks those of the group if it has any, else of each of its tasks.

        Raises BadTask, which says what the harness says, if a task cannot be loaded or run.
        """
        if not self._tasks:
            return {}
        evaluator = importlib.import_module("lm_eval.evaluator")
        try:
            with draws_untouched():
                found = evaluator.simple_evaluate(
                    model=_harnessed(self._loaded),
                    tasks=self._tasks,
                    task_manager=self._manager,
                    limit=self._examples or None,
                    bootstrap_iters=DRAWS,
                    log_samples=False,
                )
        except Exception as error:  # whatever its tasks and data sets raise
            if is_out_of_memory(error):
                raise
            names = ", ".join(self._tasks)
            raise BadTask(
                f"lm-evaluation-harness cannot measure {names}: {type(error).__name__}: {error}"
            ) from error
        results: dict[str, dict[str, Any]] = found["results"] | found.get("groups", {})
        members: dict[str, list[str]] = found.get("group_subtasks", {})
        numbers = {task: _numbers(metrics) for task, metrics in results.items()}
        summed = {name for group in members if numbers.get(group) for name in members[group]}
        return {
            ability_key(task, metric): value
            for task, metrics in numbers.items()
            if task not in summed
            for metric, value in metrics.items()
        }

    @property
    def _named(self) -> list[str]:
        """The tasks that the harness has to know by name."""
        return [name for name in self._tasks if not name.endswith(FILE)]

    @cached_property
    def _manager(self) -> Any:
        """What knows the harness's tasks; it reads thousands of files for those with names."""
        tasks = importlib.import_module("lm_eval.tasks")
        return tasks.TaskManager(include_defaults=bool(self._named))


def _harnessed(loaded: Loaded) -> Any:
    """The very model as the harness takes it, with a tokenizer of its own, which it may change."""
    huggingface = importlib.import_module("lm_eval.models.huggingface")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

    class Harnessed(huggingface.HFLM):  # type: ignore[misc, name-defined]
        """Without bars of its own, and cancelled as everything else is."""

        def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)

        def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().generate_until(requests, disable_tqdm=disable_tqdm)

        def _model_call(self, *arguments: Any, **more: Any) -> Any:
            tick()
            return super()._model_call(*arguments, **more)

    return Harnessed(
        pretrained=loaded.model,
        backend="causal",
        tokenizer=copy.deepcopy(loaded.tokenizer),
        max_length=loaded.anatomy.context,
        batch_size=BATCH,
    )


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Metrics and their standard errors, without names and counts."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if name.partition(",")[0] not in COUNTS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
