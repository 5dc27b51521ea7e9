"""What can be chosen when a circuit is looked for: metric, ablation, attribution method, and which
random circuits it is compared with."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = [
    "ABLATIONS",
    "ATTRIBUTIONS",
    "METRICS",
    "METRIC_WORDS",
    "PATH_ENDS",
    "RANDOM_KINDS",
    "Ablation",
    "Attribution",
    "Metric",
    "PathEnd",
    "RandomKind",
]

Ablation = Literal["counterfactual", "mean", "zero"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
Attribution = Literal["eap", "eap-ig", "exact"]
ATTRIBUTIONS: tuple[Attribution, ...] = get_args(Attribution)
Metric = Literal["logit_difference", "probability_difference", "log_probability", "kl"]
METRICS: tuple[Metric, ...] = get_args(Metric)
METRIC_WORDS = {  # of those that are not a task's own
    "probability_difference": "p(right answers) - p(wrong ones)",
    "log_probability": "log p(answer), in nats",
    "kl": "-KL(clean run || this run), in nats",
}
PathEnd = Literal["clean", "corrupt"]
PATH_ENDS: tuple[PathEnd, ...] = get_args(PathEnd)
RandomKind = Literal["connected", "degrees", "uniform"]
RANDOM_KINDS: tuple[RandomKind, ...] = get_args(RandomKind)
