"""Runs whose updates were made by hand, without tuning: what moved, and how far, is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import Loaded, load
from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.config import TuneConfig
from tests.random_models import SPECIMENS

__all__ = ["grouped", "run_with", "weights_with"]


def weights_with(loaded: Loaded, file: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Write what ``change`` has changed, in place, in copies of the model's tensors."""
    before = {name: p.detach() for name, p in loaded.model.named_parameters()}
    tensors = {name: p.clone() for name, p in before.items()}
    change(tensors)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t for n, t in tensors.items() if not torch.equal(t, before[n])}, file)


def run_with(
    folder: Path, change: Callable[[dict[str, Tensor]], Any] | None, *, step: int = 2, **more: Any
) -> Run:
    """A finished run of the bundled model on sva whose weights at a step were changed by hand."""
    loaded = load("tiny")
    settings = {"model": "tiny", "task": "sva", "steps": 4, "edges": 5}
    config = TuneConfig(**{**settings, **more})
    writer = RunWriter(folder, config)
    writer.describe(
        loaded.anatomy.graph,
        model={"name": "tiny", "revision": loaded.revision},
        task={"key": "sva", "title": "t", "metric": "m"},
        examples=3,
    )
    writer.status("finished", step=4)
    if change is not None:
        weights_with(loaded, folder / "weights" / f"{step:06d}.safetensors", change)
    return open_run(folder.name, folder.parent)


def grouped(name: str = "llama-grouped") -> Loaded:
    """A random model of a family in the vocabulary of the bundled one, in float64."""
    tiny = load("tiny")
    family, settings = SPECIMENS[name]
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=len(tiny.tokenizer), **settings)
    model = AutoModelForCausalLM.from_config(config).eval().double()
    return replace(tiny, model=model, anatomy=Anatomy(model))
