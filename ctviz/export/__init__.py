"""What a person can take home from a run: replay, pictures, tables, circuit. No torch here.

What draws pictures is imported when it is first asked for: it needs the extra ``pictures``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ctviz.export.circuit import CircuitFile, circuit_file
from ctviz.export.replay import make_replay
from ctviz.export.table import table_files, tables
from ctviz.extras import need

if TYPE_CHECKING:
    from ctviz.export.picture import (
        Animation,
        Picture,
        draw_animation,
        draw_picture,
        draw_timeline,
    )

__all__ = [
    "Animation",
    "CircuitFile",
    "Picture",
    "circuit_file",
    "draw_animation",
    "draw_picture",
    "draw_timeline",
    "make_replay",
    "table_files",
    "tables",
]


PICTURES = ("Animation", "Picture", "draw_animation", "draw_picture", "draw_timeline")


def __getattr__(name: str) -> Any:
    if name not in PICTURES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("pictures", "A picture of a run")
    from ctviz.export import picture

    return getattr(picture, name)
