"""Damaged files of a run: each costs what it held, is named, and leaves the other runs alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ctviz import paths
from ctviz.errors import DamagedRun
from ctviz.export.origin import timeline_of
from ctviz.files import read_tensors, write_tensors
from ctviz.pages.prompts import plain
from ctviz.pages.questions import model_at_step
from ctviz.runs import Run, RunWriter, list_runs
from ctviz.runs.groups import read_groups
from ctviz.runs.weights import kept_steps, latest_checkpoint, weights_of
from ctviz.views.packing import pack
from ctviz.views.recorded import recorded
from tests.opened_pages import open_page, said
from tests.small_runs import CONFIG, write

DEEP = "[" * 100_000

# ---------------------------------------------------------------------- what damages a run


def changed(run: Run, file: str, **values: Any) -> None:
    """Change keys of a JSON file; ``task__title`` is the title within the task, ... takes away."""
    about = json.loads((run.folder / file).read_text())
    for key, value in values.items():
        *within, name = key.split("__")
        place = about[within[0]] if within else about
        place[name] = value
        if value is ...:
            del place[name]
    (run.folder / file).write_text(json.dumps(about))


def edited(run: Run, change: Callable[[dict, dict], object], step: int = 2) -> Path:
    """Change the tensors and the header of a snapshot's file."""
    file = run.folder / f"snapshots/{step:06d}.safetensors"
    tensors, about = read_tensors(file)
    change(tensors, about)
    write_tensors(file, tensors, about)
    return file


def only_error(folder: Path) -> str:
    """What is said of the one damaged run of a folder, whose other run is listed."""
    found = list_runs(folder)
    assert [run.id for run in found if isinstance(run, Run)] == ["good"]
    (error,) = (each for each in found if isinstance(each, DamagedRun))
    return str(error)


@pytest.fixture
def bad(tmp_path: Path) -> Run:
    """A run to be damaged, beside one that is not."""
    write(tmp_path / "good")
    return write(tmp_path / "bad")


@pytest.mark.parametrize("file", ["run.json", "status.json"])
def test_a_file_nested_without_end_hides_that_run_alone(bad: Run, file: str) -> None:
    (bad.folder / file).write_text(DEEP)
    assert f"bad/{file} cannot be read" in only_error(bad.folder.parent)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"state": "running", "pid": "x"}, "'pid' 'x'"),
        ({"state": "running", "pid": True}, "'pid' True"),
        ({"state": "running", "pid": os.getpid(), "born": "x"}, "'born' 'x'"),
        ({"state": 5}, "'state' 5"),
        ({"step": "abc"}, "'step' 'abc'"),
        ({"step": -1}, "'step' -1"),
        ({"step": 9, "state": "running"}, "step 9 of 4"),
        ({"steps": None}, "'steps' None"),
        ({"steps": ...}, "no 'steps'"),
        ({"rate": "fast"}, "'rate' 'fast'"),
        ({"rate": float("inf")}, "'rate' inf"),
        ({"message": None, "state": "failed"}, "'message' None"),
        ({"heartbeat": []}, "'heartbeat' []"),
        ({"notices": "hello"}, "'notices' 'hello'"),
        ({"notices": [1, None]}, "'notices' [1, None]"),
    ],
)
def test_a_status_of_wrong_types_hides_that_run_alone(bad: Run, values: dict, said: str) -> None:
    changed(bad, "status.json", **values)
    error = only_error(bad.folder.parent)
    assert "bad/status.json" in error
    assert said in error


