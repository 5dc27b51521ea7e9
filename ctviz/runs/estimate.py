"""What a job will take, from what was measured: time by phase, memory, disk. Without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ctviz.errors import CtvizError
from ctviz.runs.config import TuneConfig
from ctviz.runs.directory import Run

__all__ = [
    "PHASES",
    "Estimate",
    "GradeBefore",
    "by_earlier_run",
    "grade_before",
    "together",
    "units_of",
]

PHASES = ("load", "baseline", "discovery", "steps", "snapshots", "final evaluation")


@dataclass(frozen=True, slots=True)
class GradeBefore:
    """How well the untuned model does the task: ``name`` and ``value`` of the task's grade on so
    many ``examples`` of a ``split``; ``guessing``: what guessing would give, None if not known.
    """

    name: str
    value: float
    examples: int
    split: str
    guessing: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job will take; what is not measured yet is not there.

    ``seconds``: by phase, of all its units; ``memory``: bytes at the most, of which ``available``
    are there for the process; ``disk``: bytes that stay in the folder, ``disk_most`` while it is
    written, of which ``disk_free`` are there. ``whole``: whether all was measured. ``device``: what
    it was measured on. ``run``: the earlier run that says it, if none was measured anew.
    ``grade``: how well the model does the task before.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    memory: int | None = None
    available: int | None = None
    disk: int | None = None
    disk_most: int | None = None
    disk_free: int | None = None
    device: str = ""
    whole: bool = False
    run: str = ""
    grade: GradeBefore | None = None

    @property
    def total(self) -> float:
        """Seconds of all phases that are known."""
        return sum(self.seconds.values())

    @property
    def problems(self) -> list[str]:
        """What there is too little of, as sentences."""
        said = []
        if self.memory is not None and self.available is not None and self.memory > self.available:
            said.append(
                f"It takes about {self.memory / 1e9:.1f} GB of memory, and "
                f"{self.available / 1e9:.1f} GB are available, limits of containers and ulimit "
                "counted. Take a smaller model, another method, or a smaller micro-batch."
            )
        most, free = self.disk_most, self.disk_free
        if most is not None and free is not None and most > free:
            said.append(
                f"It takes up to {most / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free. "
                "Keep fewer weights, take fewer snapshots, or another folder."
            )
        return said

    def plain(self) -> dict[str, Any]:
        """In plain values, for JSON."""
        return {
            "seconds": round(self.total, 1),
            "seconds_by_phase": {name: round(value, 2) for name, value in self.seconds.items()},
            "memory": self.memory,
            "memory_available": self.available,
            "disk": self.disk,
            "disk_most": self.disk_most,
            "disk_free": self.disk_free,
            "device": self.device,
            "problems": self.problems,
            "whole": self.whole,
            "grade": None if self.grade is None else asdict(self.grade),
        }

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> Estimate:
        """What `plain` was made of, as far as its digits go."""
        return cls(
            seconds=values["seconds_by_phase"],
            memory=values["memory"],
            available=values["memory_available"],
            disk=values["disk"],
            disk_most=values["disk_most"],
            disk_free=values["disk_free"],
            device=values["device"],
            whole=values["whole"],
            grade=None if values["grade"] is None else GradeBefore(**values["grade"]),
        )


def together(estimates: Sequence[Estimate]) -> Estimate:
    """What jobs take one after another: time and disk of all, and the most memory of one."""
    first = estimates[0]
    names = dict.fromkeys(name for each in estimates for name in each.seconds)
    disk = [each.disk or 0 for each in estimates]
    most = [(each.disk_most or 0) - own for each, own in zip(estimates, disk, strict=True)]
    return replace(
        first,
        seconds={name: sum(each.seconds.get(name, 0.0) for each in estimates) for name in names},
        memory=max(each.memory or 0 for each in estimates),
        disk=sum(disk),
        disk_most=sum(disk) + max(most),
        whole=all(each.whole for each in estimates),
    )


def units_of(config: TuneConfig) -> dict[str, float]:
    """The phases of a tuning run and how many units each has."""
    return {
        "load": 1,
        "baseline": 1,
        "discovery": 1,
        "steps": config.steps,
        "snapshots": -(-config.steps // config.every),
        "final evaluation": 1,
    }


def by_earlier_run(config: TuneConfig, runs: Iterable[Run]) -> Estimate | None:
    """What a run will take by the newest finished one of its model, task, method and evaluation.

    Seconds of a step go by the examples in it. None if no run has measured every phase.
    """
    config = config.located()
    for run in runs:
        try:
            status, other = run.status(), run.config
        except CtvizError:
            continue
        names = (
            *("model", "task", "method", "mlp_block", "evaluate", "examples", "device"),
            *("abilities", "ability_examples"),
        )
        if status.state != "finished" or any(
            getattr(other, name) != getattr(config, name) for name in names
        ):
            continue
        if any(not status.measured.get(name, {}).get("units") for name in PHASES[1:]):
            continue
        seconds = {}
        for name, units in units_of(config).items():
            found = status.measured.get(name, {"units": 1, "seconds": 0.0})
            whole = found["seconds"] if units == 1 else found["seconds"] / found["units"] * units
            seconds[name] = whole * (config.batch_size / other.batch_size if name == "steps" else 1)
        device = str(run.about.get("device", ""))
        return Estimate(seconds=seconds, device=device, run=run.id)
    return None


def grade_before(config: TuneConfig, runs: Iterable[Run]) -> GradeBefore | None:
    """How well the model of a run does its task before, by the newest run of both that says so.

    A recording begins with a model of its own, so it says nothing.
    """
    config = config.located()
    for run in runs:
        try:
            other, about = run.config, run.about
        except CtvizError:
            continue
        if (other.model, other.task) != (config.model, config.task) or other.method == "recorded":
            continue
        before, name = about.get("before") or {}, about["task"].get("judged_by", "accuracy")
        if name in before and "test_examples" in before:
            return GradeBefore(name, before[name], before["test_examples"], "test")
    return None
