"""What a person says about a run: a title, tags, a note, and whether it is put away; and deleting.

Kept with the run as ``notes.json``. A run that ships with the project is not written to: its notes
lie beside the user's own runs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ctviz import paths
from ctviz.errors import CtvizError, DamagedRun
from ctviz.files import read_json, write_json
from ctviz.runs.directory import Run
from ctviz.runs.kept import kept_file

__all__ = ["RunNotes", "delete_run", "read_notes", "write_notes"]

MOST_LETTERS = 120  # of a title
MOST_TAGS = 20
MOST_OF_TAG = 40  # letters
MOST_OF_NOTE = 20_000  # letters


@dataclass(frozen=True, slots=True)
class RunNotes:
    """What somebody has said about a run; ``title`` stands for the run's own name in lists."""

    title: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False

    def checked(self) -> RunNotes:
        """On one line what has one, and no longer than can be shown; each tag once."""
        tags = (_line(tag.replace(",", " "), MOST_OF_TAG) for tag in self.tags)
        return replace(
            self,
            title=_line(self.title, MOST_LETTERS),
            tags=tuple(dict.fromkeys(tag for tag in tags if tag))[:MOST_TAGS],
            note=self.note.strip()[:MOST_OF_NOTE],
        )


def read_notes(run: Run, mine: Path) -> RunNotes:
    """What was said about a run; ``mine`` is the folder of the user's runs. Raises DamagedRun."""
    file = kept_file(run, mine, "notes")
    if not file.is_file():
        return RunNotes()
    values = read_json(file)
    title, note, tags = values.get("title", ""), values.get("note", ""), values.get("tags", [])
    archived = values.get("archived", False)
    lists, switch = isinstance(tags, list), isinstance(archived, bool)
    if not (lists and switch and all(isinstance(text, str) for text in (title, note, *tags))):
        raise DamagedRun(f"{file} does not hold notes on a run; delete it to write new ones.")
    return RunNotes(title, tuple(tags), note, archived).checked()


def write_notes(run: Run, mine: Path, notes: RunNotes) -> None:
    """Replace what was said about a run; raises DiskFull."""
    file = kept_file(run, mine, "notes")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, asdict(notes.checked()))


def delete_run(run: Run) -> None:
    """Take a run off the disk for good; raises CtvizError if it ships, is live or cannot be moved.

    Its folder is first moved away whole, so that nobody reads half a run.
    """
    place = run.folder
    if place.parent.resolve() == paths.shipped_runs().resolve():
        raise CtvizError(f"{run.id} ships with ctviz, so it cannot be deleted; archive it instead.")
    _refuse_live(run)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".deleted-", dir=place.parent))
    except OSError as error:
        raise CtvizError(f"{place} cannot be deleted: {error.strerror or error}.") from error
    moved = scratch / place.name
    try:
        os.rename(place, moved)
    except OSError as error:
        scratch.rmdir()
        raise CtvizError(f"{place} cannot be deleted: {error.strerror or error}.") from error
    try:
        _refuse_live(Run(moved))  # resumed in the moment before it was moved
    except CtvizError:
        os.rename(moved, place)
        scratch.rmdir()
        raise
    shutil.rmtree(scratch, ignore_errors=True)


def _refuse_live(run: Run) -> None:
    try:
        live = run.status().live
    except DamagedRun:  # nobody is at it
        return
    if live:
        raise CtvizError(f"{run.id} is still running; cancel it first, then delete it.")


def _line(text: str, longest: int) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest].strip()