@pytest.mark.parametrize("pid", [-1, 10**30])
def test_a_process_that_cannot_be_is_not_alive(bad: Run, pid: int) -> None:
    changed(bad, "status.json", state="running", pid=pid)
    assert bad.status().state == "interrupted"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"task": ...}, "no 'task'"),
        ({"task": None}, "'task' None"),
        ({"task__title": 5}, "'task.title' 5"),
        ({"task__metric": ...}, "no 'task.metric'"),
        ({"task__judged_by": 5}, "'task.judged_by' 5"),
        ({"model": ...}, "no 'model'"),
        ({"model": "tiny"}, "'model' 'tiny'"),
        ({"model__name": []}, "'model.name' []"),
        ({"model__parameters": "many"}, "'model.parameters' 'many'"),
        ({"examples": "many"}, "'examples' 'many'"),
        ({"examples": ...}, "no 'examples'"),
        ({"before": "x"}, "'before' 'x'"),
        ({"after": [1]}, "'after' [1]"),
        ({"after": {"accuracy": "x"}}, "'after.accuracy' 'x'"),
        ({"graph__n_layers": 2.5}, "'graph.n_layers' 2.5"),
        ({"graph": [1]}, "'graph' [1]"),
        ({"config": []}, "bad config"),
        ({"config__task": 5}, "bad config"),
        ({"config__model": 5}, "bad config"),
    ],
)
def test_a_run_that_says_too_little_of_itself_is_damaged(bad: Run, values: dict, said: str) -> None:
    changed(bad, "run.json", **values)
    error = only_error(bad.folder.parent)
    assert "bad/run.json" in error
    assert said in error


def test_a_run_whose_model_is_not_loaded_yet_is_whole(tmp_path: Path) -> None:
    RunWriter(tmp_path / "new", CONFIG)
    (run,) = list_runs(tmp_path)
    assert isinstance(run, Run)
    assert recorded(run) is None


def test_a_measured_nan_is_no_damage(bad: Run) -> None:
    changed(bad, "run.json", before={"perplexity": float("nan"), "accuracy": None})
    assert len(list_runs(bad.folder.parent)) == 2


# ---------------------------------------------------------------------- snapshots


def cut(name: str) -> Callable[[dict, dict], object]:
    return lambda tensors, _: tensors.update({name: tensors[name][:1]})


def put(**values: Any) -> Callable[[dict, dict], object]:
    return lambda _, about: about.update(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(step=-5), "step -5"),
        (put(step=0), "step 0"),
        (put(step=2.0), "step 2.0"),
        (put(step="2"), "step '2'"),
        *((cut(n), n) for n in ("scores", "circuit", "tuned", "error", "redundancy.mass")),
        (cut("probe.0.attention"), "probe.0.attention"),
        (cut("probe.0.attribution"), "probe.0.attribution"),
        (lambda t, _: t.pop("redundancy.circuit"), "no redundancy.circuit"),
        (lambda t, _: t.update(scores=t["scores"].astype(int)), "type int64"),
        (lambda t, _: t.update(circuit=np.ones_like(t["circuit"])), "edges in its circuit"),
        (put(metrics=[1]), "not a snapshot"),
        (put(metrics={"metric": "abc"}), "'metric' 'abc'"),
        (put(probes=[]), "other probes"),
        (lambda _, a: a["probes"][0].update(foil=" be"), "other probes"),
        (lambda _, a: a["probes"][0].update(foil=5), "not texts"),
        (lambda _, a: a["probes"][0].update(top=[[" are"]]), "not a snapshot"),
        (lambda _, a: a["probes"][0].update(tokens=5), "not a snapshot"),
        (lambda _, a: a["probes"][0].update(chances=[0.5]), "not a snapshot"),
        (lambda _, a: a.update(probes=5), "not a snapshot"),
    ],
)
def test_a_wrong_snapshot_costs_that_snapshot(bad: Run, change: Any, said: str) -> None:
    file = edited(bad, change)
    damaged: list[DamagedRun] = []
    timeline = recorded(bad, damaged=damaged)
    assert timeline is not None
    assert timeline.steps == [0]
    assert pack(timeline)["steps"] == [0]
    (error,) = damaged
    assert str(file) in str(error)
    assert said in str(error)
    assert [snapshot.step for snapshot in bad.snapshots()] == [0]


