"""Load a supported model by name, folder or hub id, or take one that is in memory already."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ctviz.errors import CtvizError, UnknownName, UnsupportedModel
from ctviz.models.adapters import (
    adapter_revision,
    check_adapter,
    merge_adapter,
    needing_base,
)
from ctviz.models.anatomy import Anatomy
from ctviz.models.config import model_said, read_config
from ctviz.models.explaining import said
from ctviz.models.fetching import bring_configs, bring_weights, fetch
from ctviz.models.known import KNOWN, located_model, resolve
from ctviz.models.memory import free_memory
from ctviz.models.places import Place, kind, place_of
from ctviz.models.room import check_room, n_parameters
from ctviz.models.stored import at_revision, hub_commit, is_folder
from ctviz.models.supplied import check_finite, load_weights
from ctviz.models.tokenizer import given_tokenizer, own_tokenizer
from ctviz.progress import phase, share, tick

__all__ = ["Loaded", "check_stored", "load", "pick_device"]

log = logging.getLogger(__name__)

READING = 0.5  # of the time to load a model; the rest looks at the numbers
ROUNDING = 1e-2  # of the largest weight: bfloat16 has 2^-8


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in evaluation mode (dropout off, also while tuning), its tokenizer and its anatomy.

    ``origin`` says which weights were loaded: the hub's commit, or ``sha256:`` and the start of the
    hash of the files, or ``memory:`` and the start of the hash of the tensors; ``revision`` which
    they are now. ``reloadable``: whether ``load(name)`` alone gives the same again, as it does not
    for a model that was in memory or has a tokenizer from elsewhere. ``notes``: what was done on
    loading that one may not expect.
    """

    name: str
    origin: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    anatomy: Anatomy
    reloadable: bool = True
    notes: tuple[str, ...] = ()
    _loaded: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_loaded", _fingerprint(self.model))

    @property
    def fingerprint(self) -> str:
        """A hash of the tensors as they were loaded: the same for the same weights, wherever they
        came from."""
        return self._loaded

    @property
    def changed(self) -> bool:
        """Whether the weights are no longer those that were loaded, by tuning or otherwise."""
        return _fingerprint(self.model) != self._loaded

    @property
    def revision(self) -> str:
        """Which weights these are now: ``origin``, or ``memory:`` and a hash if they changed."""
        return _tensors(self.model) if self.changed else self.origin

    def cut_into(self, mlp_block: int) -> Loaded:
        """The same model with its MLPs cut into blocks of so many neurons, see `Anatomy`."""
        if mlp_block == self.anatomy.mlp_block:
            return self
        other = replace(self, anatomy=self.anatomy.cut_into(mlp_block))
        object.__setattr__(other, "_loaded", self._loaded)
        return other

    @property
    def stored(self) -> bool:
        """Whether ``load(name)`` alone gives the same again."""
        return self.reloadable and not self.changed


def check_stored(loaded: Loaded) -> None:
    """Raise CtvizError for a model that cannot be loaded again by its name, as a run has to."""
    if not loaded.reloadable:
        raise CtvizError(
            f"{loaded.name} was in memory or has a tokenizer from elsewhere, and a run must be "
            "able to load its model again by name. Save model and tokenizer into a folder with "
            "save_pretrained, and tune that folder."
        )
    if loaded.changed:
        raise CtvizError(
            f"The weights of {loaded.name} in memory have changed since they were loaded: they are "
            f"no longer {loaded.origin}, and a run must be able to load its model again by name. "
            "Load it anew; or, to go on from these, save model and tokenizer into a folder with "
            "save_pretrained (`ctviz export RUN --model FOLDER` for a tuned one) and tune that "
            "folder."
        )


