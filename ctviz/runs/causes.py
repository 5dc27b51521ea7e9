"""Which of a run's updates were needed, as it was measured: ``causes.json``, read without torch.

The file holds one measurement a step, of steps whose weights were kept. It says of which run it is;
one of another run, of another version or damaged counts as not there, and why is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ctviz import paths
from ctviz.errors import DamagedRun
from ctviz.files import read_json, write_json
from ctviz.runs.checks import checked_fields
from ctviz.runs.directory import Run

__all__ = [
    "OTHER",
    "Causes",
    "Checked",
    "NodeCause",
    "does_nothing",
    "read_causes",
    "write_causes",
]

SCHEMA = 1
OTHER = "other"  # what moved and belongs to no node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCause:
    """What one node's update does, on ``node_examples``.

    ``carried``: metric(untuned model with this update alone) - metric(untuned); ``lost``:
    metric(tuned) - metric(tuned model without this update); each with its standard error over
    examples, in units of the metric. ``grade_alone``, ``grade_without``: the task's grade then,
    None where it takes runs of its own. ``kl_alone``, ``kl_without``: KL from the untuned model, in
    nats a token of neutral text. ``parameters``: of its units that moved. ``needed``: whether it is
    among the fewest that are enough; ``idle``: whether among those that do nothing.
    """

    node: str
    parameters: int
    carried: float
    carried_error: float
    lost: float
    lost_error: float
    grade_alone: float | None
    grade_without: float | None
    kl_alone: float
    kl_without: float
    needed: bool = False
    idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The model with some updates, on held-out examples.

    ``carried``: the share of the gain, None where there is none, with its standard ``error``;
    ``metric``: in its own units; ``grade``: the task's own; ``kl``: nats a token of neutral text;
    ``parameters``: of the updates.
    """

    parameters: int
    metric: float
    carried: float | None
    error: float | None
    grade: float
    kl: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """Which updates of a run were needed until a step.

    ``asked`` examples were asked for. Sets of nodes are chosen on ``examples`` of ``chosen_on`` and
    checked on ``test_examples`` of ``checked_on``, ``in_sample`` of which are the same. ``gain``:
    metric(tuned) - metric(untuned) on the former, ``test_gain`` on the latter, with standard
    errors; ``node_gain`` on the first ``node_examples`` of the former, on which single nodes are
    read. ``learned``: whether both are
    beyond two of these; else no set is searched for. ``share``: how much of the gain the needed
    nodes had to carry. ``random``: sets of nodes drawn at random, of as many parameters.
    ``without_idle``: all updates but those of the idle nodes; what that changes in the metric is
    ``idle_change``, with its standard error. ``parameters``: of the whole model.
    """

    step: int
    metric: str
    judged_by: str
    chosen_on: str
    checked_on: str
    asked: int
    examples: int
    test_examples: int
    in_sample: int
    node_examples: int
    node_gain: float
    share: float
    seed: int
    parameters: int
    gain: float
    gain_error: float | None
    test_gain: float
    test_gain_error: float | None
    learned: bool
    untuned: Checked
    tuned: Checked
    needed: Checked | None
    random: tuple[Checked, ...]
    without_idle: Checked | None
    idle_change: float | None
    idle_change_error: float | None
    nodes: tuple[NodeCause, ...]
    seconds: float
    device: str

    @property
    def needed_nodes(self) -> tuple[str, ...]:
        """The fewest nodes found whose updates alone carry enough, in the order of layers."""
        return tuple(each.node for each in self.nodes if each.needed)

    @property
    def idle_nodes(self) -> tuple[str, ...]:
        """Nodes whose updates can all be taken back together without a change."""
        return tuple(each.node for each in self.nodes if each.idle)

    @property
    def updated_fraction(self) -> float:
        """Share of the model's parameters that the updates moved."""
        return self.tuned.parameters / self.parameters

    @property
    def needed_fraction(self) -> float | None:
        """Share of the model's parameters that the needed nodes have; None if nothing was
        learned."""
        return None if self.needed is None else self.needed.parameters / self.parameters

    @property
    def gain_carried(self) -> float | None:
        """Share of the held-out gain that the needed nodes carry alone."""
        return None if self.needed is None else self.needed.carried

    @property
    def random_range(self) -> tuple[float, float] | None:
        """The least and the most that random sets carry."""
        found = [each.carried for each in self.random if each.carried is not None]
        return (min(found), max(found)) if found else None

    @property
    def random_gain_carried(self) -> float | None:
        """The mean share that random sets carry."""
        found = [each.carried for each in self.random if each.carried is not None]
        return sum(found) / len(found) if found else None

    @property
    def idle_does_nothing(self) -> bool:
        """Whether taking back the idle nodes does nothing on held-out examples either."""
        if self.idle_change is None or not self.idle_nodes:
            return False
        return does_nothing(self.idle_change, self.idle_change_error, self.test_gain)

    def frame(self) -> pd.DataFrame:
        """One row a node: the fields of `NodeCause`, with ``carried_share`` and ``lost_share`` of
        the gain, NaN if nothing was learned."""
        table = pd.DataFrame([asdict(each) for each in self.nodes], columns=_names(NodeCause))
        gain = self.node_gain if self.learned else float("nan")
        return table.assign(carried_share=table["carried"] / gain, lost_share=table["lost"] / gain)

    def plain(self) -> dict[str, Any]:
        """In plain values, for JSON; `of_plain` reads them."""
        return asdict(self)

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Causes:
        """What `plain` was made of. Raises ValueError or TypeError for anything else."""
        nodes = tuple(checked_fields(NodeCause, each) for each in values["nodes"])
        several = tuple(checked_fields(Checked, each) for each in values["random"])
        sets = {
            name: None if values[name] is None else checked_fields(Checked, values[name])
            for name in ("untuned", "tuned", "needed", "without_idle")
        }
        found: Causes = checked_fields(cls, {**values, **sets, "nodes": nodes, "random": several})
        if found.untuned is None or found.tuned is None:
            raise ValueError("neither the untuned nor the tuned model may be missing")
        if found.parameters < 1:
            raise ValueError("the model has no parameters")
        return found


