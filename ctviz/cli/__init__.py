"""The command line: the engine without a browser.

Results go to standard output (one JSON object with ``--json``), progress and logs to standard
error. torch is imported only by the commands that compute.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from ctviz.cli.parser import build_parser
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
