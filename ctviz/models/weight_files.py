"""The safetensors files of a model, looked at before anything is read from them, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctviz.errors import MissingModel, UnsupportedModel
from ctviz.models.stored import is_folder, stored_file, stored_json

__all__ = ["check_files", "tensor_names", "weight_files"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LFS = b"version https://git-lfs"
TEXTS = (
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
LARGEST_HEADER = 100_000_000  # bytes, of the safetensors format


def weight_files(where: str) -> list[Path]:
    """The files that hold the weights of a folder's model, or of a hub's in this machine's cache.

    Raises MissingModel, for a folder, if there are none, if some of them are missing, cut off or
    git-lfs pointers, or of another format. Of a hub's model, what is there.
    """
    single = stored_file(where, SINGLE)
    if single is not None:
        files = [single]
    else:
        shards = stored_json(where, INDEX).get("weight_map")
        names = sorted(set(shards.values())) if isinstance(shards, dict) else []
        found = {name: stored_file(where, name) for name in names}
        files = [file for file in found.values() if file is not None]
        lacking = [name for name, file in found.items() if file is None]
        if lacking and is_folder(where):
            raise MissingModel(
                f"{where} lacks {len(lacking)} of the {len(names)} files that {INDEX} names: "
                f"{', '.join(lacking[:3])}. Copy or download them as well."
            )
    if not files and is_folder(where):
        raise _other_format(Path(where).expanduser())
    for file in files:
        _header(file)
    return files


def check_files(where: str) -> None:
    """Raise MissingModel or UnsupportedModel where a small file of a model cannot be what it
    should: a git-lfs pointer, or a config that is no JSON.
    """
    for name in TEXTS:
        file = stored_file(where, name)
        if file is None:
            continue
        with file.open("rb") as stream:
            begins = stream.read(len(LFS))
        if begins == LFS:
            raise MissingModel(_pointer(file))
        if name.endswith("config.json"):
            try:
                fine = isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
            except ValueError:
                fine = False
            if not fine:
                raise UnsupportedModel(
                    f"{file} is not a JSON object, so it does not say what the model is. Copy or "
                    "download it again."
                )


def tensor_names(file: Path) -> list[str]:
    """Names of the tensors in a safetensors file; raises MissingModel if it is not whole."""
    return [name for name in _header(file) if name != "__metadata__"]


def _header(file: Path) -> dict[str, Any]:
    """What a safetensors file says of its tensors."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        begins = stream.read(len(LFS))
        if begins == LFS:
            raise MissingModel(_pointer(file))
        length = int.from_bytes(begins[:8], "little")
        if size < 8 or length > LARGEST_HEADER:
            raise MissingModel(
                f"{file} is not a safetensors file ({size:,} bytes). Copy or download it again."
            )
        stream.seek(8)
        text = stream.read(length)
    if len(text) < length:
        raise MissingModel(_cut_off(file, size, 8 + length))
    try:
        header = json.loads(text)
        ends = [about["data_offsets"][1] for n, about in header.items() if n != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MissingModel(
            f"{file} is not a safetensors file: its header cannot be read. Copy or download it "
            "again."
        ) from None
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise MissingModel(_cut_off(file, size, whole))
    return dict(header)


def _cut_off(file: Path, size: int, whole: int) -> str:
    return (
        f"{file} is cut off: it has {size:,} of at least {whole:,} bytes. Copy or download it "
        "again."
    )


def _pointer(file: Path) -> str:
    return (
        f"{file} is a git-lfs pointer, a text of {file.stat().st_size} bytes in place of the file "
        f"itself. Run `git lfs pull` in {file.parent}, or download the file."
    )


def _other_format(folder: Path) -> MissingModel:
    """Why a folder without the files of safetensors cannot be loaded, and what to do."""
    found = sorted(
        file.name
        for file in folder.glob("*.safetensors")
        if not file.name.startswith(("adapter_", "optimizer", "training"))
    )
    if len(found) > 1:
        return MissingModel(
            f"{folder} has {len(found)} safetensors files but no {INDEX}, which says what is in "
            "which. Copy or download it as well."
        )
    if found:
        return MissingModel(
            f"{folder} has no {SINGLE}, but {found[0]}. If that is the whole model, rename it to "
            f"{SINGLE}."
        )
    pickled = sorted(file.name for each in PICKLES for file in folder.glob(each))
    weights = [n for n in pickled if n.split(".")[0] not in ("training_args", "optimizer")]
    weights = [name for name in weights if not name.startswith(("rng_state", "scheduler"))]
    if weights:
        return MissingModel(
            f"{folder} has its weights as {weights[0]}, a pickle, which can run code when it is "
            "opened; only safetensors are read. If you trust it: in Python, "
            f"AutoModelForCausalLM.from_pretrained({str(folder)!r}, use_safetensors=False)"
            ".save_pretrained(FOLDER), then use FOLDER with the tokenizer's files beside."
        )
    if packed := sorted(file.name for file in folder.glob("*.gguf")):
        return MissingModel(
            f"{folder} has its weights as {packed[0]}, which are quantized. ctviz changes weights "
            "in floating point: take the original checkpoint as safetensors."
        )
    return MissingModel(
        f"{folder} has a config.json but no weights ({SINGLE}). Copy or download them as well."
    )
