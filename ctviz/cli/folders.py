"""The folder that a command writes its result into."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.runs import new_folder

NOTHING_OVERWRITTEN = "folder in which the result gets a folder of its own; nothing is overwritten"


def add_out(made: argparse.ArgumentParser, text: str) -> None:
    made.add_argument("--out", metavar="FOLDER", help=f"{text} (default: ./ctviz-runs)")


def out_folder(options: argparse.Namespace) -> Path:
    return Path(options.out).expanduser() if options.out else paths.runs()


def make_folder(out: Path, name: str) -> Path:
    try:
        return new_folder(out, name)
    except OSError as error:
        if isinstance(error, CtvizError):
            raise
        raise CtvizError(
            f"No folder can be made in {out}: {error.strerror}. Give another one with --out."
        ) from error


@contextmanager
def result_folder(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """A new folder for a result; what was made for it and stays empty is taken away again."""
    out = out_folder(options)
    made = [place for place in (out, *out.parents) if not place.exists()]
    folder = make_folder(out, name)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty: it stays
            for place in (folder, *made):
                place.rmdir()
        raise
