"""Dry runs for a page, in a process of their own, without torch in this one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from ctviz.runs.config import TuneConfig
from ctviz.runs.estimate import Estimate

__all__ = ["Measured", "Measuring"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a dry run has said so far: an estimate, or what is wrong; ``over``: it says no more."""

    estimate: Estimate | None = None
    error: str = ""
    over: bool = False


class Measuring:
    """One dry run at a time: a new one ends the one before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._config: TuneConfig | None = None
        self._found = Measured()

    def start(self, config: TuneConfig, folder: Path) -> None:
        """Measure what a run of these settings will take."""
        self.stop()
        process = subprocess.Popen(
            [sys.executable, "-m", "ctviz.jobs.dry_run", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        with self._lock:
            self._process, self._config, self._found = process, config, Measured()
        assert process.stdin is not None
        process.stdin.write(json.dumps(config.to_dict()))
        process.stdin.close()
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()

    def of(self, config: TuneConfig) -> Measured | None:
        """What is known of these settings; None if they are not those that are measured."""
        with self._lock:
            return self._found if self._config == config else None

    def stop(self) -> None:
        """End it, as when the run itself begins: it would only take the run's time."""
        with self._lock:
            process, self._process, self._config = self._process, None, None
        if process is not None:
            process.kill()
            process.wait()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        found = Measured()
        with process.stdout:
            for line in process.stdout:
                values = json.loads(line)
                if "error" in values:
                    found = Measured(error=values["error"])
                else:
                    found = Measured(Estimate.of_plain(values))
                self._keep(process, found)
        whole = found.error or (found.estimate is not None and found.estimate.whole)
        error = found.error if whole else "It could not be measured: the process that did so ended."
        self._keep(process, Measured(found.estimate, error, over=True))

    def _keep(self, process: subprocess.Popen[str], found: Measured) -> None:
        with self._lock:
            if self._process is process:
                self._found = found
