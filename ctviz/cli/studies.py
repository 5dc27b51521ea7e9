"""The command that compares tuning methods on one task."""

from __future__ import annotations

import argparse
from pathlib import Path

from ctviz.cli.folders import NOTHING_OVERWRITTEN, add_out, make_folder, out_folder
from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer, quiet_libraries, report
from ctviz.cli.settings import add_settings, asked_settings
from ctviz.cli.underway import underway
from ctviz.errors import CtvizError
from ctviz.jobs.study.plan import RATES, Arm, Study
from ctviz.runs.config import METHODS
from ctviz.tasks import find_task


def add_commands(commands: Commands) -> None:
    study = add_command(
        commands, "study", study_command, "Compare tuning methods on a task, with a report."
    )
    add_settings(study)
    study.add_argument(
        "--methods",
        default="circuit,full,lora,random",
        help=f"of {', '.join(METHODS)}, with commas between (circuit,full,lora,random); the first "
        "is compared with the others",
    )
    study.add_argument(
        "--arm",
        action="append",
        default=[],
        metavar="NAME=METHOD,SETTING=VALUE,...",
        help="a method with settings of its own, such as whole=circuit,mlp_block=0,edges=100, and "
        "rates and seeds of its own as rates=1e-5/3e-5,seeds=2; may be given several times, and "
        "comes after the methods",
    )
    study.add_argument("--seeds", type=int, default=3, help="runs an arm and rate (3)")
    study.add_argument(
        "--rates",
        help="learning rates at which each is run, ten times as large for lora "
        f"({','.join(f'{rate:g}' for rate in RATES)})",
    )
    study.add_argument(
        "--causes",
        action="store_true",
        help="also measure which updates the chosen runs needed (see `ctviz causes`)",
    )
    study.add_argument("--resume", metavar="FOLDER", help="go on with a study")
    add_out(study, NOTHING_OVERWRITTEN)


def study_command(options: argparse.Namespace) -> int:
    """Compare methods on one task."""
    if options.resume:
        folder = Path(options.resume).expanduser()
        quiet_libraries()
        from ctviz.jobs.study.conduct import conduct, open_study

        study = open_study(folder)
        study.check_startable()
    else:
        settings = asked_settings(options)
        study = Study(
            model=settings.pop("model"),
            task=settings.pop("task"),
            arms=tuple(map(Arm.parse, [*filter(None, options.methods.split(",")), *options.arm])),
            seeds=options.seeds,
            rates=_rates(options.rates),
            settings=settings,
            causes=options.causes,
        )
        study.check_startable()
        quiet_libraries()
        from ctviz.jobs.study.conduct import conduct

        name = f"study-{find_task(study.task).slug}-{Path(study.model).name.lower()}"
        folder = make_folder(out_folder(options), name)
    with underway():
        result = conduct(study, folder, progress=report)
    lines = [*result["summary"], f"report: {result['report']}", f"results: {result['results']}"]
    return answer(options, result, "\n".join(lines))


def _rates(text: str | None) -> tuple[float, ...]:
    if text is None:
        return RATES
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CtvizError(
            f"--rates is {text!r}, but must be learning rates with commas between: 3e-5,1e-4."
        ) from None
