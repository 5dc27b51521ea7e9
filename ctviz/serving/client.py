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

TRIES = 2  # to get an answer, each of another process
PATIENCE = 5  # seconds that a process may take to end by itself


class Engine:
    """A process of `ctviz.serving`, started when it is first asked; threads may share it.

    A crash of the model, or the system that takes its memory away, ends that process alone: the
    question goes to another one, and fails if that ends too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def ask(self, name: str, *arguments: object) -> Any:
        """The answer to one of `ctviz.serving.engine.ANSWERS`, one question at a time.

        Raises EngineFailed, with what the engine said or how it ended.
        """
        question = pickle.dumps((name, arguments))
        with self._lock:
            done, answer = self._answer(question)
        if not done:
            raise EngineFailed(answer)
        return answer

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return self._process.pid if self._process is not None else None

    def _answer(self, question: bytes) -> tuple[bool, Any]:
        code: int | None = None
        for _ in range(TRIES):
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(question)
                process.stdin.flush()
                done, answer = pickle.load(process.stdout)
                return done, answer
            except Exception:  # it ended, or said something that is no answer
                code = self._end()
            except BaseException:  # half an exchange: what is said next answers this question
                process.kill()
                self._end()
                raise
        hints = {None: "", 0: "", -9: ": perhaps there is too little memory"}
        why = hints.get(code, "; the log of the app says more")
        raise EngineFailed(
            f"The process that runs the model ended {TRIES} times before it answered, the last "
            f"time with exit code {code}{why}. Reload the page to try again."
        )

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise EngineFailed("The app is ending, so no model is run any more.")
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "ctviz.serving"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # what stops the page from a terminal is not sent to it
                )
            except OSError as error:
                raise EngineFailed(
                    f"The process that runs the model cannot be started: {error}."
                ) from error
        return self._process

    def _end(self) -> int | None:
        """Forget the process; its exit code if it ended by itself once nothing more is asked."""
        process, self._process = self._process, None
        assert process is not None
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not sent yet goes nowhere
                if pipe is not None:
                    pipe.close()
        try:
            return process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def close(self) -> None:
        """End the process, even while it is asked, and start no other."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            if self._process is not None:
                self._end()
