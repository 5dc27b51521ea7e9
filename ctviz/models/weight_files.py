"""The safetensors files of a model, looked at before anything is read from them, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctviz.errors import MissingModel, UnsupportedModel
from ctviz.models.stored import INDEX, SINGLE, is_folder, stored_file, stored_json

__all__ = ["check_files", "quantized", "tensor_heads", "weight_files"]

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
OTHERS = (  # what may lie in place of the weights: pattern, what it is, what to do
    (
        "*.gguf",
        "weights that are quantized, where ctviz reads and changes weights in floating point",
        "Take the original checkpoint as safetensors.",
    ),
    (
        "global_step*",
        "a checkpoint of DeepSpeed, in which the weights are spread over processes",
        "Run the script zero_to_fp32.py beside it with --safe_serialization, into this folder.",
    ),
    (
        "**/*.distcp",
        "a checkpoint of FSDP, in which the weights are spread over processes",
        f"Put them together with `accelerate merge-weights`, as {SINGLE} in this folder.",
    ),
    (
        "tf_model*.h5",
        "weights of TensorFlow",
        "Take the same model as safetensors, which the hub has of most.",
    ),
    (
        "flax_model*.msgpack",
        "weights of Flax",
        "Take the same model as safetensors, which the hub has of most.",
    ),
    (
        "**/*.onnx",
        "a model that was exported to ONNX, which cannot be looked into",
        "Take the checkpoint that it was exported from.",
    ),
)
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
        tensor_heads(file)
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


def tensor_heads(file: Path) -> dict[str, Any]:
    """The tensors in a safetensors file by name, each with its ``dtype`` (as the format writes it,
    such as ``F32``) and ``shape``; raises MissingModel if the file is not whole.
    """
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
        header = {n: about for n, about in json.loads(text).items() if n != "__metadata__"}
        ends = [about["data_offsets"][1] for about in header.values() if about["dtype"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MissingModel(
            f"{file} is not a safetensors file: its header cannot be read. Copy or download it "
            "again."
        ) from None
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise MissingModel(_cut_off(file, size, whole))
    return header


def quantized(what: str, how: str) -> UnsupportedModel:
    """That weights are quantized; ``what`` they are, ``how`` one knows."""
    return UnsupportedModel(
        f"{what} are quantized ({how}), and ctviz reads and changes weights in floating point. "
        "Take the original checkpoint, or dequantize this one and save it (model.dequantize() of "
        "transformers)."
    )


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
    links = sorted(
        each.name for each in folder.iterdir() if each.is_symlink() and not each.exists()
    )
    if links:
        return MissingModel(
            f"{links[0]} in {folder} is a link to a file that is not there, as copies of the hub's "
            "cache have them. Copy what the links lead to (cp -rL, rsync -L), or download it again."
        )
    if (folder / INDEX).is_file():
        return MissingModel(
            f"{INDEX} in {folder} does not say which tensor is in which file. Copy or download it "
            "again."
        )
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
    for pattern, what, help_ in OTHERS:
        if other := next((file for file in sorted(folder.glob(pattern))), None):
            return MissingModel(
                f"{folder} has no {SINGLE}, but {other.relative_to(folder)}: {what}. {help_}"
            )
    return MissingModel(
        f"{folder} has a config.json but no weights ({SINGLE}). Copy or download them as well."
    )
