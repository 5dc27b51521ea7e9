"""How far the faithfulness of a circuit can be trusted: the one rule, and the words for it.

What is said on a page, in a picture and in a table is what `trust` says here. A faithfulness is a
share of what lies between the whole model and the fully corrupted one. Where hardly anything lies
there, or where a few examples decide, the share is a number all the same, and means little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import numpy as np

from ctviz.circuits.random_circuits import beats_random
from ctviz.tasks.files.rows import counted
from ctviz.tasks.task import FEW

__all__ = [
    "UNDEFINED",
    "Grade",
    "Measured",
    "State",
    "Trust",
    "measured",
    "overview",
    "span",
    "trust",
]

CLOSE = 0.85  # from this faithfulness on, the circuit does nearly what the model does
HALF = 0.5
OVER = 1.15
BLUR = 0.5  # a standard error above which a faithfulness says nothing
MARGIN = 0.1  # a circuit this little above random ones says nothing
NEAR = 0.05  # of the largest difference that a run has: below that, hardly any behaviour is there
WHOLE = 1e-6  # what a share may miss to be written as a whole
UNDEFINED = "faithfulness says nothing at this step"

State = Literal[
    "unmeasured", "undefined", "few", "slight", "random", "over", "faithful", "partly", "weak"
]
Grade = Literal["none", "poor", "fair", "good"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a circuit at one step, NaN where it is not known.

    ``faithful`` with its standard ``error``; the mean of the ``random`` circuits, their ``lowest``
    and ``highest``; the metric of the whole model (``full``) and with everything corrupted
    (``empty``); ``examples``: how many all of these are means over, 0 if that is not known.
    """

    faithful: float
    random: float = math.nan
    error: float = math.nan
    lowest: float = math.nan
    highest: float = math.nan
    full: float = math.nan
    empty: float = math.nan
    examples: int = 0

    @property
    def behaviour(self) -> float:
        """What there is to carry: the metric of the whole model beyond the corrupted one."""
        return self.full - self.empty


@dataclass(frozen=True, slots=True)
class Trust:
    """What can be said of a faithfulness: its state, how good that is, the words of it and, where
    these are not plain, the reason in a sentence."""

    state: State
    grade: Grade
    words: str
    why: str = ""

    @property
    def defined(self) -> bool:
        """Whether the number means anything; else it is not drawn."""
        return self.state not in ("unmeasured", "undefined")


def trust(found: Measured, largest: float = math.nan) -> Trust:
    """What can be said of what was measured at a step.

    ``largest``: the largest difference between the whole model and the corrupted one that there is
    in the run, in either direction; NaN if it is not known.
    """
    value, error = found.faithful, found.error
    if not math.isfinite(value):
        return Trust("unmeasured", "none", "faithfulness not measured")
    slight = abs(found.behaviour) < NEAR * largest
    known = math.isfinite(error)
    if known and (error > BLUR or 2 * error > max(abs(value), BLUR)):
        return Trust("undefined", "none", UNDEFINED, _little(found, largest) if slight else NOISY)
    if slight and not known:
        return Trust("undefined", "none", UNDEFINED, _little(found, largest))
    share = span(value, error)
    if 0 < found.examples < FEW:
        on = counted(found.examples, "example")
        why = f"A mean over fewer than {FEW} examples says little of others."
        return Trust("few", "none", f"carries {share} on {on}: too few to say", why)
    if slight:
        why = _little(found, largest)
        return Trust("slight", "none", f"behaviour near zero: carries {share} of very little", why)
    return _compared(found, share)


def _compared(found: Measured, share: str) -> Trust:
    """The same where there is a behaviour to carry, beside random circuits and the whole model."""
    value = found.faithful
    doubt = 2 * found.error if math.isfinite(found.error) else 0.0
    best = found.highest if math.isfinite(found.highest) else found.random
    if math.isfinite(best):
        beats = beats_random(value, found.error, best)
        if not beats or value - doubt <= found.random + MARGIN:
            better = "hardly better" if beats else "no better"
            return Trust("random", "poor", f"{better} than random circuits: carries {share}")
    if value > 1 + max(doubt, 0.005) and (math.isfinite(found.error) or value > OVER):
        why = "What is outside of the circuit works against it in the whole model."
        grade: Grade = "fair" if value > OVER else "good"
        return Trust("over", grade, f"carries {share}, more than the whole model", why)
    if value > OVER:
        return Trust("over", "fair", f"carries {share}: perhaps more than the whole model")
    if value >= CLOSE:
        return Trust("faithful", "good", f"faithful: carries {share} of the behaviour")
    if value >= HALF:
        return Trust("partly", "fair", f"partly faithful: carries {share}")
    return Trust("weak", "poor", f"weak: carries only {share} of the behaviour")


NOISY = (
    "Over the examples it varies by more than it is itself: its standard error is too large for "
    "it to say anything."
)


def _little(found: Measured, largest: float) -> str:
    part = abs(found.behaviour) / largest
    small = f"{_percent(part, 1)} %" if part >= 0.001 else "less than 0.1 %"
    return (
        "The metric hardly differs between the whole model and the fully corrupted one: by "
        f"{found.behaviour:.3g}, {small} of the largest difference in the run. The share of "
        "that which the circuit carries says little."
    ).replace("by -", "by −")


def overview(found: Sequence[Measured]) -> list[Trust]:
    """What can be said at each snapshot of a run."""
    gaps = [abs(each.behaviour) for each in found if math.isfinite(each.behaviour)]
    largest = max(gaps, default=math.nan)
    return [trust(each, largest) for each in found]


COLUMNS = {
    "faithful": "faithfulness",
    "random": "random_faithfulness",
    "error": "faithfulness_error",
    "lowest": "random_low",
    "highest": "random_high",
    "empty": "metric_corrupt",
}


def measured(rows: Iterable[Mapping[str, float]], examples: int) -> list[Measured]:
    """What snapshots measured, from their ``metrics``; ``examples``: how many judged the circuit.

    Runs of before the metric of the whole model was kept of these examples had no others.
    """
    return [
        Measured(
            **{name: _number(row.get(column)) for name, column in COLUMNS.items()},
            full=_number(row.get("metric_full", row.get("metric"))),
            examples=examples,
        )
        for row in rows
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None or not np.isfinite(value) else float(value)


def span(value: float, error: float = math.nan) -> str:
    """A share with its standard error, such as ``99.4 ± 0.3 %``; a whole that is not there is not
    rounded up to."""
    fine = math.isfinite(error) and 0.0005 <= error < 0.01
    digits = 1 if fine else 0
    while digits < 2 and value < 1 - WHOLE and Decimal(_percent(value, digits)) == 100:
        digits += 1
    text = _percent(value, digits).replace("-", "−")
    return f"{text} ± {_percent(error, digits)} %" if math.isfinite(error) else f"{text} %"


def _percent(share: float, digits: int) -> str:
    """A percentage; never "-0"."""
    rounded = (100 * Decimal(share)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return str(rounded if rounded else abs(rounded))
