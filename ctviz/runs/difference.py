"""What the second of two models does differently, as it was measured: ``difference.json``, read
without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ctviz.errors import DamagedRun
from ctviz.files import read_json, write_json
from ctviz.runs.checks import checked_fields
from ctviz.runs.directory import Run

__all__ = ["FILE", "Answered", "Difference", "Swapped", "read_difference", "write_difference"]

FILE = "difference.json"
SCHEMA = 1
ERRORS = 2  # standard errors beyond which a swap did something


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One example as both models answer it: what each said, and what that is worth (see
    `ctviz.tasks.grading.Answer`)."""

    prompt: str
    right: str
    first_said: str
    second_said: str
    first: float
    second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped:
    """A node whose part differs, and what its parameters do in the other model.

    ``change``: sum of |score in the second - score in the first| over its ``edges`` that are in
    either circuit and differ beyond noise; ``growth``: the same of |score in the second| - |score
    in the first|; both in units of the scores. ``lost``: metric of the second model less that of
    the second with the first one's parameters of this node; ``carried``: metric of the first with
    the second one's parameters of this node, less that of the first; with standard errors over
    examples. ``parameters``: of its units that differ.
    """

    node: str
    change: float
    growth: float
    edges: int
    parameters: int
    lost: float
    lost_error: float | None
    carried: float
    carried_error: float | None

    @property
    def matters(self) -> bool:
        """Whether the second model does measurably otherwise with the first one's parameters."""
        return abs(self.lost) > ERRORS * (self.lost_error or 0.0)

    @property
    def suffices(self) -> bool:
        """Whether the first model does measurably otherwise with the second one's parameters."""
        return abs(self.carried) > ERRORS * (self.carried_error or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the second of two models does differently on a task.

    ``first``, ``second``: their names; ``first_step``, ``second_step``: where they stand in the
    recording. Grades are of ``examples`` test examples, of which ``answers`` are those that differ
    most; ``only_first``, ``only_second``, ``both``, ``neither``: how many each got right, None
    where an answer is not just right or wrong. ``gain``: metric of the second less that of the
    first on ``pairs`` test examples, in units of ``metric``, with its standard error. ``claims``:
    the nodes that differ most in their edges' scores, of those whose parameters differ, each
    swapped; ``random``: as many others of these, drawn at random; ``claims_lost`` and
    ``random_lost``: metric of the second less that of the second with the first one's parameters of
    all of them, with standard errors, None without any. ``unmoved``: nodes whose edges differ
    beyond noise though their parameters are the same. ``parameters``: of the
    model, ``differing``: of the units that differ. ``kl``: KL(first || second) in nats a token of
    neutral text.
    """

    first: str
    second: str
    first_step: int
    second_step: int
    judged_by: str
    better: str
    examples: int
    first_grade: float
    second_grade: float
    both: int | None
    only_first: int | None
    only_second: int | None
    neither: int | None
    answers: tuple[Answered, ...]
    metric: str
    pairs: int
    first_metric: float
    second_metric: float
    gain: float
    gain_error: float | None
    claims: tuple[Swapped, ...]
    random: tuple[Swapped, ...]
    claims_lost: float | None
    claims_lost_error: float | None
    random_lost: float | None
    random_lost_error: float | None
    unmoved: tuple[str, ...]
    parameters: int
    differing: int
    kl: float
    seconds: float
    device: str

    @property
    def differs(self) -> bool:
        """Whether the metric of the two can be told apart."""
        return abs(self.gain) > ERRORS * (self.gain_error or 0.0)

    def plain(self) -> dict[str, Any]:
        """In plain values, for JSON; `of_plain` reads them."""
        return asdict(self)

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Difference:
        """What `plain` was made of. Raises ValueError or TypeError for anything else."""
        parts = {
            "answers": tuple(checked_fields(Answered, each) for each in values["answers"]),
            "claims": tuple(checked_fields(Swapped, each) for each in values["claims"]),
            "random": tuple(checked_fields(Swapped, each) for each in values["random"]),
            "unmoved": tuple(map(str, values["unmoved"])),
        }
        found: Difference = checked_fields(cls, {**values, **parts})
        if found.parameters < 1 or found.examples < 1:
            raise ValueError("a model has parameters, and it was asked something")
        return found


def read_difference(run: Run, problems: list[str] | None = None) -> Difference | None:
    """What was measured of a recording of two models, None if nothing was.

    A file that is another recording's, or cannot be read, counts as none, and a sentence on it goes
    into ``problems``.
    """
    file = run.folder / FILE
    if not file.is_file():
        return None
    try:
        values = read_json(file)
        if values.get("schema") != SCHEMA:
            raise DamagedRun(
                f"{file} has schema {values.get('schema')!r}, but this version of ctviz reads "
                f"schema {SCHEMA}."
            )
        if values.get("fingerprints") != _fingerprints(run):
            raise DamagedRun(f"{file} is of other weights than the recording.")
        return Difference.of_plain(values["difference"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        known = isinstance(error, DamagedRun)
        why = str(error) if known else f"{file} is no measurement of two models: {error!r}."
        if problems is not None:
            problems.append(f"{why} It is left out; `ctviz compare --run {run.id}` measures anew.")
        return None


def write_difference(run: Run, found: Difference) -> Path:
    """Keep what was measured with its recording; raises DiskFull."""
    file = run.folder / FILE
    kept = {
        "schema": SCHEMA,
        "fingerprints": _fingerprints(run),
        "difference": found.plain(),
    }
    write_json(file, kept)
    return file


def _fingerprints(run: Run) -> Any:
    return run.about.get("fingerprints")