def pick_device(asked: str = "auto") -> torch.device:
    """``auto`` is CUDA where there is one, else MPS, else the CPU; raises UnknownName."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if asked == "auto":
        return torch.device(available[0])
    if asked.split(":")[0] not in available:
        raise UnknownName("device", asked, ["auto", *available])
    try:
        return torch.device(asked)
    except RuntimeError:
        raise UnknownName("device", asked, ["auto", *available]) from None


def load(
    model: str | os.PathLike[str] | PreTrainedModel,
    *,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None = None,
    device: str = "auto",
    dtype: torch.dtype | str | None = None,
    mlp_block: int = 0,
) -> Loaded:
    """Load a model for the engine, from safetensors only and without running foreign code.

    ``model``: a short name (``tiny``; see `ctviz.models.known`), a folder, a hub id, maybe with a
    revision (``EleutherAI/pythia-70m@step512``), or a transformers model that is in memory already.
    ``tokenizer``: a name, folder or hub id, or a tokenizer itself; None takes the model's own, so a
    model in memory needs one. ``device``: ``auto``, ``cpu``, ``cuda`` or ``mps``. ``dtype``: a
    torch dtype or its name (``bfloat16``); None is float32. ``mlp_block``: neurons in each of the
    nodes that an MLP is cut into, 64 in circuit-tuning's own code for Llama; 0: one node an MLP.

    A model in memory is taken as it is and not copied. It is put into evaluation mode, and moved
    or converted only if a ``device`` or ``dtype`` is asked for; whether its parameters ask for
    gradients is left as it is. Its revision is a hash of its tensors. A hand-made model is built
    first if it is not stored yet, which takes no time to speak of.

    A LoRA adapter is merged onto its base. Every weight has to come from the files; what was done
    that one may not expect is in ``notes``, and logged as a warning.

    Raises UnknownName (a name, device or dtype), MissingModel (weights, tokenizer or an adapter's
    base not on this machine or not reachable), MissingExtra (an adapter without peft) and
    UnsupportedModel (a family without a table, a model that is not causal or quantized weights,
    before any are read; weights that no file supplies or that are not finite; a model in memory
    that has no tokenizer, is spread over devices, holds adapters or is not one of transformers).
    """
    number = _dtype(dtype)
    if isinstance(model, str | os.PathLike):
        found = _from_name(os.fspath(model), tokenizer, device, number or torch.float32)
    else:
        found = _from_memory(model, tokenizer, device, number)
    return found.cut_into(mlp_block)


def _from_name(
    name: str,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None,
    device: str,
    dtype: torch.dtype,
) -> Loaded:
    name = located_model(name)  # what is stored of it means the same in any folder
    if name in KNOWN and KNOWN[name].handmade:
        fetch(name)
    device_place = pick_device(device)
    bring_configs(resolve(name))
    place = place_of(name)
    if place.adapter:
        check_adapter(place.adapter, place.weights)
    config, notes = read_config(name, place)
    if tokenizer is not None:
        reader, read = given_tokenizer(tokenizer)
    else:
        reader, read = own_tokenizer(name, place)
    with said(model_said(name, place), place.weights):
        bring_weights(place.weights)
    with phase("load"):
        with said(model_said(name, place), place.weights), share(0.0, READING):
            check_room(
                f"Loading {name}",
                {"its weights": n_parameters(place.weights) * dtype.itemsize},
                free_memory(device_place),
                "Take a smaller model or --dtype bfloat16, or end what else uses memory.",
            )
            model, more = _weights(place, config, dtype)
        model.to(device_place)  # type: ignore[arg-type]
        model.eval()
        revision = _revision(name, place, model)
        notes = (*notes, *read, *more)
        for note in notes:
            log.warning("note: %s", note)
        return Loaded(name, revision, model, reader, Anatomy(model), tokenizer is None, notes)


def _weights(
    place: Place, config: Any, dtype: torch.dtype
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model with its weights, an adapter merged into them, and what is to be said of that."""
    adapter = place.adapter
    if adapter is None:
        return load_weights(place.weights, config, dtype)
    with needing_base(adapter):
        model, notes = load_weights(place.weights, config, dtype, alone=is_folder(place.weights))
    lies = f" ({place.weights})" if place.weights != adapter.base else ""
    what = f"{adapter.where} is a {kind(adapter)}"
    note = f"{what}: it was merged into its base, {adapter.base}{lies}."
    if not adapter.beside or Path(place.weights).samefile(adapter.where):
        return merge_adapter(model, adapter), (*notes, note)
    own, _ = load_weights(adapter.where, config, dtype, alone=True)
    untouched = _distance(own, model) == 0
    model = merge_adapter(model, adapter)
    if not untouched and not _distance(own, model) <= ROUNDING:
        raise UnsupportedModel(
            f"{adapter.where} holds an adapter of {adapter.base} and whole weights, which are "
            "neither those of that base nor those with the adapter merged in, so it is not clear "
            "what the model is. Take adapter_config.json out of the folder to use the weights "
            "alone, or the weights to use the adapter on its base."
        )
    state = "are those of the base" if untouched else "have it merged in already"
    return model, (*notes, f"{note} The whole weights in the same folder {state}.")


