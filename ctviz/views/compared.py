"""What is compared: runs, or steps of one run, their names, their clocks and what sets them apart.

Two runs are put on one clock, the sorted union of the steps of both: at each step a run is as in
its last snapshot at or before it, and before its first as in that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from ctviz.circuits.redundancy import mass_name
from ctviz.errors import DamagedRun
from ctviz.runs import Run
from ctviz.runs.config import METHOD_NAMES
from ctviz.views.folding import FOLDED, folded
from ctviz.views.naming import task_name
from ctviz.views.recorded import recorded, score_source
from ctviz.views.timeline import Timeline

__all__ = [
    "MOST",
    "Side",
    "alike",
    "asked",
    "caveats",
    "clip",
    "default_choice",
    "drawn",
    "held",
    "labels",
    "last_step",
    "letter",
    "link",
    "merged",
    "on_one_graph",
    "read_side",
]

MOST = 6  # runs at a time
LETTERS = "ABCDEF"
LONGEST, SHORT = 60, 34  # characters of a label, and of one in the player


def asked(query: Mapping[str, str]) -> tuple[list[str] | None, int | None]:
    """Run ids of a link (None if it names none at all) and the step to compare against."""
    text = query.get("runs")
    names = None
    if text is not None:
        names = list(dict.fromkeys(unquote(name) for name in text.split(",") if name))
    against = query.get("against", "")
    return names, int(against) if against.isdecimal() and len(against) < 16 else None


def link(runs: Sequence[str], against: int | None = None) -> dict[str, str]:
    """The parameters that `asked` reads."""
    query = {"runs": ",".join(quote(run, safe="") for run in runs)}
    return query if against is None else {**query, "against": str(against)}


def default_choice(runs: Sequence[Run], samples: Iterable[str]) -> list[str]:
    """What to compare if nobody said: the newest run, with another one of its model and task.

    ``runs`` are newest first; only those with two snapshots count, as long as there are any, and
    ``samples`` come last, the longest first. With nothing beside it, a run is compared with itself.
    """
    shipped = set(samples)
    count = {run.id: len(run.snapshot_files()) for run in runs}
    usable = [run for run in runs if count[run.id] > 1] or list(runs)
    usable.sort(key=lambda run: (run.id in shipped, -count[run.id] if run.id in shipped else 0))
    if not usable:
        return []
    first = usable[0]
    alike = [
        run
        for run in usable[1:]
        if (run.config.model, run.config.task) == (first.config.model, first.config.task)
    ]
    alike.sort(key=lambda run: run.config.method == first.config.method)
    return [run.id for run in (first, *alike[:1])]


def labels(runs: Sequence[Run], titles: Mapping[str, str] | None = None) -> list[str]:
    """A short name for each run: a letter, the method, and as little else as tells them apart.

    A run by itself has no letter. ``titles``: what somebody has called runs instead, by their ids.
    """
    parts = [_parts(run) for run in runs]
    telling = ["method"]
    for name in ("task", "model", "seed", "edges", "blocks", "rate", "steps", "created"):
        if len({part[name] for part in parts}) > 1 and (
            name in ("task", "model") or len(set(_said(parts, telling))) < len(parts)
        ):
            telling.append(name)
    own = [(titles or {}).get(run.id, "") for run in runs]
    said = [clip(a or b) for a, b in zip(own, _said(parts, telling), strict=True)]
    for i, run in enumerate(runs):
        if said.count(said[i]) > 1:
            said[i] = clip(f"{parts[i]['method']}, {run.id}")
    if len(said) < 2:
        return said
    return [f"{letter} · {name}" for letter, name in zip(LETTERS, said, strict=False)]


def _said(parts: Sequence[Mapping[str, str]], telling: Sequence[str]) -> list[str]:
    return [", ".join(part[name] for name in telling) for part in parts]


def _parts(run: Run) -> dict[str, str]:
    config = run.config
    return {
        "method": METHOD_NAMES[config.method],
        "task": task_name(run),
        "model": Path(config.model).name,
        "seed": f"seed {config.seed}",
        "edges": f"{config.edges} edges",
        "blocks": f"blocks of {config.mlp_block}" if config.mlp_block else "whole MLPs",
        "rate": f"rate {config.learning_rate:g}",
        "steps": f"{config.steps} steps",
        "created": str(run.about.get("created", ""))[:19].replace("T", " "),
    }


def clip(text: str, most: int = LONGEST) -> str:
    """A text of at most that many characters, with an ellipsis if anything is missing."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the runs compared; ``metrics`` has a row for each of its snapshots.

    ``timeline`` is None for a run without a snapshot.
    """

    run: Run
    label: str
    timeline: Timeline | None
    metrics: pd.DataFrame

    @property
    def name(self) -> str:
        """The label without its letter."""
        return re.sub(f"^[{LETTERS}] · ", "", self.label)

    @property
    def short(self) -> str:
        """The label, as long as there is room for in the player."""
        return clip(self.label, SHORT)

    @property
    def judged_by(self) -> str:
        """Name of the task's own grade."""
        return str(self.run.about.get("task", {}).get("judged_by", "accuracy"))

    @property
    def graded(self) -> str:
        """That grade as it is measured at snapshots: on dev examples, and on how many."""
        return f"{self.judged_by.replace('_', ' ')} ({self.run.about.get('examples', '?')} dev)"

    @property
    def metric(self) -> str:
        """What the scores and the task metric are in units of."""
        return str(self.run.about.get("task", {}).get("metric", "metric"))

    @property
    def model(self) -> tuple[str, str]:
        """Name and revision of the untuned model."""
        about = self.run.about.get("model", {})
        return str(about.get("name", self.run.config.model)), str(about.get("revision", ""))


