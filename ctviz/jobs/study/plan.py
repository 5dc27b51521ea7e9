"""What a study runs, and how it chooses learning rates. Pure: nothing here imports torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from ctviz.errors import CtvizError, OutOfRange, UnknownName
from ctviz.extras import need
from ctviz.models.known import located_model
from ctviz.runs.config import DISCOVERING, METHOD_NAMES, METHODS, Method, TuneConfig
from ctviz.tasks import find_task, located_task

__all__ = ["Arm", "Study", "Trial", "choose_rate"]

RATES = (3e-5, 1e-4, 3e-4)
SNAPSHOTS = 5
MOST_SEEDS = 100
OWN = ("rates=", "seeds=")  # what an arm sets that is no setting of a run
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison: a method, with settings, learning rates and a number of seeds of
    its own over the study's.

    Raises UnknownName for the method, CtvizError for a name that no folder can have and OutOfRange
    for a rate or for the seeds.
    """

    name: str
    method: Method
    settings: dict[str, Any] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    seeds: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName("method", self.method, METHODS)
        if not NAME.fullmatch(self.name):
            raise CtvizError(
                f"An arm of the study is called {self.name!r}: take small letters, digits, . and -."
            )
        for rate in self.rates:
            if not 0 < rate < math.inf:
                raise OutOfRange(f"A rate of {self.name}", rate, 0, None, hint="0 is excluded.")
        if self.seeds is not None and not 1 <= self.seeds <= MOST_SEEDS:
            raise OutOfRange(f"seeds of {self.name}", self.seeds, 1, MOST_SEEDS)

    @classmethod
    def parse(cls, text: str) -> Arm:
        """Of ``NAME=METHOD,SETTING=VALUE,...``, or of a method's name alone. Its rates are
        ``rates=RATE/RATE/...``, its seeds ``seeds=N``.
        """
        name, _, rest = text.partition("=")
        method, *settings = map(str.strip, rest.split(",")) if rest else [name]
        own = dict(each.split("=", 1) for each in settings if each.startswith(OWN))
        try:
            rates = tuple(float(rate) for rate in own["rates"].split("/")) if "rates" in own else ()
            seeds = int(own["seeds"]) if "seeds" in own else None
        except ValueError:
            raise CtvizError(
                f"{name.strip()}: rates are numbers with / between, as rates=3e-5/1e-4, and seeds "
                f"a whole number, as seeds=3, not {', '.join(f'{k}={v}' for k, v in own.items())}."
            ) from None
        asked = dict(
            TuneConfig.parse_setting(each) for each in settings if not each.startswith(OWN)
        )
        return cls(name.strip(), method, asked, rates, seeds)  # type: ignore[arg-type]

    @property
    def words(self) -> str:
        """What it is called in a sentence."""
        return METHOD_NAMES[self.method] if self.name == self.method else f"'{self.name}'"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a study."""

    arm: Arm
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.arm.name}-rate{self.rate:g}-seed{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Arms compared on one task.

    Each arm is run with each of ``seeds`` at each of ``rates`` (``lora_factor`` times as large for
    LoRA, whose adapters start at zero and are few), or of its own, so that arms can be compared at
    equal grade (`ctviz.jobs.study.front`). For what they come to at the end, each has the rate that
    is best on the dev split (`choose_rate`). ``settings`` are those of
    `ctviz.runs.config.TuneConfig` that all runs share. ``causes``: whether it is measured which
    updates the chosen runs with seed 0 needed
    (`ctviz.jobs.causes`), of arms that move a part of the parameters.

    Raises UnknownName, OutOfRange and CtvizError for what cannot be run.
    """

    model: str
    task: str
    arms: tuple[Arm, ...] = tuple(Arm(m, m) for m in ("circuit", "full", "lora", "random"))
    seeds: int = 3
    rates: tuple[float, ...] = RATES
    lora_factor: float = 10.0
    settings: dict[str, Any] = field(default_factory=dict)
    causes: bool = False

    def __post_init__(self) -> None:
        find_task(self.task)
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) < len(names):
            raise CtvizError(f"The arms are {', '.join(names) or 'none'}: give each one once.")
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise OutOfRange("seeds", self.seeds, 1, MOST_SEEDS)
        if not self.rates:
            raise CtvizError("rates are empty: give at least one learning rate.")
        if not 0 < self.lora_factor < math.inf:
            raise OutOfRange("lora_factor", self.lora_factor, 0, None, hint="0 is excluded.")
        for own in ("learning_rate", "method", "seed", "model", "task"):
            if any(
                own in settings for settings in (self.settings, *(a.settings for a in self.arms))
            ):
                raise CtvizError(f"{own} is the study's own to set: leave it out of its settings.")
        for trial in self.trials:
            self.config(trial)

    @property
    def trials(self) -> list[Trial]:
        """The runs: all with one seed before the next, so that a part of a study says something."""
        return [
            Trial(arm, rate, seed)
            for seed in range(max(map(self.seeds_of, self.arms)))
            for arm in self.arms
            if seed < self.seeds_of(arm)
            for rate in self.rates_of(arm)
        ]

    def seeds_of(self, arm: Arm) -> int:
        """How many seeds an arm is run with."""
        return arm.seeds or self.seeds

    def rates_of(self, arm: Arm) -> list[float]:
        """The learning rates to try, in rising order: the arm's own, or the study's."""
        if arm.rates:
            return sorted(set(arm.rates))
        factor = self.lora_factor if arm.method == "lora" else 1.0
        return sorted(float(f"{factor * rate:.6g}") for rate in self.rates)

    def config(self, trial: Trial) -> TuneConfig:
        """The settings of one run. Unless something else is asked for there are `SNAPSHOTS` after
        the first, of which the grade and the KL are measured.
        """
        settings = {"evaluate": "kl", **self.settings, **trial.arm.settings}
        every = settings.get("snapshot_every") or -(-settings.get("steps", 60) // SNAPSHOTS)
        asked = {
            "model": self.model,
            "task": self.task,
            "method": trial.arm.method,
            "seed": trial.seed,
            "learning_rate": trial.rate,
        }
        if self.keeps_weights(trial):
            asked["keep_weights"] = 1
        return TuneConfig.from_dict({**settings, "snapshot_every": every, **asked})

    def keeps_weights(self, trial: Trial) -> bool:
        """Whether a run's weights are needed until the study is done."""
        return self.causes and trial.seed == 0 and trial.arm.method in DISCOVERING

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
        """The study of a stored dict; of before arms had settings of their own it has methods."""
        values = dict(values)
        methods = values.pop("methods", ())
        stored = values.get("arms", [{"name": m, "method": m} for m in methods])
        arms = tuple(Arm(**{**each, "rates": tuple(each.get("rates", ()))}) for each in stored)
        return cls(**{**values, "arms": arms, "rates": tuple(values["rates"])})


def choose_rate(rows: Sequence[dict[str, Any]], *, better: str) -> float:
    """The learning rate of an arm, from what its runs did on the dev split, means over seeds.

    Among those within one standard error of the best grade, the one that forgot least (smallest KL
    from the untuned model). Rates at which a run failed (without a grade) are passed over; raises
    CtvizError if all are. Rows have ``rate``, ``dev_after``, ``dev_examples`` and ``dev_kl``.
    """
    sign = 1.0 if better == "higher" else -1.0
    by_rate: dict[float, list[dict[str, Any]]] = {}
    for row in rows:
        by_rate.setdefault(row["rate"], []).append(row)
    done = [
        {
            "rate": rate,
            "grade": fmean(row["dev_after"] for row in tried),
            "kl": fmean(row["dev_kl"] for row in tried),
            "examples": tried[0]["dev_examples"],
        }
        for rate, tried in by_rate.items()
        if all(row["dev_after"] is not None and math.isfinite(row["dev_kl"]) for row in tried)
    ]
    if not done:
        raise CtvizError("No learning rate led to a finished run: try smaller ones (--rates).")
    best = max(done, key=lambda each: sign * each["grade"])
    share = min(max(best["grade"], 0.0), 1.0)
    error = math.sqrt(max(share * (1 - share), 1e-12) / best["examples"])
    near = [each for each in done if sign * (best["grade"] - each["grade"]) <= error]
    return float(min(near, key=lambda each: (each["kl"], each["rate"]))["rate"])
