"""Run a study into a folder, from wherever it was left.

::

    study.json     what is compared: model, task, methods, seeds, rates, settings
    runs/          a run directory for each run, without its weights
    results.csv    one row a run
    steps.csv      one row a snapshot of a run: grade and what it has forgotten by then
    report.html    the report, with its figures inside; figures also as .svg and .png
    summary.txt    what was found, in plain words
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ctviz.errors import CtvizError, DamagedRun, UndefinedMetric
from ctviz.files import read_json, write_bytes, write_json
from ctviz.jobs import tune
from ctviz.jobs.causes import causes
from ctviz.jobs.study.plan import Study, Trial, choose_rate
from ctviz.models.loading import load
from ctviz.progress import Cancelled
from ctviz.runs import Run, open_run
from ctviz.runs.causes import Causes, read_causes, write_causes
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot
from ctviz.tasks import find_task
from ctviz.tuning.checkpoint import remove_checkpoints

__all__ = ["conduct", "open_study"]

log = logging.getLogger(__name__)

SEEN = (  # settings that decide what a snapshot says of the untuned model
    *("model", "task", "mlp_block", "attribution", "metric", "ablation", "scored_on", "tau"),
    *("select", "edges", "threshold", "examples", "graded_examples", "examples_seed"),
    *("evaluate", "draws", "random", "other_tasks", "retention_prompts", "retention_examples"),
    *("retention_tokens", "retention_window"),
)


def open_study(folder: Path) -> Study:
    """The study that a folder holds; raises DamagedRun."""
    values = read_json(folder / "study.json")
    try:
        return Study.from_dict(values)
    except (KeyError, TypeError) as error:
        raise DamagedRun(f"{folder / 'study.json'} is not a study: {error!r}.") from error


def conduct(
    study: Study, folder: Path, *, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Do what is left of a study and write its report; returns the report in plain values.

    A run that was interrupted goes on from its last checkpoint, a finished one is left alone, one
    that diverged is kept as such. Results are written anew after every run. Raises MissingExtra
    before anything is run, and Cancelled once a run is cancelled: the study can be gone on with.
    """
    study = study.located()
    study.check_startable()
    from ctviz.jobs.study.report import write_report

    (folder / "runs").mkdir(parents=True, exist_ok=True)
    write_json(folder / "study.json", study.to_dict())
    better = find_task(study.task).judged_by.better
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    trials = study.trials
    for at, trial in enumerate(trials):
        progress(f"run {at + 1} of {len(trials)}: {trial.name}")
        run = _run(study, trial, folder / "runs")
        rows.append(_row(trial, run))
        steps += _steps(trial, run)
        _write(folder / "results.csv", rows)
        _write(folder / "steps.csv", steps)
    rates: dict[str, float] = {}
    for arm in study.arms:
        tried = [row for row in rows if row["arm"] == arm.name]
        try:
            rates[arm.name] = choose_rate(tried, better=better)
        except CtvizError as error:
            log.warning("%s: %s", arm.name, error)
    for row in rows:
        row["chosen"] = rates.get(row["arm"]) == row["rate"]
    table = _write(folder / "results.csv", rows)
    needed = {}
    for trial in trials:
        if study.keeps_weights(trial):
            if rates.get(trial.arm.name) == trial.rate and (
                found := _needed(folder / "runs" / trial.name, progress)
            ):
                needed[trial.arm.name] = found
            shutil.rmtree(folder / "runs" / trial.name / "weights", ignore_errors=True)
    return write_report(study, table, pd.DataFrame(steps), needed, folder)


def _run(study: Study, trial: Trial, parent: Path) -> Run:
    """A run that is there or is made now."""
    folder, config = parent / trial.name, study.config(trial)
    run = _stored(folder)
    if run is not None and run.config.located() != config:
        raise CtvizError(
            f"{folder} is a run with other settings. Give the study another folder with --out."
        )
    status = run.status() if run is not None else None
    done = status is not None and (status.state == "finished" or status.diverged)
    if not done:
        if status is not None and status.live:
            raise CtvizError(f"{folder} is still being run by another process.")
        (folder / "cancel").unlink(missing_ok=True)
        try:
            result = tune.tune(
                config,
                folder,
                loaded=load(config.model, device=config.device, mlp_block=config.mlp_block),
                resume=run is not None,
                first=_first(parent, config),
                keep_model=study.keeps_weights(trial),
            )
            remove_checkpoints(folder)
            if result["state"] == "cancelled":
                raise Cancelled
        except UndefinedMetric as error:
            log.warning("%s: %s", trial.name, error)
    return open_run(str(folder))


