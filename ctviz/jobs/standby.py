"""Start workers and hand them jobs, without importing torch into this process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from ctviz.runs.config import TuneConfig
from ctviz.runs.directory import Run
from ctviz.runs.series import Series
from ctviz.runs.writer import RunWriter, new_folder
from ctviz.tasks import find_task

__all__ = ["Standby"]


class Standby:
    """Keeps one worker warm (torch imported, no job) and hands jobs to it.

    Sessions of one server share it from their threads: each job gets a worker of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # from a worker being chosen until it has its job
        self._worker: subprocess.Popen[str] | None = None
        self._busy: list[subprocess.Popen[str]] = []

    def warm(self) -> subprocess.Popen[str]:
        """The worker that waits for a job; started unless there is one."""
        with self._lock:
            self._busy = [worker for worker in self._busy if worker.poll() is None]
            if self._worker is None or self._worker.poll() is not None:
                self._worker = subprocess.Popen(
                    [sys.executable, "-m", "ctviz.jobs.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,  # a page that is killed does not take its workers along
                )
            return self._worker

    def submit(self, config: TuneConfig, parent: Path) -> str:
        """Start a run in a new folder below ``parent``; returns its id at once."""
        model = Path(config.model).name.lower()
        folder = new_folder(parent, f"{find_task(config.task).slug}-{model}-{config.method}")
        with self._lock:
            worker = self.warm()
            RunWriter(folder, config, pid=worker.pid)  # announced at once; the worker takes it over
            self._hand_over(worker, folder)
        return folder.name

    def record(
        self, series: Series, config: TuneConfig, parent: Path, *, compared: bool = False
    ) -> str:
        """Start a recording in a new folder below ``parent``; returns its id at once.

        ``compared``: see `ctviz.jobs.record.record`.
        """
        kind = "compared" if compared else "recorded"
        folder = new_folder(parent, f"{find_task(config.task).slug}-{series.slug}-{kind}")
        with self._lock:
            worker = self.warm()
            recorded, of = series.settings(config), series.to_dict()
            RunWriter(folder, recorded, pid=worker.pid, series=of, compared=compared)
            self._hand_over(worker, folder)
        return folder.name

    def resume(self, run: Run) -> None:
        """Let a worker go on with a run that did not finish."""
        with self._lock:
            worker = self.warm()
            run.announce(pid=worker.pid)
            self._hand_over(worker, run.folder)

    def _hand_over(self, worker: subprocess.Popen[str], folder: Path) -> None:
        assert worker.stdin is not None
        worker.stdin.write(f"{folder.resolve()}\n")
        worker.stdin.close()
        self._busy.append(worker)
        self._worker = None

    def close(self) -> None:
        """End the waiting worker; those with a job go on."""
        with self._lock:
            if self._worker is not None and self._worker.stdin is not None:
                self._worker.stdin.close()
                try:
                    self._worker.wait(timeout=30)
                except subprocess.TimeoutExpired:  # it is still importing, on a busy machine
                    self._worker.kill()
                    self._worker.wait()
                self._worker = None
