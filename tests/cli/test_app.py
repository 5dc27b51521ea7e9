"""``ctviz app``, from an empty folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from ctviz.bench.app import wait_for


@pytest.mark.slow
def test_the_app_starts_on_a_new_machine_without_asking_anything(tmp_path):
    """Streamlit would ask a first-time user for an e-mail address, and wait for the answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path), "BROWSER": "true"}
    server = subprocess.Popen(
        [sys.executable, "-m", "ctviz.cli", "app", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}")
        assert server.poll() is None
    finally:
        server.terminate()
        server.wait(timeout=20)
