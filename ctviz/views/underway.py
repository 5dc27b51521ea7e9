"""What a job that is underway says of itself, in words: the same in a terminal and on a page."""

from __future__ import annotations

from dataclasses import dataclass

from ctviz.progress import Phase
from ctviz.runs import Status
from ctviz.views.naming import duration

__all__ = ["PHASES", "Stretch", "phase_words", "share_done", "stretches"]

BEGINNING = 4  # units of baseline and discovery that a run has before its first step

PHASES = {
    "fetch": "Fetching the model",
    "load": "Loading the model",
    "baseline": "Measuring the untuned model",
    "first": "Measuring the first model",
    "discovery": "Discovering the circuit",
    "steps": "Tuning",
    "snapshots": "Taking a snapshot",
    "final evaluation": "Evaluating the tuned model",
    "last": "Evaluating the last model",
    "evaluation": "Testing the circuit",
    "minimality": "Leaving out one edge after another",
    "curves": "Drawing curves",
    "nodes": "Each update alone, and taken back",
    "sets": "Searching the needed updates",
    "checks": "Checking them on other examples",
    "answers": "Asking both models",
    "swaps": "Putting nodes of one model into the other",
    "measuring": "Measuring what it will take",
}
"""What a person reads for the name of a phase."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a run as it is drawn: what it is called, how much of it is done (0 to 1), and
    whether the run is at it."""

    label: str
    done: float
    now: bool


def stretches(status: Status, *, recorded: bool = False) -> tuple[Stretch, ...]:
    """The parts of a live run, in order; ``recorded``: of one that is a recording."""
    phase = status.phase
    name = phase.name if phase else "load"
    inside = share_done(phase) if phase else 0.0
    order = [("fetch", "load"), ("baseline", "discovery", "first"), ("steps", "snapshots"), ()]
    at = next((n for n, names in enumerate(order) if name in names), len(order) - 1)
    if status.step and at == 1:  # what a resumed run measures again before it goes on
        begun = inside
    else:
        whole = {key: found["units"] for key, found in status.measured.items()}
        units = whole.get("baseline", 0.0) + whole.get("discovery", 0.0)
        partly = phase.done % 1 if phase and at == 1 else 0.0
        begun = min(1.0, (units + partly) / BEGINNING)
    if recorded:
        begun = inside if at == 1 else 0.0
    taken = status.step / max(1, status.steps)
    if recorded and phase and name == "snapshots":
        taken = inside
    done = (inside, begun, taken, inside)
    labels = ("Model", "Before tuning", "Tuning", "After tuning")
    if recorded:
        labels = ("Last model", "First model", "All models", "At the end")
    return tuple(
        Stretch(label, 1.0 if n < at else share if n == at or n == 2 else 0.0, n == at)
        for n, (label, share) in enumerate(zip(labels, done, strict=True))
    )


def share_done(phase: Phase) -> float:
    """How much of a phase is done, 0 to 1."""
    return min(1.0, max(0.0, phase.done / phase.total)) if phase.total else 0.0


def phase_words(phase: Phase, left: float | None = None) -> str:
    """Which phase it is, how far, how fast, and how long it and the whole job still take.

    >>> phase_words(Phase("steps", 12.4, 40, "step", 0.8, 34.5), 65.0)
    'Tuning: step 13 of 40 · 0.8 steps a second · 34 s left of it · 65 s left in all'
    """
    parts = [f"{PHASES.get(phase.name, phase.name.capitalize())}{_so_far(phase)}"]
    if phase.rate and phase.unit:
        parts.append(_speed(phase.rate, phase.unit))
    if phase.left is not None and phase.left >= 1:
        parts.append(f"{duration(phase.left)} left{' of it' if left is not None else ''}")
    if left is not None:
        parts.append(f"{duration(max(1.0, left))} left in all")
    return " · ".join(parts)


def _so_far(phase: Phase) -> str:
    if phase.unit == "B":
        return f": {phase.done / 1e6:,.0f} of {phase.total / 1e6:,.0f} MB" if phase.done else ""
    if phase.unit and phase.total > 1:
        at = min(int(phase.done) + 1, int(phase.total))
        return f": {phase.unit} {at:,} of {int(phase.total):,}"
    done = share_done(phase)
    return f": {done:.0%}" if done >= 0.005 else ""


def _speed(rate: float, unit: str) -> str:
    if unit == "B":
        return f"{rate / 1e6:.1f} MB a second"
    if rate >= 1:
        return f"{float(f'{rate:.2g}'):g} {unit}s a second"
    return f"{duration(1 / rate)} a {unit}"
