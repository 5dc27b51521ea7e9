"""Small files as other tools write them, with a content of our own.

Every builder writes one file into a folder and returns its name as a task. `PAIRS` is what most of
them hold.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd

from ctviz.tasks.example import Pair

__all__ = ["NOUNS", "PAIRS", "as_rows", "json_file", "jsonl_file", "table_file", "workbook"]

NOUNS = ("key", "hat", "dog", "cat", "ring", "boat", "lamp", "door", "bag", "cup", "shoe", "bird")
PAIRS = tuple(
    pair
    for noun in NOUNS
    for pair in (
        Pair(f"The {noun}s", f"The {noun}", " are", " is"),
        Pair(f"The {noun}", f"The {noun}s", " is", " are"),
    )
)
"""24 pairs with 24 different prompts."""


def as_rows(pairs: Sequence[Pair] = PAIRS) -> list[dict[str, str]]:
    """Rows with the columns of our own."""
    return [
        {"clean": p.clean, "corrupt": p.corrupt, "answer": p.answer, "foil": p.foil} for p in pairs
    ]


def jsonl_file(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """One object a line, as `json` writes it: NaN stays NaN."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def json_file(path: Path, content: Any, *, indent: int | None = None) -> str:
    """One JSON value."""
    path.write_text(json.dumps(content, indent=indent), encoding="utf-8")
    return str(path)


def table_file(path: Path, rows: Sequence[Mapping[str, Any]], *, encoding: str = "utf-8") -> str:
    """A table as its ending says: CSV, TSV, Parquet or Excel."""
    if path.suffix == ".parquet":
        pd.DataFrame(list(rows)).to_parquet(path)
    elif path.suffix == ".xlsx":
        workbook(path, {"pairs": [list(rows[0]), *(list(row.values()) for row in rows)]})
    else:
        with path.open("w", encoding=encoding, newline="") as file:
            between = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(rows[0]), delimiter=between)
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> str:
    """An Excel workbook, its texts in a list that all cells share, as Excel writes it."""
    texts: dict[str, int] = {}
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    with zipfile.ZipFile(path, "w") as book:
        listed, links = "", ""
        for number, (name, lines) in enumerate(sheets.items(), start=1):
            listed += f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
            links += f'<Relationship Id="rId{number}" Target="worksheets/sheet{number}.xml"/>'
            rows = "".join(
                f'<row r="{row}">{_cells(values, row, texts)}</row>'
                for row, values in enumerate(lines, start=1)
            )
            book.writestr(
                f"xl/worksheets/sheet{number}.xml",
                f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>",
            )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook {main} xmlns:r="{office}"><sheets>{listed}</sheets></workbook>',
        )
        space = "http://schemas.openxmlformats.org/package/2006/relationships"
        book.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{space}">{links}</Relationships>'
        )
        shared = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in texts)
        book.writestr("xl/sharedStrings.xml", f"<sst {main}>{shared}</sst>")
    return str(path)


def _cells(values: Sequence[Any], row: int, texts: dict[str, int]) -> str:
    found = ""
    for letter, value in zip("ABCDEFGH", values, strict=False):
        if isinstance(value, str):
            number = texts.setdefault(value, len(texts))
            found += f'<c r="{letter}{row}" t="s"><v>{number}</v></c>'
        elif value is not None:
            found += f'<c r="{letter}{row}"><v>{value}</v></c>'
    return found
