"""What stands in a file, whatever its ending: a text, and its rows."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ctviz.errors import BadTask
from ctviz.tasks.files.parsing import Row, rows_of
from ctviz.tasks.files.tables import parquet_rows, workbook_rows

__all__ = ["ENDINGS", "Content", "content_of"]

ENDINGS: Final = (
    *("jsonl", "json", "csv", "tsv", "parquet", "xlsx"),
    *("txt", "txt.dev", "txt.test"),
)
"""Of files that are read."""
_MARKS: Final = (  # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LFS: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Content:
    """A file's text, "" if it has none, and its rows; ``table`` are those of a file without text.

    ``note`` says what was left out.
    """

    file: Path
    text: str
    table: tuple[Row, ...] = ()
    note: str = ""

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Its rows; what is no row comes as one with a problem."""
        return self._rows[0]

    @property
    def typed(self) -> bool:
        """Whether it tells a text of digits from a number."""
        return self.file.suffix.lower() not in (".csv", ".tsv")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of how the rows were found."""
        return tuple(filter(None, (self.note, self._rows[1])))

    @property
    def columns(self) -> list[str]:
        """The names of all values, in the order in which they first occur."""
        return list(dict.fromkeys(name for row in self.rows for name in row.values))

    @property
    def first(self) -> Mapping[str, Any]:
        """The values of the first row without a problem; none if there is no such row."""
        return next((row.values for row in self.rows if not row.problem), {})

    @cached_property
    def _rows(self) -> tuple[tuple[Row, ...], str]:
        if not self.text:
            return self.table, ""
        rows, note = rows_of(self.file, self.text)
        return tuple(rows), note


def content_of(file: Path) -> Content:
    """Read a file by its ending; raises BadTask if it cannot be read as what the ending says."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadTask(f"{file} cannot be read: {error.strerror}.") from error
    if content.startswith(_LFS):
        raise BadTask(
            f"{file} is not the file itself, but a Git LFS pointer to it. `git lfs pull` in its "
            "repository brings the file."
        )
    ending = file.suffix.lower()
    if ending == ".parquet":
        return Content(file, "", parquet_rows(file))
    if ending == ".xlsx":
        rows, note = workbook_rows(file)
        return Content(file, "", rows, note)
    return Content(file, _text(file, content))


def _text(file: Path, content: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 where a mark at its beginning says so."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
    for magic, what in ((b"\x1f\x8b", "packed with gzip"), (b"PK\x03\x04", "a zip archive")):
        if content.startswith(magic):
            raise BadTask(f"{file} is {what}. Unpack it, and name the file that was in it.")
    if encoding == "utf-8-sig" and b"\0" in content:
        raise BadTask(
            f"{file} is not a text file in UTF-8: it holds zero bytes. If it is text in UTF-16, "
            "save it as UTF-8."
        )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise BadTask(
                f"{file} begins as {encoding.upper()} does, but byte {error.start:,} is no "
                "character. Save it as UTF-8."
            ) from None
        line = content.count(b"\n", 0, error.start) + 1
        raise BadTask(
            f"{file} is not in UTF-8: byte {error.start:,}, on line {line:,}, is no character. "
            "Save it as UTF-8."
        ) from None
    if not text.strip():
        raise BadTask(f"{file} is empty.")
    return text
