"""What is recorded at one training step. Pure numpy: pages and files use it without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Notice", "ProbeReading", "Snapshot", "StepRecord", "nearest_snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class ProbeReading:
    """What one fixed prompt did at one step.

    ``tokens``: the prompt's tokens as text; ``answer``, ``foil``: as text; ``attention``: float16
    [layer, head, query, key], NaN where it cannot be read; ``top``: the most likely next tokens
    with their probabilities; ``attribution``: float32 [node], direct logit attribution: what each
    node writes, through the final norm with its scale as it is in this run, along unembed(answer) -
    unembed(foil), in logits; NaN for ``logits``; ``chances``: probabilities of the answer's last
    token and of the foil, None in runs that were made before they were kept.
    """

    tokens: tuple[str, ...]
    answer: str
    foil: str
    attention: np.ndarray
    top: tuple[tuple[str, float], ...]
    attribution: np.ndarray
    chances: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Snapshot:
    """The model at one training step, seen through its circuit on the dev pairs.

    ``scores``: float32 [source, slot] (see `ctviz.circuits.scores.Scores`); ``circuit``: bool
    [source, slot], the selected edges; ``tuned``: bool [source, slot], the edges of the circuit
    that owned what the last update moved (all False at step 0 and for random units, all edges for
    full tuning and LoRA); ``redundancy``: float32 [node] by estimator; ``metrics``: numbers by
    name; ``error``: float32 [source, slot], the scores' standard errors, None in runs that were
    made before they were kept; ``moved``: float32 [node], how far the parameters of a node have
    gone, norm of the difference by norm of the untuned ones, NaN where it owns none; None where it
    was not recorded; ``specific``: float32 [node], how specific to the task a node is beside text
    in general, 0 to 1 (`ctviz.circuits.scores.specific_share`), NaN for ``logits``; None where it
    was not recorded; ``heads``: float32 [node] by name, what heads do on repeated words
    (`ctviz.inspection.repeats.head_scores`), NaN for what is no head; empty where it was not
    recorded.
    """

    step: int
    scores: np.ndarray
    circuit: np.ndarray
    tuned: np.ndarray
    redundancy: dict[str, np.ndarray]
    metrics: dict[str, float]
    probes: tuple[ProbeReading, ...]
    error: np.ndarray | None = None
    moved: np.ndarray | None = None
    specific: np.ndarray | None = None
    heads: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One training step in numbers.

    ``outside_moved``: how many parts of the model that the step did not own have moved, measured
    (see `ctviz.tuning.ownership.MotionMeter`); None for full tuning, which owns all.
    ``trained_fraction``: parameters that the step moved, by all parameters of the untuned model.
    ``micro_batch``: how many examples were run at a time.
    """

    step: int
    loss: float
    outside_moved: int | None
    trained_fraction: float
    n_circuit_edges: int | None
    gradient_norm: float
    learning_rate: float
    micro_batch: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know: a run goes on, but not as it was asked to."""

    text: str


def nearest_snapshot(steps: Sequence[int], asked: int | None) -> int:
    """Index of the snapshot nearest to a training step, the earlier of two as near; None: the last.

    ``steps`` increase and are at least one. The same rule as in ``ctviz/player/clock.js``.
    """
    if asked is None:
        return len(steps) - 1
    return min(range(len(steps)), key=lambda i: abs(steps[i] - asked))
