"""Ask the process that runs models, without torch in this one."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ctviz.errors import EngineFailed

__all__ = ["Engine"]

TRIES = 2  # to get an answer, each of another process
PATIENCE = 5  # seconds that a process may take to end by itself
LOOK = 0.25  # seconds between calls of ``waiting``
GRACE = 2.0  # seconds that a question goes on after the last who asked it has left
KEPT = 256  # answers


class _Question:
    """What is asked, by how many, and once it is ``over`` the answer."""

    def __init__(self, key: object, sent: bytes) -> None:
        self.key, self.sent = key, sent
        self.askers, self.dropped = 0, False
        self.over = threading.Event()
        self.answer: tuple[bool, bytes] = (False, b"")


class Engine:
    """A process of `ctviz.serving`, started when it is first asked; threads may share it.

    Questions are answered in the order in which they come. One that several threads ask at a time
    is answered once for all of them; one that nobody waits for any more is dropped, and if it is
    being answered just then, its process is ended after a moment of grace.

    A crash of the model, or the system that takes its memory away, ends that process alone: the
    question goes to another one, and fails if that ends too.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # of what follows
        self._queue: list[_Question] = []  # the first is being answered
        self._kept: OrderedDict[object, bytes] = OrderedDict()
        self._worker: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def ask(
        self,
        name: str,
        *arguments: object,
        keep: bool = False,
        waiting: Callable[[int], None] | None = None,
    ) -> Any:
        """The answer to one of `ctviz.serving.engine.ANSWERS`.

        ``keep``: the same arguments always have the same answer, so it is kept for whoever asks
        again. ``waiting`` is called a few times a second with how many questions go first; if it
        raises an exception, the question is withdrawn.

        Raises EngineFailed, with what the engine said or how it ended.
        """
        question = self._join((name, arguments) if keep else object(), name, arguments)
        try:
            while not question.over.wait(LOOK):
                if waiting is not None:
                    waiting(self._ahead(question))
        finally:
            self._leave(question)
        done, answer = question.answer
        if not done:
            raise EngineFailed(pickle.loads(answer))
        return pickle.loads(answer)

    def kept(self, name: str, *arguments: object) -> bool:
        """Whether the answer to a question is known already."""
        with self._lock:
            return (name, arguments) in self._kept

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return self._process.pid if self._process is not None else None

    def _join(self, key: object, name: str, arguments: tuple[object, ...]) -> _Question:
        """The question in the queue, or with its answer if that was kept."""
        with self._lock:
            found = next((q for q in self._queue if q.key == key and not q.dropped), None)
            if found is None:
                found = _Question(key, pickle.dumps((name, arguments)))
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found.answer = True, self._kept[key]
                    found.over.set()
                else:
                    self._queue.append(found)
                    self._work()
            found.askers += 1
            return found

    def _ahead(self, question: _Question) -> int:
        with self._lock:
            return self._queue.index(question) if question in self._queue else 0

    def _leave(self, question: _Question) -> None:
        with self._lock:
            question.askers -= 1
            if question.askers or question.over.is_set():
                return
            if question is self._queue[0]:
                late = threading.Timer(GRACE, self._drop, (question,))
                late.daemon = True
                late.start()
            else:
                self._queue.remove(question)

    def _drop(self, question: _Question) -> None:
        """End the process that answers a question, unless somebody has come to wait for it."""
        with self._lock:
            if question.askers or question.over.is_set():
                return
            question.dropped = True
            if self._process is not None:
                self._process.kill()

    def _work(self) -> None:
        """See that the questions of the queue are answered, in a thread of their own."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._answer_all, daemon=True)
            self._worker.start()

    def _answer_all(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._worker = None
                    return
                question = self._queue[0]
            try:
                done, answer = self._answer(question)
            except EngineFailed as error:
                done, answer = False, str(error)
            with self._lock:
                question.answer = done, pickle.dumps(answer)
                if done and isinstance(question.key, tuple):
                    self._kept[question.key] = question.answer[1]
                    while len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
                self._queue.remove(question)
                question.over.set()

    def _answer(self, question: _Question) -> tuple[bool, Any]:
        code: int | None = None
        for _ in range(TRIES):
            process = self._started(question)
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(question.sent)
                process.stdin.flush()
                done, answer = pickle.load(process.stdout)
                return done, answer
            except Exception:  # it ended, or said something that is no answer
                code = self._end()
        hints = {None: "", 0: "", -9: ": perhaps there is too little memory"}
        why = hints.get(code, "; the log of the app says more")
        raise EngineFailed(
            f"The process that runs the model ended {TRIES} times before it answered, the last "
            f"time with exit code {code}{why}. Reload the page to try again."
        )

    def _started(self, question: _Question) -> subprocess.Popen[bytes]:
        with self._lock:  # once it is closed or dropped, none is started
            if question.dropped:
                raise EngineFailed("Nobody waits for the answer any more.")
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
                        start_new_session=True,  # what stops the page is not sent to it
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
        with self._lock:
            self._closed = True
            process, worker = self._process, self._worker
        if process is not None:
            process.kill()
        if worker is not None:
            worker.join()
        if self._process is not None:
            self._end()
