"""The command that measures which updates of a run were needed."""

from __future__ import annotations

import argparse
from typing import Any

from ctviz import paths
from ctviz.cli.estimate import add_dry_run, say_estimate
from ctviz.cli.folders import add_out, out_folder
from ctviz.cli.options import Commands, add_command, add_device, seed
from ctviz.cli.output import answer, quiet_libraries, report
from ctviz.cli.underway import underway
from ctviz.runs import open_run
from ctviz.runs.cause_sentence import cause_sentence
from ctviz.runs.causes import Causes, read_causes, write_causes
from ctviz.views.causes import cause_lines
from ctviz.views.estimated import estimate_lines


def add_commands(commands: Commands) -> None:
    causes = add_command(
        commands,
        "causes",
        causes_command,
        "Measure which of a run's updates were needed: each one taken back, and put in alone.",
    )
    causes.add_argument("run_name", metavar="RUN", help="its id, or its folder")
    causes.add_argument(
        "--step", type=int, help="a step whose weights were kept (the last of them)"
    )
    causes.add_argument(
        "--examples",
        type=int,
        default=32,
        help="dev examples on which nodes are chosen, and test examples that check it (32)",
    )
    causes.add_argument(
        "--share",
        type=float,
        default=0.95,
        help="of the gain that the needed updates have to carry (0.95)",
    )
    causes.add_argument("--draws", type=int, default=5, help="random sets beside them (5)")
    causes.add_argument("--seed", type=seed, default=0, help="of the random sets (0)")
    add_device(causes)
    add_dry_run(causes)
    add_out(causes, "folder with the runs")


def causes_command(options: argparse.Namespace) -> int:
    """Measure it, and keep the result with the run."""
    from ctviz.jobs.causes import Settings, causes, estimate_causes, measured_step

    settings = Settings(
        examples=options.examples, share=options.share, draws=options.draws, seed=options.seed
    )
    run, mine = open_run(options.run_name, out_folder(options), paths.shipped_runs()), paths.runs()
    step = measured_step(run, options.step)
    problems: list[str] = []
    read_causes(run, mine, problems)
    for problem in problems:
        report(problem)
    quiet_libraries()
    with underway() as line:
        if options.dry_run:
            return say_estimate(
                options, estimate_causes(run, step=step, settings=settings, device=options.device)
            )

        def tell(estimate: Any) -> None:
            line.clear()
            report("\n".join(estimate_lines(estimate)))

        found = causes(run, step=step, settings=settings, device=options.device, tell=tell)
    file = write_causes(run, mine, found)
    result = _plain(found) | {"run": run.id, "file": str(file)}
    lines = cause_lines(found, recorded=run.config.method == "recorded")
    return answer(options, result, "\n".join([*lines, f"kept in {file}"]))


def _plain(found: Causes) -> dict[str, Any]:
    """The result, its main numbers first."""
    return {
        "sentence": cause_sentence(found),
        "learned": found.learned,
        "needed_fraction": found.needed_fraction,
        "updated_fraction": found.updated_fraction,
        "gain_carried": found.gain_carried,
        "random_gain_carried": found.random_gain_carried,
        "random_range": found.random_range,
        "needed_nodes": found.needed_nodes,
        "idle_nodes": found.idle_nodes,
        "idle_does_nothing": found.idle_does_nothing,
        **found.plain(),
    }
