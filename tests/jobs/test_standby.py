"""Workers that wait for a job and outlive the page that gave it to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from ctviz.jobs.standby import Standby
from ctviz.runs import open_run
from ctviz.runs.config import TuneConfig


def test_a_warm_worker_runs_a_job_and_outlives_the_page(tmp_path):
    """The page is killed hard right after it handed the job over; the run finishes."""
    code = (
        "import os, signal, pathlib; from ctviz.jobs.standby import Standby; "
        "from ctviz.runs.config import TuneConfig; s = Standby(); s.warm(); "
        "c = TuneConfig(model='tiny', task='sva-flip', steps=3, edges=20, examples=4); "
        f"print(s.submit(c, pathlib.Path({str(tmp_path)!r})), flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -9
    name = done.stdout.strip()
    for _ in range(600):
        if (tmp_path / name / "status.json").exists():
            status = open_run(name, tmp_path).status()
            if not status.live:
                break
        time.sleep(0.1)
    assert status.state == "finished"
    assert status.step == 3


def test_a_worker_without_a_job_ends_with_its_page(tmp_path):
    standby = Standby()
    worker = standby.warm()
    standby.close()
    assert worker.poll() == 0


def test_the_run_id_appears_before_the_worker_has_loaded_anything(tmp_path):
    standby = Standby()
    config = TuneConfig(model="tiny", task="sva-flip", steps=1, edges=5, examples=2)
    worker = standby.warm()
    name = standby.submit(config, tmp_path)
    assert open_run(name, tmp_path).status().state == "starting"
    assert worker.wait(timeout=120) == 0
    assert open_run(name, tmp_path).status().state == "finished"
    assert os.listdir(tmp_path) == [name]