def read_side(run: Run, label: str, *, damaged: list[DamagedRun] | None = None) -> Side:
    """A run as it is on disk now; damaged snapshots are left out and put into ``damaged``.

    Raises DamagedRun if the run cannot be read, or says too little of itself.
    """
    try:
        timeline = recorded(run, damaged=damaged)
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, DamagedRun):
            raise
        raise DamagedRun(f"{run.folder} cannot be compared: {error!r}.") from error
    return _side(run, label, timeline)


@lru_cache(maxsize=2 * MOST)
def _side(run: Run, label: str, timeline: Timeline | None) -> Side:
    """The same side as before as long as the run says nothing new: its timeline is then the same
    as well (see `ctviz.views.recorded.recorded`), and so is what is packed of it."""
    metrics = run.metrics()
    if "metric" not in metrics:
        metrics = pd.DataFrame({"step": pd.Series(dtype=int)})
    else:
        metrics = metrics[metrics["metric"].notna()]
    if timeline is not None and not timeline.steps:
        timeline = None
    return Side(run, label, timeline, metrics.reset_index(drop=True))


def caveats(sides: Sequence[Side]) -> list[str]:
    """Sentences on what makes the runs hard to compare."""
    said = []
    drawn = [side for side in sides if side.timeline is not None]
    lasts = [(side, side.timeline.steps[-1]) for side in drawn if side.timeline is not None]
    if len({last for _, last in lasts}) > 1:
        each = ", ".join(f"{letter(side)} step {last}" for side, last in lasts)
        said.append(
            f"The runs have different lengths; their last snapshots are those of: {each}. After "
            "its last snapshot a run is shown as it was then."
        )
    graphs = {side.timeline.graph for side in drawn if side.timeline is not None}
    shapes = {graph.whole for graph in graphs}
    if len(shapes) > 1:
        said.append(
            "Models of different graphs have no edges in common, so there is no edge-level "
            "comparison of them and no overlap; everything else can be compared."
        )
    elif len({side.model for side in sides}) > 1:
        said.append(
            "These are different models of one shape: an edge of the same name need not do the "
            "same in both, so overlap between them means little."
        )
    if len(graphs) > len(shapes):
        said.append(
            "The MLPs of these runs are cut into different blocks of neurons, so their edges are "
            f"compared with {FOLDED}: scores are added up, an edge counts as in the circuit if any "
            "of its blocks' is, and how sure the scores of MLPs are is not known."
        )
    if len({(side.metric, task_name(side.run)) for side in sides}) > 1:
        said.append(
            "These runs have different tasks or metrics: their scores are in different units, and "
            "each task has an axis of its own."
        )
    elif len({side.run.about.get("examples") for side in drawn}) > 1:
        said.append("These runs were measured on different numbers of dev examples.")
    said += _scored_otherwise(drawn)
    sizes = {int(side.timeline.circuit[-1].sum()) for side in drawn if side.timeline is not None}
    if len(graphs) == 1 and len(sizes) > 1 and max(sizes):
        said.append(
            f"At the end the circuits have from {min(sizes)} to {max(sizes)} edges, so the "
            f"smallest and the largest overlap by no more than {min(sizes) / max(sizes):.2f}."
        )
    return said


def _scored_otherwise(sides: Sequence[Side]) -> Iterator[str]:
    """That the circuits of runs, or what is said of them, come about in different ways."""
    ways = [score_source(side.run.about, side.run.config) for side in sides]
    if len(set(ways)) > 1:
        each = "; ".join(f"{letter(side)}: {way}" for side, way in zip(sides, ways, strict=True))
        yield (
            "Edges were scored in different ways, so that scores and circuits may differ for that "
            f"reason alone. {each}."
        )
    shares = [side.run.config.tau for side in sides]
    if len(set(shares)) > 1:
        each = ", ".join(
            f"{letter(side)} {mass_name(tau)}" for side, tau in zip(sides, shares, strict=True)
        )
        yield f"Redundancy by mass means another share in each: {each}."


def drawn(side: Side) -> Timeline:
    """The timeline of a side that has one."""
    assert side.timeline is not None, "only runs with a snapshot are drawn"
    return side.timeline


def letter(side: Side) -> str:
    """The letter that a side's label begins with, if it is one of several."""
    return side.label.partition(" ")[0]


def alike(one: Side, other: Side) -> bool:
    """Whether both have circuits in the same graph, or would have with whole MLPs."""
    pair = one.timeline, other.timeline
    if pair[0] is None or pair[1] is None:
        return False
    return pair[0].graph.whole == pair[1].graph.whole


def on_one_graph(one: Side, other: Side) -> tuple[Timeline, Timeline]:
    """The timelines of two sides that are `alike`, both with whole MLPs if their blocks differ."""
    first, second = drawn(one), drawn(other)
    if first.graph == second.graph:
        return first, second
    return folded(first), folded(second)


def merged(*clocks: Sequence[int]) -> list[int]:
    """The steps of all, sorted."""
    return sorted({step for clock in clocks for step in clock})


def last_step(sides: Sequence[Side]) -> int:
    """The last step at which any of them has a snapshot; one of them must."""
    return max(side.timeline.steps[-1] for side in sides if side.timeline is not None)


def held(own: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """Index of the snapshot that a run holds at each step."""
    return np.maximum(np.searchsorted(own, steps, side="right") - 1, 0)
