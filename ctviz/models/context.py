"""What a model's config on this machine's disk says, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctviz.models.known import resolve

__all__ = ["context_of", "stored_config"]

NAMES = ("max_position_embeddings", "n_positions")  # the same thing, by family


def context_of(model: str) -> int | None:
    """The most tokens that a model reads, by its config on this machine's disk.

    None if the config is not here or does not say. Raises what `ctviz.models.known.resolve` raises.
    """
    about = stored_config(model)
    values = [about.get(name) for name in NAMES]
    return next((value for value in values if isinstance(value, int)), None)


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
