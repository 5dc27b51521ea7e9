"""The question that a discovery or a test of a circuit answers, and how its answer is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ctviz.circuits.choices import Ablation, Metric
from ctviz.errors import OutOfRange
from ctviz.interventions.faithfulness import Evaluation, Faithfulness
from ctviz.models.loading import Loaded
from ctviz.tasks import find_task, located_task
from ctviz.tasks.batch import Batch, Fitting
from ctviz.tasks.fitting import encode_task
from ctviz.tasks.task import Split

__all__ = ["Question", "carried", "plain"]

METRIC_WORDS = {
    "probability_difference": "p(answer) - p(foil)",
    "log_probability": "log p(answer), in nats",
    "kl": "-KL(clean run || this run), in nats",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked: a task, its metric, what corrupting is, and on how many pairs.

    ``examples`` pairs of a split are drawn with ``seed``, and so are ``draws`` random circuits (or
    random sets of edges) to compare with. Raises OutOfRange without a draw: nothing is said of a
    circuit that is not said of random ones too.
    """

    task: str
    metric: Metric = "logit_difference"
    ablation: Ablation = "counterfactual"
    examples: int = 64
    seed: int = 0
    draws: int = 5

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise OutOfRange("draws", self.draws, 1, None)

    def pairs(self, loaded: Loaded, split: Split) -> tuple[Batch, Fitting]:
        """Pairs of a split in this model's tokens, and which examples they are."""
        return encode_task(
            loaded, self.task, self.examples, split=split, seed=self.seed, metric=self.metric
        )

    def evaluation(self, loaded: Loaded, batch: Batch) -> Evaluation:
        """What circuits are measured with on these pairs."""
        return Evaluation(loaded.anatomy, batch, ablation=self.ablation, metric=self.metric)

    def about(self, loaded: Loaded, *, examples: int) -> dict[str, Any]:
        """The question in plain values; ``examples`` are those that there were."""
        return {
            "model": loaded.name,
            "revision": loaded.revision,
            "notes": list(loaded.notes),
            "task": located_task(self.task),
            "metric": METRIC_WORDS.get(self.metric, find_task(self.task).metric),
            "metric_name": self.metric,
            "ablation": self.ablation,
            "seed": self.seed,
            "draws": self.draws,
            "examples": examples,
        }


def carried(found: Faithfulness) -> dict[str, Any]:
    """How much of the behaviour a circuit carries, beside random ones of its size."""
    return {
        "metric_clean": found.metric_full,
        "metric_corrupt": found.metric_empty,
        "metric_circuit": found.metric_circuit,
        "faithfulness": found.faithfulness,
        "faithfulness_error": plain(found.error),
        "random_faithfulness": found.random,
        "random_spread": plain(found.random_spread),
    }


def plain(value: Any) -> Any:
    """A number for JSON: NaN becomes None."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value
