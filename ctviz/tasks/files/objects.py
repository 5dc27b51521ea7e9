"""Files that are one JSON object: the rows that stand in it.

pandas writes a table by columns unless it is told otherwise, other tools put their list of examples
under a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctviz.tasks.files.rows import counted
from ctviz.tasks.task import split_of

__all__ = ["rows_in"]

Rows = list[Mapping[str, Any]]


def rows_in(content: Mapping[str, Any]) -> tuple[Rows, str]:
    """The rows of an object, and what is to be said of them; no rows if it is not a table.

    Known are pandas' orients ``columns``, ``index``, ``split`` and ``table``, lists of equal length
    by column, a list of objects for each split, the one list of objects that stands under a name,
    and the ``data`` of StereoSet.
    """
    if rows := _split(content) or _by_column(content) or _by_split(content):
        return rows, ""
    data = content.get("data")
    if isinstance(data, dict) and _is_rows(data.get("intrasentence")):
        others = data.get("intersentence")
        return data["intrasentence"], (
            f"{counted(len(others), 'entry of intersentence is', 'entries of intersentence are')} "
            "left out: what is compared there are whole sentences, which do not go on from one "
            "prompt."
            if isinstance(others, list) and others
            else ""
        )
    lists = [value for value in content.values() if _is_rows(value)]
    return (lists[0], "") if len(lists) == 1 else ([], "")


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _split(content: Mapping[str, Any]) -> Rows:
    """Of ``{"columns": [...], "index": [...], "data": [[...], ...]}``."""
    names, data = content.get("columns"), content.get("data")
    if not isinstance(names, list) or not isinstance(data, list):
        return []
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return []
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


def _by_split(content: Mapping[str, Any]) -> Rows:
    """Of ``{"train": [{...}], "validation": [{...}]}``, with the split in each row."""
    if not content or not all(split_of(name) and _is_rows(v) for name, v in content.items()):
        return []
    return [{**row, "split": split_of(name)} for name, rows in content.items() for row in rows]


def _by_column(content: Mapping[str, Any]) -> Rows:
    """Of ``{"clean": {"0": ...}}``, ``{"0": {"clean": ...}}`` and ``{"clean": [...]}``.

    pandas' index may have names of its own; then the names of columns are those that are fewer.
    """
    values = list(content.values())
    if values and all(isinstance(value, dict) and value for value in values):
        names = [key for value in values for key in value]
        if all(key.isdigit() for key in content) and not any(key.isdigit() for key in names):
            return values
        keys = list(values[0])
        if any(list(value) != keys for value in values):
            return []
        if not all(key.isdigit() for key in keys) and len(keys) <= len(values):
            return values if len(keys) < len(values) else []
        return [{name: content[name][key] for name in content} for key in keys]
    if len(values) > 1 and all(isinstance(value, list) and value for value in values):
        plain = not any(isinstance(entry, dict) for value in values for entry in value)
        if plain and len({len(value) for value in values}) == 1:
            return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    return []
