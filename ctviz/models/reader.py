"""What a model reads, without its weights: its tokenizer, how many tokens at once, and which."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import AutoConfig, PreTrainedTokenizerBase

from ctviz.errors import MissingModel
from ctviz.models.explaining import said
from ctviz.models.fetching import fetch
from ctviz.models.known import KNOWN
from ctviz.models.loading import own_tokenizer
from ctviz.models.places import place_of
from ctviz.models.stored import stored_file

__all__ = ["Reader", "open_reader"]


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A model's tokenizer, as `ctviz.models.loading.load` reads it, and what its config says.

    ``longest``: the most tokens that the model reads, None if that is not bounded. ``vocabulary``:
    the number of tokens for which it has an embedding.
    """

    tokenizer: PreTrainedTokenizerBase
    longest: int | None
    vocabulary: int


def open_reader(model: str) -> Reader:
    """What a model by name, folder or hub id reads, from this machine's disk.

    A hand-made model is built first if it is not stored yet. Raises UnknownName for a name that is
    none, MissingModel if the model's config or tokenizer is not here, and UnsupportedModel.
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
    tokenizer = own_tokenizer(model, place, offline=True)
    with said(f"The config of {model!r}", place.weights):
        config = AutoConfig.from_pretrained(
            place.weights, trust_remote_code=False, local_files_only=True
        )
    longest = getattr(config, "max_position_embeddings", None)
    return Reader(tokenizer, longest, config.get_text_config().vocab_size)
