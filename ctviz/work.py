"""A whole tuning run, into a run directory."""

from __future__ import annotations

import json
import logging
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

import ctviz
from ctviz.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from ctviz.config import TuneConfig
from ctviz.errors import CtvizError
from ctviz.models.loading import Loaded, load
from ctviz.runs import Run, RunWriter
from ctviz.selection import check_edges
from ctviz.snapshot import Snapshot, StepRecord
from ctviz.tasks import find_task
from ctviz.tune import Tuning

__all__ = ["tune"]

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0  # between checkpoints, which are written with a snapshot


def tune(
    config: TuneConfig,
    folder: Path,
    *,
    loaded: Loaded | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Run circuit-tuning (or a baseline) into a run directory; returns its outcome in numbers.

    With ``resume`` the folder holds a run of these settings that did not finish: it goes on from
    its last checkpoint, or from the start if it has none yet.

    Whatever goes wrong is written into the run's status before it is raised; snapshots and metrics
    written so far stay readable. ``progress`` is called with (step, steps, message).
    """
    started = time.perf_counter()
    found = latest_checkpoint(folder) if resume else None
    writer = RunWriter.resume(folder, found[1] if found else 0) if resume else None
    writer = writer or RunWriter(folder, config)
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("ctviz")
    root.addHandler(handler)
    step, state = found[1] if found else 0, "finished"
    try:
        log.info("config: %s", json.dumps(config.to_dict()))
        writer.status("starting", message=f"loading {config.model}")
        loaded = loaded or load(config.model, device=config.device)
        check_edges(loaded.anatomy.graph, config.edges, hint=f"({loaded.name})")
        graph = loaded.anatomy.graph
        tuning = Tuning(loaded, config)
        if found:
            load_checkpoint(tuning, found[0])
        writer.describe(graph, **_about(loaded, config, tuning))
        writer.status("running", message="discovering the first circuit")
        begun = saved = time.perf_counter()
        resumed_at, message = step, f"resumed at step {step}" if found else ""
        for event in tuning:
            if isinstance(event, Snapshot):
                writer.snapshot(event)
                if time.perf_counter() - saved > CHECKPOINT_SECONDS and event.step:
                    save_checkpoint(tuning, folder)
                    saved = time.perf_counter()
                message = f"metric {event.metrics['metric']:+.2f} at step {event.step}"
                log.info("snapshot at step %d: %s", event.step, json.dumps(event.metrics))
            elif isinstance(event, StepRecord):
                writer.record(event)
                step = event.step
            done = step - resumed_at
            rate = done / (time.perf_counter() - begun) if done else None
            writer.status("running", step=step, rate=rate, message=message)
            if progress:
                progress(step, config.steps, message)
            if writer.cancelled() and step < config.steps:
                state = "cancelled"
                break
        save_checkpoint(tuning, folder, finished=state == "finished")
        result = _outcome(folder, config, state, time.perf_counter() - started)
        result["device"] = str(loaded.anatomy.device)
        message = (
            f"metric {result['metric_before']:+.2f} before, {result['metric_after']:+.2f} after"
        )
        writer.status(state, step=step, message=message)  # type: ignore[arg-type]
        log.info("%s at step %d", state, step)
    except BaseException as error:
        explained = isinstance(error, CtvizError)
        said = str(error) if explained else f"{type(error).__name__}: {error}"
        if isinstance(error, KeyboardInterrupt):
            said = "stopped from the keyboard"
        writer.status("failed", step=step, message=said)
        log.warning("failed at step %d: %s", step, said, exc_info=not explained)
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
    return result


def _outcome(folder: Path, config: TuneConfig, state: str, seconds: float) -> dict[str, Any]:
    """A run in numbers, from what is on disk; ``seconds`` are those of this call."""
    metrics = Run(folder).metrics()
    seen = metrics.dropna(subset=["metric"])
    first, last = seen.iloc[0], seen.iloc[-1]
    steps = metrics.reindex(columns=["outside_drift", "trained_fraction"]).dropna(how="all")
    drift, fraction = steps["outside_drift"].max(), steps["trained_fraction"].mean()
    return {
        "run": folder.name,
        "folder": str(folder),
        "state": state,
        "model": config.model,
        "task": config.task,
        "method": config.method,
        "seed": config.seed,
        "steps": int(metrics["step"].max()),
        "metric_before": float(first["metric"]),
        "metric_after": float(last["metric"]),
        "accuracy_before": float(first["accuracy"]),
        "accuracy_after": float(last["accuracy"]),
        "retention_kl": float(last["retention_kl"]),
        "max_outside_drift": None if math.isnan(drift) else float(drift),
        "trained_fraction": 0.0 if math.isnan(fraction) else float(fraction),
        "seconds": round(seconds, 3),
    }


def _about(loaded: Loaded, config: TuneConfig, tuning: Tuning) -> dict[str, Any]:
    task = find_task(config.task)
    return {
        "model": {
            "name": loaded.name,
            "family": loaded.anatomy.family,
            "revision": loaded.revision,
            "parameters": tuning.n_parameters,
        },
        "task": {"key": task.key, "title": task.title, "metric": task.metric},
        "examples": len(tuning.dev),
        "device": str(loaded.anatomy.device),
        "versions": {
            "ctviz": ctviz.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
    }