NOTHING = 0.005  # of the gain, for each standard error: so little is nothing, however sure it is


def does_nothing(change: float, error: float | None, gain: float, *, errors: int = 2) -> bool:
    """Whether a change of the metric is within its noise, two standard ``errors`` (or one, to be
    strict), or less than half a hundredth of the gain for each."""
    return abs(change) <= errors * max(error or 0.0, NOTHING * abs(gain))


def read_causes(run: Run, mine: Path, problems: list[str] | None = None) -> dict[int, Causes]:
    """What was measured of a run, by step; ``mine`` is the folder of the user's runs.

    A file that is not the run's, or cannot be read, counts as none, and a sentence on it goes into
    ``problems``.
    """
    found: dict[int, Causes] = {}
    for file in dict.fromkeys((run.folder / "causes.json", _file(run, mine))):
        if not file.is_file():
            continue
        try:
            found |= _read(file, run)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            known = isinstance(error, DamagedRun)
            why = str(error) if known else f"{file} is no measurement of updates: {error!r}."
            if problems is not None:
                problems.append(f"{why} It is left out; `ctviz causes {run.id}` measures anew.")
    return {step: found[step] for step in sorted(found)}


def write_causes(run: Run, mine: Path, causes: Causes) -> Path:
    """Keep what was measured at a step beside what was at others; raises DiskFull."""
    file = _file(run, mine)
    known = read_causes(run, mine) | {causes.step: causes}
    file.parent.mkdir(parents=True, exist_ok=True)
    steps = {str(step): known[step].plain() for step in sorted(known)}
    write_json(file, {"schema": SCHEMA, **_identity(run), "steps": steps})
    return file


def _read(file: Path, run: Run) -> dict[int, Causes]:
    values = read_json(file)
    if values.get("schema") != SCHEMA:
        raise DamagedRun(
            f"{file} has schema {values.get('schema')!r}, but this version of ctviz reads schema "
            f"{SCHEMA}."
        )
    identity = _identity(run)
    if {key: values.get(key) for key in identity} != identity:
        raise DamagedRun(f"{file} is of another run.")
    found = {int(step): Causes.of_plain(each) for step, each in values["steps"].items()}
    if any(step != each.step for step, each in found.items()):
        raise DamagedRun(f"{file} confuses its steps.")
    return found


def _file(run: Run, mine: Path) -> Path:
    """In the run's folder; of a run that ships with ctviz, beside the user's own runs."""
    if run.folder.parent.resolve() == paths.shipped_runs().resolve():
        return mine / ".causes" / f"{run.id}.json"
    return run.folder / "causes.json"


def _identity(run: Run) -> dict[str, Any]:
    """What stays the same when a run's folder is copied or renamed."""
    return {
        "created": run.about.get("created"),
        "revision": run.about.get("model", {}).get("revision"),
    }


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]
