"""What a model's config on this machine's disk says, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctviz.models.known import resolve

__all__ = ["stored_config"]


def stored_config(model: str) -> dict[str, Any]:
    """A model's config on this machine's disk, empty if it is not here.

    Raises what `ctviz.models.known.resolve` raises.
    """
    where = resolve(model)
    file = Path(where).expanduser() / "config.json"
    if not file.is_file() and where.count("/") == 1:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(where, "config.json")
        file = Path(found) if isinstance(found, str) else file
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}
