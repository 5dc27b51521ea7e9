"""The tuned model of a run as an ordinary Hugging Face folder, or only what changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ctviz.errors import DamagedRun, RunExists, UndefinedMetric
from ctviz.files import not_written, write_json
from ctviz.runs import Run
from ctviz.runs.causes import read_causes
from ctviz.runs.weights import kept_steps, latest_checkpoint, weights_of

__all__ = ["CHANGED", "check_model", "export_model", "needed_updates"]

CHANGED = "changed.safetensors"


def check_model(run: Run, folder: Path) -> Path:
    """The file with a run's weights at its last step, if `export_model` can write them there.

    Raises DamagedRun if the run has kept none, and RunExists if the folder holds anything.
    """
    file = weights_of(run, kept_steps(run)[-1])
    if file is None and latest_checkpoint(run.folder) is not None:
        raise DamagedRun(
            f"{run.id} has only a checkpoint that cannot be read, or holds adapters that are not "
            "merged yet since the run did not finish: resume it first."
        )
    if file is None:
        where = ": they are where they were" if run.config.method == "recorded" else ""
        raise DamagedRun(f"{run.id} has kept no weights{where}: there is nothing to export.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunExists(f"{folder} is not an empty folder. Give another one.")
    return file


def needed_updates(run: Run, mine: Path) -> tuple[str, ...]:
    """The nodes whose updates were measured to be enough at the step that is exported.

    ``mine``: the folder of the user's runs. Raises UndefinedMetric if that was not measured, or
    nothing was learned.
    """
    step = kept_steps(run)[-1]
    found = read_causes(run, mine).get(step)
    if found is None:
        raise UndefinedMetric(
            f"Which updates of {run.id} were needed until step {step} has not been measured: "
            f"`ctviz causes {run.id}` does so."
        )
    if not found.learned:
        raise UndefinedMetric(
            f"{run.id} has learned nothing until step {step} that can be told from noise "
            f"({found.gain:+.3f} of the metric), so no update is needed and there is nothing to "
            "export. Leave out --needed for all updates."
        )
    return found.needed_nodes


def export_model(
    run: Run, folder: Path, *, changed_only: bool = False, updates_of: Sequence[str] | None = None
) -> dict[str, Any]:
    """Write a run's weights at its last step; returns what was written, in plain values.

    ``updates_of``: nodes whose updates alone are put into the untuned model, by default all.

    The folder gets what `transformers` loads with ``from_pretrained`` (weights as safetensors,
    config, tokenizer), or with ``changed_only`` the tensors that differ from the untuned model in
    ``changed.safetensors``, by their names there, and ``changed.json``, which says of which model.

    Raises what `check_model` raises, and DamagedRun if the weights cannot be read or the untuned
    model is not the one it was.
    """
    # torch is imported here and below, so that what needs no model is there at once.
    from safetensors.torch import save_file

    from ctviz.tuning.stored_weights import put_in, untuned_model
    from ctviz.tuning.updates import Updates

    step, file = kept_steps(run)[-1], check_model(run, folder)
    loaded = untuned_model(run, device="cpu")
    if updates_of is None:
        names = put_in(loaded, file)
    else:
        updates = Updates(loaded, file)
        updates.put(updates_of)
        names = updates.tensors(updates_of)
    about = run.about.get("model", {})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result: dict[str, Any] = {
            "run": run.id,
            "step": step,
            "folder": str(folder),
            "changed": len(names),
        }
        if updates_of is not None:
            result["updates_of"] = list(updates_of)
        if not changed_only:
            loaded.model.save_pretrained(folder)
            loaded.tokenizer.save_pretrained(folder)
            for weights in folder.glob("*.safetensors"):
                _as_readable(weights, folder / "config.json")
            return result
        parameters = dict(loaded.model.named_parameters())
        save_file({name: parameters[name].contiguous() for name in names}, folder / CHANGED)
    except (OSError, SafetensorError) as error:
        reason = error if isinstance(error, OSError) else OSError(str(error))
        raise not_written(folder, reason) from error
    write_json(folder / "changed.json", {**result, "model": about, "tensors": names})
    _as_readable(folder / CHANGED, folder / "changed.json")
    return result


def _as_readable(file: Path, other: Path) -> None:
    """Let those read a file who may read another: safetensors writes for the owner alone."""
    file.chmod(other.stat().st_mode)
