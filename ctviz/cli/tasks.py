"""The command that lists the tasks, or explains one."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ctviz import paths
from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer
from ctviz.tasks import TASKS, Task, find_task


def add_commands(commands: Commands) -> None:
    tasks = add_command(
        commands, "tasks", tasks_command, "List the tasks, or explain one with examples."
    )
    tasks.add_argument("name", nargs="?")


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
                f"{model}: {task.judged_by.name} {found['grade']:.2f} on {found['examples']} dev "
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
    found: dict[str, Any] = json.loads((paths.data() / "tasks.json").read_text(encoding="utf-8"))
    return found


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
