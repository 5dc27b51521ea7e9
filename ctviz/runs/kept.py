"""Where what a person has added to a run lies."""

from __future__ import annotations

from pathlib import Path

from ctviz.runs.directory import Run

__all__ = ["kept_file"]


def kept_file(run: Run, mine: Path, what: str) -> Path:
    """The file of some addition to a run, such as ``groups`` or ``notes``.

    ``mine`` is the folder of the user's runs: a run that does not lie there is not written to, and
    what is added to it lies in ``mine``.
    """
    if mine.resolve() in run.folder.resolve().parents:
        return run.folder / f"{what}.json"
    return mine / f".{what}" / f"{run.id}.json"
