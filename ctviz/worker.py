"""A worker process: loads torch at once, then waits for one job on its standard input.

A page starts it ahead of time, so that a run begins without waiting for imports, and hands it the
job as one line of JSON: ``{"folder": ..., "config": {...}, "resume": false}``. If the page goes
away first, standard input ends and so does the worker; once it has a job, it needs the page no
more.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from transformers.utils import logging as transformers_logging

from ctviz import work
from ctviz.config import TuneConfig
from ctviz.errors import CtvizError

__all__ = ["main"]


def main() -> int:
    """Wait for a job, run it, and end; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    transformers_logging.disable_progress_bar()
    line = sys.stdin.readline()
    if not line.strip():
        return 0
    job = json.loads(line)
    try:
        work.tune(
            TuneConfig.from_dict(job["config"]),
            Path(job["folder"]),
            resume=job.get("resume", False),
        )
    except CtvizError:
        return 1  # the run's status says why
    return 0


if __name__ == "__main__":
    sys.exit(main())
