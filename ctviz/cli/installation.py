"""What this machine has of what ctviz needs, and how to get the rest.

Nothing is imported here that could be missing or broken: versions come from the metadata of the
installed packages, and what must be tried runs in a process of its own (`ctviz.cli.trial`).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ctviz import paths

PURPOSES = {
    "all": "all optional parts",
    "gguf": "reading GGUF weights, for `ctviz models fetch` without a hub",
    "lm-eval": "abilities by lm-evaluation-harness",
    "lora": "tuning with LoRA",
    "pictures": "pictures, animations and figures",
    "reference": "`ctviz bench attribution` beside TransformerLens",
    "test": "the tests",
}
TRIALS = {  # what is tried, and the packages that it begins with
    "engine": ("torch", "transformers"),
    "app": ("streamlit",),
    "browser": ("playwright",),
}
PATIENCE = 300  # seconds that a trial may take


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is missing or does not work, with the command that mends it.

    Without what is ``essential``, the commands or the app do not work.
    """

    text: str
    fix: str
    essential: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """A package that ctviz asks for, in a range of versions such as ">=2.0" ("": any).

    ``version`` is None if it is not installed; ``extra`` is the optional part that it is for.
    """

    name: str
    asked: str
    version: str | None
    fits: bool
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A model known by name; one that ships with ctviz is ``bundled``."""

    name: str
    ready: bool
    bundled: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that ctviz writes into; it may not be there yet."""

    path: str
    bytes: int
    free_bytes: int
    writable: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial of `ctviz.cli.trial` found, and why it ended early ("")."""

    found: dict[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class Installation:
    """``trials`` lacks those that cannot begin, since a package is not installed."""

    packages: tuple[Package, ...]
    trials: dict[str, Trial]
    models: tuple[Model, ...]
    folders: dict[str, Folder]
    faults: tuple[Fault, ...]

    @property
    def works(self) -> bool:
        return not any(fault.essential for fault in self.faults)

    def found(self, trial: str, name: str) -> Any:
        """Something that a trial found, or None."""
        return self.trials[trial].found.get(name) if trial in self.trials else None


def examine() -> Installation:
    """Look at everything; takes as long as it takes to load torch."""
    faults: list[Fault] = []
    packages: tuple[Package, ...] = ()
    try:
        about = metadata.metadata("ctviz")
        extras = about.get_all("Provides-Extra") or []
        packages = tuple(find_packages(metadata.requires("ctviz") or [], extras))
    except metadata.PackageNotFoundError:
        fix = f"pip install -e {shlex.quote(str(paths.PACKAGE.parent))}"
        faults.append(Fault("ctviz is not installed, so what it asks for is not known", fix))
    except ImportError:
        text = "packaging is not installed, so what ctviz asks for is not known"
        faults.append(Fault(text, "pip install packaging", essential=True))
    missing = {package.name for package in packages if package.version is None}
    names = [name for name, needs in TRIALS.items() if missing.isdisjoint(needs)]
    with ThreadPoolExecutor() as pool:
        trials = dict(zip(names, pool.map(try_out, names), strict=True))
    models = find_models()
    places = {"cache": paths.cache(), "baselines": paths.baselines(), "runs": paths.runs()}
    folders = {name: find_folder(place) for name, place in places.items()}
    faults += _of_packages(packages)
    for name, trial in trials.items():
        faults += _of_trial(name, trial, packages)
    faults += _of_models(models)
    faults += [
        Fault(f"{folder.path} cannot be written to", f"export CTVIZ_{name.upper()}=FOLDER")
        for name, folder in folders.items()
        if not folder.writable
    ]
    return Installation(packages, trials, models, folders, tuple(faults))


def find_packages(requirements: Iterable[str], extras: Iterable[str]) -> Iterator[Package]:
    """The packages that requirements name, as they are installed here.

    Raises ImportError without the package `packaging`, which reads requirements.
    """
    from packaging.requirements import Requirement

    extras = list(extras)
    for each in map(Requirement, requirements):
        marker = each.marker
        if marker is None or marker.evaluate({"extra": ""}):
            parts = [""]
        else:
            parts = [extra for extra in extras if marker.evaluate({"extra": extra})]
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            version = None
        fits = version is not None and each.specifier.contains(version, prereleases=True)
        for part in parts:
            yield Package(each.name, str(each.specifier), version, fits, part)


def find_models() -> tuple[Model, ...]:
    """The models that ctviz brings itself, the hub's own aside; none if a package is missing that
    their list needs."""
    try:
        from ctviz.models.known import KNOWN
    except ImportError:
        return ()
    return tuple(
        Model(model.key, model.ready, bundled=model.bundled)
        for model in KNOWN.values()
        if not model.of_hub
    )


def find_folder(path: Path) -> Folder:
    """What a folder holds, and whether there is room for more."""
    there = next(place for place in (path, *path.parents) if os.path.exists(place))
    size = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # gone meanwhile
                continue
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Folder(str(path), size, shutil.disk_usage(there).free, writable)


def try_out(name: str) -> Trial:
    """Run a trial in a process of its own, which may end as it likes."""
    command = [sys.executable, "-m", "ctviz.cli.trial", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Trial({}, f"no answer within {PATIENCE} s")
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):  # libraries may print too
            found |= json.loads(line)
    if done.returncode < 0:
        return Trial(found, f"the process was ended by signal {-done.returncode}")
    last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
    return Trial(found, last if done.returncode else "")


def _of_packages(packages: Iterable[Package]) -> Iterator[Fault]:
    """One for each package that is needed always, and one for each optional part."""
    lacking: dict[str, list[str]] = {}
    for package in packages:
        if package.fits:
            continue
        text = f"{package.name} is not installed"
        if package.version is not None:
            text = f"{package.name} is {package.version}, but must be {package.asked}"
        if package.extra:
            lacking.setdefault(package.extra, []).append(text)
        else:
            fix = f"pip install {shlex.quote(package.name + package.asked)}"
            yield Fault(text, fix, essential=True)
    for extra, texts in lacking.items():
        text = f"{PURPOSES.get(extra, extra)}: {', '.join(texts)}"
        yield Fault(text, f"pip install 'ctviz[{extra}]'")


def _of_trial(name: str, trial: Trial, packages: Iterable[Package]) -> Iterator[Fault]:
    device, trying = trial.found.get("device", "cpu"), trial.found.get("trying", name)
    if trial.error:
        asked = {package.name: package.asked for package in packages}
        fix = f"pip install --force-reinstall {shlex.quote(trying + asked.get(trying, ''))}"
        if trying not in {package for needs in TRIALS.values() for package in needs}:
            fix = "pip install --force-reinstall ctviz"
            if device != "cpu":
                trying, fix = f"{trying} on {device}", "ctviz discover --device cpu"
        yield Fault(f"{trying} does not work: {trial.error}", fix, essential=name != "browser")
    elif name == "browser" and "chromium" not in trial.found:
        yield Fault("`ctviz bench app`: there is no Chromium", "playwright install chromium")
    if device == "cpu" and "cuda" in trial.found and shutil.which("nvidia-smi"):
        if trial.found["cuda"] is None:
            text = "this machine has an NVIDIA GPU, but torch is built without CUDA"
            yield Fault(text, "pip install --force-reinstall torch")
        else:
            text = (
                f"torch, built for CUDA {trial.found['cuda']}, finds no GPU; see what there is by"
            )
            yield Fault(text, "nvidia-smi")


def _of_models(models: Iterable[Model]) -> Iterator[Fault]:
    for model in models:
        if not model.ready:
            fix = f"ctviz models fetch {model.name}"
            if model.bundled:
                fix = "pip install --force-reinstall --no-deps ctviz"
            text = f"the weights of {model.name} are not on this machine"
            yield Fault(text, fix, essential=model.bundled)
