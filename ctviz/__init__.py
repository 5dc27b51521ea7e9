"""Find a language model's circuit, tune only that circuit, and watch it change.

The public face, the same words as the commands::

    import ctviz

    found = ctviz.discover("tiny", "sva", edges=40)
    run = ctviz.tune("tiny", "sva-flip", steps=60)

`load` a model, name a `task`, `discover` its circuit, `evaluate` one from a file, `tune`, `record`
weights that are there or, with a `Recorder`, while they are trained, `compare` two models, list the
`runs`, `open_run`.
Importing this imports nothing else; a word brings what it needs when it is used. Every error that
is raised on purpose is a `CtvizError`.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

# Threads that wait for each other let go of their cores before long; OpenMP reads this when torch
# is imported. If they spin, as is usual, several processes on the same cores take many times as
# long as one by one; if they never do, a small model takes half as long again. GNU's OpenMP counts
# turns, LLVM's and Intel's milliseconds.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("KMP_BLOCKTIME", "0")

__version__ = "0.1.0"
__all__ = [
    "CtvizError",
    "Recorder",
    "__version__",
    "compare",
    "discover",
    "evaluate",
    "load",
    "open_run",
    "record",
    "runs",
    "task",
    "tune",
]

if TYPE_CHECKING:
    from ctviz.api.compare import compare
    from ctviz.api.discovery import discover, evaluate
    from ctviz.api.record import record
    from ctviz.api.recorder import Recorder
    from ctviz.api.run import Runs, open_run, runs, tune
    from ctviz.api.words import task
    from ctviz.errors import CtvizError
    from ctviz.models.loading import load

_HOME = {
    "CtvizError": "ctviz.errors",
    "Recorder": "ctviz.api.recorder",
    "compare": "ctviz.api.compare",
    "discover": "ctviz.api.discovery",
    "evaluate": "ctviz.api.discovery",
    "load": "ctviz.models.loading",
    "open_run": "ctviz.api.run",
    "task": "ctviz.api.words",
    "record": "ctviz.api.record",
    "tune": "ctviz.api.run",
}


def __getattr__(name: str) -> Any:
    """A word of the face, from where it is made (PEP 562)."""
    if name == "runs":
        return import_module("ctviz.runs")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class CallableRoom(ModuleType):
    """The layer ``ctviz.runs``, whose name is also a word of the face: called, it lists the runs.

    Once the layer is imported, the package's attribute ``runs`` is that module, so the module
    itself answers the call.
    """

    def __call__(self, folder: str | os.PathLike[str] | None = None) -> Runs:
        """The runs of a folder; see `ctviz.api.run.runs`."""
        from ctviz.api.run import runs

        return runs(folder)
