"""Files of a model folder, or of a hub model in the hub's cache on this machine, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = [
    "INDEX",
    "SINGLE",
    "at_revision",
    "hub_commit",
    "is_folder",
    "is_whole",
    "stored_file",
    "stored_json",
]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def is_folder(where: str) -> bool:
    """Whether a model's place is a folder here; else it is a hub id."""
    return Path(where).expanduser().is_dir()


def at_revision(where: str) -> tuple[str, str]:
    """A hub id and the revision behind it, as in ``owner/name@step512``; "" for none, and for a
    folder."""
    if where.startswith(("/", ".", "~")) or is_folder(where):
        return where, ""
    repo, _, revision = where.partition("@")
    return repo, revision


def stored_file(where: str, name: str) -> Path | None:
    """A file of a model folder, or of a hub id in the hub's cache; None if it is not there."""
    if is_folder(where):
        file = Path(where).expanduser() / name
        return file if file.is_file() else None
    repo, revision = at_revision(where)
    if repo.startswith(("/", ".", "~")) or repo.count("/") > 1:  # a folder that is not there
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, name, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def hub_commit(where: str) -> str | None:
    """Which commit of a hub's model is in the cache; None for a folder and what is not there."""
    file = None if is_folder(where) else stored_file(where, "config.json")
    if file is None or file.parent.parent.name != "snapshots":
        return None
    return file.parent.name


def stored_json(where: str, name: str) -> dict[str, Any]:
    """What a JSON file of a model says; empty if it is not there or cannot be read."""
    file = stored_file(where, name)
    if file is None:
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def is_whole(where: str) -> bool:
    """Whether all that a model or an adapter takes is here, none of its weights' files lacking."""
    if stored_file(where, "adapter_config.json"):
        return stored_file(where, "adapter_model.safetensors") is not None
    if stored_file(where, "config.json") is None:
        return False
    if stored_file(where, SINGLE) is not None:
        return True
    shards = stored_json(where, INDEX).get("weight_map")
    return isinstance(shards, dict) and all(stored_file(where, each) for each in shards.values())
