"""What only some need is imported only by what needs it, and is asked for by its name."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctviz import export, paths
from ctviz.cli import main
from ctviz.errors import MissingExtra
from ctviz.extras import EXTRAS, lacking, need
from ctviz.models import loading
from ctviz.models.known import KNOWN
from ctviz.runs import open_run
from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
DISTRIBUTIONS = importlib.metadata.packages_distributions()
WITHOUT_IMPORT = {"pyarrow", "pyvis"}  # writes Parquet for pandas; carries vis-network
HOSTS = {"IPython"}  # a notebook has it; nothing but showing a run there asks for it
SHORT = ("--steps", "1", "--examples", "4", "--batch-size", "4", "--edges", "20")


def named(requirements: list[str]) -> set[str]:
    """The distributions that requirements name."""
    return {re.split(r"[\[<>=!,; ]", each)[0].lower().replace("_", "-") for each in requirements}


def distribution(module: str) -> str:
    """What is installed to import a module; its own name where it is not installed here."""
    return DISTRIBUTIONS.get(module, [module])[0].lower().replace("_", "-")


def imports(file: Path) -> Iterator[str]:
    """Packages that a file imports, anywhere in it, other than the standard library and ours."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        for name in names:
            first = name.split(".")[0]
            if first not in sys.stdlib_module_names and first != "ctviz":
                yield first


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing but what `pip install ctviz` brings were installed; Pillow comes with it."""
    for names in EXTRAS.values():
        for name in names:
            if name != "PIL":
                monkeypatch.setitem(sys.modules, name, None)


def test_every_package_that_is_imported_is_declared():
    imported = {name for file in (ROOT / "ctviz").rglob("*.py") for name in imports(file)}
    optional = {name for names in EXTRAS.values() for name in names}
    used = {distribution(name) for name in imported - optional - HOSTS} | WITHOUT_IMPORT
    assert used == named(PROJECT["dependencies"])


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_it_is_asked_for(extra):
    assert {distribution(name) for name in EXTRAS[extra]} <= named(OPTIONAL[extra])


def test_torch_is_pinned_in_the_constraints_alone():
    assert not [each for each in PROJECT["dependencies"] if "==" in each]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in pinned


@pytest.mark.usefixtures("plain")
def test_a_missing_one_is_named_with_the_command_that_installs_it():
    assert lacking("gguf") == ("accelerate", "gguf")
    with pytest.raises(MissingExtra, match=re.escape("Run `pip install 'ctviz[gguf]'`.")) as error:
        need("gguf", "SmolLM2")
    assert error.value.extra == "gguf"
    assert isinstance(error.value, ImportError)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("lora", ("tune", "--method", "lora")),
        ("pictures", ("study", "--methods", "full")),
        ("pictures", ("curve",)),
        ("pictures", ("export", "sample-induction", "--png", "a.png")),
        ("pictures", ("export", "sample-induction", "--svg", "a.svg")),
        ("pictures", ("export", "sample-induction", "--csv", "tables", "--gif", "a.gif")),
        ("lm-eval", ("tune", "--abilities", "lm-eval:arc_easy")),
        ("test", ("bench", "app")),
        ("test", ("bench", "player")),
    ],
)
def test_a_command_says_so_before_it_does_anything(extra, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert f"pip install 'ctviz[{extra}]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_study_asks_for_what_its_methods_need(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert main(("study", "--methods", "circuit,lora")) == 1
    assert "pip install 'ctviz[lora]'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("method", ["circuit", "random", "full"])
def test_the_other_methods_tune_without(method, tmp_path, capsys):
    out = ("--out", str(tmp_path), "--json")
    assert main(("tune", "--model", "tiny", "--method", method, *SHORT, *out)) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"


@pytest.mark.usefixtures("plain")
def test_a_run_with_lora_that_was_announced_fails_with_that_word(tmp_path):
    from ctviz.jobs.tune import tune
    from ctviz.runs import new_folder
    from ctviz.runs.config import TuneConfig

    config = TuneConfig(model="tiny", task="sva-flip", method="lora", steps=1)
    folder = new_folder(tmp_path, "lora")
    with pytest.raises(MissingExtra):
        tune(config, folder)
    status = open_run(str(folder)).status()
    assert status.state == "failed"
    assert "pip install 'ctviz[lora]'" in status.message


@pytest.mark.usefixtures("plain")
def test_what_is_exported_without_pictures():
    run = open_run("sample-induction", paths.shipped_runs())
    assert export.make_replay(run).startswith(b"<!doctype html>")
    assert "edges.parquet" in export.table_files(run, "parquet")
    assert export.circuit_file(run).content
    with pytest.raises(MissingExtra, match="pictures"):
        export.draw_picture(run, "png")


@pytest.mark.usefixtures("plain")
def test_weights_as_gguf_are_not_downloaded_to_be_left_lying(tmp_path, monkeypatch):
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    monkeypatch.setattr("subprocess.run", unreachable)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'ctviz[gguf]'")):
        loading.fetch("smollm2-135m")
    assert not KNOWN["smollm2-135m"].stored


def unreachable(*arguments, **options):
    raise ConnectionError("no network here")
