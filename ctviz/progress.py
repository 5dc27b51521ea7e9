"""How far a job is: its phases, and the ticks that come from deep inside them.

A job listens with a `Progress` while it works. What it calls, however deep, says in which `phase`
the work is, goes through its pieces with `parts`, and says `tick` now and then, at least once a
second on a model that a laptop can tune. At a tick the job is told how far it is, a few times a
second at most, and a cancel acts: `Cancelled` is raised there. Where nobody listens, all of this
does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Cancelled", "Phase", "Progress", "listened", "parts", "phase", "share", "tick"]

LOOK = 0.2  # seconds between looks whether to cancel, at least
TELL = 0.3  # seconds between two reports, at least
KNOWN = 0.02  # share of a phase from which on it says how long the rest takes

T = TypeVar("T")


class Cancelled(BaseException):
    """Somebody asked for the job to stop. No error: whatever catches those lets it through."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What a job is at: ``done`` of ``total`` units, with a fraction while it is at one of them.

    ``unit``: what is counted, such as "step" or "B" (bytes); empty for a phase that is a whole.
    ``rate``: units a second; ``left``: seconds until the phase is over; None while not known.
    """

    name: str
    done: float
    total: float
    unit: str = ""
    rate: float | None = None
    left: float | None = None


class _Track:
    """What is known of one phase: ``at`` of ``total`` units are done, ``units`` of them in
    ``seconds`` by this job; ``each``: seconds a unit as it was elsewhere."""

    def __init__(self, total: float, unit: str = "", each: float | None = None) -> None:
        self.total, self.unit, self.each = total, unit, each
        self.at = self.units = self.seconds = 0.0

    def left(self, inside: float, elapsed: float) -> float | None:
        """Seconds until it is over; ``inside`` of the unit that it is at took ``elapsed``."""
        rest = max(0.0, self.total - self.at)
        if not rest:
            return 0.0
        each = self.seconds / self.units if self.units else self.each
        if each is None:
            if inside < KNOWN:
                return None
            each = elapsed / inside
        elif elapsed > each and inside > KNOWN:  # it takes longer than it did
            each = max(each, elapsed / inside)
        return max(each * rest - elapsed, each * max(0.0, rest - 1))


class Progress:
    """Listens to a job inside its ``with`` block.

    ``tell`` is called with this object when another phase begins and now and then inside it;
    ``cancelled`` says whether somebody asked the job to stop. ``plan``: the phases that a whole job
    has, in order, with their units. A job inside another one's block tells that too.
    """

    def __init__(
        self,
        tell: Callable[[Progress], None],
        *,
        cancelled: Callable[[], bool] = lambda: False,
        plan: Mapping[str, float] | None = None,
    ) -> None:
        self._tell, self._cancelled = tell, cancelled
        self._tracks = {name: _Track(total) for name, total in (plan or {}).items()}
        self._planned = bool(plan)
        self._name = self._last = ""
        self._ranges: list[tuple[float, float]] = []  # of the unit, from outside in
        self._inside = self._since = self._looked = self._told = 0.0
        self._outer: Progress | None = None
        self._token: Token[Progress | None] | None = None

    def __enter__(self) -> Progress:
        self._outer = _listening.get()
        self._token = _listening.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _listening.reset(self._token)

    def expect(self, name: str, seconds: float) -> None:
        """Say how long a unit of a phase will take, as long as none was measured."""
        if name in self._tracks:
            self._tracks[name].each = seconds

    def done(self, name: str, units: float) -> None:
        """Say that so much of a phase was done before this job, or need not be done at all."""
        self._tracks[name].at = units

    @property
    def busy(self) -> bool:
        """Whether the job is in a phase."""
        return bool(self._name)

    @property
    def phase(self) -> Phase | None:
        """The phase that the job is in."""
        if not self._name:
            return None
        track, elapsed = self._tracks[self._name], time.perf_counter() - self._since
        units, seconds = track.units + self._inside, track.seconds + elapsed
        if not self._inside and track.units:  # nothing is known of the unit that it is at
            units, seconds = track.units, track.seconds
        rate = units / seconds if units and seconds else None
        done = min(track.total, track.at + self._inside)
        left = track.left(self._inside, elapsed)
        return Phase(self._name, done, track.total, track.unit, rate, left)

    @property
    def left(self) -> float | None:
        """Seconds until the whole job is over; None while one of its phases cannot be told."""
        if not self._planned:
            return None
        found = []
        for name, track in self._tracks.items():
            now = name == self._name
            elapsed = time.perf_counter() - self._since if now else 0.0
            found.append(track.left(self._inside if now else 0.0, elapsed))
        return None if None in found else sum(each for each in found if each is not None)

    @property
    def measured(self) -> dict[str, dict[str, float]]:
        """Units that this job has done of each phase, and the seconds that they took."""
        return {
            name: {"units": track.units, "seconds": round(track.seconds, 3)}
            for name, track in self._tracks.items()
            if track.units
        }

    def tick(self, *, now: bool = False) -> None:
        """Report, and raise `Cancelled` if the job is to stop; ``now``: whenever the last was."""
        clock = time.perf_counter()
        if now or clock - self._told >= TELL:
            self._told = clock
            self._report(self)
        if now or clock - self._looked >= LOOK:
            self._looked = clock
            if self._asked_to_stop():
                raise Cancelled

    def _asked_to_stop(self) -> bool:
        outer = self._outer
        return self._cancelled() or (outer is not None and outer._asked_to_stop())

    def _report(self, what: Progress) -> None:
        self._tell(what)
        if self._outer is not None:
            self._outer._report(what)

    @contextmanager
    def _in(self, name: str, at: float, total: float, unit: str) -> Iterator[Callable[..., None]]:
        track = self._tracks.setdefault(name, _Track(total, unit))
        track.at, track.total, track.unit = at, total, unit
        new, self._last = name != self._last, name
        self._name, self._inside, self._since = name, 0.0, time.perf_counter()
        self._ranges = [(0.0, 1.0)]
        counted = False

        def advance(units: float, *, total: float | None = None) -> None:
            nonlocal counted
            counted = True
            track.total = max(total or 0.0, track.at + units, track.total)
            self._add(track, units, time.perf_counter())
            self.tick()

        try:
            self.tick(now=new)
            yield advance
            self._add(track, 0.0 if counted else 1.0, time.perf_counter())
        finally:
            self._name, self._ranges, self._inside = "", [], 0.0

    def _add(self, track: _Track, units: float, clock: float) -> None:
        track.at += units
        track.units += units
        track.seconds += clock - self._since
        self._since, self._inside = clock, 0.0

    @contextmanager
    def _share(self, start: float, end: float) -> Iterator[None]:
        low, high = self._ranges[-1] if self._ranges else (0.0, 0.0)
        depth, width = len(self._ranges), high - low
        self._ranges.append((low + start * width, low + end * width))
        yield
        self._inside = max(self._inside, low + end * width)
        del self._ranges[depth:]

    def _parts(self, items: Collection[T]) -> Iterator[T]:
        low, high = self._ranges[-1] if self._ranges else (0.0, 0.0)
        step = (high - low) / max(1, len(items))
        depth = len(self._ranges)
        for at, item in enumerate(items):
            self._ranges[depth:] = [(low + at * step, low + (at + 1) * step)]
            yield item
            # work that comes several times in one part does not go back
            self._inside = max(self._inside, low + (at + 1) * step)
            self.tick()
        del self._ranges[depth:]


_listening: ContextVar[Progress | None] = ContextVar("listening", default=None)


def listened() -> bool:
    """Whether a job listens, so that it is worth the trouble to tick."""
    return _listening.get() is not None


def tick() -> None:
    """Some work is done: a job may say how far it is, or stop here. Raises Cancelled."""
    progress = _listening.get()
    if progress is not None:
        progress.tick()


@contextmanager
def phase(
    name: str, *, at: float = 0, total: float = 1, unit: str = ""
) -> Iterator[Callable[..., None]]:
    """Work on unit ``at`` of a phase's ``total``; one inside another is a part of that.

    What is yielded, ``advance(units, total=None)``, counts units where they are many, as bytes are,
    with a better ``total`` if there is one, and may be called by another thread; where it is not
    called, the whole block is one unit. Raises Cancelled.
    """
    progress = _listening.get()
    if progress is None:
        yield lambda *_, **__: None
        return
    if progress.busy:
        yield lambda *_, **__: progress.tick()
        return
    with progress._in(name, at, total, unit) as advance:
        yield advance


@contextmanager
def share(start: float, end: float) -> Iterator[None]:
    """What is done inside goes from one share of the piece of work to another, both 0 to 1."""
    progress = _listening.get()
    if progress is None:
        yield
        return
    with progress._share(start, end):
        yield


def parts(items: Collection[T]) -> Iterator[T]:
    """Go through the equal parts of a piece of work, and tick after each. Raises Cancelled."""
    progress = _listening.get()
    return iter(items) if progress is None else progress._parts(items)
