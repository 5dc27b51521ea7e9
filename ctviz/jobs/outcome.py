"""A run in numbers: what it worked on, and what came of it."""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ctviz.models.loading import Loaded
from ctviz.models.untuned import Untuned
from ctviz.progress import tick
from ctviz.runs import Run, open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.measured import measured_on
from ctviz.tasks import find_task
from ctviz.tuning.about import about_measured
from ctviz.tuning.loop import Tuning
from ctviz.tuning.lora import is_adapter, merged, plain_name

__all__ = ["about_run", "outcome", "stopped", "weight_change"]


def about_run(tuning: Tuning) -> dict[str, Any]:
    """What ``run.json`` says of a tuning run's model, task and versions."""
    about = about_measured(
        tuning.loaded, tuning.config, tuning.dataset, tuning.retention, tuning.attribution
    )
    about["model"] |= {"revision": tuning.revision, "parameters": tuning.n_parameters}
    if tuning.config.method == "lora":
        about["versions"]["peft"] = version("peft")
    return about | {
        "train_examples": len(tuning.dataset.train),
        "trainable": sum(unit.size for unit in tuning.method.units),
    }


def outcome(folder: Path, config: TuneConfig, state: str, seconds: float) -> dict[str, Any]:
    """A run in numbers, from what is on disk; ``seconds`` are those of this call."""
    run = Run(folder)
    metrics = run.metrics()
    seen = metrics.dropna(subset=["metric"])
    first, last = seen.iloc[0], seen.iloc[-1]
    steps = metrics.reindex(columns=["outside_moved", "trained_fraction", "seconds"])
    steps = steps.dropna(how="all")
    moved, fraction = steps["outside_moved"].max(), steps["trained_fraction"].mean()
    task = find_task(config.task)
    return {
        **stopped(folder, config, int(metrics["step"].max()), seconds),
        "state": state,
        "judged_by": task.judged_by.name,
        "before": run.about["before"],
        "after": run.about["after"],
        "metric_on": measured_on(run.about, config).metric,
        "metric_before": float(first["metric"]),
        "metric_after": float(last["metric"]),
        "dev_before": float(first[task.judged_by.name]),
        "dev_after": float(last[task.judged_by.name]),
        "dev_retention_kl": float(last["retention_kl"]) if "retention_kl" in last else None,
        "outside_moved": None if math.isnan(moved) else int(moved),
        "trained_fraction": 0.0 if math.isnan(fraction) else float(fraction),
        "seconds_per_step": float(steps["seconds"].median()) if len(steps) else None,
    }


def stopped(folder: Path, config: TuneConfig, step: int, seconds: float) -> dict[str, Any]:
    """A run that was cancelled after so many steps, as far as there is anything to say of it."""
    return {
        "run": folder.name,
        "folder": str(folder),
        "state": "cancelled",
        "model": config.model,
        "task": config.task,
        "method": config.method,
        "seed": config.seed,
        "learning_rate": config.learning_rate,
        "steps": step,
        "notices": list(open_run(str(folder)).status().notices),
        "seconds": round(seconds, 3),
    }


def weight_change(loaded: Loaded, untuned: Untuned) -> list[dict[str, Any]]:
    """How far the weights have gone from the untuned ones: one row a layer and kind of module.

    ``change``: norm of the difference by norm of the untuned weights. Raises CtvizError if the
    untuned ones are no longer there.
    """
    sums: dict[tuple[int, str], list[float]] = {}
    with merged(loaded.anatomy):
        names = [name for name, _ in loaded.model.named_parameters() if not is_adapter(name)]
        places, parameters = _places(loaded), dict(loaded.model.named_parameters())
        place = {plain_name(name): places.get(name, (-1, "other")) for name in names}
        for plain, moved in untuned.moved({plain_name(n): parameters[n].detach() for n in names}):
            tick()
            row = sums.setdefault(place[plain], [0.0, 0.0])
            row[0] += moved.distance
            row[1] += moved.size
    return [
        {"layer": layer, "kind": kind, "change": (moved / size) ** 0.5 if size else 0.0}
        for (layer, kind), (moved, size) in sorted(sums.items())
    ]


def _places(loaded: Loaded) -> dict[str, tuple[int, str]]:
    """Layer and kind of the parameters of attention and MLPs, by name."""
    found: dict[int, tuple[int, str]] = {}
    for layer, block in enumerate(loaded.anatomy.blocks):
        for module in (*block.projections, block.attention_out):
            found |= {id(p): (layer, "attention") for p in module.parameters()}
        for module in (*block.mlp_in, block.mlp_out):
            found |= {id(p): (layer, "mlp") for p in module.parameters()}
    return {n: found[id(p)] for n, p in loaded.model.named_parameters() if id(p) in found}
