"""Run ctviz as a person or a script does: a process of its own, in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def ctviz(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ctviz.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done
