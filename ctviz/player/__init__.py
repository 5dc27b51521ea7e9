"""The browser half of the player: plain ES modules and one style sheet, no build step.

It draws with vis-network, which is taken out of the installed pyvis package.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

__all__ = ["FOLDER", "vis_file"]

FOLDER = Path(__file__).parent


@functools.cache
def vis_file() -> Path:
    """The newest vis-network inside the installed pyvis package, which is not imported."""
    spec = importlib.util.find_spec("pyvis")
    if spec is not None and spec.origin is not None:
        files = (Path(spec.origin).parent / "lib").glob("vis-*/vis-network.min.js")
        newest = max(files, key=_version, default=None)
        if newest is not None:
            return newest
    raise ModuleNotFoundError(
        "The player draws with vis-network, which it takes from the pyvis package, but pyvis is "
        "not installed or has no lib/vis-*/vis-network.min.js: pip install pyvis==0.3.2"
    )


def _version(file: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", file.parent.name)]
