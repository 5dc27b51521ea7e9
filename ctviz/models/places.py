"""Where the parts of a model lie: its weights, its tokenizer, and an adapter to be merged into it.

Without torch and without a network: of a hub's model, what its cache on this machine says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctviz.errors import CtvizError, MissingModel, UnsupportedModel
from ctviz.models.known import KNOWN, located_model, resolve
from ctviz.models.stored import is_folder, stored_file, stored_json

__all__ = ["Adapter", "Place", "place_of", "tokenizer_place"]

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
MODELS = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter of the peft library.

    ``where``: its folder or hub id; ``base``: the model that its config names; ``beside``: whether
    whole weights of a model lie in the same folder.
    """

    where: str
    base: str
    config: dict[str, Any]
    beside: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's parts come from, each a folder or a hub id.

    ``weights``: its config and weights, those of the base if there is an ``adapter``.
    ``tokenizer``: None if there is none. ``notes``: what is otherwise than one may think.
    """

    weights: str
    tokenizer: str | None
    adapter: Adapter | None = None
    notes: tuple[str, ...] = ()


def place_of(name: str) -> Place:
    """Where the parts of a model of this name lie.

    Raises what `ctviz.models.known.resolve` raises; for an adapter, MissingModel if it cannot be
    told what its base is.
    """
    where = resolve(name)
    config = stored_json(where, "adapter_config.json")
    if not config and stored_file(where, "adapter_config.json") is None:
        tokenizer, notes = tokenizer_place(where)
        return Place(where, tokenizer, None, notes)
    adapter = _adapter(where, config)
    base = _base_place(adapter)
    tokenizer, notes = tokenizer_place(where)
    if not has_tokenizer(where):
        tokenizer, notes = tokenizer_place(base)
    return Place(base, tokenizer, adapter, notes)


def tokenizer_place(where: str) -> tuple[str | None, tuple[str, ...]]:
    """Where the tokenizer of a model lies, and what is to be said of that; None if nowhere.

    A checkpoint of a Trainer that has none takes that of the folder above it.
    """
    if not is_folder(where) or has_tokenizer(where):
        return where, ()
    folder = Path(where).expanduser().resolve()
    if re.fullmatch(r"checkpoint-\d+", folder.name) and has_tokenizer(str(folder.parent)):
        return str(folder.parent), (
            f"{folder.name} has no tokenizer: that of the folder above it is used.",
        )
    return None, ()


def has_tokenizer(where: str) -> bool:
    """Whether a tokenizer lies in a folder, or in the cache of a hub id."""
    return any(stored_file(where, name) for name in TOKENIZERS)


def _adapter(where: str, config: dict[str, Any]) -> Adapter:
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise MissingModel(
            f"{where} is an adapter, but its adapter_config.json does not name the base model. "
            "Write it there as base_model_name_or_path: a folder or a hub id."
        )
    whole = stored_file(where, "config.json") and any(stored_file(where, each) for each in MODELS)
    return Adapter(where, base, config, beside=bool(whole))


def _base_place(adapter: Adapter) -> str:
    """Where the base of an adapter lies, or would lie at the hub."""
    base = adapter.base
    for known in KNOWN.values():
        if base == known.hub and not known.of_hub and known.stored:
            return str(known.folder)
    if is_folder(adapter.where) and base not in KNOWN:
        # a relative name means the same wherever this runs: seen from the adapter, if it can be
        beside = Path(adapter.where).expanduser().resolve() / base
        base = str(beside.resolve()) if beside.is_dir() else located_model(base)
    try:
        found = resolve(base)
    except CtvizError as error:
        raise MissingModel(
            f"{adapter.where} is a {kind(adapter)} of {base}, which is not at hand. {error} If it "
            "lies elsewhere, write its folder or hub id into adapter_config.json, as "
            "base_model_name_or_path."
        ) from error
    itself = is_folder(found) and Path(found).samefile(Path(adapter.where).expanduser())
    if stored_file(found, "adapter_config.json") and not itself:
        raise UnsupportedModel(
            f"{adapter.where} is an adapter of {base}, which is an adapter itself. Merge that one "
            "into its base first (merge_and_unload of peft), and save the result."
        )
    return found


def kind(adapter: Adapter) -> str:
    """What kind of adapter it is, as one says it: "LoRA adapter"."""
    found = str(adapter.config.get("peft_type") or "").upper()
    return "LoRA adapter" if found == "LORA" else f"{found} adapter" if found else "adapter"
