"""A worker process: loads torch at once, then waits for one job on its standard input.

A page starts it ahead of time, so that a run begins without waiting for imports, and hands it the
job as one line: the folder of a run that is announced or did not finish. If the page goes away
first, standard input ends and so does the worker; once it has a job, it needs the page no more.
"""

from __future__ import annotations

import logging
import sys

from transformers.utils import logging as transformers_logging

from ctviz.errors import CtvizError
from ctviz.jobs import tune
from ctviz.jobs.record import record
from ctviz.runs import open_run
from ctviz.runs.series import series_of

__all__ = ["main"]


def main() -> int:
    """Wait for a job, run it, and end; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    transformers_logging.disable_progress_bar()
    folder = sys.stdin.readline().strip()
    if not folder:
        return 0
    try:
        run = open_run(folder)
        if run.config.method == "recorded":
            record(series_of(run), run.config, run.folder, resume=True)
        else:
            tune.tune(run.config, run.folder, resume=True)
    except CtvizError:
        return 1  # the run's status says why
    return 0


if __name__ == "__main__":
    sys.exit(main())
