"""What a model reads, without its weights: its tokenizer, how many tokens at once, and which."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from ctviz.errors import MissingModel
from ctviz.models.adapters import saved_vocabulary
from ctviz.models.config import longest, read_config
from ctviz.models.fetching import fetch
from ctviz.models.known import KNOWN
from ctviz.models.places import place_of
from ctviz.models.stored import stored_file
from ctviz.models.tokenizer import own_tokenizer

__all__ = ["Reader", "open_reader"]


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A model's tokenizer, as `ctviz.models.loading.load` reads it, and what its config says.

    ``longest``: the most tokens that the model reads, None if that is not bounded. ``vocabulary``:
    the number of tokens for which it has an embedding. ``notes``: what is to be said of the
    tokenizer.
    """

    tokenizer: PreTrainedTokenizerBase
    longest: int | None
    vocabulary: int
    notes: tuple[str, ...] = ()


def open_reader(model: str) -> Reader:
    """What a model by name, folder or hub id reads, from this machine's disk.

    A hand-made model is built first if it is not stored yet. Raises UnknownName for a name that is
    none, MissingModel if the model's config or tokenizer is not here, and UnsupportedModel for a
    model that cannot be loaded, as far as its config tells.
    """
    if model in KNOWN and KNOWN[model].handmade:
        fetch(model)
    place = place_of(model)
    if stored_file(place.weights, "config.json") is None:
        raise MissingModel(
            f"The tokenizer of {model} is not on this machine, and checking a file needs it. "
            f"`ctviz models fetch {model}` brings a known model, discovering on it a model of the "
            "hub; a local folder needs a config.json."
        )
    config, _ = read_config(model, place, offline=True)
    tokenizer, notes = own_tokenizer(model, place, offline=True)
    own = saved_vocabulary(place.adapter) if place.adapter else None
    return Reader(tokenizer, longest(config), own or config.vocab_size, notes)
