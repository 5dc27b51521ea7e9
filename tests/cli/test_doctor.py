"""``ctviz doctor``: what works here, what is missing, and the commands that mend it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from ctviz import __version__, paths
from ctviz.cli import installation, main
from ctviz.cli.installation import PURPOSES, Package, Trial, find_folder, find_packages, try_out
from ctviz.models.known import KNOWN
from tests import ROOT

WELL = {
    "engine": Trial({"device": "cpu", "devices": {"cpu": "2 threads"}, "cuda": None}, ""),
    "app": Trial({}, ""),
    "browser": Trial({"chromium": "/usr/bin/chromium"}, ""),
}
ASKED = ["torch>=2.4", "streamlit>=1.40", "peft>=0.10; extra == 'lora'"]
INSTALLED = {"torch": "2.9.0", "streamlit": "1.50.0", "peft": "0.17.0"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, dict]:
    """A machine on which all is well but for what a test changes."""
    made = {"installed": dict(INSTALLED), "trials": dict(WELL)}

    def version(name: str) -> str:
        if name not in made["installed"]:
            raise metadata.PackageNotFoundError(name)
        return made["installed"][name]

    about = metadata.metadata("ctviz")
    del about["Provides-Extra"]
    about["Provides-Extra"] = "lora"
    monkeypatch.setattr(metadata, "metadata", lambda name: about)
    monkeypatch.setattr(metadata, "requires", lambda name: ASKED)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(installation, "try_out", lambda name: made["trials"][name])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for name in ("cache", "runs"):
        monkeypatch.setenv(f"CTVIZ_{name.upper()}", str(tmp_path / name))
    weights = KNOWN["smollm2-135m"].folder / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(1000))
    return made


def examined(capsys: pytest.CaptureFixture[str], *, code: int) -> dict:
    assert main(["doctor", "--json"]) == code
    result = json.loads(capsys.readouterr().out)
    assert result["works"] is (code == 0)
    return result


def test_where_all_is_well_there_is_nothing_to_mend(machine, tmp_path, capsys):
    result = examined(capsys, code=0)
    assert result["faults"] == []
    assert result["ctviz"] == __version__
    assert result["device"] == "cpu"
    assert result["chromium"] == "/usr/bin/chromium"
    assert result["folders"]["cache"]["path"] == str(tmp_path / "cache")
    assert result["folders"]["cache"]["bytes"] == 1000
    assert all(model["ready"] for model in result["models"])
    assert {package["name"]: package["version"] for package in result["packages"]} == INSTALLED
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("The commands and the app work.\n")
    assert "torch 2.9.0, streamlit 1.50.0" in out


@pytest.mark.parametrize(
    ("name", "version", "text", "fix"),
    [
        ("torch", None, "torch is not installed", "pip install 'torch>=2.4'"),
        ("torch", "2.0.1", "torch is 2.0.1, but must be >=2.4", "pip install 'torch>=2.4'"),
        ("streamlit", None, "streamlit is not installed", "pip install 'streamlit>=1.40'"),
    ],
)
def test_without_a_package_that_is_needed_nothing_works(
    machine, capsys, name: str, version: str | None, text: str, fix: str
):
    machine["installed"].pop(name)
    if version:
        machine["installed"][name] = version
    else:
        machine["trials"].pop({"torch": "engine", "streamlit": "app"}[name])  # cannot begin
    assert examined(capsys, code=1)["faults"] == [{"text": text, "fix": fix, "essential": True}]
    assert main(["doctor"]) == 1
    assert f"Does not work:\n  {text}\n    {fix}\n" in capsys.readouterr().out


def test_an_optional_part_may_be_missing(machine, capsys):
    machine["installed"].pop("peft")
    assert examined(capsys, code=0)["faults"] == [
        {
            "text": "tuning with LoRA: peft is not installed",
            "fix": "pip install 'ctviz[lora]'",
            "essential": False,
        }
    ]


@pytest.mark.parametrize(
    ("what", "trial", "text", "fix"),
    [
        (
            "engine",
            Trial({"trying": "torch"}, "OSError: libcudart.so.12: cannot open shared object file"),
            "torch does not work: OSError: libcudart.so.12: cannot open shared object file",
            "pip install --force-reinstall 'torch>=2.4'",
        ),
        (
            "engine",
            Trial({"trying": "transformers"}, "ImportError: tokenizers>=0.22 is required"),
            "transformers does not work: ImportError: tokenizers>=0.22 is required",
            "pip install --force-reinstall transformers",
        ),
        (
            "engine",
            Trial({"trying": "the bundled model", "device": "cuda"}, "no kernel image"),
            "the bundled model on cuda does not work: no kernel image",
            "ctviz discover --device cpu",
        ),
        (
            "app",
            Trial({"trying": "streamlit"}, "ended by signal 11"),
            "streamlit does not work: ended by signal 11",
            "pip install --force-reinstall 'streamlit>=1.40'",
        ),
    ],
)
def test_what_is_broken_is_told_with_its_reason(
    machine, capsys, what: str, trial: Trial, text: str, fix: str
):
    machine["trials"][what] = trial
    assert examined(capsys, code=1)["faults"] == [{"text": text, "fix": fix, "essential": True}]


@pytest.mark.parametrize(
    ("trial", "fix"),
    [
        (Trial({}, ""), "playwright install chromium"),
        (Trial({"trying": "playwright"}, "killed"), "pip install --force-reinstall playwright"),
    ],
)
def test_the_commands_and_the_app_need_no_chromium(machine, capsys, trial: Trial, fix: str):
    machine["trials"]["browser"] = trial
    [fault] = examined(capsys, code=0)["faults"]
    assert fault["fix"] == fix


def test_an_nvidia_gpu_that_torch_cannot_use_is_noticed(machine, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/nvidia-smi")
    [fault] = examined(capsys, code=0)["faults"]
    assert "torch is built without CUDA" in fault["text"]
    machine["trials"]["engine"] = Trial({"device": "cpu", "cuda": "12.8"}, "")
    [fault] = examined(capsys, code=0)["faults"]
    assert fault["fix"] == "nvidia-smi"
    machine["trials"]["engine"] = Trial({"device": "cuda", "cuda": "12.8"}, "")
    assert examined(capsys, code=0)["faults"] == []


def test_weights_are_fetched_by_the_command_that_is_named(machine, capsys):
    shutil.rmtree(KNOWN["smollm2-135m"].folder)
    [fault] = examined(capsys, code=0)["faults"]
    assert fault["fix"] == "ctviz models fetch smollm2-135m"


def test_without_the_bundled_models_nothing_works(machine, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "data", lambda: tmp_path)
    faults = examined(capsys, code=1)["faults"]
    assert [fault["text"] for fault in faults] == [
        f"the weights of {name} are not on this machine" for name in ("tiny", "two-layer")
    ]


def test_a_folder_that_cannot_be_made_is_told(machine, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "file" / "runs"))
    [fault] = examined(capsys, code=0)["faults"]
    assert fault["text"] == f"{tmp_path / 'file' / 'runs'} cannot be written to"
    assert fault["fix"] == "export CTVIZ_RUNS=FOLDER"


def test_ctviz_need_not_be_installed(machine, monkeypatch, capsys):
    def unknown(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", unknown)
    result = examined(capsys, code=0)
    assert result["packages"] == []
    assert [fault["fix"] for fault in result["faults"]] == [f"pip install -e {ROOT}"]


def test_requirements_without_their_reader_are_told(machine, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    [fault] = examined(capsys, code=1)["faults"]
    assert fault["fix"] == "pip install packaging"


def test_packages_are_those_of_this_machine():
    asked = ["numpy>=2", "numpy>=99; python_version < '3'", "no-such-package; extra == 'a'"]
    assert list(find_packages(asked, ["a", "b"])) == [
        Package("numpy", ">=2", metadata.version("numpy"), fits=True),
        Package("no-such-package", "", None, fits=False, extra="a"),
    ]


def test_every_extra_says_what_it_is_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) <= set(PURPOSES)


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path):
    found = find_folder(tmp_path / "a" / "b")
    assert (found.bytes, found.writable) == (0, True)
    assert found.free_bytes > 0


@pytest.mark.slow
def test_the_engine_is_tried_for_real():
    trial = try_out("engine")
    assert trial.error == ""
    assert trial.found["device"] in trial.found["devices"]


def test_the_app_is_tried_for_real():
    assert try_out("app").error == ""


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("raise OSError('libtorch_cpu.so: not here')", "OSError: libtorch_cpu.so: not here"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
            "the process was ended by signal 4",
        ),
    ],
)
def test_a_torch_that_cannot_be_imported_is_no_traceback(
    tmp_path, monkeypatch, content: str, error: str
):
    (tmp_path / "torch.py").write_text(content)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    trial = try_out("engine")
    assert trial.found == {"trying": "torch"}
    assert trial.error == error


@pytest.mark.slow
def test_doctor_runs_where_no_other_command_does(tmp_path):
    name = "pandas"
    (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is broken', name='{name}')")
    places = os.pathsep.join((str(tmp_path), str(ROOT)))

    def ctviz(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ctviz.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": places},
            capture_output=True,
            text=True,
            check=False,
        )

    done = ctviz("doctor", "--json")
    assert done.returncode == 1, done.stderr
    texts = [fault["text"] for fault in json.loads(done.stdout)["faults"] if fault["essential"]]
    assert any(f"{name} is broken" in text for text in texts)
    other = ctviz("runs")
    assert other.returncode == 1
    assert other.stderr == f"ctviz: {name} is broken. `ctviz doctor` says how to fix it.\n"


def test_doctor_is_a_command_like_any_other(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "doctor" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ctviz {__version__}\n"
