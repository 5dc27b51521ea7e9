"""What `import ctviz` gives: the words of the commands, light, documented, and easy to look at."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ctviz
from ctviz import paths
from ctviz.api.run import runs as list_them
from ctviz.circuits.scores import Circuit
from ctviz.cli import main
from ctviz.errors import BadCircuitFile, CtvizError, RunExists, UnknownName
from tests.small_graph import circuit
from tests.written_runs import write_run

WORDS = ["compare", "discover", "evaluate", "load", "open_run", "record", "runs", "task", "tune"]


@pytest.fixture(scope="module")
def model() -> Any:
    return ctviz.load("tiny")


@pytest.fixture(scope="module")
def found(model: Any) -> Any:
    return ctviz.discover(model, "sva", edges=30, examples=8)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["1000", "0"]),
        ({"GOMP_SPINCOUNT": "5"}, ["5", "0"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["None", "None"]),
    ],
)
def test_waiting_threads_let_go_of_their_cores_unless_told_otherwise(asked, found, monkeypatch):
    names = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    for name in (*names, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert python(f"import ctviz, os; print(*map(os.environ.get, {names}))").split() == found


def python(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def documented(word: str) -> Any:
    return type(ctviz.runs).__call__ if word == "runs" else getattr(ctviz, word)


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "torch transformers pandas numpy streamlit matplotlib"
    print_heavy = f"print([m for m in {heavy.split()} if m in sys.modules])"
    assert python(f"import sys, ctviz; dir(ctviz); ctviz.__version__; {print_heavy}") == "[]"


def test_listing_runs_does_not_need_torch() -> None:
    said = python("import sys, ctviz; print(len(ctviz.runs()) > 1, 'torch' in sys.modules)")
    assert said == "True False"


def test_the_names_are_these() -> None:
    assert sorted(ctviz.__all__) == sorted(["CtvizError", "Recorder", "__version__", *WORDS])
    assert set(ctviz.__all__) <= set(dir(ctviz))
    for name in ctviz.__all__:
        assert getattr(ctviz, name) is not None
    assert ctviz.CtvizError is CtvizError
    with pytest.raises(AttributeError, match="no attribute 'discovr'"):
        ctviz.discovr  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("word", ["discover", "evaluate", "runs", "tune"])
def test_the_words_are_those_of_the_commands(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word, "--help"])
    assert ended.value.code == 0
    assert f"ctviz {word}" in capsys.readouterr().out
    assert word in ctviz.__all__


@pytest.mark.parametrize("word", WORDS)
def test_each_word_says_what_it_takes_and_raises(word: str) -> None:
    text = inspect.getdoc(documented(word)) or ""
    if word == "runs":
        text = inspect.getdoc(list_them) or ""
    assert "Raises " in text or word == "runs"
    asked = inspect.signature(documented(word)).parameters.values()
    optional = [p for p in asked if p.default is not p.empty]
    assert all(p.kind is p.KEYWORD_ONLY for p in optional) or word == "runs"
    for parameter in optional:
        if word in ("load", "tune"):
            assert f"``{parameter.name}``" in text, parameter.name


@pytest.mark.parametrize("order", ["ctviz.runs()", "from ctviz.runs import Run; ctviz.runs()"])
def test_runs_is_a_word_and_a_layer(order: str) -> None:
    code = f"import ctviz; {order}; import ctviz.runs.directory as d; print(d.Run, ctviz.runs.Run)"
    assert python(code).count("ctviz.runs.directory.Run") == 2


def test_a_task_is_found_by_name_or_file(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    row = '{"clean": "The key %d", "corrupt": "The keys %d", "answer": " is", "foil": " are"}\n'
    file.write_text("".join(row % (i, i) for i in range(40)))
    assert ctviz.task(file) == ctviz.task(str(file))
    assert ctviz.task("sva:clause").level == "clause"
    with pytest.raises(UnknownName, match="no task 'svaa'"):
        ctviz.task("svaa")


def test_a_discovery_is_small_and_readable(found: Any) -> None:
    assert repr(found).startswith("<Discovery: 30 of 479 edges of tiny, sva, eap; faithfulness ")
    table = found.frame()
    assert list(table.columns) == ["edge", "source", "slot", "node", "kind", "score", "error"]
    assert sorted(table["edge"]) == sorted(found.circuit.edges())
    assert table["score"].abs().is_monotonic_decreasing
    assert 0.5 < found.faithfulness < 1.5
    assert abs(found.random_faithfulness) < 0.5


def test_a_discovery_shows_as_a_picture(found: Any) -> None:
    data, about = found._repr_mimebundle_()
    image = Image.open(io.BytesIO(data["image/png"]))
    assert image.size == (1920, 1080)
    assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    assert about["image/png"]["width"] < image.width
    assert data["text/plain"] == repr(found)


def test_saving_writes_what_the_command_writes_once(found: Any, tmp_path: Path, model: Any) -> None:
    from ctviz.jobs.discovery import Search, discover

    folder = found.save(str(tmp_path / "mine"), eap_json=True)
    (tmp_path / "theirs").mkdir()
    search = Search(task="sva", edges=30, examples=8)
    discover(model, search, tmp_path / "theirs", eap_json=True)
    names = sorted(file.name for file in folder.iterdir())
    assert names == sorted(file.name for file in (tmp_path / "theirs").iterdir())
    for name in names:
        if name != "scores.json":  # says how long it took, and where it is
            assert (folder / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    with pytest.raises(RunExists):
        found.save(folder)
    for again in (folder / "circuit.json", str(folder / "circuit.json"), found, found.circuit):
        tested = ctviz.evaluate(model, "sva", again, examples=8, draws=2, split="dev")
        assert tested.faithfulness == pytest.approx(found.faithfulness, abs=1e-6)
    assert ctviz.evaluate(model, "sva", found, examples=8, draws=2).about["in_sample"] is False
    assert repr(tested).startswith("<Evaluated: 30 of 479 edges of tiny, sva; faithfulness ")


def test_an_evaluation_is_a_table(model: Any, found: Any) -> None:
    few = Circuit(found.circuit.graph, found.circuit.mask & (abs(found.scores.values) > 2))
    tested = ctviz.evaluate(model, "sva", few, examples=4, draws=2, minimality=True)
    table = tested.frame()
    assert (
        list(table["what"]) == ["faithfulness", "random", "completeness"] + ["lost"] * few.n_edges
    )
    assert table["share"][2] == tested.completeness
    with pytest.raises(BadCircuitFile, match="The circuit is a circuit of a model with 2 layers"):
        ctviz.evaluate(model, "sva", circuit("input->m0"), examples=4)


def test_tuning_takes_names_and_checks_them_before_it_writes(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'steps'"):
        ctviz.tune("tiny", "sva-flip", out=tmp_path, stepz=3)
    with pytest.raises(CtvizError, match="edges"):
        ctviz.tune("tiny", "sva-flip", out=tmp_path, edges=100_000)
    with pytest.raises(CtvizError, match="save_pretrained"):
        ctviz.tune(ctviz.load(model.model, tokenizer=model.tokenizer), "sva-flip", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_runs_are_listed_newest_first_and_damaged_ones_named(tmp_path: Path) -> None:
    assert repr(ctviz.runs(tmp_path)) == "<no runs>"
    assert list(ctviz.runs(tmp_path).frame()["run"]) == []
    write_run(tmp_path / "one", "one")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    listed = ctviz.runs(str(tmp_path))
    assert [run.id for run in listed] == ["one"]
    assert len(listed.damaged) == 1
    assert list(listed.frame()["state"]) == ["finished"]
    assert "<Run one: finished, step 0 of 600; tiny, sva-flip, circuit>" in repr(listed)
    assert "<damaged: " in repr(listed)


def test_a_run_opens_by_id_path_and_text(tmp_path: Path) -> None:
    sample = ctviz.open_run("sample-sva-flip")
    folder = paths.shipped_runs() / "sample-sva-flip"
    assert sample == ctviz.open_run(folder) == ctviz.open_run(str(folder))
    assert list(sample.frame()["step"])[-1] == 60
    with pytest.raises(UnknownName):
        ctviz.open_run("sample-sva-flop")


def test_a_run_is_its_player_and_loads_nothing(tmp_path: Path) -> None:
    page = ctviz.open_run("sample-sva-flip")._repr_html_()
    assert page is not None
    assert page.startswith('<iframe title="Player of run sample-sva-flip" sandbox="allow-scripts"')
    for loader in ("src=&quot;http", "href=&quot;http", "url(http", "@import", ' src="'):
        assert loader not in page
    assert "default-src &#x27;none&#x27;" in page
    write_run(tmp_path / "zero", "zero")
    assert ctviz.open_run(tmp_path / "zero")._repr_html_() is None
    (tmp_path / "zero" / "status.json").write_text("{")
    assert "damaged" in repr(ctviz.open_run(tmp_path / "zero"))


def test_show_displays_in_a_notebook_and_says_so_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, shown = ctviz.open_run("sample-sva-flip"), []
    python_module, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    python_module.get_ipython = lambda: None  # type: ignore[attr-defined]
    display.HTML = str  # type: ignore[attr-defined]
    display.display = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python_module)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with pytest.raises(CtvizError, match="ctviz export sample-sva-flip --html FILE"):
        run.show()
    python_module.get_ipython = lambda: object()  # type: ignore[attr-defined]
    run.show(step=24, nodes=("m2",), edges=9)
    assert len(shown) == 1
    assert "&quot;step&quot;:24" in shown[0]
    assert "&quot;m2&quot;" in shown[0]
