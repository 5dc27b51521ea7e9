"""Which steps of a run have kept their weights, without torch.

``weights/{step:06d}.safetensors`` holds the tensors that differ from the untuned model at a
snapshot, by the model's own names (LoRA's adapters merged into them), and in its header ``step``,
``model`` and ``revision``. Step 0 needs no file: it is the untuned model. A checkpoint holds all of
a model's tensors with ``model.`` in front of their names, unless its adapters are not merged yet.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ctviz.files import numbered
from ctviz.runs.config import TuneConfig
from ctviz.runs.directory import Run
from ctviz.runs.series import series_of

__all__ = [
    "BUDGET",
    "kept_steps",
    "latest_checkpoint",
    "playable_steps",
    "steps_to_keep",
    "weights_of",
]

BUDGET = 200_000_000  # bytes that the weights of a run's snapshots may take if no number is asked


def steps_to_keep(config: TuneConfig, size: int) -> list[int]:
    """Steps whose weights a run of these settings keeps, at most ``size`` bytes each.

    Snapshots after step 0, evenly spread, the last one among them.
    """
    steps = sorted({*range(config.every, config.steps + 1, config.every), config.steps})
    asked = config.keep_weights
    n = min(len(steps), BUDGET // max(1, size) if asked < 0 else asked)
    return [steps[(at + 1) * len(steps) // n - 1] for at in range(n)]


def kept_steps(run: Run) -> list[int]:
    """Steps whose weights are here, in order: 0, which is the untuned model, and those kept."""
    return sorted({0, *_files(run)})


def playable_steps(run: Run) -> list[int]:
    """Steps at which the model itself can be run: of a recording all of its series that could be
    read, else those whose weights are here."""
    if run.config.method == "recorded":
        skipped = run.about.get("skipped", {})
        return [each.step for each in series_of(run).members if each.model not in skipped]
    return kept_steps(run)


def weights_of(run: Run, step: int) -> Path | None:
    """The file with the weights of a step after 0, None if they were not kept."""
    return _files(run).get(step)


def latest_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The newest checkpoint of a run directory and its step, or None."""
    files = numbered(folder / "checkpoint")
    return (files[max(files)], max(files)) if files else None


def _files(run: Run) -> dict[int, Path]:
    """By step; a snapshot's own weights rather than the checkpoint's, which are the same."""
    files = {}
    checkpoint = latest_checkpoint(run.folder)
    if checkpoint is not None and _whole(checkpoint[0]):
        files[checkpoint[1]] = checkpoint[0]
    for file in run.weight_files():
        files[int(file.stem)] = file
    return files


def _whole(checkpoint: Path) -> bool:
    """Whether a checkpoint holds the model's own weights: it can be read, and nothing is apart."""
    try:
        with safe_open(str(checkpoint), framework="numpy") as file:
            return not any(".base_layer." in name for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False
