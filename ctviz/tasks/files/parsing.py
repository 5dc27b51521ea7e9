"""From the text of a file to its rows, each with the line on which it begins.

JSONL, a list in JSON, and CSV with a header give a `Row` each; what formats with one JSON object a
line, and others in between, have in common is here as well.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ctviz.tasks.files.objects import rows_in
from ctviz.tasks.files.rows import BadLine, Problem

__all__ = [
    "LONGEST",
    "Row",
    "first_line",
    "json_record",
    "lines_of",
    "once",
    "read_each",
    "rows_of",
    "text_in",
    "whole_characters",
]

LONGEST = 100_000  # characters of a line

Item = TypeVar("Item")
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Row:
    """A line's values by column, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    problem: str = ""


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers from 1."""
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), start=1):
        if line.strip():
            yield number, line


def first_line(text: str) -> str:
    """The first line that is not empty; "" if there is none."""
    return next((line for line in text.lstrip("\ufeff").splitlines() if line.strip()), "")


def read_each(
    items: Iterable[tuple[int, Item]], read: Callable[[Item], Read]
) -> tuple[list[tuple[int, Read]], list[Problem]]:
    """What each numbered item is read as, and a problem for each that ``read`` calls a BadLine."""
    found: list[tuple[int, Read]] = []
    problems: list[Problem] = []
    for number, item in items:
        try:
            found.append((number, read(item)))
        except BadLine as error:
            problems.append(Problem(number, str(error)))
    return found, problems


def json_record(line: str, having: str) -> dict[str, Any]:
    """The JSON object of a line; raises BadLine for anything else, saying what it should have.

    >>> json_record("3", having="a sentence")
    Traceback (most recent call last):
    ctviz.tasks.files.rows.BadLine: this is JSON, but not an object with a sentence
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"this is not valid JSON: {error}") from None
    if not isinstance(record, dict):
        raise BadLine(f"this is JSON, but not an object with {having}")
    return record


def text_in(record: Mapping[str, Any], field: str) -> str:
    """The text of a field, "" where there is none; raises BadLine for anything but a text."""
    value = record.get(field, "")
    if not isinstance(value, str):
        raise BadLine(f'"{field}" is {json.dumps(value)[:40]}, but must be a text')
    if not whole_characters(value):
        raise BadLine(f'"{field}" has half a surrogate pair, which is no character')
    return value.strip()


def whole_characters(text: str) -> bool:
    """Whether a text can be written: JSON can escape half of a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def rows_of(file: Path, text: str) -> tuple[Iterable[Row], str]:
    """The rows of a text of any kind, and what is to be said of them.

    What is no row comes as one with a problem.
    """
    begin = text.lstrip()[:1]
    if file.suffix.lower() in (".csv", ".tsv"):
        return _csv_file(text, "\t" if file.suffix.lower() == ".tsv" else "")
    if begin == "[":
        return _list_rows(text), ""
    if begin == "{":
        return _object_rows(text)
    return [Row(0, {}, "It holds neither JSON objects, one a line, nor a list of them.")], ""


def _object_rows(text: str) -> tuple[Iterable[Row], str]:
    """The rows of a text that begins with an object: one a line, or all of them in one object."""
    lines = sum(1 for _ in lines_of(text))
    try:
        if lines > 1 and _loaded(first_line(text)) is not None:
            return _jsonl_rows(text), ""
    except BadLine:
        return _jsonl_rows(text), ""
    try:
        content = _loaded(text)
    except BadLine as error:
        return [Row(0, {}, f"{str(error)[0].upper()}{str(error)[1:]}.")], ""
    if not isinstance(content, dict):
        return _jsonl_rows(text), ""
    rows, note = rows_in(content)
    if rows:
        return [Row(number, row) for number, row in enumerate(rows, start=1)], note
    if lines == 1:
        return _jsonl_rows(text), ""
    whole = "It is one JSON object; needed is a list of objects, or one object a line."
    return [Row(0, {}, whole)], ""


def _loaded(text: str) -> Any:
    """What a text says in JSON; None if it is not valid. Raises BadLine where `once` does."""
    try:
        return json.loads(text.lstrip("\ufeff"), object_pairs_hook=_unique)
    except BadLine:
        raise
    except (ValueError, RecursionError):
        return None


def _row(line: int, size: int, value: Any) -> Row:
    if size > LONGEST:
        return Row(line, {}, f"{size:,} characters; a line may have {LONGEST:,}")
    if not isinstance(value, dict):
        return Row(line, {}, f"a JSON object is needed, not {json.dumps(value)[:40]}")
    return Row(line, value)


def once(names: Iterable[str]) -> None:
    """Raise BadLine for a name that comes twice: only one of its values could be read."""
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    if twice:
        raise BadLine(f"{twice[0]!r} is there twice, so it is not clear which one is meant")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no name may come twice."""
    once(name for name, _ in pairs)
    return dict(pairs)


