"""The state of a tuning run in one file, from which it goes on as if it had never stopped.

``checkpoint/{step}.safetensors`` holds a `ctviz.tuning.loop.TuningState`: every parameter of the
model (``model.*``), the optimizer's state of every unit that was ever owned (``optimizer.*``), what
the method remembers (``method.*``), the order of the coming batches and by what memory it was
planned how much of them is computed at a time (``batches.*``), and what a snapshot of that step is
still to be told (``due.*``). A newer checkpoint replaces the older one only once it is whole. That
of a finished run keeps the parameters alone, LoRA's adapters merged into them: it is the tuned
model. What tuning changed by a snapshot is kept in files of its own, see `ctviz.runs.weights`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ctviz.errors import DamagedRun, DiskFull
from ctviz.models.untuned import Untuned
from ctviz.runs.weights import steps_to_keep
from ctviz.tuning.loop import Tuning, TuningState
from ctviz.tuning.lora import is_adapter, merged, plain_name

__all__ = [
    "SnapshotWeights",
    "load_checkpoint",
    "remove_checkpoints",
    "save_checkpoint",
]

KINDS = ("model", "optimizer", "method", "batches", "due")  # of what a state holds


def save_checkpoint(tuning: Tuning, folder: Path, *, finished: bool = False) -> Path:
    """Write the state after ``tuning.step`` steps; older checkpoints are then removed.

    Raises DiskFull if it cannot be written; the older checkpoint then stays.
    """
    if finished:
        with merged(tuning.anatomy):
            weights = _tuned_weights(tuning)
            tensors = {f"model.{name}": weight for name, weight in weights.items()}
            file = _write(tuning.step, folder / "checkpoint", tensors)
    else:
        file = _write(tuning.step, folder / "checkpoint", _as_tensors(tuning.state()))
    # parts: of a killed worker
    for older in [*file.parent.glob("*.safetensors"), *file.parent.glob("*.part")]:
        if older != file:
            older.unlink()
    return file


def remove_checkpoints(folder: Path) -> None:
    """Delete the weights that a run has kept."""
    for file in (folder / "checkpoint").glob("*.safetensors"):
        file.unlink()


class SnapshotWeights:
    """Writes the tensors that differ from the untuned model, at those snapshots that keep them.

    ``steps``: those that are kept, with at most ``size`` bytes each.
    """

    def __init__(self, tuning: Tuning, folder: Path, untuned: Untuned) -> None:
        self._tuning, self._place, self._untuned = tuning, folder / "weights", untuned
        names = {id(p): name for name, p in tuning.anatomy.model.named_parameters()}
        self._moving = {
            _moved_by(names[id(part.parameter)])
            for unit in tuning.method.units
            for part in unit.parts
        }
        moving = [w for n, w in _tuned_weights(tuning).items() if n in self._moving]
        self.size = sum(weight.numel() * weight.element_size() for weight in moving)
        self.steps = steps_to_keep(tuning.config, self.size)

    def keep(self) -> None:
        """Write the weights after ``tuning.step`` steps if they are to be kept; raises DiskFull."""
        tuning = self._tuning
        if tuning.step not in self.steps:
            return
        with merged(tuning.anatomy):
            changed = {
                name: weight.cpu()
                for name, weight in _tuned_weights(tuning).items()
                if name in self._moving and self._untuned.differs(name, weight)
            }
            loaded = tuning.loaded
            about = {"step": tuning.step, "model": loaded.name, "revision": tuning.revision}
            header = {key: json.dumps(value) for key, value in about.items()}
            _write(tuning.step, self._place, changed, header)


def _moved_by(name: str) -> str:
    """The model's own tensor that changes when a parameter does: an adapter's is its weight."""
    layer, adapter, _ = name.partition(".lora_")
    return f"{layer}.weight" if adapter else name


def _tuned_weights(tuning: Tuning) -> dict[str, Tensor]:
    """The model's own parameters by their own names, adapters merged into them."""
    return {
        plain_name(name): parameter.detach().contiguous()
        for name, parameter in tuning.anatomy.model.named_parameters()
        if not is_adapter(name)
    }


def _as_tensors(state: TuningState) -> dict[str, Tensor]:
    """A state as the tensors of a file."""
    tensors = {
        f"{kind}.{name}": value.contiguous()
        for kind in KINDS
        for name, value in getattr(state, kind).items()
    }
    plan = {"batches.micro": state.micro, "batches.free": state.free}
    return tensors | {name: torch.tensor(number) for name, number in plan.items()}


def _as_state(step: int, tensors: dict[str, Tensor], free: int) -> TuningState:
    """The state in the tensors of a file; ``free``: where it is of before that was kept."""
    parts: dict[str, dict[str, Tensor]] = {kind: {} for kind in KINDS}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind in parts:
            parts[kind][rest] = value
    batches = parts["batches"]
    micro, free = int(batches.pop("micro")), int(batches.pop("free", torch.tensor(free)))
    return TuningState(step=step, micro=micro, free=free, **parts)


def _write(
    step: int, place: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None
) -> Path:
    """Write the tensors of a step at once; ``about`` goes into the header."""
    file = place / f"{step:06d}.safetensors"
    scratch = file.with_suffix(".part")
    try:
        place.mkdir(exist_ok=True)
        save_file(tensors, scratch, metadata=about)
        scratch.replace(file)
    except (OSError, SafetensorError) as error:
        raise DiskFull(
            f"{file} could not be written: {error}. Make room on the disk; the run can then be "
            "resumed from its last checkpoint."
        ) from error
    finally:
        scratch.unlink(missing_ok=True)
    return file


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
    try:
        tuning.load_state(_as_state(int(file.stem), tensors, tuning.free))
    except DamagedRun as error:
        raise DamagedRun(f"{file}: {error}") from error
