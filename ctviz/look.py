"""Colours, sizes and distances of everything that is drawn, from the player's own table.

The table is ``ctviz/player/look.js``, a module that holds nothing but JSON, so that a browser can
import it and Python can read it. What its entries mean is said there.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from ctviz import paths

__all__ = ["Rgb", "look", "rgb"]

Rgb = tuple[int, int, int]


@functools.cache
def look() -> dict[str, Any]:
    """The table, read once; it is shared, so nobody writes into it."""
    text = (paths.player() / "look.js").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return table


def rgb(color: str) -> Rgb:
    """Red, green and blue of ``#rrggbb``, 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
