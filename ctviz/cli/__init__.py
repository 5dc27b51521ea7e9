"""The command line: the engine without a browser.

Results go to standard output (one JSON object with ``--json``), progress and logs to standard
error. torch is imported only by the commands that compute.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ctviz import __version__
from ctviz.cli import app, bench, check, circuits, export, models, runs, studies, tasks
from ctviz.errors import CtvizError

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error that is explained, 2 for usage."""
    options = build_parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)  # runs log more than this into their own files
    try:
        return options.run(options)
    except CtvizError as error:
        print(f"ctviz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ctviz: stopped; what was written so far stays readable.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each module adds its own."""
    parser = argparse.ArgumentParser(
        prog="ctviz",
        description="Find a language model's circuit, tune only that circuit, watch it change.",
    )
    parser.add_argument("--version", action="version", version=f"ctviz {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (models, tasks, check, circuits, runs, export, studies, bench, app):
        module.add_commands(commands)
    return parser
