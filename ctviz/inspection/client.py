"""Ask the process that runs models, without torch in this one."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from typing import Any

from ctviz.errors import EngineFailed

__all__ = ["Engine"]


class Engine:
    """A process of `ctviz.inspection.engine`, started when it is first asked; threads may share it.

    A crash of the model, or the system that takes its memory away, ends that process alone: the
    question then fails, and the next one starts another process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, name: str, *arguments: object) -> Any:
        """The answer to one of `ctviz.inspection.engine.ANSWERS`, one question at a time.

        Raises EngineFailed, with what the engine said or how it ended.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump((name, arguments), process.stdin)
                process.stdin.flush()
                done, answer = pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                code = self._end()
                raise EngineFailed(
                    f"The process that runs the model ended before it answered (exit code {code}"
                    + (", perhaps for want of memory" if code == -9 else "")
                    + "). Nothing is lost: ask again and another one starts."
                ) from error
            except BaseException:  # half an exchange: what came next would answer this question
                self._end()
                raise
        if not done:
            raise EngineFailed(answer)
        return answer

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return self._process.pid if self._process is not None else None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ctviz.inspection.engine"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # what stops the page from a terminal is not sent to it
            )
        return self._process

    def _end(self) -> int:
        """End the process if it has not ended; its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not sent yet goes nowhere
                if pipe is not None:
                    pipe.close()
        return code

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._process is not None:
                self._end()
