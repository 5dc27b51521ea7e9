"""The command that makes runs of weights that are there already."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ctviz.cli.estimate import add_dry_run, say_estimate
from ctviz.cli.folders import NOTHING_OVERWRITTEN, add_out, make_folder, out_folder
from ctviz.cli.options import Commands, add_command, add_device
from ctviz.cli.output import INTERRUPTED, answer, quiet_libraries, report
from ctviz.cli.settings import UNASKED, add_named, asked_values
from ctviz.cli.underway import underway
from ctviz.errors import CtvizError
from ctviz.runs import open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.estimate import together
from ctviz.runs.formation import course_of, formation
from ctviz.runs.revisions import of_revisions
from ctviz.runs.series import Series, of_adapters, of_checkpoints, of_models, series_of
from ctviz.tasks import find_task
from ctviz.views.formation import MEANING, formation_words
from ctviz.views.naming import task_name

MEASURED = (  # settings of a run that say what is measured of each member, and how
    *("edges", "attribution", "select", "metric", "threshold", "mlp_block", "ablation"),
    *("examples", "evaluate"),
)


def add_commands(commands: Commands) -> None:
    record = add_command(
        commands,
        "record",
        record_command,
        "Record the circuits of weights that are there: checkpoints, adapters, models, revisions.",
    )
    record.add_argument(
        "--checkpoints", metavar="FOLDER", help="checkpoint-* in it, in the order of their steps"
    )
    record.add_argument(
        "--models", nargs="+", metavar="MODEL", help="one after another: names, folders, hub ids"
    )
    record.add_argument(
        "--adapters", metavar="FOLDER", help="LoRA adapters in it, each merged into --base"
    )
    record.add_argument(
        "--model", metavar="HUB_ID", help="a model whose training is at the hub, by its revisions"
    )
    record.add_argument(
        "--revisions",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of --model, names and patterns: step0 step512, 'step*' (all with a step in the name)",
    )
    record.add_argument(
        "--at-most",
        type=int,
        default=0,
        metavar="N",
        help="so many of the revisions, evenly spread over the logarithm of the step (all)",
    )
    record.add_argument(
        "--keep-downloads",
        action="store_true",
        help="leave downloaded revisions in the hub's cache; else each is let go when recorded",
    )
    record.add_argument(
        "--base", default="", metavar="MODEL", help="what was trained: step 0 of the series"
    )
    record.add_argument(
        "--tokenizer",
        "--model-for-tokenizer",
        default="",
        metavar="MODEL",
        help="whose tokenizer all take; without, each has its own or that of the folder above it",
    )
    record.add_argument(
        "--task",
        action="append",
        metavar="TASK",
        help="see `ctviz tasks`, or a file of examples; several make a run each (sva)",
    )
    add_named(record, MEASURED)
    add_device(record, default=UNASKED)
    record.add_argument("--resume", metavar="RUN", help="go on with a recording")
    add_dry_run(record)
    add_out(record, NOTHING_OVERWRITTEN)


def record_command(options: argparse.Namespace) -> int:
    """Record a series, a run for each task."""
    quiet_libraries()
    from ctviz.jobs.dry_record import dry_record
    from ctviz.jobs.record import record

    if options.resume:
        if options.dry_run:
            raise CtvizError("--dry-run is for a new recording; give it without --resume.")
        run = open_run(options.resume, out_folder(options))
        series, status = series_of(run), run.status()
        if status.live or status.state == "finished":
            said = "still running" if status.live else "finished"
            raise CtvizError(f"{run.id} is {said}; there is nothing to resume.")
        work = [(run.config, run.folder, True)]
    else:
        series = _series(options)
        report(series.words)
        settings = asked_values(options)
        configs = [
            TuneConfig.from_dict({**settings, "model": series.members[0].model, "task": task})
            for task in dict.fromkeys(options.task or ["sva"])
        ]
        parent = out_folder(options)
        work = []
        for config in configs:
            config.check_startable()
        if options.dry_run:
            with underway():
                estimates = [dry_record(series, config, parent) for config in configs]
            return say_estimate(options, together(estimates))
        for config in configs:
            name = f"{find_task(config.task).slug}-{series.slug}-recorded"
            work.append((config, make_folder(parent, name), False))
    results: list[dict[str, Any]] = []
    with underway() as line:

        def progress(done: int, total: int, message: str) -> None:
            line.note = message

        for config, folder, resumed in work:
            if len(work) > 1:
                report(f"{config.task}: {folder.name}")
            results.append(record(series, config, folder, resume=resumed, progress=progress))
            if line.interrupted:
                break
    found = results[0] if len(results) == 1 else {"runs": results}
    lines = [text for each in results for text in _lines(each)]
    runs = [open_run(each["folder"]) for each in results if each["state"] == "finished"]
    if len(results) == len(runs) > 1:
        courses = [course_of(run, task_name(run)) for run in runs]
        found |= {"formation": formation(courses)}
        lines += [formation_words(courses), MEANING]
    answer(options, found, "\n".join(lines))
    return INTERRUPTED if line.interrupted else 0


def _series(options: argparse.Namespace) -> Series:
    given = ("checkpoints", "models", "adapters", "model")
    ways = [name for name in given if getattr(options, name)]
    if len(ways) != 1:
        raise CtvizError(
            "Say what the series is made of: --checkpoints FOLDER, --models A B C, --base M "
            "--adapters FOLDER, or --model HUB_ID --revisions NAME ..."
            f"{' (one of them)' if ways else ''}."
        )
    of_hub = options.revisions or options.at_most or options.keep_downloads
    if of_hub and not options.model:
        raise CtvizError(
            "--revisions, --at-most and --keep-downloads are of a model of the hub: give --model."
        )
    if options.model and options.base:
        raise CtvizError(
            "--base does not go with --model: what stands at step 0 is a revision as well."
        )
    if options.model:
        return of_revisions(
            options.model,
            options.revisions,
            at_most=options.at_most,
            tokenizer=options.tokenizer,
            keep_downloads=options.keep_downloads,
        )
    if options.models and options.base:
        return of_models([options.base, *options.models], tokenizer=options.tokenizer)
    if options.models:
        return of_models(options.models, tokenizer=options.tokenizer)
    if options.checkpoints:
        return of_checkpoints(options.checkpoints, base=options.base, tokenizer=options.tokenizer)
    if not options.base:
        raise CtvizError("--adapters needs --base, the model that they are adapters of.")
    return of_adapters(options.adapters, options.base, tokenizer=options.tokenizer)


def _lines(result: dict[str, Any]) -> list[str]:
    names = result["names"]
    steps = [names.get(str(step), str(step)) for step in result["steps"]]
    lines = [f"{result['state']}: {result['folder']}", f"recorded: {', '.join(steps)}"]
    lines += [f"note: {notice}" for notice in result["notices"]]
    if result["state"] == "finished":
        judged = next(iter(result["after"]))
        before, after = result["before"][judged], result["after"][judged]
        lines.append(f"{judged}: {before:.3f} at first, {after:.3f} at last, on test examples")
        lines.append(f"watch it: ctviz app --out {shlex.quote(str(Path(result['folder']).parent))}")
    return lines
