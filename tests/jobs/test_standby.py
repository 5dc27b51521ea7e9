"""Workers that wait for a job, and who gets them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ctviz.jobs import standby as module
from ctviz.jobs.standby import Standby
from ctviz.runs import RunWriter, open_run
from ctviz.runs.config import TuneConfig
from tests.short_runs import BRIEF

CONFIG = TuneConfig(model="tiny", task="sva-flip", steps=1, edges=5, examples=2, **BRIEF)
STAND_IN = (
    "import pathlib, sys; folder = sys.stdin.readline().strip(); "
    "pathlib.Path(folder, 'taken').touch() if folder else None"
)


@pytest.mark.slow
def test_a_warm_worker_runs_a_job_and_outlives_the_page(tmp_path):
    """The page is killed hard right after it handed the job over; the run finishes."""
    code = (
        "import os, signal, pathlib; from ctviz.jobs.standby import Standby; "
        "from ctviz.runs.config import TuneConfig; s = Standby(); s.warm(); "
        "c = TuneConfig(model='tiny', task='sva-flip', steps=3, edges=20, examples=4, "
        f"**{BRIEF}); "
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


@pytest.mark.slow
def test_a_worker_without_a_job_ends_with_its_page(tmp_path):
    standby = Standby()
    worker = standby.warm()
    worker.stdin.close()  # what happens when the page goes away, however it does
    assert worker.wait(timeout=240) == 0
    standby.close()


@pytest.mark.slow
def test_a_worker_that_does_not_end_is_ended(monkeypatch):
    standby = Standby()
    worker = standby.warm()
    usual = worker.wait
    monkeypatch.setattr(worker, "wait", lambda timeout=None: usual(timeout and 0.01))
    standby.close()
    assert worker.poll() == -signal.SIGKILL


@pytest.mark.slow
def test_the_run_id_appears_before_the_worker_has_loaded_anything(tmp_path):
    standby = Standby()
    worker = standby.warm()
    name = standby.submit(CONFIG, tmp_path)
    assert open_run(name, tmp_path).status().state == "starting"
    assert worker.wait(timeout=120) == 0
    assert open_run(name, tmp_path).status().state == "finished"
    assert os.listdir(tmp_path) == [name]


def test_two_sessions_at_once_get_a_worker_each(tmp_path, monkeypatch):
    """Both threads would meet between choosing a worker and handing the job over."""
    started = []
    usual = subprocess.Popen

    def stand_in(command, **options):
        started.append(usual([sys.executable, "-c", STAND_IN], **options))
        return started[-1]

    meeting = threading.Barrier(2)

    class Met(RunWriter):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            with contextlib.suppress(threading.BrokenBarrierError):  # the other waits for its turn
                meeting.wait(timeout=1)

    monkeypatch.setattr(module.subprocess, "Popen", stand_in)
    monkeypatch.setattr(module, "RunWriter", Met)
    shared, names = Standby(), []
    threads = [
        threading.Thread(target=lambda: names.append(shared.submit(CONFIG, tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [worker.wait(timeout=60) for worker in started] == [0, 0]
    assert len(set(names)) == 2
    assert all((tmp_path / name / "taken").exists() for name in names)
    workers = {open_run(name, tmp_path).status().pid for name in names}
    assert workers == {worker.pid for worker in started}
