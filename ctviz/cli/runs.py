"""Commands that make a run by tuning, list the runs, and show one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ctviz import paths
from ctviz.circuits.selection import check_edges
from ctviz.cli.estimate import add_dry_run, say_estimate
from ctviz.cli.folders import NOTHING_OVERWRITTEN, add_out, make_folder, out_folder
from ctviz.cli.options import Commands, add_command, seed
from ctviz.cli.output import INTERRUPTED, answer, give_or_take, quiet_libraries, signed
from ctviz.cli.settings import UNASKED, add_settings, asked_settings, usual
from ctviz.cli.underway import underway
from ctviz.errors import CtvizError, DamagedRun
from ctviz.runs import Run, list_runs, open_run
from ctviz.runs.abilities import abilities_of
from ctviz.runs.config import METHODS, TuneConfig
from ctviz.runs.monotone import RULE
from ctviz.runs.notes import delete_run, read_notes, write_notes
from ctviz.tasks import find_task
from ctviz.views.run_list import found, listed

SHOWN = 8  # edges of a list
COLUMNS = (
    *("step", "metric", "accuracy", "faithfulness", "random_faithfulness", "retention_kl"),
    *("prefix_matching", "copying"),
)


def add_commands(commands: Commands) -> None:
    tune = add_command(
        commands, "tune", tune_command, "Tune a model, recording its circuit as it changes."
    )
    add_settings(tune)
    tune.add_argument("--method", choices=METHODS, default=UNASKED, help=usual("method"))
    tune.add_argument("--learning-rate", type=float, default=UNASKED, help=usual("learning_rate"))
    tune.add_argument("--seed", type=seed, default=UNASKED, help="seed of every draw (0)")
    tune.add_argument(
        "--keep-weights",
        type=int,
        default=UNASKED,
        help="snapshots that keep their weights, evenly spread, the last one always; -1: as many "
        "as fit into 200 MB; 0: none (-1)",
    )
    add_dry_run(tune)
    tune.add_argument("--resume", metavar="RUN", help="go on with a run; its own settings hold")
    add_out(tune, NOTHING_OVERWRITTEN)

    runs = add_command(commands, "runs", runs_command, "List the runs, damaged ones included.")
    add_out(runs, "folder with the runs")
    runs.add_argument("--search", metavar="WORDS", default="", help="only runs with these words")
    runs.add_argument("--archived", action="store_true", help="also those that were put away")

    show = add_command(commands, "show", show_command, "Show one run in numbers.")
    show.add_argument("name", metavar="RUN", help="its id, or its folder")
    add_out(show, "folder with the runs")

    note = add_command(
        commands, "note", note_command, "Give a run a title, tags or a note, or put it away."
    )
    note.add_argument("name", metavar="RUN", help="its id, or its folder")
    note.add_argument("--title", help="what it is called in lists; '' for its own name again")
    note.add_argument("--tags", metavar="A,B", help="all its tags, with commas between")
    note.add_argument("--note", help="what there is to say about it")
    away = note.add_mutually_exclusive_group()
    away.add_argument("--archive", dest="archived", action="store_true", default=None)
    away.add_argument("--take-back", dest="archived", action="store_false", default=None)
    add_out(note, "folder with the runs")

    delete = add_command(commands, "delete", delete_command, "Take a run off the disk for good.")
    delete.add_argument("name", metavar="RUN", help="its id, or its folder")
    delete.add_argument("--yes", action="store_true", help="do not ask once more")
    add_out(delete, "folder with the runs")


def tune_command(options: argparse.Namespace) -> int:
    """Tune a model, from the start or from where a run stopped."""
    resumed = open_run(options.resume, out_folder(options)) if options.resume else None
    if resumed is not None and resumed.status().live:
        raise CtvizError(f"{resumed.id} is still running; there is nothing to resume.")
    if resumed is not None and resumed.status().state == "finished":
        raise CtvizError(f"{resumed.id} is finished; there is nothing to resume.")
    config = resumed.config if resumed else TuneConfig(**asked_settings(options))
    config.check_startable()
    task = find_task(config.task)
    quiet_libraries()
    from ctviz.jobs import tune
    from ctviz.models.loading import load, pick_device
    from ctviz.models.memory import free_memory
    from ctviz.runs.least_memory import check_blocks, check_tunable

    check_blocks(config)
    if options.dry_run:
        if resumed:
            raise CtvizError("--dry-run is for a new run; give it without --resume.")
        from ctviz.jobs.dry_run import dry_tune

        with underway():
            return say_estimate(options, dry_tune(config, out_folder(options)))
    check_tunable(config, free_memory(pick_device(config.device)))

    with underway() as line:

        def progress(step: int, steps: int, message: str) -> None:
            line.note = message

        loaded = load(config.model, device=config.device, mlp_block=config.mlp_block)
        check_edges(loaded.anatomy.graph, config.edges, hint=f"({loaded.name})")
        name = f"{task.slug}-{Path(config.model).name.lower()}-{config.method}"
        if resumed:
            resumed.announce()
        folder = resumed.folder if resumed else make_folder(out_folder(options), name)
        result = tune.tune(
            config, folder, loaded=loaded, progress=progress, resume=resumed is not None
        )
    answer(options, result, "\n".join(_outcome_lines(result)))
    return INTERRUPTED if line.interrupted else 0


def runs_command(options: argparse.Namespace) -> int:
    mine = out_folder(options)
    there = list_runs(mine, paths.shipped_runs())
    damaged = [run for run in there if isinstance(run, DamagedRun)]
    runs = {run.id: run for run in there if isinstance(run, Run)}
    notes = {}
    for name, run in runs.items():
        try:
            notes[name] = read_notes(run, mine)
        except DamagedRun as error:
            damaged.append(error)
    rows: list[dict[str, Any]] = []
    lines = []
    listing = listed(runs.values(), (), notes)
    for each in found(listing, text=options.search, archived=options.archived):
        said = each.notes
        row = _summary(runs[each.id]) | asdict(said)
        rows.append(row)
        more = [said.title, *(f"[{tag}]" for tag in said.tags), "archived" * said.archived]
        line = f"{row['state']:12} {row['run']}  ({row['step']} of {row['steps']} steps)"
        lines.append("  ".join(filter(None, (line, *more))))
    for problem in damaged:
        rows.append({"state": "damaged", "error": str(problem)})
        lines.append(f"{'damaged':12} {problem}")
    if not rows:
        lines = ["There are no runs yet. `ctviz tune --task sva-flip` makes one."]
        if runs:
            lines = ["No run has all of these words."]
    return answer(options, {"runs": rows}, "\n".join(lines))


def note_command(options: argparse.Namespace) -> int:
    """Change what is said about a run; what is not given stays as it was."""
    mine = out_folder(options)
    run = open_run(options.name, mine, paths.shipped_runs())
    tags = None if options.tags is None else tuple(options.tags.split(","))
    given = {
        "title": options.title,
        "tags": tags,
        "note": options.note,
        "archived": options.archived,
    }
    known = read_notes(run, mine)
    notes = replace(known, **{key: value for key, value in given.items() if value is not None})
    write_notes(run, mine, notes)
    kept = read_notes(run, mine)
    lines = [
        f"{key}: {value}" for key, value in (asdict(kept) | {"tags": ", ".join(kept.tags)}).items()
    ]
    return answer(options, {"run": run.id, **asdict(kept)}, "\n".join(lines))


def delete_command(options: argparse.Namespace) -> int:
    run = open_run(options.name, out_folder(options), paths.shipped_runs())
    if not options.yes:
        if not sys.stdin.isatty():
            raise CtvizError(f"{run.folder} would be gone for good; give --yes to delete it.")
        if input(f"Delete {run.folder} for good? [y/N] ").strip().lower() not in ("y", "yes"):
            return answer(options, {"deleted": None}, "Nothing was deleted.")
    delete_run(run)
    return answer(options, {"deleted": run.id}, f"{run.id} is deleted.")


def show_command(options: argparse.Namespace) -> int:
    run = open_run(options.name, out_folder(options), paths.shipped_runs())
    damaged: list[DamagedRun] = []
    steps = [snapshot.step for snapshot in run.snapshots(damaged=damaged)]
    metrics = run.metrics()
    rows = metrics.astype(object).where(metrics.notna(), None).to_dict("records")
    result = _summary(run) | {
        "about": run.about,
        "snapshots": steps,
        "damaged": [str(error) for error in damaged],
        "metrics": rows,
        "monotone": run.monotone().to_dict("records"),
    }
    measured = metrics.dropna(subset=["metric"]) if "metric" in metrics else metrics
    columns = [column for column in COLUMNS if column in measured]
    text = f"{run.folder}\n{run.status().state}: {run.status().message}\n"
    if columns:
        text += measured[columns].to_string(index=False, float_format=lambda x: f"{x:.3f}")
    lines = [*_monotone_lines(result["monotone"]), *_ability_lines(run.about)]
    text += "".join(f"\n{line}" for line in lines)
    text += "".join(f"\ndamaged: {error}" for error in damaged)
    return answer(options, result, text)


def _monotone_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The edges that only strengthened or weakened, as many as fit, and by what rule."""
    if not rows:
        return []
    stronger = sum(row["direction"] == "strengthened" for row in rows)
    lines = [
        f"edges of the circuit that only strengthened: {stronger}; that only weakened: "
        f"{len(rows) - stronger}",
        f"  {RULE}",
    ]
    for row in rows[:SHOWN]:
        lines.append(
            f"  {row['edge']} {row['direction']}, {signed(row['first'])} to {signed(row['last'])}"
        )
    more = len(rows) - SHOWN
    return [*lines, f"  and {more} more (--json)"] if more > 0 else lines


