"""The browser code: its unit tests in node, its checker, and what it shares with Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ctviz import paths
from ctviz.runs import open_run
from ctviz.runs.changes import edge_changes
from ctviz.views.packing import pack
from ctviz.views.recorded import recorded
from tests import ROOT
from tests.player.packed import FILE, packed

CHECKER = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
PURE = (
    "causes",
    "changes",
    "clock",
    "data",
    "geometry",
    "happened",
    "lines",
    "look",
    "numbers",
    "predictions",
    "quality",
    "scales",
)
BROWSER = ("document", "window", "navigator", "getComputedStyle", "requestAnimationFrame")


def missing(what: str) -> None:
    """Skip, or fail where everything must be tested."""
    if os.environ.get("CTVIZ_REQUIRE_BROWSER"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        missing("node is not installed, so the browser code was not tested outside of a browser")
    return str(found)


def run(*command: str, given: str | None = None) -> str:
    """What a command prints; fails with everything it said if it fails."""
    done = subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pure_parts_do_what_was_computed_by_hand(node: str) -> None:
    files = sorted(str(file) for file in (ROOT / "tests" / "player").glob("*.test.js"))
    assert files
    run(node, "--test", *files)


def checker() -> str:
    if not CHECKER.is_file():
        missing("the checker is not installed (make node_modules/.installed)")
    return str(CHECKER)


def test_the_checker_finds_nothing(node: str) -> None:
    run(node, checker(), "--project", "jsconfig.json")


WRONG = {  # what the checker must say of it
    "export const a = missing + 1;": "Cannot find name 'missing'",
    'import { Clock } from "SRC/clock.js";\nnew Clock().tick();': "Expected 1 arguments",
    'import { Clock } from "SRC/clock.js";\nnew Clock().halt();': "'halt' does not exist",
    'import { absent } from "SRC/clock.js";\nabsent();': "no exported member 'absent'",
    "export function f() {\n  const unused = 1;\n}": "'unused' is declared but",
    "/** @param {import('SRC/colour.js').Theme} theme */\n"
    "export const f = (theme) => theme.mutde;": "'mutde' does not exist",
}


def test_the_checker_sees_real_mistakes(node: str, tmp_path: Path) -> None:
    for at, code in enumerate(WRONG):
        file = tmp_path / f"wrong{at}.js"
        file.write_text(code.replace("SRC", (ROOT / "ctviz" / "player").as_posix()))
    settings = {"extends": (ROOT / "jsconfig.json").as_posix(), "include": ["*.js"]}
    (tmp_path / "jsconfig.json").write_text(json.dumps(settings))
    command = (node, checker(), "--project", str(tmp_path / "jsconfig.json"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    for at, said in enumerate(WRONG.values()):
        lines = [line for line in done.stdout.splitlines() if f"wrong{at}.js" in line]
        assert any(said in line for line in lines), (said, done.stdout)


@pytest.mark.parametrize("name", PURE)
def test_the_pure_parts_name_nothing_of_a_browser(name: str) -> None:
    lines = (paths.player() / f"{name}.js").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if not line.strip().startswith(("//", "*", "/*"))]
    assert [line for line in code for word in BROWSER if f"{word}." in line] == []
    imported = {line.split('"./')[1].split(".js")[0] for line in code if ' from "./' in line}
    assert imported <= set(PURE)


def test_the_payload_that_the_tests_decode_is_what_python_packs() -> None:
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(packed())), "python -m tests.player.packed writes it anew"


def test_the_browser_calls_the_same_a_change_as_python(node: str) -> None:
    sample = open_run("sample-sva-flip", paths.shipped_runs())
    snapshots, graph = list(sample.snapshots()), sample.graph
    payload = json.dumps(pack(recorded(sample)))
    counts = json.loads(run(node, "tests/player/count_changes.js", given=payload))
    assert len(counts) == len(snapshots) * (len(snapshots) - 1) / 2
    for pair in counts:
        states = edge_changes(snapshots[pair["a"]], snapshots[pair["b"]], graph)["state"]
        theirs: dict[str, int] = {}
        for state, count in pair["count"].items():
            if state:
                plain = state.removesuffix("~")
                theirs[plain] = theirs.get(plain, 0) + count
        assert theirs == states.value_counts().to_dict(), pair