def test_a_header_nested_without_end_costs_that_snapshot(bad: Run) -> None:
    from safetensors.numpy import save_file

    file = bad.snapshot_files()[1]
    save_file({"scores": np.zeros(1)}, file, metadata={"step": DEEP})
    damaged: list[DamagedRun] = []
    assert [snapshot.step for snapshot in bad.snapshots(damaged=damaged)] == [0]
    assert str(file) in str(damaged[0])


STRAY = ("000002 (copy).safetensors", "2.safetensors", "0x2.safetensors", "٠٠٠٠٠٣.safetensors")


def test_stray_files_are_none_of_the_run(bad: Run) -> None:
    for part in ("snapshots", "weights", "checkpoint"):
        (bad.folder / part).mkdir(exist_ok=True)
        for name in STRAY:
            shutil.copy(bad.folder / "snapshots/000002.safetensors", bad.folder / part / name)
    assert latest_checkpoint(bad.folder) is None
    for part in ("weights", "checkpoint"):
        shutil.copy(bad.folder / "snapshots/000002.safetensors", bad.folder / part)
    assert [file.name for file in bad.snapshot_files()] == [
        "000000.safetensors",
        "000002.safetensors",
    ]
    assert kept_steps(bad) == [0, 2]
    assert latest_checkpoint(bad.folder) == (bad.folder / "checkpoint/000002.safetensors", 2)
    timeline = recorded(bad)
    assert timeline is not None
    assert timeline.steps == [0, 2]
    RunWriter.resume(bad.folder, 1)
    assert [file.name for file in bad.snapshot_files()] == ["000000.safetensors"]
    assert all((bad.folder / "snapshots" / name).exists() for name in STRAY)


def test_a_snapshot_without_errors_leaves_the_others_theirs(bad: Run) -> None:
    edited(bad, lambda tensors, _: tensors.pop("error"))
    timeline = recorded(bad)
    assert timeline is not None
    assert timeline.errors is not None
    assert np.isfinite(timeline.errors[0]).all()
    assert np.isnan(timeline.errors[1]).all()
    edited(bad, lambda tensors, _: tensors.pop("error"), step=0)
    timeline = recorded(bad)
    assert timeline is not None
    assert timeline.errors is None


def test_what_nobody_thought_of_names_the_run(bad: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Run) -> None:
        raise AttributeError("unthought of")

    monkeypatch.setattr(Run, "metrics", fail)
    with pytest.raises(DamagedRun, match=r"bad cannot be shown: .*unthought of"):
        recorded(bad)


# ---------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    "line",
    [
        '{"step": Infinity}',
        '{"step": NaN}',
        '{"step": 1e300}',
        f'{{"step": {10**30}}}',
        '{"step": "10"}',
        '{"step": true}',
        '{"step": -7, "loss": 1}',
        "[1]",
        "5",
        DEEP,
    ],
)
def test_a_line_without_a_step_is_left_out(bad: Run, line: str) -> None:
    with (bad.folder / "metrics.jsonl").open("a") as file:
        file.write(f"{line}\n")
    table = bad.metrics()
    assert list(table["step"]) == [0, 1, 2]
    assert table["step"].dtype == np.int64


def test_a_value_that_is_no_number_is_left_out(bad: Run) -> None:
    wrong = f'"abc": "d", "metric": "abc", "accuracy": [1], "huge": {10**400}, "loss": Infinity'
    with (bad.folder / "metrics.jsonl").open("a") as file:
        file.write(f'{{"step": 2, {wrong}}}\n{{"step": 3, "loss": 0.5, {wrong}}}\n')
    table = bad.metrics().set_index("step")
    assert list(table.index) == [0, 1, 2, 3]
    assert table.loc[2, "metric"] == 2.0
    assert table.loc[2, "loss"] == 2.5
    assert not {"abc", "huge"} & set(table.columns)
    assert recorded(bad) is not None


# ---------------------------------------------------------------------- groups


