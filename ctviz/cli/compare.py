"""The command that says what the second of two models does differently."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ctviz.cli.folders import NOTHING_OVERWRITTEN, add_out, make_folder, out_folder
from ctviz.cli.options import Commands, add_command, add_device
from ctviz.cli.output import INTERRUPTED, answer, quiet_libraries, report
from ctviz.cli.record import MEASURED
from ctviz.cli.settings import UNASKED, add_named, asked_values
from ctviz.cli.underway import underway
from ctviz.errors import CtvizError
from ctviz.extras import need
from ctviz.files import write_bytes
from ctviz.runs import Run, open_run
from ctviz.runs.config import TuneConfig
from ctviz.runs.difference import Difference, read_difference, write_difference
from ctviz.runs.series import Series, of_models, series_of
from ctviz.tasks import find_task
from ctviz.views.difference import claim_sentence, difference_sentences

REPORT = "difference.html"


def add_commands(commands: Commands) -> None:
    compare = add_command(
        commands,
        "compare",
        compare_command,
        "What the second of two models does differently on a task, checked, as a report.",
    )
    compare.add_argument(
        "models", nargs="*", metavar="MODEL", help="two: names, folders, hub ids; A, then B"
    )
    compare.add_argument("--task", default="sva", help="see `ctviz tasks`, or a file (sva)")
    compare.add_argument(
        "--tokenizer", default="", metavar="MODEL", help="whose tokenizer both take"
    )
    compare.add_argument(
        "--run",
        dest="recording",
        metavar="RUN",
        help="a recording that is there: its first model and its last; goes on with an unfinished "
        "one",
    )
    add_named(compare, MEASURED)
    add_device(compare, default=UNASKED)
    add_out(compare, NOTHING_OVERWRITTEN)


def compare_command(options: argparse.Namespace) -> int:
    """Record both, measure what differs, and write the report beside the recording."""
    need("pictures", "The report on two models")
    quiet_libraries()
    from ctviz.export.difference import difference_report

    run, found = _recorded(options) if options.recording else _made(options)
    if found is None:
        return INTERRUPTED
    page = run.folder / REPORT
    write_bytes(page, difference_report(run, found).encode())
    result = _plain(run, found) | {"run": run.id, "folder": str(run.folder), "report": str(page)}
    lines = [*result["sentences"], *result["claims_in_words"]]
    lines += [f"note: {notice}" for notice in run.status().notices]
    return answer(options, result, "\n".join([*lines, f"report: {page}"]))


def _made(options: argparse.Namespace) -> tuple[Run, Difference | None]:
    """Record the two models that are asked for and measure them."""
    if len(options.models) != 2:
        raise CtvizError(
            f"Two models are compared, and {len(options.models)} "
            f"{'is' if len(options.models) == 1 else 'are'} given: ctviz compare A B --task T. "
            "Each is a short name, a hub id or a folder."
        )
    series = of_models(options.models, tokenizer=options.tokenizer)
    first = series.members[0].model
    asked = asked_values(options) | {"model": first, "task": options.task}
    config = TuneConfig.from_dict(asked)
    config.check_startable()
    name = f"{find_task(config.task).slug}-{series.slug}-compared"
    return _measured(series, config, make_folder(out_folder(options), name))


def _recorded(options: argparse.Namespace) -> tuple[Run, Difference | None]:
    """Measure a recording that is there, once it is finished."""
    from ctviz.jobs.difference import difference

    if options.models:
        raise CtvizError("Give two models, or a recording with --run, and not both.")
    run = open_run(options.recording, out_folder(options))
    series, status = series_of(run), run.status()
    if status.live:
        raise CtvizError(f"{run.id} is still running.")
    if status.state != "finished":
        return _measured(series, run.config, run.folder, resume=True)
    with underway():
        device = getattr(options, "device", run.config.device)
        found = difference(run, device=device)
    write_difference(run, found)
    return run, found


def _measured(
    series: Series, config: TuneConfig, folder: Path, *, resume: bool = False
) -> tuple[Run, Difference | None]:
    """None where it was interrupted, which is said; raises CtvizError if it cannot be measured."""
    from ctviz.jobs.record import record

    with underway() as line:

        def progress(done: int, total: int, message: str) -> None:
            line.note = message

        outcome = record(series, config, folder, compared=True, resume=resume, progress=progress)
    run = open_run(str(folder))
    found = read_difference(run)
    if outcome["state"] == "cancelled":
        report(f"cancelled; go on with: ctviz compare --run {shlex.quote(str(folder))}")
    elif found is None:
        raise CtvizError(" ".join(run.status().notices) or f"{run.id} was not compared.")
    return run, found


def _plain(run: Run, found: Difference) -> dict[str, Any]:
    """The result, what a person reads first."""
    return {
        "sentences": difference_sentences(run, found),
        "claims_in_words": [claim_sentence(found, each) for each in found.claims],
        **found.plain(),
    }
