"""A whole tuning run, into a run directory."""

from __future__ import annotations

import json
import logging
import math
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

import ctviz
from ctviz.circuits.graph import Graph
from ctviz.circuits.selection import check_edges
from ctviz.errors import CtvizError, RunExists, UndefinedMetric
from ctviz.files import not_written
from ctviz.models.loading import Loaded, load
from ctviz.models.memory import is_out_of_memory
from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.changes import change
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Notice, Snapshot
from ctviz.runs.weights import latest_checkpoint
from ctviz.tasks import find_task
from ctviz.tuning.checkpoint import (
    SnapshotWeights,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from ctviz.tuning.loop import Tuning
from ctviz.tuning.lora import is_adapter, merged, plain_name

__all__ = ["Baseline", "tune"]

log = logging.getLogger(__name__)

CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is the same for all runs on a task: the untuned model's snapshot and standing."""

    snapshot: Snapshot
    standing: dict[str, float]
    others: tuple[str, ...]


def tune(
    config: TuneConfig,
    folder: Path,
    *,
    loaded: Loaded | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    resume: bool = False,
    baseline: Baseline | None = None,
    keep_model: bool = True,
) -> dict[str, Any]:
    """Run a tuning method into a run directory; returns its outcome in numbers.

    With ``resume`` the folder holds a run of these settings that did not finish: it goes on from
    its last checkpoint, or from the start if it has none yet. ``baseline`` is that of another run
    with the same model and task, ``keep_model`` whether weights stay in the folder: those of
    snapshots (see `TuneConfig.keep_weights`) and the tuned ones at the end.

    Whatever goes wrong is written into the run's status before it is raised; snapshots and metrics
    written so far stay readable. ``progress`` is called with (step, steps, message).
    """
    started = time.perf_counter()
    if resume and open_run(str(folder)).status().state == "finished":
        raise RunExists(f"{folder} is finished: there is nothing to resume.")
    found = latest_checkpoint(folder) if resume else None
    writer = RunWriter.resume(folder, found[1] if found else 0) if resume else None
    writer = writer or RunWriter(folder, config)
    try:
        handler = _Log(folder / "log.txt", encoding="utf-8")
    except OSError as error:
        raise not_written(folder / "log.txt", error) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("ctviz")
    root.addHandler(handler)
    usual_level = root.level
    root.setLevel(logging.INFO)  # the file gets it all; what a terminal shows is its handler's say
    step, state = found[1] if found else 0, "finished"
    try:
        log.info("config: %s", json.dumps(config.to_dict()))
        config.check_extras()
        writer.status("starting", message=f"loading {config.model}")
        loaded = loaded or load(config.model, device=config.device)
        _check_size(loaded, config)
        graph = loaded.anatomy.graph
        tuning = Tuning(loaded, config, others=baseline.others if baseline else None)
        for reason in tuning.dataset.left_out[:20]:
            log.info("left out: %s", reason)
        standing = baseline.standing if baseline else writer.before
        weights = SnapshotWeights(tuning, folder) if keep_model else None
        if found:
            load_checkpoint(tuning, found[0])
            if weights:
                weights.keep()  # the run may have ended between the checkpoint and this
        writer.describe(graph, **_about(loaded, config, tuning))
        if standing:
            writer.describe(graph, before=standing)
        writer.status("running", step=step, message="discovering the first circuit")
        begun = saved = time.perf_counter()
        resumed_at, message, cost = step, f"resumed at step {step}" if found else "", 0.0
        earlier = list(Run(folder).snapshots()) if found else []
        events = iter(tuning)
        if baseline and not found:
            tuning.begun = True
            events = chain([baseline.snapshot], events)
        for event in events:
            if isinstance(event, Notice):
                writer.notice(event.text)
                continue  # to what it belongs to
            if isinstance(event, Snapshot):
                earlier = _with_changes(event, earlier, graph)
                writer.snapshot(event)
                if standing is None:  # nothing has moved yet; a page has something to show by now
                    standing = tuning.standing()
                    writer.describe(graph, before=standing)
                now = time.perf_counter()
                if event.step and (now - saved) * CHECKPOINT_SHARE >= cost:
                    save_checkpoint(tuning, folder)
                    saved = time.perf_counter()
                    cost = saved - now
                if event.step and weights:
                    weights.keep()
                message = f"metric {event.metrics['metric']:+.2f} at step {event.step}"
                log.info("snapshot at step %d: %s", event.step, json.dumps(event.metrics))
            else:
                writer.record(event)
                step = event.step
            done = step - resumed_at
            rate = done / (time.perf_counter() - begun) if done else None
            writer.status("running", step=step, rate=rate, message=message)
            if progress:
                progress(step, config.steps, message)
            # not between a step and its snapshot: a resumed run would not have it
            whole = isinstance(event, Snapshot) or not tuning.due(step)
            if whole and writer.cancelled() and step < config.steps:
                state = "cancelled"
                break
        writer.status("running", step=step, message="evaluating on the test examples")
        writer.describe(
            graph, after=tuning.standing(), weight_change=_weight_change(loaded, config)
        )
        if state == "finished" and not keep_model:
            remove_checkpoints(folder)
        else:
            save_checkpoint(tuning, folder, finished=state == "finished")
        result = _outcome(folder, config, state, time.perf_counter() - started)
        result["device"] = str(loaded.anatomy.device)
        judged = tuning.dataset.task.judged_by.name
        message = f"{judged} {result['before'][judged]:.2f} before, {result['after'][judged]:.2f}"
        writer.status(state, step=step, message=f"{message} after, on test examples")  # type: ignore[arg-type]
        log.info("%s at step %d", state, step)
    except BaseException as error:
        no_room = is_out_of_memory(error)
        explained = isinstance(error, CtvizError) or no_room
        said = str(error) if explained else f"{type(error).__name__}: {error}"
        if isinstance(error, KeyboardInterrupt):
            said = "stopped from the keyboard"
        elif no_room:
            said = (
                f"The memory does not suffice (after step {step}): {said.partition('. ')[0]}. Take "
                "shorter or fewer examples, a smaller model or another method."
            )
        elif isinstance(error, UndefinedMetric):
            said += _what_is_left(folder)
        with suppress(OSError):  # a full disk may not take even this: then the run is interrupted
            writer.status("failed", step=step, message=said)
        trace = None if explained else sys.exc_info()
        line = f"failed at step {step}: {said}"
        # into the file alone: whoever called is told by the error itself
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, line, (), trace))
        if no_room:
            raise CtvizError(said) from error
        raise
    finally:
        root.removeHandler(handler)
        root.setLevel(usual_level)
        with suppress(OSError):
            handler.close()
    return result


