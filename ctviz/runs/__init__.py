"""Runs on disk: the only channel between a worker and whoever watches it. No torch here."""

from ctviz.runs.directory import Run, RunWriter, Status, list_runs, new_folder, open_run

__all__ = ["Run", "RunWriter", "Status", "list_runs", "new_folder", "open_run"]
