"""Run the engine: questions on standard input, answers on what was standard output.

What libraries print, even while they are imported, goes to standard error instead.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Answer until the questions end."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            from ctviz.serving.engine import serve

            serve(sys.stdin.buffer, answers)
        except (KeyboardInterrupt, BrokenPipeError):  # the page ended
            return


if __name__ == "__main__":
    main()
