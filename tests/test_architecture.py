"""The package holds to the picture of layers in docs/ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

PACKAGE = ROOT / "ctviz"
PICTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
LAYERS = [line.split()[0] for line in PICTURE.split("```layers\n")[1].split("```")[0].splitlines()]
WITHOUT_TORCH = ("runs", "views", "player", "export", "lessons", "pages")
HEAVY = ("torch", "transformers", "peft", "accelerate", "safetensors.torch")


def layer(file: Path) -> str:
    """Name of the layer that a file belongs to; "" for the package's own face."""
    first = file.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


FILES = {layer(file): [] for file in sorted(PACKAGE.rglob("*.py"))}
for each in sorted(PACKAGE.rglob("*.py")):
    FILES[layer(each)].append(each)


def test_the_picture_names_every_layer_and_nothing_else():
    assert len(set(LAYERS)) == len(LAYERS)
    assert set(LAYERS) == set(FILES) - {""}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_imports_only_from_those_before_it(name):
    allowed = set(LAYERS[: LAYERS.index(name) + 1])
    wrong = {
        f"{file.relative_to(ROOT)} imports {module}"
        for file in FILES[name]
        for module in imported(file)
        if (match := re.match(r"ctviz\.(\w+)", module))
        and match[1] in LAYERS
        and match[1] not in allowed
    }
    assert wrong == set()


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_what_reads_and_shows_runs_does_not_import_torch(name):
    wrong = {
        f"{file.relative_to(ROOT)} imports {module}"
        for file in FILES[name]
        for module in imported(file)
        if any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY)
    }
    assert wrong == set()


def test_only_the_pages_import_streamlit():
    assert {
        name
        for name, files in FILES.items()
        for file in files
        for module in imported(file)
        if module.split(".")[0] == "streamlit"
    } == {"pages"}


TESTS = sorted((ROOT / "tests").rglob("*.py"))
FOREIGN = {  # of torch, of transformers, of notebooks
    "_attn_implementation",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_repr_html_",
    "_repr_mimebundle_",
}


def privates(text: str) -> Iterator[str]:
    """Every private name of another module that a file's text imports, reads or replaces."""
    for node in ast.walk(ast.parse(text)):
        found = ""
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                if (node.module or "").startswith("ctviz") and is_private(name.name):
                    yield name.name
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found = "" if own else node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
            constants = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            names = [each for each in constants if isinstance(each, str)]
            found = names[-1].rpartition(".")[2] if names else ""
        if is_private(found):
            yield found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in FOREIGN


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_tests_go_through_the_public_surface(file):
    assert set(privates(file.read_text(encoding="utf-8"))) == set()


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_tests_share_is_in_modules_of_its_own(file):
    shared = [module.split(".")[-1] for module in imported(file) if module.startswith("tests.")]
    assert not [name for name in shared if name == "conftest" or name.startswith("test_")]


def test_the_check_sees_private_names():
    text = """
from ctviz.a import _one
import ctviz.a
from ctviz import a
ctviz.a._two()
a.B()._three
self._own
monkeypatch.setattr(a, "_four", None)
monkeypatch.setattr("ctviz.a._five", None)
getattr(a, "six")
module._forward_hooks
"""
    assert set(privates(text)) == {"_one", "_two", "_three", "_four", "_five"}


def test_the_check_sees_imports_inside_functions(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("def f():\n    from ctviz.cli import main\n    import torch.nn\n")
    assert {"ctviz.cli", "ctviz.cli.main", "torch.nn"} == set(imported(file))
