"""Where things lie on disk: what ships with the package, the cache of weights, the runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = [
    "absolute",
    "app",
    "baselines",
    "cache",
    "data",
    "pages",
    "player",
    "runs",
    "shipped_runs",
]

PACKAGE = Path(__file__).resolve().parent


def absolute(path: str | Path) -> Path:
    """A path from the root, ``~`` expanded: it means the same in any folder.

    Its last name stays as it is, also if it is a link: things are called by it.
    """
    place = Path(path).expanduser()
    return place.resolve() if place.name in ("", "..") else place.parent.resolve() / place.name


def data() -> Path:
    """What ships with the package: the bundled model, sample runs, English, icon, theme."""
    return PACKAGE / "data"


def shipped_runs() -> Path:
    """The folder of the sample runs."""
    return data() / "runs"


def pages() -> Path:
    """The folder of the app's pages."""
    return PACKAGE / "pages"


def player() -> Path:
    """The folder of the player's browser code."""
    return PACKAGE / "player"


def app() -> Path:
    """The script that Streamlit runs."""
    return pages() / "entry" / "app.py"


def cache() -> Path:
    """Downloaded weights: ``CTVIZ_CACHE``, or ``ctviz`` in the user's cache folder."""
    asked = os.environ.get("CTVIZ_CACHE")
    if asked:
        return Path(asked).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ctviz"


def baselines() -> Path:
    """What was measured of untuned models: ``CTVIZ_BASELINES``, or ``baselines`` in the cache."""
    asked = os.environ.get("CTVIZ_BASELINES")
    return Path(asked).expanduser() if asked else cache() / "baselines"


def runs() -> Path:
    """The user's runs: ``CTVIZ_RUNS``, or ``ctviz-runs`` in the current folder."""
    asked = os.environ.get("CTVIZ_RUNS")
    return Path(asked).expanduser() if asked else Path.cwd() / "ctviz-runs"
