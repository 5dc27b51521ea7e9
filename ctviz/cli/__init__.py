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
from ctviz.cli import doctor
from ctviz.cli.options import Commands
from ctviz.cli.output import INTERRUPTED
from ctviz.errors import CtvizError
from ctviz.progress import Cancelled

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error that is explained, 2 for usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # what doctor looks for may be what the other commands cannot be imported without
        parser = doctor_parser() if arguments[:1] == ["doctor"] else build_parser()
        options = parser.parse_args(arguments)
        _log_to_stderr(logging.INFO if options.verbose else logging.WARNING)
        return int(options.run(options))
    except CtvizError as error:
        print(f"ctviz: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        if (error.name or "").startswith("ctviz"):
            raise
        print(f"ctviz: {error}. `ctviz doctor` says how to fix it.", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Cancelled):
        print("ctviz: stopped; what was written so far stays readable.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(level=level, stream=sys.stderr, format="%(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)  # runs log more than this into their own files


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each module adds its own."""
    from ctviz.cli import (
        app,
        bench,
        causes,
        check,
        circuits,
        compare,
        export,
        models,
        record,
        runs,
        studies,
        tasks,
    )

    parser, commands = _start_parser()
    for module in (
        models,
        tasks,
        check,
        circuits,
        runs,
        record,
        compare,
        causes,
        export,
        studies,
        bench,
        app,
        doctor,
    ):
        module.add_commands(commands)
    return parser


def doctor_parser() -> argparse.ArgumentParser:
    """The parser of `ctviz doctor` alone, for a machine where the others cannot be imported."""
    parser, commands = _start_parser()
    doctor.add_commands(commands)
    return parser


def _start_parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = argparse.ArgumentParser(
        prog="ctviz",
        description="Find a language model's circuit, tune only that circuit, watch it change.",
    )
    parser.add_argument("--version", action="version", version=f"ctviz {__version__}")
    return parser, parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
