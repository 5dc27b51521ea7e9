"""What a study runs, and how it chooses learning rates. Pure: nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ctviz.errors import CtvizError, OutOfRange, UnknownName
from ctviz.extras import need
from ctviz.models.known import located_model
from ctviz.runs.config import METHODS, Method, TuneConfig
from ctviz.tasks import find_task, located_task

__all__ = ["Study", "Trial", "choose_rate"]

RATES = (3e-5, 1e-4, 3e-4)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a study."""

    method: Method
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.method}-rate{self.rate:g}-seed{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Methods compared on one task.

    Each method is run with seed 0 at each of ``rates`` (``lora_factor`` times as large for LoRA,
    whose adapters start at zero and are few); the rate is chosen on the dev split; then it is run
    at that rate with seeds 1 to ``seeds`` - 1. ``settings`` are those of
    `ctviz.runs.config.TuneConfig` that all runs share.

    Raises UnknownName, OutOfRange and CtvizError for what cannot be run.
    """

    model: str
    task: str
    methods: tuple[Method, ...] = ("circuit", "full", "lora", "random")
    seeds: int = 3
    rates: tuple[float, ...] = RATES
    lora_factor: float = 10.0
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        find_task(self.task)
        for method in self.methods:
            if method not in METHODS:
                raise UnknownName("method", method, METHODS)
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise CtvizError(f"methods are {', '.join(self.methods)}: give each one once.")
        if not 1 <= self.seeds <= 100:
            raise OutOfRange("seeds", self.seeds, 1, 100)
        if not self.rates:
            raise CtvizError("rates are empty: give at least one learning rate.")
        if not 0 < self.lora_factor < math.inf:
            raise OutOfRange("lora_factor", self.lora_factor, 0, None, hint="0 is excluded.")
        for own in ("learning_rate", "method", "seed", "model", "task"):
            if own in self.settings:
                raise CtvizError(f"{own} is the study's own to set: leave it out of its settings.")
        for trial in self.trials:
            self.config(trial)

    @property
    def trials(self) -> list[Trial]:
        """The runs with seed 0, at every rate, method after method."""
        return [Trial(m, rate, 0) for m in self.methods for rate in self.rates_of(m)]

    def rates_of(self, method: Method) -> list[float]:
        """The learning rates to try, in rising order."""
        factor = self.lora_factor if method == "lora" else 1.0
        return sorted(float(f"{factor * rate:.6g}") for rate in self.rates)

    def config(self, trial: Trial) -> TuneConfig:
        """The settings of one run; snapshots at its start and end unless others were asked for."""
        every = self.settings.get("snapshot_every") or self.settings.get("steps", 60)
        asked = {
            "model": self.model,
            "task": self.task,
            "method": trial.method,
            "seed": trial.seed,
            "learning_rate": trial.rate,
        }
        return TuneConfig.from_dict({**self.settings, "snapshot_every": every, **asked})

    def check_startable(self) -> None:
        """Raise MissingExtra if its report or a method needs packages that are not installed."""
        need("pictures", "A study's report")
        for trial in self.trials:
            self.config(trial).check_startable()

    def located(self) -> Study:
        """The same with a local model's folder and a task's file from the root."""
        return replace(self, model=located_model(self.model), task=located_task(self.task))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``study.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Study:
        """The study of a stored dict."""
        lists = {name: tuple(values[name]) for name in ("methods", "rates")}
        return cls(**{**values, **lists})


def choose_rate(rows: Sequence[dict[str, Any]], *, better: str) -> float:
    """The learning rate of a method, from what its runs with seed 0 did on the dev split.

    Among those within one standard error of the best grade, the one that forgot least (smallest KL
    from the untuned model). Runs that failed (without a grade) are passed over; raises CtvizError
    if all of them did. Rows have ``rate``, ``dev_after``, ``dev_examples`` and ``dev_kl``.
    """
    sign = 1.0 if better == "higher" else -1.0
    done = [row for row in rows if row["dev_after"] is not None and math.isfinite(row["dev_kl"])]
    if not done:
        raise CtvizError("No learning rate led to a finished run: try smaller ones (--rates).")
    best = max(done, key=lambda row: sign * row["dev_after"])
    share = min(max(best["dev_after"], 0.0), 1.0)
    error = math.sqrt(max(share * (1 - share), 1e-12) / best["dev_examples"])
    near = [row for row in done if sign * (best["dev_after"] - row["dev_after"]) <= error]
    return float(min(near, key=lambda row: (row["dev_kl"], row["rate"]))["rate"])
