"""A job in the terminal: one line that says how far it is, and Ctrl+C to stop it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from ctviz.progress import Progress
from ctviz.views.underway import phase_words

__all__ = ["Line", "underway"]

AGAIN = 30.0  # seconds between two lines of the same phase where lines stay
CLEAR = "\r\x1b[K"


class Line:
    """How far a job is, on one line of a terminal that is written again and again.

    Where it is no terminal a line is written as each phase begins, and every `AGAIN` seconds.
    ``note`` is what else is to be said. ``interrupted``: whether somebody has pressed Ctrl+C.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._seen, self._last = stream, set[str](), 0.0
        self._rewrites = stream.isatty()
        self.note, self.interrupted = "", False

    def show(self, job: Progress) -> None:
        """Say it of a job."""
        phase = job.phase
        if phase is None or self.interrupted:
            return
        text = phase_words(phase, job.left)
        if self._rewrites:
            text = f"{text} · {self.note}" if self.note else text
            self._write(f"{CLEAR}{text}")
        elif phase.name not in self._seen or time.monotonic() - self._last >= AGAIN:
            self._seen.add(phase.name)
            self._last = time.monotonic()
            self._write(f"{text}\n")

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._rewrites:
            self._write(CLEAR)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """What Ctrl+C does: ask the job to stop; the second time, stop it."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self.clear()
        self._write("stopping, so that nothing is lost; Ctrl+C again stops at once\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def underway() -> Iterator[Line]:
    """Show on standard error how far the jobs inside are, and let Ctrl+C cancel them."""
    line = Line(sys.stderr)
    former = signal.signal(signal.SIGINT, line.interrupt)
    try:
        with Progress(line.show, cancelled=lambda: line.interrupted):
            yield line
    finally:
        signal.signal(signal.SIGINT, former)
        line.clear()
