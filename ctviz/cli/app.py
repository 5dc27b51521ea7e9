"""The command that opens the app."""

from __future__ import annotations

import argparse
import os
import sys

from ctviz import paths
from ctviz.cli.folders import add_out, out_folder
from ctviz.cli.options import Commands, add_command


def add_commands(commands: Commands) -> None:
    app = add_command(commands, "app", app_command, "Open the app in a browser.")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument("--headless", action="store_true", help="do not open a browser")
    add_out(app, "folder with the runs")


def app_command(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "streamlit", "run", str(paths.app())]
    command += ["--server.address", "127.0.0.1", "--server.port", str(options.port)]
    command += ["--server.headless", "true" if options.headless else "false"]
    environment = {**os.environ, "CTVIZ_RUNS": str(out_folder(options).resolve())}
    print(f"ctviz runs at http://127.0.0.1:{options.port} until you press Ctrl+C.", flush=True)
    os.execve(sys.executable, command, environment)  # becomes the server: ending it ends all