@pytest.mark.parametrize("content", ["[]", "{", '{"groups": [1]}', DEEP])
def test_damaged_groups_are_left_out_of_an_export(bad: Run, content: str) -> None:
    (bad.folder / "groups.json").write_text(content)
    damaged: list[DamagedRun] = []
    timeline = timeline_of(bad, damaged=damaged)
    assert timeline.groups == ()
    assert timeline.steps == [0, 2]
    (error,) = damaged
    assert "groups.json" in str(error)
    assert "delete the file" in str(error)
    assert timeline_of(bad).steps == [0, 2]
    with pytest.raises(DamagedRun, match="delete the file"):
        read_groups(bad, bad.folder.parent)


# ---------------------------------------------------------------------- pages


@pytest.fixture
def page(bad: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], AppTest]]:
    """Opens a page of the app at the run that is to be damaged."""
    monkeypatch.setenv("CTVIZ_RUNS", str(bad.folder.parent))
    assert paths.runs() == bad.folder.parent

    def open_(name: str) -> AppTest:
        return open_page(name, {"run": bad.id})

    return open_


def test_watch_plays_without_damaged_groups(bad: Run, page: Callable[[str], AppTest]) -> None:
    (bad.folder / "groups.json").write_text("[]")
    app = page("watch")
    assert "delete the file" in said(app)
    assert not app.error


def test_watch_and_inspect_open_beside_a_damaged_run(
    bad: Run, page: Callable[[str], AppTest]
) -> None:
    (bad.folder / "run.json").write_text(DEEP)
    for name in ("watch", "inspect"):
        assert "There is no run “bad”" in said(page(name))


def test_inspect_says_what_is_damaged(bad: Run, page: Callable[[str], AppTest]) -> None:
    for file in bad.snapshot_files():
        file.write_bytes(b"")
    text = said(page("inspect"))
    assert "000000.safetensors" in text
    assert "000002.safetensors" in text
    assert "All snapshots of this run are damaged" in text
    assert "no snapshot yet" not in text


def test_files_that_have_just_gone_are_no_error(bad: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (bad.folder / "weights").mkdir()
    shutil.copy(bad.folder / "snapshots/000002.safetensors", bad.folder / "weights")
    gone = weights_of(bad, 2)
    assert gone is not None
    there = model_at_step(bad, 2)
    gone.unlink()
    monkeypatch.setattr("ctviz.pages.questions.weights_of", lambda *_: gone)
    assert model_at_step(bad, 2) != there
    files = [*bad.snapshot_files(), bad.folder / "snapshots/000004.safetensors"]
    monkeypatch.setattr(Run, "snapshot_files", lambda _: files)
    damaged: list[DamagedRun] = []
    timeline = recorded(bad, damaged=damaged)
    assert timeline is not None
    assert timeline.steps == [0, 2]
    assert "000004.safetensors" in str(damaged[0])


def test_inspect_shows_the_rest_when_a_snapshot_has_just_gone(
    bad: Run, page: Callable[[str], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [*bad.snapshot_files(), bad.folder / "snapshots/000004.safetensors"]
    monkeypatch.setattr(Run, "snapshot_files", lambda _: files)
    assert "000004.safetensors" in said(page("inspect"))


# ---------------------------------------------------------------------- text as text


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("1. x", r"1\. x"),
        ("    code", "code"),
        ("a\n\n# b\r\n- c\u2028d", r"a \# b \- c d"),
        ("see www.x.y", "see www\u2060\\.x\\.y"),
        ("https://x.y", "https\\:\u2060//x\\.y"),
        ("a@b.c", "a\u2060\\@b\\.c"),
        (":material/home:", "\\:\u2060material/home\\:"),
        ("a <- b", "a \\<\u2060\\- b"),
        ("a0.h3->m1", r"a0\.h3\-\>m1"),
    ],
)
def test_text_is_shown_as_it_is(text: str, markdown: str) -> None:
    assert plain(text) == markdown
