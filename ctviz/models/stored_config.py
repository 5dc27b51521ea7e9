"""What a model's config on this machine's disk says, without torch."""

from __future__ import annotations

from typing import Any

from ctviz.models.places import place_of
from ctviz.models.stored import stored_json

__all__ = ["stored_config"]


def stored_config(model: str) -> dict[str, Any]:
    """A model's config on this machine's disk, an adapter's base's; empty if it is not here.

    Raises what `ctviz.models.places.place_of` raises.
    """
    return stored_json(place_of(model).weights, "config.json")
