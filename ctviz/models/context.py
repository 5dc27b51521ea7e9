"""What a model's config on this machine's disk says, without torch."""

from __future__ import annotations

from typing import Any

from ctviz.models.places import place_of
from ctviz.models.stored import stored_json

__all__ = ["context_of", "stored_config"]

NAMES = ("max_position_embeddings", "n_positions")  # the same thing, by family


def context_of(model: str) -> int | None:
    """The most tokens that a model reads, by its config on this machine's disk.

    None if the config is not here or does not say. Raises what `ctviz.models.places.place_of`
    raises.
    """
    about = stored_config(model)
    values = [about.get(name) for name in NAMES]
    return next((value for value in values if isinstance(value, int)), None)


def stored_config(model: str) -> dict[str, Any]:
    """A model's config on this machine's disk, an adapter's base's; empty if it is not here.

    Raises what `ctviz.models.places.place_of` raises.
    """
    return stored_json(place_of(model).weights, "config.json")
