"""What a model reads, without its weights: its tokenizer, how many tokens at once, and which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, PreTrainedTokenizerBase

from ctviz.errors import MissingModel
from ctviz.models.known import KNOWN, resolve
from ctviz.models.loading import fetch, open_tokenizer, said

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
    none, and MissingModel if the model's config or tokenizer is not here.
    """
    where = resolve(model)
    if model in KNOWN and KNOWN[model].handmade:
        fetch(model)
    folder = Path(where).expanduser()
    stored = folder.is_dir() or isinstance(try_to_load_from_cache(where, "config.json"), str)
    if not stored:
        raise MissingModel(
            f"The tokenizer of {model} is not on this machine, and checking a file needs it. "
            f"`ctviz models fetch {model}` brings a known model, discovering on it a model of the "
            "hub."
        )
    with said(f"The config of {model!r}"):
        config = AutoConfig.from_pretrained(
            str(folder) if folder.is_dir() else where,
            trust_remote_code=False,
            local_files_only=True,
        )
    longest = getattr(config, "max_position_embeddings", None)
    return Reader(open_tokenizer(model, offline=True), longest, config.get_text_config().vocab_size)
