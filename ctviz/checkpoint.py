"""The state of a tuning run in one file, from which it goes on as if it had never stopped.

``checkpoint/{step}.safetensors`` holds every parameter of the model (``model.*``), the optimizer's
state of every unit that was ever owned (``optimizer.*``), what the method remembers (``method.*``)
and the order of the coming batches. A
newer checkpoint replaces the older one only once it is whole. That of a finished run keeps the
parameters alone, LoRA's adapters merged into them: it is the tuned model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ctviz.errors import DamagedRun, DiskFull
from ctviz.lora import is_adapter, merged, plain_name

if TYPE_CHECKING:
    from ctviz.tune import Tuning

__all__ = ["latest_checkpoint", "load_checkpoint", "remove_checkpoints", "save_checkpoint"]


def latest_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The newest checkpoint of a run directory and its step, or None."""
    files = sorted((folder / "checkpoint").glob("[0-9]*.safetensors"))
    return (files[-1], int(files[-1].stem)) if files else None


def save_checkpoint(tuning: Tuning, folder: Path, *, finished: bool = False) -> Path:
    """Write the state after ``tuning.step`` steps; older checkpoints are then removed.

    Raises DiskFull if it cannot be written; the older checkpoint then stays.
    """
    if finished:
        with merged(tuning.anatomy):
            return _write(tuning, folder, _tuned_weights(tuning))
    return _write(tuning, folder, _whole_state(tuning))


def remove_checkpoints(folder: Path) -> None:
    """Delete the weights that a run has kept."""
    for file in (folder / "checkpoint").glob("*.safetensors"):
        file.unlink()


def _tuned_weights(tuning: Tuning) -> dict[str, Tensor]:
    """The model's own parameters by their own names, adapters merged into them."""
    return {
        f"model.{plain_name(name)}": parameter.detach().contiguous()
        for name, parameter in tuning.anatomy.model.named_parameters()
        if not is_adapter(name)
    }


def _whole_state(tuning: Tuning) -> dict[str, Tensor]:
    tensors = {
        f"model.{name}": parameter.detach().contiguous()
        for name, parameter in tuning.anatomy.model.named_parameters()
    }
    tensors |= {f"optimizer.{k}": v.contiguous() for k, v in tuning.optimizer.state().items()}
    tensors |= {f"method.{k}": v.contiguous() for k, v in tuning.method.state().items()}
    tensors["batches.generator"] = tuning.shuffle.get_state()
    tensors["batches.order"] = torch.tensor(tuning.order, dtype=torch.int64)
    tensors["batches.micro"] = torch.tensor(tuning.micro)
    return tensors


def _write(tuning: Tuning, folder: Path, tensors: dict[str, Tensor]) -> Path:
    place = folder / "checkpoint"
    place.mkdir(exist_ok=True)
    file = place / f"{tuning.step:06d}.safetensors"
    scratch = file.with_suffix(".part")
    try:
        save_file(tensors, scratch)
        scratch.replace(file)
    except (OSError, SafetensorError) as error:
        raise DiskFull(
            f"{file} could not be written: {error}. Make room on the disk; the run can then be "
            "resumed from its last checkpoint."
        ) from error
    finally:
        scratch.unlink(missing_ok=True)
    for older in [*place.glob("*.safetensors"), *place.glob("*.part")]:  # parts: of a killed worker
        if older != file:
            older.unlink()
    return file


@torch.no_grad()
def load_checkpoint(tuning: Tuning, file: Path) -> None:
    """Put a freshly made `Tuning` of the same settings into the state of a checkpoint.

    Raises DamagedRun if the file cannot be read or belongs to another model or to a finished run.
    """
    try:
        tensors = load_file(file, device=str(tuning.anatomy.device))
    except (OSError, SafetensorError) as error:
        raise DamagedRun(f"{file} cannot be read: {error}.") from error
    if "batches.order" not in tensors:
        raise DamagedRun(f"{file} holds a finished run's weights: there is nothing to resume.")
    parameters = dict(tuning.anatomy.model.named_parameters())
    for name, parameter in parameters.items():
        saved = tensors.get(f"model.{name}")
        if saved is None or saved.shape != parameter.shape:
            raise DamagedRun(
                f"{file} does not fit the model: {name} is missing or of another shape."
            )
        parameter.copy_(saved)
    for kind, load_state in (
        ("optimizer.", tuning.optimizer.load_state),
        ("method.", tuning.method.load_state),
    ):
        load_state({k.removeprefix(kind): v for k, v in tensors.items() if k.startswith(kind)})
    tuning.shuffle.set_state(tensors["batches.generator"].cpu())
    tuning.order = tensors["batches.order"].tolist()
    tuning.micro = int(tensors["batches.micro"])
    tuning.step = int(file.stem)
