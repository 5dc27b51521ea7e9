"""Which weights a series is made of, and where each stands on the clock. Without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ctviz.errors import CtvizError, MissingModel
from ctviz.models.known import KNOWN, located_model
from ctviz.models.stored import at_revision
from ctviz.runs.config import TuneConfig
from ctviz.runs.directory import Run

__all__ = [
    "Kind",
    "Member",
    "Series",
    "model_of",
    "of_adapters",
    "of_checkpoints",
    "of_models",
    "series_of",
]

Kind = Literal["checkpoints", "adapters", "models", "revisions"]
NUMBERED = re.compile(r"(?:checkpoint|step|epoch|iter|global_step)[-_]?(\d+)")
SHOWN = 15  # names of members in a line
ADAPTER = ("adapter_config.json",)


@dataclass(frozen=True, slots=True)
class Member:
    """One of a series: ``step``, its place on the clock; ``name``, what the clock calls it, empty
    if that is the step; ``model``: a short name, folder or hub id, as `ctviz.models.load` takes it.
    """

    step: int
    name: str
    model: str

    @property
    def words(self) -> str:
        """What it is called in a sentence."""
        return self.name or f"step {self.step}"


@dataclass(frozen=True, slots=True)
class Series:
    """Weights over time, in order. ``tokenizer``: of all of them, "" if they have their own.
    ``keep_downloads``: whether what a recording downloads of them stays in the hub's cache.

    Raises CtvizError if two members stand at the same place or there are fewer than two.
    """

    kind: Kind
    members: tuple[Member, ...]
    tokenizer: str = ""
    keep_downloads: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise CtvizError(f"{self.kind!r} is not a kind of series.")
        if len(self.members) < 2:
            raise CtvizError(
                f"A series needs at least two models to have a course, and this is "
                f"{', '.join(each.model for each in self.members) or 'none'}. One model alone is "
                "what `ctviz discover` is for."
            )
        for before, after in zip(self.members, self.members[1:], strict=False):
            if before.step >= after.step:
                raise CtvizError(
                    f"{before.model} and {after.model} both stand for step {after.step}: name each "
                    "step once."
                    if before.step == after.step
                    else f"{after.model}, step {after.step}, comes after step {before.step}: give "
                    "the members in the order of their steps."
                )

    @property
    def slug(self) -> str:
        """What a run's folder is called by: the folder of the checkpoints, or the last model."""
        last = Path(at_revision(self.members[-1].model)[0])
        name = (last.parent if self.kind in ("checkpoints", "adapters") else last).name.lower()
        return re.sub(r"[^a-z0-9.-]", "-", name) or "series"

    @property
    def words(self) -> str:
        """How many there are and what the clock calls them."""
        names = [member.name or str(member.step) for member in self.members]
        shown = names if len(names) <= SHOWN else [*names[:4], "…", *names[-3:]]
        return f"{len(names)} models: {', '.join(shown)}"

    def settings(self, config: TuneConfig) -> TuneConfig:
        """The settings of a recording: of ``config`` the task and how things are measured."""
        return replace(
            config,
            model=self.members[0].model,
            method="recorded",
            steps=max(1, self.members[-1].step),
            train_examples=config.examples,
            snapshot_every=0,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Series:
        """Of stored values; raises CtvizError, KeyError or TypeError for anything else."""
        members = tuple(Member(**each) for each in values["members"])
        keep = values.get("keep_downloads", False)
        return cls(values["kind"], members, values.get("tokenizer", ""), keep)


def series_of(run: Run) -> Series:
    """The series that a run is a recording of; raises CtvizError for a run of another kind."""
    try:
        return Series.from_dict(run.about["series"])
    except (KeyError, TypeError) as error:
        raise CtvizError(f"{run.id} is no recording of a series of weights.") from error


def model_of(about: Mapping[str, Any], name: str) -> str:
    """What the model of a run is called: of checkpoints in one folder that folder, else ``name``.

    ``about``: the run's ``run.json``.
    """
    series = about.get("series", {})
    folders = {str(Path(member["model"]).parent) for member in series.get("members", ())}
    return folders.pop() if series.get("kind") == "checkpoints" and len(folders) == 1 else name


def of_checkpoints(folder: str, *, base: str = "", tokenizer: str = "") -> Series:
    """The checkpoints in a folder, such as a Trainer's, by the number in their names; or those of
    a bundled model, by its name.

    ``base``: the model that they were trained from, which becomes step 0. A checkpoint is a folder
    ``checkpoint-200`` (or ``step_200``, ``epoch-3``) with whole weights or an adapter; whether it
    can be read is seen when its turn comes. Raises MissingModel if there is none.
    """
    root = _root(folder)
    found = sorted(
        (int(match[1]), each)
        for each in root.iterdir()
        if each.is_dir() and (match := NUMBERED.fullmatch(each.name))
    )
    if not found:
        here = ", ".join(sorted(each.name for each in root.iterdir())[:8]) or "nothing"
        raise MissingModel(
            f"{root} has no checkpoints: folders called checkpoint-200, step_200 or epoch-3. In it "
            f"is {here}. Give the folder that a Trainer calls output_dir, or the models one by one "
            "with --models."
        )
    members = [Member(step, "", located_model(str(each))) for step, each in found]
    if base:
        if members[0].step == 0:
            raise CtvizError(
                f"{members[0].model} is step 0 already, so {base} has no place before it: leave "
                "--base out."
            )
        members.insert(0, Member(0, "", located_model(base)))
    return Series("checkpoints", tuple(members), tokenizer)


def of_adapters(folder: str, base: str, *, tokenizer: str = "") -> Series:
    """A base model as step 0, and adapters of it: those in a folder, in natural order of their
    names, at the steps that their names have, or else 1, 2, 3; or the folder itself, if it is one.

    Raises MissingModel if there is none.
    """
    root = _root(folder)
    own = [root] if _has(root, ADAPTER) else []
    found = [each for each in root.iterdir() if each.is_dir() and _has(each, ADAPTER)] or own
    if not found:
        raise MissingModel(
            f"{root} has no adapters: folders with an adapter_config.json, as peft saves them."
        )
    found.sort(key=_natural)
    numbers = [NUMBERED.fullmatch(each.name) for each in found]
    steps = [int(match[1]) if match else 0 for match in numbers]
    numbered = all(numbers) and min(steps) > 0
    members = [
        Member(steps[at], "", str(each)) if numbered else Member(at + 1, each.name, str(each))
        for at, each in enumerate(found)
    ]
    start = Member(0, "" if numbered else "base", located_model(base))
    return Series("adapters", (start, *members), tokenizer)


def of_models(models: Sequence[str], *, tokenizer: str = "") -> Series:
    """Models one after another, each by its name on the clock."""
    names = _short(models)
    members = (
        Member(at, name, located_model(model))
        for at, (name, model) in enumerate(zip(names, models, strict=True))
    )
    return Series("models", tuple(members), tokenizer)


def _short(models: Iterable[str]) -> list[str]:
    """The last parts of their names, the whole ones where these would be the same."""
    models = list(models)
    short = [Path(model).name or model for model in models]
    return [s if short.count(s) == 1 else m for s, m in zip(short, models, strict=True)]


def _root(folder: str) -> Path:
    bundled = folder in KNOWN and KNOWN[folder].bundled
    root = KNOWN[folder].folder if bundled else Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise MissingModel(f"{folder} is not a folder: give the one that holds the checkpoints.")
    return root


def _has(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).is_file() for name in names)


def _natural(path: Path) -> list[tuple[int, str]]:
    """So that epoch9 comes before epoch10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
