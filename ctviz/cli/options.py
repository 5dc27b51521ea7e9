"""How a command and its options come into the parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """A command with the options that every command has; ``run`` returns the exit code."""
    made = commands.add_parser(name, help=text, description=text)
    made.set_defaults(run=run)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument("--verbose", action="store_true", help="log to standard error")
    return made


def add_device(made: argparse.ArgumentParser, *, default: str = "auto") -> None:
    made.add_argument("--device", default=default, help="auto, cpu, cuda or mps (auto)")


def seed(text: str) -> int:
    """A seed as all random generators here take it."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)
