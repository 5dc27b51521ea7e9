"""What a study found, in numbers and in plain words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ctviz.jobs.study.front import paid_by_arm, ratio, target_grade
from ctviz.jobs.study.plan import Arm, Study
from ctviz.tasks import find_task

__all__ = ["Spread", "compare", "summarize", "words"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over seeds, and their sample standard deviation (NaN for one seed)."""

    mean: float
    deviation: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of some values, at least one."""
        mean = sum(values) / len(values)
        if len(values) < 2:
            return cls(mean, math.nan, len(values))
        return cls(
            mean,
            math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)),
            len(values),
        )

    @property
    def certain(self) -> bool:
        """Whether it is further from 0 than two standard errors of the mean; never for one seed."""
        return self.n > 1 and abs(self.mean) > 2 * self.deviation / math.sqrt(self.n)

    def __str__(self) -> str:
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.3f}"
        return f"{self.mean:.3f}{spread}"


def summarize(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """One row an arm: means over seeds of its chosen runs, and their standard deviations."""
    judged = find_task(study.task).judged_by.name
    rows = []
    for arm in study.arms:
        runs = _chosen(table, arm.name)
        if not len(runs):
            continue
        row: dict[str, object] = {
            "arm": arm.name,
            "rate": runs["rate"].iloc[0],
            "seeds": len(runs),
        }
        for name, column in _columns(judged, runs).items():
            spread = Spread.of([float(v) for v in runs[column]])
            row[name], row[f"{name}_sd"] = spread.mean, spread.deviation
        rows.append(row)
    return pd.DataFrame(rows)


def compare(table: pd.DataFrame, one: str, other: str, column: str) -> Spread | None:
    """The difference of two arms in a column, one minus the other, paired by seed."""
    first = _chosen(table, one).set_index("seed")
    second = _chosen(table, other).set_index("seed")
    seeds = [seed for seed in first.index if seed in second.index]
    if not seeds or column not in table:
        return None
    return Spread.of([float(first[column][s]) - float(second[column][s]) for s in seeds])


def words(study: Study, table: pd.DataFrame, steps: pd.DataFrame) -> list[str]:
    """Sentences that say what was found and what was not: at equal grade, then at the end."""
    return [*_at_equal_grade(study, steps), *_at_the_end(study, table)]


def _at_equal_grade(study: Study, steps: pd.DataFrame) -> list[str]:
    """What each arm forgets to reach the same grade, and the first one beside the others."""
    if not len(steps):
        return []
    task = find_task(study.task)
    judged, better = _plain(task.judged_by.name), task.judged_by.better
    before, best, target = target_grade(steps, better)
    if (best - before) * (1 if better == "higher" else -1) <= 0:
        return [f"No arm's mean {judged} on dev examples got better than before ({before:.3f})."]
    found = paid_by_arm(study, steps, target, better)
    arms = {arm.name: arm for arm in study.arms if arm.name in found}
    said = [
        f"Compared at equal grade, {judged} {target:.3f} on dev examples: 90 % of the way "
        f"from the untuned model's {before:.3f} to {best:.3f}, the best mean of any arm, rate and "
        "step."
    ]
    for name, each in found.items():
        begun = _begun(arms[name].words)
        if not each.reached:
            said.append(f"{begun} reached it with no seed at the rates chosen.")
            continue
        often = f" with {len(each.reached)} of {len(each.kl)} seeds"
        part = often if len(each.reached) < len(each.kl) else ""
        edge = f", at the {each.edge} rate tried, beyond which it may be less" if each.edge else ""
        said.append(
            f"{begun} reached it{part} at {each.mean:.3f} nats a token from the untuned model"
            f"{edge}."
        )
    first = next(iter(found), None)
    for name in list(found)[1:]:
        if (times := ratio(found[str(first)], found[name])) is None:
            continue
        verdict = "less" if times.high < 1 else "more" if times.low > 1 else "no difference seen"
        sure = f"95 % interval over {times.n} seeds; {verdict}" if times.n > 1 else "one seed"
        said.append(
            f"{_begun(arms[str(first)].words)} forgets {times} times as much as "
            f"{arms[name].words} to reach it ({sure})."
        )
    return said


def _at_the_end(study: Study, table: pd.DataFrame) -> list[str]:
    task = find_task(study.task)
    judged, better = task.judged_by.name, task.judged_by.better
    said = []
    column = f"{judged}_after"
    for arm in study.arms:
        runs = _chosen(table, arm.name)
        if not len(runs):
            said.append(f"{_begun(arm.words)} led to no finished run at any rate tried.")
            continue
        before = float(runs[f"{judged}_before"].iloc[0])
        after = Spread.of([float(v) for v in runs[column]])
        gain = Spread.of([float(v) - before for v in runs[column]])
        improved = gain.mean > 0 if better == "higher" else gain.mean < 0
        if len(runs) == 1:
            verdict = "one seed, so nothing is known of its spread"
        elif not gain.certain:
            verdict = "no change that its spread over seeds lets one see"
        else:
            verdict = "better than before" if improved else "worse than before"
        kl = Spread.of([float(v) for v in runs["retention_kl_after"]])
        said.append(
            f"{_begun(arm.words)} took {_plain(judged)} on test examples from "
            f"{before:.3f} to {after} ({verdict}) and moved the model by {kl} nats a token on "
            "neutral prompts."
        )
    for other in study.arms[1:]:
        said += _against(study.arms[0], other, table, better, judged)
    for arm in study.arms:
        said += _conflicts(study, arm, _chosen(table, arm.name))
    seeds = "one seed" if study.seeds == 1 else f"{study.seeds} seeds"
    own = [f"{arm.name} {arm.seeds}" for arm in study.arms if arm.seeds]
    seeds += f" ({', '.join(own)})" if own else ""
    said.append(
        f"Means ± standard deviation over {seeds}; a seed chooses and orders the training "
        "examples, and test examples are the same for all. A difference counts if it is larger "
        "than two standard errors of its mean over seeds: with few seeds a weak test."
        f"{_sampling(table)}"
    )
    return said


def _conflicts(study: Study, arm: Arm, runs: pd.DataFrame) -> list[str]:
    """Other tasks whose accuracy an arm changed by more than two standard errors."""
    if not len(runs):
        return []
    n = study.config(study.trials[0]).retention_test_examples
    changed = []
    for column in runs:
        name = str(column).removeprefix("other.").removesuffix("_before")
        if str(column) != f"other.{name}_before":
            continue
        before = float(runs[column].iloc[0])
        after = [float(value) for value in runs[f"other.{name}_after"]]
        mean = sum(after) / len(after)
        error = math.sqrt((before * (1 - before) + mean * (1 - mean)) / n)
        if abs(mean - before) > 2 * error:
            changed.append(f"{name} from {before:.2f} to {mean:.2f}")
    if not changed:
        return []
    return [
        f"{_begun(arm.words)} changed other tasks by more than two standard errors ({n} examples "
        f"each): {', '.join(changed)}."
    ]


def _sampling(table: pd.DataFrame) -> str:
    """What the spread over seeds does not contain: other test examples."""
    if "test_examples_before" not in table:
        return ""
    n = int(table["test_examples_before"].iloc[0])
    return (
        f" A share of {n} test examples has a standard error of up to {0.5 / math.sqrt(n):.2f}, "
        "which this spread does not contain."
    )


def _against(first: Arm, other: Arm, table: pd.DataFrame, better: str, judged: str) -> list[str]:
    """The first arm beside another one: the task, then what else changed."""
    grade = compare(table, first.name, other.name, f"{judged}_after")
    if grade is None:
        return []
    sign = 1 if better == "higher" else -1
    parts = [_verdict(grade, sign, f"on the task ({_plain(judged)})")]
    for column, way, what in (
        ("retention_kl_after", -1, "in distance from the untuned model (KL)"),
        ("perplexity_after", -1, "in perplexity of general English"),
        ("other_accuracy_after", 1, "in accuracy on the other tasks"),
    ):
        found = compare(table, first.name, other.name, column)
        if found is not None:
            parts.append(_verdict(found, way, what))
    return [f"{_begun(first.words)} beside {other.words}, at the end: {'; '.join(parts)}."]


def _verdict(difference: Spread, sign: int, what: str) -> str:
    amount = f"by {abs(difference.mean):.3g}"
    if difference.n < 2:
        way = "ahead" if sign * difference.mean > 0 else "behind"
        return f"{way} {what} {amount}, with one seed, which may be chance"
    if not difference.certain:
        return f"no difference that the seeds let one see {what} ({difference.mean:+.3g})"
    return f"{'better' if sign * difference.mean > 0 else 'worse'} {what} {amount}"


def _columns(judged: str, runs: pd.DataFrame) -> dict[str, str]:
    wanted = {
        "grade": f"{judged}_after",
        "kl": "retention_kl_after",
        "perplexity": "perplexity_after",
        "others": "other_accuracy_after",
        "trained_fraction": "trained_fraction",
        "seconds_per_step": "seconds_per_step",
        "circuit_overlap": "circuit_overlap_since_start",
        "circuit_overlap_between": "circuit_overlap_between",
        "faithfulness": "circuit_faithfulness",
    }
    return {name: c for name, c in wanted.items() if c in runs and runs[c].notna().all()}


def _chosen(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The finished runs of an arm at its chosen rate."""
    mine = table[(table["arm"] == arm) & table["chosen"].astype(bool)]
    return mine[mine["state"] == "finished"].sort_values("seed")


def _begun(text: str) -> str:
    """As the beginning of a sentence."""
    return text[0].upper() + text[1:]


def _plain(judged: str) -> str:
    return {"f1": "F1"}.get(judged, judged.replace("_", " "))
