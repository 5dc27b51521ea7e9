"""Arms of a study at equal grade: what each forgets to get as far as all of them could. Pure.

How far a run has gone decides how much it forgets, so arms are compared where they have learned as
much: at the KL from the untuned model at which a run first reaches the target grade, linear between
the snapshots on either side. The target is 90 % of the way from the untuned model to the best mean
that any arm reached. The learning rate of an arm is its cheapest one, chosen for each seed on the
other seeds (of a single seed, on itself), and differences are paired by seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ctviz.jobs.study.plan import Study

__all__ = ["Paid", "Ratio", "paid", "paid_by_arm", "ratio", "target_grade"]

SHARE = 0.9  # of the best gain that is the target
LEAST = 1e-9  # nats, so that a ratio is defined
# Student's t that 95 % lie within, by degrees of freedom
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
BEYOND = 2.228  # for more, a little too wide


@dataclass(frozen=True, slots=True)
class Paid:
    """What an arm pays for the target grade: nats a token by seed, infinite where it is not
    reached, at the rates chosen for them. ``edge``: the end of the grid that a chosen rate lies at,
    beyond which a better one may be ("lowest", "highest", "")."""

    kl: dict[int, float]
    rates: dict[int, float]
    edge: str

    @property
    def reached(self) -> list[int]:
        """The seeds that reached the target."""
        return [seed for seed, kl in self.kl.items() if math.isfinite(kl)]

    @property
    def mean(self) -> float:
        """Geometric mean over the seeds that reached it; NaN if none did."""
        logs = [math.log(self.kl[seed]) for seed in self.reached]
        return math.exp(sum(logs) / len(logs)) if logs else math.nan


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as much one arm pays as another, geometric mean over ``n`` seeds that both
    reach the target with, and its 95 % interval (Student's t of the logarithms; NaN for one seed).
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def certain(self) -> bool:
        """Whether the interval does not hold 1."""
        return self.high < 1 or self.low > 1

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def target_grade(steps: pd.DataFrame, better: str) -> tuple[float, float, float]:
    """Grade of the untuned model, the best mean over seeds of an arm, a rate and a step, and the
    grade between them at which arms are compared.

    ``steps`` has a row for each snapshot of each run: ``arm``, ``rate``, ``seed``, ``step``,
    ``grade``, ``kl`` (nats a token).
    """
    before = float(steps.loc[steps["step"] == 0, "grade"].mean())
    means = steps[steps["step"] > 0].groupby(["arm", "rate", "step"])["grade"].mean()
    best = float(means.max() if better == "higher" else means.min())
    return before, best, before + SHARE * (best - before)


def paid(run: pd.DataFrame, target: float, better: str) -> float:
    """KL at which a run first reaches a grade, by its snapshots; infinite if it never does."""
    sign = 1.0 if better == "higher" else -1.0
    rows = run.sort_values("step")[["grade", "kl"]].itertuples(index=False)
    last_gap = last_kl = math.nan
    for grade, kl in rows:
        gap = sign * (target - grade)
        if gap <= 0:
            share = 1.0 if math.isnan(last_gap) else last_gap / (last_gap - gap)
            reached = kl if math.isnan(last_kl) else last_kl + share * (kl - last_kl)
            return max(LEAST, float(reached))
        last_gap, last_kl = gap, kl
    return math.inf


def paid_by_arm(study: Study, steps: pd.DataFrame, target: float, better: str) -> dict[str, Paid]:
    """What each arm pays for a grade; arms without a run are left out."""
    found = {}
    for arm in study.arms:
        mine = steps[steps["arm"] == arm.name]
        grid = {
            (float(rate), int(seed)): paid(run, target, better)
            for (rate, seed), run in mine.groupby(["rate", "seed"])
        }
        if grid:
            found[arm.name] = _chosen(grid, study.rates_of(arm))
    return found


def _chosen(grid: Mapping[tuple[float, int], float], rates: Sequence[float]) -> Paid:
    seeds = sorted({seed for _, seed in grid})
    kl, chosen = {}, {}
    for seed in seeds:
        others = [other for other in seeds if other != seed] or [seed]

        def cost(rate: float, others: Sequence[int] = others) -> tuple[float, float]:
            every = [grid.get((rate, other), math.inf) for other in others]
            missed = sum(math.isinf(each) for each in every)
            return missed, sum(math.log(each) for each in every if math.isfinite(each))

        tried = [rate for rate in rates if (rate, seed) in grid]
        chosen[seed] = min(tried, key=cost)
        kl[seed] = grid[chosen[seed], seed]
    edge = ""
    if len(rates) > 1:
        ends = {rates[0]: "lowest", rates[-1]: "highest"}
        edge = next((ends[rate] for rate in chosen.values() if rate in ends), "")
    return Paid(kl, chosen, edge)


def ratio(one: Paid, other: Paid) -> Ratio | None:
    """How many times as much the one pays as the other; None if no seed has both."""
    seeds = [seed for seed in one.reached if seed in other.reached]
    if not seeds:
        return None
    logs = [math.log(one.kl[seed] / other.kl[seed]) for seed in seeds]
    n, mean = len(logs), sum(logs) / len(logs)
    if n < 2:
        return Ratio(math.exp(mean), math.nan, math.nan, n)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in logs) / (n - 1))
    far = (T95[n - 2] if n - 2 < len(T95) else BEYOND) * deviation / math.sqrt(n)
    return Ratio(math.exp(mean), math.exp(mean - far), math.exp(mean + far), n)
