"""What `ctviz doctor` tries in a process of its own, which a broken library may well end.

``python -m ctviz.cli.trial engine`` (or ``app``, or ``browser``) prints JSON objects, one a line:
what is tried next (``trying``), and what was found.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def engine() -> None:
    """Run the bundled model on the device that `auto` chooses."""
    _tell(trying="torch")
    import torch

    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    if torch.cuda.is_available():
        devices["cuda"] = torch.cuda.get_device_name()
    _tell(devices=devices, cuda=torch.version.cuda)
    _tell(trying="transformers")
    from ctviz.models.loading import load, pick_device

    _tell(trying="the engine")
    import ctviz.jobs.discovery  # noqa: F401

    device = pick_device()
    _tell(trying="the bundled model", device=str(device))
    loaded = load("tiny")
    with torch.inference_mode():
        loaded.model(torch.zeros(1, 2, dtype=torch.long, device=device)).logits.sum().item()


def app() -> None:
    """Import what every page of the app needs."""
    _tell(trying="streamlit")
    import ctviz.pages.player  # noqa: F401


def browser() -> None:
    """Say where the Chromium lies that the benchmarks drive."""
    _tell(trying="playwright")
    from playwright.sync_api import sync_playwright

    from ctviz.bench.app import chromium

    with sync_playwright() as playwright:
        found = chromium() or playwright.chromium.executable_path
    if os.path.exists(found):
        _tell(chromium=found)


TRIALS = {"engine": engine, "app": app, "browser": browser}


def _tell(**found: Any) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    TRIALS[sys.argv[1]]()
