"""How far a run is, and whether the process that makes it is still there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import psutil

from ctviz.errors import Diverged
from ctviz.progress import Phase

__all__ = ["State", "Status", "alive"]

State = Literal["starting", "running", "finished", "cancelled", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is. ``rate``: steps a second; ``heartbeat``: seconds since the epoch.

    ``pid`` and ``born`` (its start, seconds since the epoch) name the worker's process. ``notices``
    say what was done otherwise than asked. ``failure``: of what kind the error was that ended a
    failed run, a name from `ctviz.errors`; empty if it was none of these or is not known.

    ``phase``: what a live run is at (`ctviz.progress.Phase`), ``left``: seconds until all of it is
    over, None while that is not known. ``measured``: by phase, the ``units`` that its process has
    done and the ``seconds`` that they took.
    """

    state: State
    step: int
    steps: int
    rate: float | None = None
    message: str = ""
    pid: int = 0
    born: float = 0.0
    heartbeat: float = 0.0
    notices: tuple[str, ...] = ()
    failure: str = ""
    phase: Phase | None = None
    left: float | None = None
    measured: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether tuning made a number infinite or NaN: it would do so again."""
        return self.failure == Diverged.__name__

    @property
    def live(self) -> bool:
        """Whether a worker is at it."""
        return self.state in ("starting", "running")


def alive(pid: int, born: float) -> bool:
    """Whether that very process still runs: its number may have gone to another one since."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - born) < 2.0
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, TypeError, OverflowError):
        return False
