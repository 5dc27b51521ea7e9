"""The wheel, installed with its dependencies into an empty environment, used from an empty folder.

It is built from the source distribution, which is built from a copy: nothing that a checkout has
beside the package, and nothing left of earlier builds, can be what makes it work.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ctviz.bench.app import wait_for
from tests import ROOT
from tests.browser.driving import PLAYER, Player, open_app

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1200)]

Ctviz = Callable[..., subprocess.CompletedProcess[str]]
SOURCES = ("ctviz", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("PYTHONPATH", "VIRTUAL_ENV") and not name.startswith("CTVIZ_")
}


def run(*command: object, cwd: Path) -> str:
    """What a command prints, which must not fail."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("made")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, source)
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(made)!r})"
    run(sys.executable, "-c", build, cwd=source)
    (packed,) = made.glob("*.tar.gz")
    pip_wheel = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", made)
    run(sys.executable, *pip_wheel, packed, cwd=made)
    (built,) = made.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environment's commands: the wheel, and no extra."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    constraints = ROOT / "constraints.txt"
    run(*pip, "install", "--quiet", "--no-compile", "-c", constraints, wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def ctviz(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Ctviz:
    """The installed command, run in a folder that was empty before the first call."""
    folder = tmp_path_factory.mktemp("empty")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [installed / "ctviz", *arguments],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
        )

    return call


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_holds_the_package_the_licences_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    about = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - about == {
        str(file.relative_to(ROOT))
        for file in (ROOT / "ctviz").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    for licence in ("LICENSE", "ctviz/player/vis-network.LICENSE"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in about)


def test_it_is_this_package_that_is_installed_and_no_extra(installed: Path, tmp_path: Path) -> None:
    says = (
        "import ctviz, importlib.util, json\n"
        "names = 'accelerate', 'gguf', 'matplotlib', 'peft'\n"
        "print(json.dumps([ctviz.__file__, *filter(importlib.util.find_spec, names)]))"
    )
    place, *extras = json.loads(run(installed / "python", "-c", says, cwd=tmp_path))
    assert Path(place).is_relative_to(installed.parent)
    assert extras == []


def test_models_lists_the_bundled_one(ctviz: Ctviz) -> None:
    models = answer(ctviz("models", "--json"))["models"]
    assert models[0]["name"] == "tiny"
    assert models[0]["ready"]


def test_discover_finds_a_circuit(ctviz: Ctviz) -> None:
    found = answer(ctviz("discover", "--model", "tiny", "--task", "sva", "--json"))
    assert found["n_circuit_edges"] == 40
    assert found["faithfulness"] > 0.8
    assert Path(found["scores"]).is_file()


def test_tune_moves_what_the_circuit_owns(ctviz: Ctviz) -> None:
    short = ("--steps", "2", "--examples", "8", "--batch-size", "4")
    result = answer(ctviz("tune", "--model", "tiny", "--task", "sva-flip", *short, "--json"))
    assert result["state"] == "finished"
    assert result["outside_moved"] == 0


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("lora", ("tune", "--method", "lora")),
        ("pictures", ("export", "sample-sva-flip", "--png", "picture.png")),
        ("pictures", ("curve",)),
        ("pictures", ("study", "--methods", "full")),
    ],
)
def test_what_needs_an_extra_says_so(ctviz: Ctviz, extra: str, arguments: tuple[str, ...]) -> None:
    done = ctviz(*arguments)
    assert done.returncode == 1
    assert f"pip install 'ctviz[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_app_opens_on_the_sample_run(
    installed: Path,
    browser: Browser,
    tmp_path: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [installed / "ctviz", "app", "--headless", "--port", str(port)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, seconds=120)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        player = open_app(Player(page, url), "")
        assert player.ask("run()") == "sample-tiny-sva"
        config = tomllib.loads((ROOT / "ctviz/pages/entry/.streamlit/config.toml").read_text())
        style = f"getComputedStyle(({PLAYER})(0)).getPropertyValue('--st-primary-color')"
        assert page.evaluate(f"() => {style}") == config["theme"]["light"]["primaryColor"]
        loaded = "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)"
        assert any("Source Sans" in family for family in page.evaluate(f"() => {loaded}"))
        page.get_by_role("button", name="Keep").click()
        player.says("pip install 'ctviz[pictures]'")
        assert page.get_by_role("button", name="Replay").is_enabled()
        assert page.get_by_role("button", name="PNG").is_disabled()
        assert player.problems == []
        outside = [u for u in player.requests if not u.startswith((url, "blob:", "data:"))]
        assert outside == []
        page.close()
    finally:
        server.terminate()
        server.wait()
