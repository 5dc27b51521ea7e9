"""What results of discovery have in common: what was asked, in plain values ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from ctviz.circuits.choices import Ablation, Metric
from ctviz.errors import OutOfRange
from ctviz.interventions.faithfulness import Faithfulness
from ctviz.models.loading import Loaded
from ctviz.tasks import find_task, located_task

__all__ = ["asked", "carried", "check_draws", "plain"]

METRIC_WORDS = {
    "probability_difference": "p(answer) - p(foil)",
    "log_probability": "log p(answer), in nats",
    "kl": "-KL(clean run || this run), in nats",
}


def asked(
    loaded: Loaded, task: str, *, metric: Metric, ablation: Ablation, seed: int, examples: int
) -> dict[str, Any]:
    """The question that a result answers; ``examples`` are those that there were."""
    return {
        "model": loaded.name,
        "revision": loaded.revision,
        "task": located_task(task),
        "metric": METRIC_WORDS.get(metric, find_task(task).metric),
        "metric_name": metric,
        "ablation": ablation,
        "seed": seed,
        "examples": examples,
    }


def carried(found: Faithfulness, *, draws: int) -> dict[str, Any]:
    """How much of the behaviour a circuit carries, beside ``draws`` random ones of its size."""
    return {
        "metric_clean": found.metric_full,
        "metric_corrupt": found.metric_empty,
        "metric_circuit": found.metric_circuit,
        "faithfulness": found.faithfulness,
        "faithfulness_error": plain(found.error),
        "random_faithfulness": found.random,
        "random_spread": plain(found.random_spread),
        "draws": draws,
    }


def check_draws(draws: int) -> None:
    """Nothing is said of a circuit that is not said of random ones too."""
    if draws < 1:
        raise OutOfRange("draws", draws, 1, None)


def plain(value: Any) -> Any:
    """A number for JSON: NaN becomes None."""
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value
