"""What can be chosen when a circuit is looked for: metric, ablation, attribution method."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["ABLATIONS", "ATTRIBUTIONS", "METRICS", "Ablation", "Attribution", "Metric"]

Ablation = Literal["counterfactual", "mean", "zero"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
Attribution = Literal["eap", "eap-ig", "exact"]
ATTRIBUTIONS: tuple[Attribution, ...] = get_args(Attribution)
Metric = Literal["logit_difference", "probability_difference", "log_probability", "kl"]
METRICS: tuple[Metric, ...] = get_args(Metric)
