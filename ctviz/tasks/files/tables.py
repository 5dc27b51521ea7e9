"""Parquet files and Excel workbooks as rows."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from ctviz.errors import BadTask
from ctviz.tasks.files.parsing import Row, once
from ctviz.tasks.files.rows import BadLine

__all__ = ["parquet_rows", "workbook_rows"]

LARGEST: Final = 200_000_000  # bytes of a workbook's sheet, unpacked
_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINK: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def parquet_rows(file: Path) -> tuple[Row, ...]:
    """The rows of a Parquet file, counted from 1; raises BadTask if it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        once(pq.read_schema(file).names)
        table = pq.read_table(file)
    except BadLine as error:
        return (Row(0, {}, f"Of its columns, {error}."),)
    except (OSError, pa.ArrowException) as error:
        raise BadTask(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    kept = [name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    rows = table.select(kept).to_pylist()
    return tuple(Row(line, _plain(row)) for line, row in enumerate(rows, start=1))


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates, bytes and the like as their text."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def workbook_rows(file: Path) -> tuple[tuple[Row, ...], str]:
    """The rows of a workbook's first sheet by its first row, and a word on other sheets.

    They are counted as the sheet counts them. Raises BadTask if it is no workbook.
    """
    try:
        with zipfile.ZipFile(file) as book:
            names, path = _sheets(book)
            texts = _shared_texts(book)
            cells = list(_cells(_part(book, path), texts))
    except (OSError, zipfile.BadZipFile, ElementTree.ParseError, LookupError, ValueError) as error:
        raise BadTask(
            f"{file} cannot be read as an Excel workbook ({error}). Save it as .xlsx without a "
            "password, or as CSV in UTF-8."
        ) from error
    filled = [(line, row) for line, row in cells if any(row.values())]
    note = (
        f"Of the workbook's {len(names)} sheets the first, {names[0]}, is read."
        if len(names) > 1
        else ""
    )
    if not filled:
        return (), note
    header = {column: str(name).strip() for column, name in filled[0][1].items() if name}
    try:
        once(header.values())
    except BadLine as error:
        return (Row(0, {}, f"In the header, {error}."),), note
    return tuple(
        Row(line, {name: row.get(column) for column, name in header.items()})
        for line, row in filled[1:]
    ), note


def _part(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if (size := book.getinfo(name).file_size) > LARGEST:
        raise ValueError(f"{name} has {size:,} bytes, more than {LARGEST:,}")
    return ElementTree.fromstring(book.read(name))


def _sheets(book: zipfile.ZipFile) -> tuple[list[str], str]:
    """The names of all sheets, and where the first one is."""
    sheets = _part(book, "xl/workbook.xml").findall(f"{_MAIN}sheets/{_MAIN}sheet")
    links = _part(book, "xl/_rels/workbook.xml.rels")
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    target = targets[sheets[0].get(_LINK)]
    path = target.lstrip("/") if target.startswith("/") else posixpath.join("xl", target)
    return [sheet.get("name", "") for sheet in sheets], posixpath.normpath(path)


def _shared_texts(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    return [_text(entry) for entry in _part(book, "xl/sharedStrings.xml").iter(f"{_MAIN}si")]


def _text(entry: ElementTree.Element) -> str:
    """The text of a cell, its pieces of one style each put together; no reading aids."""
    pieces = [*entry.findall(f"{_MAIN}t"), *entry.findall(f"{_MAIN}r/{_MAIN}t")]
    return "".join(piece.text or "" for piece in pieces)


def _cells(sheet: ElementTree.Element, texts: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row's number with the values of its cells by the letters of their column."""
    line = 0
    for row in sheet.iter(f"{_MAIN}row"):
        line = int(row.get("r", line + 1))
        found: dict[str, Any] = {}
        for place, cell in enumerate(row.findall(f"{_MAIN}c")):
            where = cell.get("r", "")
            found[re.sub(r"\d", "", where) or f"#{place}"] = _value(cell, texts)
        yield line, found


def _value(cell: ElementTree.Element, texts: list[str]) -> Any:
    """Text, number, truth, or None for an empty cell and for an error such as #N/A."""
    kind, written = cell.get("t", "n"), cell.findtext(f"{_MAIN}v")
    inline = cell.find(f"{_MAIN}is")
    if inline is not None:
        return _text(inline)
    if written is None or kind == "e":
        return None
    if kind == "n":
        number = float(written)
        return int(number) if number.is_integer() else number
    if kind == "b":
        return written == "1"
    return texts[int(written)] if kind == "s" else written
