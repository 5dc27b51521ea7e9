"""What the documents name is there: files, headings, commands, targets of make, modules."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from ctviz.cli import build_parser
from tests import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(params=DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    return request.param


def prose(text: str) -> str:
    """A document without its blocks of code."""
    return BLOCK.sub("", text)


def blocks(text: str, language: str) -> list[str]:
    """Its blocks of code in a language, ``""`` for those that name none."""
    return [content for named, content in BLOCK.findall(text) if named == language]


def shell_lines(text: str) -> list[list[str]]:
    """All lines of its terminal blocks as words, with the variables that a block sets filled in."""
    found = []
    for block in blocks(text, ""):
        values: dict[str, str] = {}
        for line in block.splitlines():
            for name, value in values.items():
                line = line.replace(f"${name}", value)
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # not a command: a sentence with an apostrophe
                continue
            if words and (match := re.fullmatch(r"([A-Z]+)=(.*)", words[0])) and len(words) == 1:
                values[match[1]] = match[2]
            elif words:
                found.append(words)
    return found


def commands(text: str, program: str) -> list[list[str]]:
    """Every command line of a program, in blocks and within sentences, without the program.

    A sentence may also speak of a command by its name alone; that is taken as asking for its help.
    """
    inline = [shlex.split(code) for code in CODE.findall(prose(text)) if program in code]
    inline = [words for words in inline if words[:2] != ["ctviz", "COMMAND"]]  # said of all
    named = [
        [*words, "--help"] if len(words) == 2 and program == "ctviz" else words for words in inline
    ]
    lines = named + shell_lines(text)
    return [words[1:] for words in lines if words[0] == program and len(words) > 1]


def anchors(file: Path) -> set[str]:
    """The headings of a document, as links name them."""
    headings = re.findall(r"^#+ (.+)$", prose(file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_and_pictures_lead_somewhere(document):
    wrong = []
    for target in LINK.findall(prose(document.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


def understood(words: list[str]) -> bool:
    """Whether the command line takes these words; a number stands for each placeholder of one."""
    try:
        build_parser().parse_args(["1" if word in ("N", "X") else word for word in words])
    except SystemExit as ended:
        return ended.code == 0  # --help and --version
    return True


def test_commands_are_understood(document):
    text = document.read_text(encoding="utf-8")
    wrong = [shlex.join(words) for words in commands(text, "ctviz") if not understood(words)]
    assert wrong == []


def test_targets_of_make_exist(document):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for words in commands(document.read_text(encoding="utf-8"), "make"):
        assert {word for word in words if "=" not in word} <= known


def test_paths_exist(document):
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:ctviz|tests|docs|assets)/[^`\s]*)`", text)
    named += [
        word
        for words in shell_lines(text)
        for word in words
        if re.match(r"(tests|ctviz|docs|assets)/", word)
    ]
    places = {name.split("::")[0] for name in named}
    assert {place for place in places if not any(ROOT.glob(place.rstrip("/")))} == set()


def test_python_is_python_and_imports_what_is_there(document):
    for code in blocks(document.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ctviz"):
                module = importlib.import_module(node.module)
                for name in node.names:
                    if not hasattr(module, name.name):
                        importlib.import_module(f"{node.module}.{name.name}")


def test_the_readme_leads_to_every_document():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / target).resolve() for target in LINK.findall(text)}
    assert set(DOCUMENTS) - {ROOT / "README.md"} <= linked


def test_the_checks_see_what_is_wrong():
    text = "Say `ctviz fly` or\n\n```\nA='ctviz tune'\n$A --steps 2  # two\nmake love\n```\n"
    assert commands(text, "ctviz") == [["fly", "--help"], ["tune", "--steps", "2"]]
    assert commands(text, "make") == [["love"]]
    assert not understood(["fly", "--help"])
    assert understood(["tune", "--steps", "2"])