def _needed(folder: Path, progress: Callable[[str], None]) -> Causes | None:
    """Which updates a run needed, measured now if it was not yet; None if that cannot be."""
    run = open_run(str(folder))
    if known := read_causes(run, folder.parent):
        return known[max(known)]
    progress(f"which updates were needed: {folder.name}")
    try:
        found = causes(run, device=run.config.device)
    except CtvizError as error:
        log.warning("%s: which updates were needed is not known: %s", folder.name, error)
        return None
    write_causes(run, folder.parent, found)
    return found


def _stored(folder: Path) -> Run | None:
    """The run in a folder; what is no run that can be read is taken away."""
    if not folder.exists():
        return None
    try:
        run = open_run(str(folder))
        run.status()
    except DamagedRun as error:
        log.warning("%s It is started anew.", error)
        shutil.rmtree(folder)
        return None
    return run


def _first(parent: Path, config: TuneConfig) -> Snapshot | None:
    """The untuned model's snapshot from an earlier run that sees the same in it."""
    for folder in sorted(parent.iterdir()):
        try:
            run = open_run(str(folder))
            first = next(run.snapshots(), None)
        except CtvizError:
            continue
        if first is not None and first.step == 0 and _seen(run.config) == _seen(config):
            return first
    return None


def _seen(config: TuneConfig) -> list[Any]:
    return [getattr(config, name) for name in SEEN]


def _row(trial: Trial, run: Run) -> dict[str, Any]:
    """A run in one row; what it did not get to is None."""
    about, metrics = run.about, run.metrics()
    judged, state = about["task"]["judged_by"], run.status().state
    row: dict[str, Any] = {
        "arm": trial.arm.name,
        "rate": trial.rate,
        "seed": trial.seed,
        "state": state,
        "steps": int(metrics["step"].max()),
        "dev_examples": about["examples"],
        "dev_after": None,
        "dev_kl": None,
        "trainable": about["trainable"],
        "trained_fraction": _mean(metrics, "trained_fraction"),
        "seconds_per_step": _median(metrics, "seconds"),
        "chosen": False,
    }
    before, after = about.get("before", {}), about.get("after", {})
    if state == "finished":
        last = metrics.dropna(subset=["metric"]).iloc[-1]
        row["dev_after"] = float(last[judged])
        if "retention_kl" in last:  # else no snapshot measured it
            row["dev_kl"] = float(last["retention_kl"])
    for name in dict.fromkeys([*before, *after]):
        row[f"{name}_before"] = before.get(name)
        row[f"{name}_after"] = after.get(name)
    for name in ("faithfulness", "overlap_since_start"):
        if name in metrics and metrics[name].notna().any():
            row[f"circuit_{name}"] = float(metrics[name].dropna().iloc[-1])
    if "overlap" in metrics and metrics["overlap"].notna().any():
        row["circuit_overlap_between"] = float(metrics["overlap"].dropna().mean())
    for change in about.get("weight_change", []):
        row[f"moved_{change['kind']}_{change['layer']}"] = change["change"]
    return row


def _steps(trial: Trial, run: Run) -> list[dict[str, Any]]:
    """A run's snapshots that have a grade and a distance from the untuned model."""
    metrics, judged = run.metrics(), run.about["task"]["judged_by"]
    if not {judged, "retention_kl"} <= set(metrics):
        return []
    rows = metrics.dropna(subset=[judged, "retention_kl"])
    return [
        {
            "arm": trial.arm.name,
            "rate": trial.rate,
            "seed": trial.seed,
            "step": int(row["step"]),
            "grade": float(row[judged]),
            "kl": float(row["retention_kl"]),
        }
        for row in rows.to_dict("records")
    ]


def _mean(metrics: pd.DataFrame, name: str) -> float | None:
    return float(metrics[name].mean()) if name in metrics else None


def _median(metrics: pd.DataFrame, name: str) -> float | None:
    return float(metrics[name].median()) if name in metrics else None


def _write(file: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    write_bytes(file, table.to_csv(index=False, float_format="%.6g").encode())
    return table