def _distance(one: PreTrainedModel, other: PreTrainedModel) -> float:
    """The largest difference of two models' weights, by the largest weight of its tensor."""
    others = dict(other.named_parameters())
    return max(
        float((weight - others[name]).detach().abs().max() / (weight.detach().abs().max() + 1e-12))
        for name, weight in one.named_parameters()
    )


def _from_memory(
    model: PreTrainedModel,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None,
    device: str,
    dtype: torch.dtype | None,
) -> Loaded:
    made = type(model).__name__
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModel(
            f"A model of type {made} cannot be taken. Give a name, a folder, a hub id, or a causal "
            "language model of transformers (with adapters merged into it)."
        )
    anatomy = Anatomy(model)
    if tokenizer is None:
        raise UnsupportedModel(
            f"This {made} is in memory and comes without a tokenizer. Give it as tokenizer=: a "
            "tokenizer, or the name or folder of one."
        )
    if len(places := {str(parameter.device) for parameter in model.parameters()}) != 1:
        raise UnsupportedModel(
            f"This {made} is spread over {', '.join(sorted(places))}. Load it on one device."
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise UnsupportedModel(
            f"This {made} has parameters on the device meta, which hold no numbers. Load its "
            "weights first."
        )
    reader, notes = given_tokenizer(tokenizer)
    if dtype is not None:
        model.to(dtype)  # type: ignore[arg-type]
    check_finite(model)
    if device != "auto":
        model.to(pick_device(device))  # type: ignore[arg-type]
    model.eval()
    name = model.name_or_path or made
    return Loaded(name, _tensors(model), model, reader, anatomy, False, notes)


def _dtype(asked: torch.dtype | str | None) -> torch.dtype | None:
    if asked is None or isinstance(asked, torch.dtype):
        return asked
    known = ("float32", "bfloat16", "float64")
    if asked not in known:
        raise UnknownName("dtype", asked, known)
    return cast(torch.dtype, getattr(torch, asked))


def _tensors(model: PreTrainedModel) -> str:
    """A short hash of a model's tensors, with their names, shapes and types."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        tick()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return f"memory:{digest.hexdigest()[:16]}"


@torch.no_grad()
def _fingerprint(model: torch.nn.Module) -> str:
    """A hash of a model's tensors that takes no longer than reading them once."""
    digest = hashlib.sha256()
    named = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in named:
        tick()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.is_meta:
            continue
        if tensor.device.type == "mps":  # torch.hash_tensor is not there
            tensor = tensor.cpu()
        rows = torch.hash_tensor(tensor, dim=-1) if tensor.dim() else torch.hash_tensor(tensor)
        digest.update(rows.view(torch.int64).cpu().numpy().tobytes())
    return digest.hexdigest()


def _revision(name: str, place: Place, model: PreTrainedModel) -> str:
    """Which weights a model has that was loaded from a place."""
    if at_revision(name)[1] and not place.adapter and (commit := hub_commit(name)):
        return commit
    where = place.weights
    revision = hub_commit(where) or (_files(where) if is_folder(where) else _tensors(model))
    return adapter_revision(revision, place.adapter) if place.adapter else revision


def _files(folder: str) -> str:
    """A short hash of the weights in a folder."""
    digest = hashlib.sha256()
    for file in sorted(Path(folder).glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                tick()
                digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"
