"""From the text of a file to its rows, each with the line on which it begins.

JSONL, a list in JSON, and CSV with a header give a `Row` each; what formats with one JSON object a
line, and others in between, have in common is here as well.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ctviz.errors import BadTask
from ctviz.tasks.files.rows import BadLine, Problem

__all__ = [
    "LONGEST",
    "Row",
    "first_line",
    "json_record",
    "lines_of",
    "read_each",
    "rows_of",
    "text_in",
    "text_of",
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


def text_of(file: Path) -> str:
    """The text of a file; raises BadTask if it cannot be read as text that says something."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadTask(f"{file} cannot be read: {error.strerror}.") from error
    if b"\0" in content:
        raise BadTask(f"{file} is not a text file in UTF-8: it holds zero bytes.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadTask(
            f"{file} is not in UTF-8: byte {error.start:,}, on line {line:,}, is no character. "
            "Save it as UTF-8."
        ) from None
    if not text.strip():
        raise BadTask(f"{file} is empty.")
    return text


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


def text_in(record: dict[str, Any], field: str) -> str:
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


def rows_of(file: Path, text: str) -> Iterator[Row]:
    """The rows of a file of any kind; what is no row comes as one with a problem."""
    begin = text.lstrip()[:1]
    if file.suffix.lower() == ".csv":
        return _csv_rows(text)
    if begin == "[":
        return _list_rows(text)
    if begin == "{":
        return (
            iter([Row(0, {}, whole)]) if (whole := _one_object(file, text)) else _jsonl_rows(text)
        )
    return iter([Row(0, {}, "It holds neither JSON objects, one a line, nor a list of them.")])


def _one_object(file: Path, text: str) -> str:
    """What is wrong with a .json file that is one object over many lines; empty if it is not."""
    if file.suffix.lower() != ".json" or "\n" not in text.strip():
        return ""
    try:
        json.loads(text)
    except (ValueError, RecursionError):  # one object a line, then
        return ""
    return "It is one JSON object; needed is a list of objects, or one object a line."


def _row(line: int, size: int, value: Any) -> Row:
    if size > LONGEST:
        return Row(line, {}, f"{size:,} characters; a line may have {LONGEST:,}")
    if not isinstance(value, dict):
        return Row(line, {}, f"a JSON object is needed, not {json.dumps(value)[:40]}")
    return Row(line, value)


def _jsonl_rows(text: str) -> Iterator[Row]:
    for line, content in lines_of(text):
        if len(content) > LONGEST:  # not worth parsing
            yield _row(line, len(content), {})
            continue
        try:
            yield _row(line, len(content), json.loads(content))
        except json.JSONDecodeError as error:
            yield Row(line, {}, f"not valid JSON: {error.msg} at character {error.colno}")
        except (ValueError, RecursionError) as error:  # a huge number, too many brackets
            yield Row(line, {}, f"not readable as JSON: {error}")


def _list_rows(text: str) -> Iterator[Row]:
    """The entries of a list with the line on which each begins."""
    decoder = json.JSONDecoder()
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


def _csv_rows(text: str) -> Iterator[Row]:
    """The records of a CSV file with the line on which each begins; , ; or tab between cells."""
    header_line = text.lstrip().partition("\n")[0]
    between = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
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
            continue
        if len(cells) != len(header):
            yield Row(line, {}, f"{len(cells)} cells, but the header has {len(header)}")
            continue
        yield _row(line, sum(map(len, cells)), dict(zip(header, cells, strict=True)))
