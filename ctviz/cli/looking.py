"""Commands that list and show, without torch."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from ctviz import paths
from ctviz.cli.common import answer, out_folder, quiet_libraries, summary
from ctviz.errors import CtvizError, DamagedRun
from ctviz.models.families import FAMILIES
from ctviz.models.known import KNOWN
from ctviz.runs import list_runs, open_run
from ctviz.tasks import TASKS, Task, find_task


def models_command(options: argparse.Namespace) -> int:
    if options.families:
        families = [{"model_type": f.model_type, "title": f.title} for f in FAMILIES.values()]
        lines = [f"{row['model_type']:14} {row['title']}" for row in families]
        return answer(options, {"families": families}, "\n".join(lines))
    if options.action == "fetch":
        quiet_libraries()
        from ctviz.models.loading import fetch

        folder = fetch(options.name)
        return answer(options, {"model": options.name, "folder": str(folder)}, f"{folder}")
    if options.action == "train-tiny":
        from ctviz.models.tiny.train import train

        folder = Path(options.out)
        if (folder / "model.safetensors").exists():
            raise CtvizError(f"{folder} already holds a model. Give another folder with --out.")
        logging.getLogger("ctviz").setLevel(logging.INFO)
        card = train(folder, seed=options.seed)
        return answer(options, {"folder": str(folder), "card": card}, f"{folder}")
    known = [
        {
            "name": model.key,
            "title": model.title,
            "parameters": model.parameters,
            "ready": model.ready,
            "hub": model.hub,
        }
        for model in KNOWN.values()
    ]
    lines = [
        f"{row['name']:14} {'ready' if row['ready'] else 'not fetched':12} {row['title']}"
        for row in known
    ]
    lines.append("Any other supported model: by hub id (owner/name) or local folder.")
    return answer(options, {"models": known}, "\n".join(lines))


def tasks_command(options: argparse.Namespace) -> int:
    """List the tasks with size, source and who does them, or explain one."""
    if options.name:
        return _explain(options, find_task(options.name))
    known = _abilities()
    rows = [_task_row(task, known) for task in TASKS.values()]
    lines = [
        f"{'task':16} {'judged by':12} {'train/dev/test':15} {'source':10} done above chance by"
    ]
    for row in rows:
        sizes = "/".join(
            f"{n}{'+' if n >= known['enough'][split] else ''}" for split, n in row["sizes"].items()
        )
        able = ", ".join(row["above_chance"]) or "none of the models measured"
        if row["judged_by"] == "bias":
            able = "has no chance level"
        lines.append(f"{row['name']:16} {row['judged_by']:12} {sizes:15} {row['source']:10} {able}")
        levels = f"; levels: {', '.join(row['levels'])}" if row["levels"] else ""
        lines.append(f"{'':16} {row['title']}: {row['aim']}{levels}")
    lines.append(
        "`ctviz tasks NAME` explains one; NAME:LEVEL is another difficulty. A file of your"
    )
    lines.append("own is a task too: `ctviz check FILE`.")
    return answer(options, {"tasks": rows}, "\n".join(lines))


def _explain(options: argparse.Namespace, task: Task) -> int:
    known = _abilities()
    row = _task_row(task, known)
    lines = [
        task.title,
        task.explanation,
        f"aim: {task.aim}",
        f"metric: {task.metric}",
        f"judged by {task.judged_by.name} ({task.judged_by.better} is better): "
        f"{task.judged_by.text}",
    ]
    for level in task.levels:
        here = " (this one)" if level.key == task.level else ""
        lines.append(f"level {level.key}{here}: {level.text}")
    if task.shared:
        lines.append(f"shared between train, dev and test: {task.shared}")
    for model, found in row["models"].items():
        if found:
            guess = "" if found["guess"] is None else f", guessing {found['guess']:.2f}"
            lines.append(
                f"{model}: {task.judged_by.name} {found['score']:.2f} on {found['examples']} dev "
                f"examples{guess}"
            )
    lines.append("examples:")
    for example in task.examples(3, split="dev"):
        lines.append(f"  {example.prompt!r} -> {example.target!r}")
        if example.pair:
            p = example.pair
            lines.append(f"    clean   {p.clean!r}: {p.answer!r}, not {p.foil!r}")
            lines.append(f"    corrupt {p.corrupt!r}")
    return answer(options, {"tasks": [row]}, "\n".join(lines))


def _abilities() -> dict[str, Any]:
    """What `ctviz bench tasks` has measured for the built-in tasks."""
    return json.loads((paths.data() / "tasks.json").read_text(encoding="utf-8"))


def _task_row(task: Task, known: dict[str, Any]) -> dict[str, Any]:
    """A task in plain values; models are those that do its usual level above chance."""
    found = known["tasks"].get(task.name, {"sizes": {}, "models": {}})
    return {
        "name": task.key,
        "level": task.level,
        "title": task.title,
        "kind": task.kind,
        "metric": task.metric,
        "aim": task.aim,
        "judged_by": task.judged_by.name,
        "better": task.judged_by.better,
        "levels": [level.key for level in task.levels],
        "source": task.source.text,
        "sizes": found["sizes"],
        "above_chance": [model for model, row in found["models"].items() if row.get("above")],
        "models": found["models"],
    }


def runs_command(options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    lines = []
    for run in list_runs(out_folder(options), paths.shipped_runs()):
        if isinstance(run, DamagedRun):
            rows.append({"state": "damaged", "error": str(run)})
            lines.append(f"{'damaged':12} {run}")
            continue
        row = summary(run)
        rows.append(row)
        lines.append(f"{row['state']:12} {row['run']}  ({row['step']} of {row['steps']} steps)")
    if not rows:
        lines = ["There are no runs yet. `ctviz tune --task sva-flip` makes one."]
    return answer(options, {"runs": rows}, "\n".join(lines))


def show_command(options: argparse.Namespace) -> int:
    run = open_run(options.name, out_folder(options), paths.shipped_runs())
    damaged: list[DamagedRun] = []
    steps = [snapshot.step for snapshot in run.snapshots(damaged=damaged)]
    metrics = run.metrics()
    rows = metrics.astype(object).where(metrics.notna(), None).to_dict("records")
    result = summary(run) | {
        "about": run.about,
        "snapshots": steps,
        "damaged": [str(error) for error in damaged],
        "metrics": rows,
    }
    measured = metrics.dropna(subset=["metric"]) if "metric" in metrics else metrics
    columns = [
        c
        for c in (
            "step",
            "metric",
            "accuracy",
            "faithfulness",
            "random_faithfulness",
            "retention_kl",
        )
        if c in measured
    ]
    text = f"{run.folder}\n{run.status().state}: {run.status().message}\n"
    if columns:
        text += measured[columns].to_string(index=False, float_format=lambda x: f"{x:.3f}")
    text += "".join(f"\ndamaged: {error}" for error in damaged)
    return answer(options, result, text)


def app_command(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "streamlit", "run", str(paths.app())]
    command += ["--server.address", "127.0.0.1", "--server.port", str(options.port)]
    command += ["--server.headless", "true" if options.headless else "false"]
    environment = {**os.environ, "CTVIZ_RUNS": str(out_folder(options).resolve())}
    print(f"ctviz runs at http://127.0.0.1:{options.port} until you press Ctrl+C.", flush=True)
    os.execve(sys.executable, command, environment)  # becomes the server: ending it ends all
