"""What a person can take home from a run: replay, pictures, tables, circuit. No torch here."""

from ctviz.export.circuit import CircuitFile, circuit_file
from ctviz.export.picture import Animation, Picture, draw_animation, draw_picture, draw_timeline
from ctviz.export.replay import make_replay
from ctviz.export.table import table_files, tables

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
