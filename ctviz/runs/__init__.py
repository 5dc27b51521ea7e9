"""Runs on disk: the only channel between a worker and whoever watches it. No torch here."""

import sys

from ctviz import CallableRoom
from ctviz.runs.directory import Run, list_runs, open_run
from ctviz.runs.status import Status
from ctviz.runs.writer import RunWriter, new_folder

__all__ = ["Run", "RunWriter", "Status", "list_runs", "new_folder", "open_run"]

sys.modules[__name__].__class__ = CallableRoom  # `ctviz.runs()` lists them, as `ctviz runs` does
