"""How long a person waits for the page: measured in a real Chromium on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.extras import need
from ctviz.runs import Run, list_runs

__all__ = ["CHROMIUM_FLAGS", "bench_app", "chromium", "serve", "wait_for"]

CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


PLAYER = ".cz"  # the player's element; it carries a read-only handle, ``__ctviz``


def chromium() -> str | None:
    """Path of an installed Chromium; None lets Playwright look for its own."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def serve(script: str, *, runs: str, imports: str = "") -> Iterator[str]:
    """Run a Streamlit script on a free local port inside the block; yields its address once it
    answers. ``imports`` is a folder that the script imports from, besides the installed packages.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=paths.app().parent,  # where .streamlit lies, for scripts that lie elsewhere
        env={**os.environ, "CTVIZ_RUNS": runs, **({"PYTHONPATH": imports} if imports else {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(address: str, *, seconds: float = 60.0) -> None:
    """Return once the server answers."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise CtvizError(f"The app did not answer at {address} within {seconds:.0f} s.")


def bench_app(*, rounds: int = 3) -> dict[str, Any]:
    """Seconds from starting the server to a drawn graph, and from the button to the first frame."""
    need("test", "A benchmark in a browser")
    from playwright.sync_api import sync_playwright

    starts: list[float] = []
    firsts: dict[str, list[float]] = {"at_once": [], "worker_warm": []}
    finishes: list[float] = []
    app = str(paths.app())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as runs:
                started = time.perf_counter()
                with serve(app, runs=runs) as address:
                    page = browser.new_page(viewport={"width": 1280, "height": 900})
                    page.goto(address)
                    _until(page, "h => h && h.drawn() > 0")
                    starts.append(time.perf_counter() - started)
                    for kind, waits in firsts.items():
                        page.get_by_role("link", name="Run", exact=True).click()
                        button = page.get_by_role("button", name="Discover and tune")
                        button.wait_for()
                        if kind == "worker_warm":
                            page.wait_for_timeout(10_000)  # a person reads and chooses
                        known = set(os.listdir(runs))
                        pressed = time.perf_counter()
                        button.click()
                        page.wait_for_url("**/?run=*")
                        name = (set(os.listdir(runs)) - known).pop()
                        _until(page, f"h => h && h.run() === '{name}' && h.drawn() > 0")
                        waits.append(time.perf_counter() - pressed)
                        while not _finished(runs):
                            page.wait_for_timeout(50)
                        finishes.append(time.perf_counter() - pressed)
                    page.close()
        browser.close()
    return {
        "start_to_graph_seconds": _spread(starts),
        "button_to_first_frame_seconds": {k: _spread(v) for k, v in firsts.items()},
        "button_to_finished_run_seconds": _spread(finishes),
        "rounds": rounds,
    }


def _until(page: Any, condition: str, *, seconds: float = 120.0) -> None:
    """Wait until a condition on the player's handle holds; the handle may not exist yet."""
    end = time.perf_counter() + seconds
    player = page.locator(PLAYER)
    while time.perf_counter() < end:
        found = player.count() and player.first.evaluate(f"e => ({condition})(e.__ctviz)")
        if found:
            return
        page.wait_for_timeout(20)
    raise CtvizError(f"The player did not get to {condition} within {seconds:.0f} s.")


def _finished(runs: str) -> bool:
    found = [run for run in list_runs(Path(runs)) if isinstance(run, Run)]
    return bool(found) and all(run.status().state == "finished" for run in found)


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(ordered[len(ordered) // 2], 2),
        "min": round(ordered[0], 2),
        "max": round(ordered[-1], 2),
    }