def _ability_lines(about: Mapping[str, Any]) -> list[str]:
    """What lm-evaluation-harness measured of the untuned model, and of the tuned one."""
    lines = []
    for ability in abilities_of(about):
        said = f"{ability.before:.4g}{give_or_take(ability.before_error)} before"
        if ability.after is not None:
            said += f", {ability.after:.4g}{give_or_take(ability.after_error)} after"
        lines.append(f"lm-eval, {ability.name}: {said}")
    return lines


def _outcome_lines(result: dict[str, Any]) -> list[str]:
    if result["state"] == "cancelled":
        said = f"cancelled at step {result['steps']}; what was recorded until then can be played"
        return [said, f"to go on: ctviz tune --resume {result['folder']}"]
    judged, moved = result["judged_by"], result["outside_moved"]
    before, after = result["before"], result["after"]
    lines = [
        f"metric on {result['metric_on']}: {result['metric_before']:+.3f} before, "
        f"{result['metric_after']:+.3f} after {result['steps']} steps",
        f"{judged.replace('_', ' ')} on {before['test_examples']} test examples: "
        f"{before[judged]:.3f} before, {after[judged]:.3f} after",
        f"elsewhere: KL {after['retention_kl']:.4f} nats a token from the untuned model",
    ]
    if "perplexity" in after:
        lines.append(
            f"perplexity of general English: {before['perplexity']:.4g} before, "
            f"{after['perplexity']:.4g} after"
        )
    if "other_accuracy" in after:
        lines.append(
            f"other tasks: accuracy {before['other_accuracy']:.3f} before, "
            f"{after['other_accuracy']:.3f} after"
        )
    lines += _ability_lines(result)
    trained = f"trained: {result['trained_fraction']:.1%} of the parameters a step"
    if moved is not None:
        trained += f"; parts outside that moved: {moved}"
    notices = [f"notice: {text}" for text in result["notices"]]
    return [*lines, trained, *notices, f"run: {result['folder']}"]


def _summary(run: Run) -> dict[str, Any]:
    status, config = run.status(), run.config
    return {
        "run": run.id,
        "folder": str(run.folder),
        "state": status.state,
        "step": status.step,
        "steps": status.steps,
        "message": status.message,
        "model": config.model,
        "task": config.task,
        "method": config.method,
    }
