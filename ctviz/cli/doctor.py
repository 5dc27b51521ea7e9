"""The command that says what works on this machine, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import platform
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ctviz import __version__
from ctviz.cli.installation import Installation, examine
from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer, size

MARGIN = 10  # characters


def add_commands(commands: Commands) -> None:
    add_command(
        commands,
        "doctor",
        doctor_command,
        "Say what works on this machine, what is missing, and the commands that fix it.",
    )


def doctor_command(options: argparse.Namespace) -> int:
    """Returns 0 if the commands and the app work, whichever optional parts are missing."""
    found = examine()
    result: dict[str, Any] = {
        "works": found.works,
        "ctviz": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "device": found.found("engine", "device"),
        "devices": found.found("engine", "devices"),
        "chromium": found.found("browser", "chromium"),
        "packages": [asdict(package) for package in found.packages],
        "models": [asdict(model) for model in found.models],
        "folders": {name: asdict(folder) for name, folder in found.folders.items()},
        "faults": [asdict(fault) for fault in found.faults],
    }
    answer(options, result, "\n".join(_lines(found, result)))
    return 0 if found.works else 1


def _lines(found: Installation, result: dict[str, Any]) -> Iterator[str]:
    yield f"ctviz {result['ctviz']}, Python {result['python']} ({result['executable']})"
    yield _item("system", result["platform"])
    devices = [f"{name} ({about})" for name, about in (result["devices"] or {}).items()]
    yield _item("device", f"{result['device'] or 'unknown'}, chosen of {', '.join(devices) or '-'}")
    parts: dict[str, list[str]] = {}
    for package in found.packages:
        shown = f"{package.name} {package.version or '-'}"
        parts.setdefault(package.extra or "packages", []).append(shown)
    for part, shown_packages in parts.items():
        yield _item(part, ", ".join(shown_packages))
    if result["chromium"]:
        yield _item("browser", result["chromium"])
    for state, ready in (("ready", True), ("not here", False)):
        names = [model.name for model in found.models if model.ready is ready]
        if names:
            yield _item("models", f"{', '.join(names)}: {state}")
    for name, folder in found.folders.items():
        yield _item(name, f"{folder.path}, {size(folder.bytes)}, {size(folder.free_bytes)} free")
    yield ""
    yield "The commands and the app work." if found.works else "Does not work:"
    yield from _fixes(found, essential=True)
    if any(not fault.essential for fault in found.faults):
        yield "Could be added:"
    yield from _fixes(found, essential=False)


def _item(name: str, text: str) -> str:
    return textwrap.fill(
        f"{name:{MARGIN}}{text}",
        width=100,
        subsequent_indent=" " * MARGIN,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fixes(found: Installation, *, essential: bool) -> Iterator[str]:
    for fault in found.faults:
        if fault.essential is essential:
            yield f"  {fault.text}"
            yield f"    {fault.fix}"
