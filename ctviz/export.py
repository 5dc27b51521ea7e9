"""The tuned model of a run as an ordinary Hugging Face folder, or only what changed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ctviz.checkpoint import latest_checkpoint
from ctviz.errors import DamagedRun, RunExists
from ctviz.models.loading import Loaded, load
from ctviz.runs import Run
from ctviz.runs.files import not_written, write_json

__all__ = ["CHANGED", "export_model"]

CHANGED = "changed.safetensors"


@torch.no_grad()
def export_model(run: Run, folder: Path, *, changed_only: bool = False) -> dict[str, Any]:
    """Write a run's weights at its last step; returns what was written, in plain values.

    The folder gets what `transformers` loads with ``from_pretrained`` (weights as safetensors,
    config, tokenizer), or with ``changed_only`` the tensors that differ from the untuned model in
    ``changed.safetensors``, by their names there, and ``changed.json``, which says of which model.

    Raises DamagedRun if the run has kept no weights or the untuned model is not the one it was, and
    RunExists if the folder holds anything.
    """
    kept = latest_checkpoint(run.folder)
    if kept is None:
        raise DamagedRun(f"{run.id} has kept no weights: there is nothing to export.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunExists(f"{folder} is not an empty folder. Give another one.")
    loaded = load(run.config.model, device="cpu")
    about = run.about.get("model", {})
    if about.get("revision") != loaded.revision:
        raise DamagedRun(
            f"{run.id} was tuned from {about.get('name')} at {about.get('revision')}, but the "
            f"model of that name is now {loaded.revision}."
        )
    names = _put_in(loaded, kept[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result = {"run": run.id, "step": kept[1], "folder": str(folder), "changed": len(names)}
        if not changed_only:
            loaded.model.save_pretrained(folder)
            loaded.tokenizer.save_pretrained(folder)
            return result
        parameters = dict(loaded.model.named_parameters())
        save_file({name: parameters[name].contiguous() for name in names}, folder / CHANGED)
    except (OSError, SafetensorError) as error:
        reason = error if isinstance(error, OSError) else OSError(str(error))
        raise not_written(folder, reason) from error
    write_json(folder / "changed.json", {**result, "model": about, "tensors": names})
    return result


def _put_in(loaded: Loaded, file: Path) -> list[str]:
    """Replace a model's weights by those of a checkpoint; names of the tensors that differ."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise DamagedRun(f"{file} cannot be read: {error}.") from error
    changed = []
    for name, parameter in loaded.model.named_parameters():
        saved = tensors.get(f"model.{name}")
        if saved is None or saved.shape != parameter.shape:
            if any(".base_layer." in key for key in tensors):
                raise DamagedRun(
                    f"{file} holds adapters that are not merged yet, since the run did not finish: "
                    "resume it first."
                )
            raise DamagedRun(f"{file} does not fit the model: {name} is missing or misshapen.")
        if not torch.equal(saved, parameter):
            changed.append(name)
            parameter.copy_(saved)
    return changed