def _jsonl_rows(text: str) -> Iterator[Row]:
    for line, content in lines_of(text):
        if len(content) > LONGEST:  # not worth parsing
            yield _row(line, len(content), {})
            continue
        try:
            yield _row(line, len(content), json.loads(content, object_pairs_hook=_unique))
        except BadLine as error:
            yield Row(line, {}, str(error))
        except json.JSONDecodeError as error:
            yield Row(line, {}, f"not valid JSON: {error.msg} at character {error.colno}")
        except (ValueError, RecursionError) as error:  # a huge number, too many brackets
            yield Row(line, {}, f"not readable as JSON: {error}")


def _list_rows(text: str) -> Iterator[Row]:
    """The entries of a list with the line on which each begins."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    blank = re.compile(r"\s*")
    at = text.index("[") + 1
    line, counted = 1, 0
    first = True
    while True:
        at = blank.match(text, at).end()  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, at), at
        if text[at : at + 1] == "]" and first:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield Row(error.lineno, {}, f"not valid JSON: {error.msg}; nothing after it was read")
            return
        except BadLine as error:
            yield Row(line, {}, f"{error}; nothing after it was read")
            return
        except (ValueError, RecursionError) as error:
            yield Row(line, {}, f"not readable as JSON: {error}; nothing after it was read")
            return
        yield _row(line, end - at, value)
        first = False
        at = blank.match(text, end).end()  # type: ignore[union-attr]
        if text[at : at + 1] != ",":
            break
        at += 1
    rest = text[at + 1 :]
    if text[at : at + 1] != "]" or rest.strip():
        line += text.count("\n", counted, at)
        wrong = (
            "something follows the list" if text[at : at + 1] == "]" else "',' or ']' is missing"
        )
        yield Row(line, {}, f"not valid JSON: {wrong}; nothing after it was read")


def _csv_file(text: str, between: str) -> tuple[Iterable[Row], str]:
    """The rows of a CSV file, and what is to be said of its cells.

    Without ``between``, a comma, semicolon, tab or bar stands between cells: the one that the
    header has most of. Where the header has a space after each, no cell begins with one.
    """
    header = re.sub('"[^"]*"', "", text.lstrip().partition("\n")[0])
    between = between or max(",;\t|", key=header.count)
    spaced = 0 < header.count(between) == header.count(f"{between} ")
    note = (
        "The header has a space after each separator, so those at the beginning of cells are left "
        "out."
    )
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=between, strict=True, skipinitialspace=spaced)
    return _csv_rows(reader), note if spaced else ""


def _csv_rows(reader: Any) -> Iterator[Row]:
    """The records of a CSV file with the line on which each begins."""
    header: list[str] | None = None
    line = 1
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, {}, f"not valid CSV: {error}; nothing after it was read")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            try:
                once(header)
            except BadLine as error:
                yield Row(0, {}, f"In the header, {error}.")
                return
            continue
        if len(cells) != len(header):
            yield Row(line, {}, f"{len(cells)} cells, but the header has {len(header)}")
            continue
        yield _row(line, sum(map(len, cells)), dict(zip(header, cells, strict=True)))
