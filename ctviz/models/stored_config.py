"""What a model's config on this machine's disk says, without torch."""

from __future__ import annotations

from typing import Any

from ctviz.circuits.graph import Graph
from ctviz.errors import CtvizError
from ctviz.models.places import place_of
from ctviz.models.stored import stored_json

__all__ = ["graph_of", "neurons_of", "stored_config"]


def stored_config(model: str) -> dict[str, Any]:
    """A model's config on this machine's disk, an adapter's base's; empty if it is not here.

    Raises what `ctviz.models.places.place_of` raises.
    """
    return stored_json(place_of(model).weights, "config.json")


def graph_of(config: dict[str, Any]) -> Graph | None:
    """A model's graph with whole MLPs, as its config.json has it; None if that does not say.

    Whether attention and MLP are parallel is not in a config, so it is taken that they are not.
    """
    layers = _first(config, "num_hidden_layers", "n_layer", "num_layers")
    heads = _first(config, "num_attention_heads", "n_head", "num_heads")
    if not layers or not heads:
        return None
    try:
        return Graph(layers, heads, _first(config, "num_key_value_heads", "num_kv_heads") or heads)
    except (CtvizError, ValueError, TypeError):
        return None


def neurons_of(config: dict[str, Any]) -> int | None:
    """Neurons of each MLP, as a model's config.json has it; None if that does not say."""
    found = _first(config, "intermediate_size", "n_inner")
    if found is None and isinstance(width := config.get("n_embd"), int):
        found = 4 * width  # what GPT-2 takes if nothing is said
    return found if isinstance(found, int) else None


def _first(config: dict[str, Any], *names: str) -> Any:
    return next((config[name] for name in names if config.get(name)), None)
