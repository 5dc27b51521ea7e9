"""The model of a run as it was at one of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ctviz.errors import DamagedRun, MissingModel
from ctviz.models.loading import Loaded, load
from ctviz.runs import Run
from ctviz.runs.series import series_of
from ctviz.runs.weights import kept_steps, playable_steps, weights_of

__all__ = ["Weights", "model_at", "put_in", "untuned_model", "weights_at"]

Weights = Path | Mapping[str, Tensor]  # a file, or a model's parameters by name

UNNAMED = "sha256:e3b0c44298fc1c14"  # of no file: what older versions said of any hub model


def untuned_model(run: Run, *, device: str = "auto") -> Loaded:
    """The model that a run was tuned from, or the first one of a recording.

    Raises DamagedRun if it is no longer the one it was.
    """
    if run.config.method == "recorded":
        return _recorded(run, playable_steps(run)[0], device)
    loaded = load(run.config.model, device=device, mlp_block=run.config.mlp_block)
    about = run.about.get("model", {})
    if about.get("revision") not in (loaded.revision, UNNAMED):
        raise DamagedRun(
            f"{run.id} was tuned from {about.get('name')} at {about.get('revision')}, but the "
            f"model of that name is now {loaded.revision}."
        )
    return loaded


def model_at(run: Run, step: int, *, device: str = "auto") -> Loaded:
    """The model of a run after a step; step 0 is the untuned model.

    Raises MissingModel, naming the steps that can be had, if the weights of that step were not
    kept, and DamagedRun as `untuned_model` and `put_in` do. Of a recording it is loaded from where
    it was then; DamagedRun if it is no longer what it was.
    """
    if run.config.method == "recorded":
        return _recorded(run, step, device)
    file = weights_of(run, step)
    if step and file is None:
        raise _not_kept(run, step)
    loaded = untuned_model(run, device=device)
    if file is not None:
        put_in(loaded, file)
    return loaded


def weights_at(run: Run, step: int) -> Weights:
    """The weights of a run after a step, of a recording those of the model that stood there.

    Raises MissingModel and DamagedRun as `model_at` does.
    """
    if run.config.method == "recorded":
        loaded = _recorded(run, step, "cpu")
        return {name: p.detach() for name, p in loaded.model.named_parameters()}
    file = weights_of(run, step)
    if file is None:
        raise _not_kept(run, step)
    return file


def _not_kept(run: Run, step: int) -> MissingModel:
    steps = ", ".join(str(kept) for kept in kept_steps(run))
    return MissingModel(
        f"{run.id} has kept no weights of step {step}; it has those of step {steps}. Runs keep "
        "more with --keep-weights."
    )


def _recorded(run: Run, step: int, device: str) -> Loaded:
    series = series_of(run)
    member = next((each for each in series.members if each.step == step), None)
    if member is None:
        steps = ", ".join(str(each.step) for each in series.members)
        raise MissingModel(f"{run.id} is of the steps {steps}, and {step} is none of them.")
    cut = run.config.mlp_block
    loaded = load(member.model, tokenizer=series.tokenizer or None, device=device, mlp_block=cut)
    if run.about.get("fingerprints", {}).get(str(step)) != loaded.fingerprint:
        raise DamagedRun(
            f"{member.model} has other weights than when {run.id} was recorded, or was passed over "
            "then: it cannot be run as it was."
        )
    return loaded


@torch.no_grad()
def put_in(loaded: Loaded, weights: Weights) -> list[str]:
    """Replace a model's tensors by others; names of the tensors that differed.

    A file is a checkpoint, which must hold all of the model's tensors, or the weights of a
    snapshot, which hold those that changed (see `ctviz.runs.weights`). Raises DamagedRun if it
    cannot be read or what it holds does not fit; the model is then as it was.
    """
    parameters = dict(loaded.model.named_parameters())
    wanted = _read(weights, loaded) if isinstance(weights, Path) else dict(weights)
    for name, tensor in wanted.items():
        if tensor is None or name not in parameters or tensor.shape != parameters[name].shape:
            where = weights if isinstance(weights, Path) else "What is to be put in"
            raise DamagedRun(f"{where} does not fit the model: {name} is missing or misshapen.")
    changed = []
    for name, parameter in parameters.items():
        tensor = wanted.get(name)
        if tensor is None:
            continue
        tensor = tensor.to(parameter.device)
        if not torch.equal(tensor, parameter):
            changed.append(name)
            parameter.copy_(tensor)
    return changed


def _read(file: Path, loaded: Loaded) -> dict[str, Tensor | None]:
    """A file's tensors, None for those of a checkpoint that are missing."""
    try:
        tensors = load_file(file, device=str(loaded.anatomy.device))
    except (OSError, SafetensorError) as error:
        raise DamagedRun(f"{file} cannot be read: {error}.") from error
    if file.parent.name == "checkpoint":
        if any(".base_layer." in name for name in tensors):
            raise DamagedRun(
                f"{file} holds adapters that are not merged yet, since the run did not finish: "
                "resume it first."
            )
        return {n: tensors.get(f"model.{n}") for n, _ in loaded.model.named_parameters()}
    return dict(tensors)
