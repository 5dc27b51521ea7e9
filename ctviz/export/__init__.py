"""What a person can take home from a run: replay, pictures, tables, circuit, tuned model.

Nothing here imports torch before a model is written.
"""

from ctviz.export.circuit import CircuitFile, circuit_file
from ctviz.export.model import CHANGED, check_model, export_model
from ctviz.export.picture import Animation, Picture, draw_animation, draw_picture
from ctviz.export.replay import make_replay
from ctviz.export.table import table_files, tables

__all__ = [
    "CHANGED",
    "Animation",
    "CircuitFile",
    "Picture",
    "check_model",
    "circuit_file",
    "draw_animation",
    "draw_picture",
    "export_model",
    "make_replay",
    "table_files",
    "tables",
]
