"""What a job will take, asked for with --dry-run."""

from __future__ import annotations

import argparse

from ctviz.cli.output import answer
from ctviz.runs.estimate import Estimate
from ctviz.views.estimated import estimate_lines

__all__ = ["add_dry_run", "say_estimate"]


def add_dry_run(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="measure a little of it, say how much time, memory and disk it will take, and leave "
        "nothing behind",
    )


def say_estimate(options: argparse.Namespace, estimate: Estimate) -> int:
    """Print it; the exit code is 1 if something does not suffice."""
    answer(options, estimate.plain(), "\n".join(estimate_lines(estimate)))
    return 1 if estimate.problems else 0
