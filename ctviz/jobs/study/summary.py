"""What a study found, in numbers and in plain words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ctviz.jobs.study.plan import Study
from ctviz.runs.config import METHOD_NAMES, Method
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
    """One row a method: means over seeds of its chosen runs, and their standard deviations."""
    judged = find_task(study.task).judged_by.name
    rows = []
    for method in study.methods:
        runs = _chosen(table, method)
        if not len(runs):
            continue
        row: dict[str, object] = {
            "method": method,
            "rate": runs["rate"].iloc[0],
            "seeds": len(runs),
        }
        for name, column in _columns(judged, runs).items():
            spread = Spread.of([float(v) for v in runs[column]])
            row[name], row[f"{name}_sd"] = spread.mean, spread.deviation
        rows.append(row)
    return pd.DataFrame(rows)


def compare(table: pd.DataFrame, one: str, other: str, column: str) -> Spread | None:
    """The difference of two methods in a column, one minus the other, paired by seed."""
    first = _chosen(table, one).set_index("seed")
    second = _chosen(table, other).set_index("seed")
    seeds = [seed for seed in first.index if seed in second.index]
    if not seeds or column not in table:
        return None
    return Spread.of([float(first[column][s]) - float(second[column][s]) for s in seeds])


def words(study: Study, table: pd.DataFrame) -> list[str]:
    """Sentences that say what was found and what was not."""
    task = find_task(study.task)
    judged, better = task.judged_by.name, task.judged_by.better
    said = []
    column = f"{judged}_after"
    for method in study.methods:
        runs = _chosen(table, method)
        if not len(runs):
            said.append(f"{_begun(METHOD_NAMES[method])} led to no finished run at any rate tried.")
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
            f"{_begun(METHOD_NAMES[method])} took {_plain(judged)} on test examples from "
            f"{before:.3f} to {after} ({verdict}) and moved the model by {kl} nats a token on "
            "neutral prompts."
        )
    if "circuit" in study.methods:
        for other in study.methods:
            if other != "circuit":
                said += _against(study, table, other, better, judged)
    seeds = "one seed, which chooses" if study.seeds == 1 else f"{study.seeds} seeds, which choose"
    said.append(
        f"Means ± standard deviation over {seeds} and order the training examples; test examples "
        "are the same for all. A difference counts if it is larger than two standard errors of its "
        f"mean over seeds: with few seeds a weak test.{_sampling(table)}"
    )
    return said


def _sampling(table: pd.DataFrame) -> str:
    """What the spread over seeds does not contain: other test examples."""
    if "test_examples_before" not in table:
        return ""
    n = int(table["test_examples_before"].iloc[0])
    return (
        f" A share of {n} test examples has a standard error of up to {0.5 / math.sqrt(n):.2f}, "
        "which this spread does not contain."
    )


def _against(
    study: Study, table: pd.DataFrame, other: Method, better: str, judged: str
) -> list[str]:
    """Circuit-tuning beside one other method: the task, then what else changed."""
    grade = compare(table, "circuit", other, f"{judged}_after")
    if grade is None:
        return []
    sign = 1 if better == "higher" else -1
    parts = [_verdict(grade, sign, f"on the task ({_plain(judged)})")]
    for column, what in (
        ("retention_kl_after", "in distance from the untuned model (KL)"),
        ("perplexity_after", "in perplexity of general English"),
    ):
        found = compare(table, "circuit", other, column)
        if found is not None:
            parts.append(_verdict(found, -1, what))
    kept = compare(table, "circuit", other, "other_accuracy_after")
    if kept is not None:
        parts.append(_verdict(kept, 1, "in accuracy on the other tasks"))
    return [f"Circuit-tuning beside {METHOD_NAMES[other]}: {'; '.join(parts)}."]


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
        "faithfulness": "circuit_faithfulness",
    }
    return {name: c for name, c in wanted.items() if c in runs and runs[c].notna().all()}


def _chosen(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The finished runs of a method at its chosen rate."""
    mine = table[(table["method"] == method) & table["chosen"].astype(bool)]
    return mine[mine["state"] == "finished"].sort_values("seed")


def _begun(text: str) -> str:
    """As the beginning of a sentence."""
    return text[0].upper() + text[1:]


def _plain(judged: str) -> str:
    return {"f1": "F1"}.get(judged, judged.replace("_", " "))
