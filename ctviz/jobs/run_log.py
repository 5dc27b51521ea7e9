"""``log.txt`` of a run: what the engine logs while it lasts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from ctviz.files import not_written

__all__ = ["run_log"]

log = logging.getLogger(__name__)
ErrorLine = Callable[[str, BaseException | None], None]


@contextmanager
def run_log(file: Path) -> Iterator[ErrorLine]:
    """Append everything that ctviz logs from INFO on to a file.

    What is yielded writes an error into the file alone, with the traceback of an exception if one
    is given: whoever called is told by that exception itself. Raises DiskFull if the file cannot be
    opened.
    """
    try:
        handler = _LogFile(file, encoding="utf-8")
    except OSError as error:
        raise not_written(file, error) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("ctviz")
    usual_level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)  # the file gets it all; what a terminal shows is its handler's say

    def write_error(line: str, error: BaseException | None) -> None:
        trace: tuple[type[BaseException], BaseException, TracebackType | None] | None = None
        if error is not None:
            trace = (type(error), error, error.__traceback__)
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, line, (), trace))

    try:
        yield write_error
    finally:
        root.removeHandler(handler)
        root.setLevel(usual_level)
        with suppress(OSError):
            handler.close()


class _LogFile(logging.FileHandler):
    """A file that takes lines as long as there is room: a full disk costs lines, not the run."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let go of a line that could not be written."""
