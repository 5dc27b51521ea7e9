"""Where things lie on disk: what ships with the project, the cache of weights, the runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["assets", "cache", "project", "runs"]


def project() -> Path:
    """The folder that holds ``app.py`` and ``assets``."""
    return Path(__file__).resolve().parent.parent


def assets() -> Path:
    """What ships with the project: the bundled model, sample runs."""
    return project() / "assets"


def cache() -> Path:
    """Downloaded weights: ``CTVIZ_CACHE``, or ``ctviz`` in the user's cache folder."""
    asked = os.environ.get("CTVIZ_CACHE")
    if asked:
        return Path(asked).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ctviz"


def runs() -> Path:
    """The user's runs: ``CTVIZ_RUNS``, or ``ctviz-runs`` in the current folder."""
    asked = os.environ.get("CTVIZ_RUNS")
    return Path(asked).expanduser() if asked else Path.cwd() / "ctviz-runs"