class _Log(logging.FileHandler):
    """A file that takes lines as long as there is room: a full disk costs lines, not the run."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let go of a line that could not be written."""


def _check_size(loaded: Loaded, config: TuneConfig) -> None:
    """The circuit must fit into the graph at each step."""
    hint = f"({loaded.name})"
    for edges in (config.edges, config.edges_end or config.edges):
        check_edges(loaded.anatomy.graph, edges, hint=hint)


def _with_changes(event: Snapshot, earlier: list[Snapshot], graph: Graph) -> list[Snapshot]:
    """Add to a snapshot's metrics what changed; returns the first and this one, for the next."""
    if earlier:
        event.metrics.update(change(earlier[-1], event, graph))
        since = change(earlier[0], event, graph)
        event.metrics.update({f"{name}_since_start": value for name, value in since.items()})
    return [*earlier[:1], event]


def _what_is_left(folder: Path) -> str:
    kept = latest_checkpoint(folder)
    if kept is None:
        return " There is no checkpoint: it happened before the first snapshot after the start."
    return f" The last good weights are those of step {kept[1]}, in {kept[0].name}."


def _weight_change(loaded: Loaded, config: TuneConfig) -> list[dict[str, Any]]:
    """How far the weights have gone from the untuned ones: one row a layer and kind of module.

    ``change``: norm of the difference by norm of the untuned weights.
    """
    before = dict(load(config.model, device="cpu").model.named_parameters())
    sums: dict[tuple[int, str], list[float]] = {}
    with merged(loaded.anatomy):
        places_ = _places(loaded)
        for name, after in loaded.model.named_parameters():
            plain = plain_name(name)
            if is_adapter(name) or plain not in before:
                continue
            row = sums.setdefault(places_.get(name, (-1, "other")), [0.0, 0.0])
            untuned = before[plain].detach()
            row[0] += float((after.detach().cpu() - untuned).square().sum())
            row[1] += float(untuned.square().sum())
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


def _outcome(folder: Path, config: TuneConfig, state: str, seconds: float) -> dict[str, Any]:
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
        "run": folder.name,
        "folder": str(folder),
        "state": state,
        "model": config.model,
        "task": config.task,
        "method": config.method,
        "seed": config.seed,
        "learning_rate": config.learning_rate,
        "steps": int(metrics["step"].max()),
        "judged_by": task.judged_by.name,
        "before": run.about["before"],
        "after": run.about["after"],
        "metric_before": float(first["metric"]),
        "metric_after": float(last["metric"]),
        "dev_before": float(first[task.judged_by.name]),
        "dev_after": float(last[task.judged_by.name]),
        "dev_retention_kl": float(last["retention_kl"]),
        "max_outside_moved": None if math.isnan(moved) else int(moved),
        "trained_fraction": 0.0 if math.isnan(fraction) else float(fraction),
        "seconds_per_step": float(steps["seconds"].median()) if len(steps) else None,
        "seconds": round(seconds, 3),
    }


def _about(loaded: Loaded, config: TuneConfig, tuning: Tuning) -> dict[str, Any]:
    task = tuning.dataset.task
    return {
        "model": {
            "name": loaded.name,
            "family": loaded.anatomy.family,
            "revision": loaded.revision,
            "parameters": tuning.n_parameters,
        },
        "task": {
            "key": task.key,
            "name": task.name,
            "title": task.title,
            "metric": task.metric,
            "judged_by": task.judged_by.name,
            "better": task.judged_by.better,
            "source": task.source.text,
        },
        "examples": len(tuning.dataset.dev),
        "train_examples": len(tuning.dataset.train),
        "left_out": len(tuning.dataset.left_out),
        "trainable": sum(unit.size for unit in tuning.method.units),
        "device": str(loaded.anatomy.device),
        "versions": {
            "ctviz": ctviz.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
            **({"peft": version("peft")} if config.method == "lora" else {}),
        },
    }
