"""A run on disk as the player's Timeline, and packed: each made once, until the run says more.

What is read is kept while the process lasts, so that a page that looks again at a live run reads
its new snapshots alone, and makes nothing as long as there are none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from ctviz import paths
from ctviz.circuits.graph import Graph
from ctviz.circuits.random_circuits import RANDOM_NAMES
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import CtvizError, DamagedRun
from ctviz.files import written
from ctviz.runs import Run
from ctviz.runs.abilities import PREFIX, abilities_of
from ctviz.runs.causes import Causes, read_causes
from ctviz.runs.config import METHOD_NAMES, TuneConfig
from ctviz.runs.directory import read_snapshot
from ctviz.runs.groups import NodeGroup
from ctviz.runs.measured import measured_on
from ctviz.runs.monotone import monotone_edges
from ctviz.runs.series import model_of
from ctviz.runs.snapshot import Snapshot
from ctviz.runs.trust import measured, overview
from ctviz.tasks.files.rows import counted
from ctviz.views.packing import pack
from ctviz.views.timeline import Curve, Probe, Timeline, with_gaps

__all__ = [
    "RUNS",
    "packed",
    "random_circuits",
    "read_once",
    "recorded",
    "score_source",
    "self_organized",
]

SNAPSHOTS = 512  # kept as they were read
RUNS = 4  # kept as they are drawn, each with a copy of all its snapshots

FAITHFUL = "share of the behaviour that the circuit alone carries, on {judged}"
RANDOMLY = "the same share of {random}, mean, on {judged}"
KL = "mean KL a token on {neutral}, {start} against this one, at each snapshot"
PARTS = "mean of {{metric}} with {} corrupted, on {{judged}}"
DRIFT = "parts of the model that the step did not own and that moved all the same, counted"

REPEATS = "on words of the task at random, each row of them said twice"
BEST = f"largest of all heads, {REPEATS}, at each snapshot"

QUALITY = (
    "faithfulness",
    "random_faithfulness",
    "faithfulness_error",
    "random_low",
    "random_high",
)

ALONE = ("backbone_faithfulness", "backbone_error")

CURVES = (
    # column, label, panel, kind, where the numbers come from
    ("metric", "metric", "metric", "main", "mean of {metric} over {dev}, at each snapshot"),
    ("faithfulness", "circuit", "faithfulness", "main", FAITHFUL),
    ("random_faithfulness", "random circuit", "faithfulness", "reference", RANDOMLY),
    ("previous_token", "one back", "heads", "main", BEST),
    ("prefix_matching", "matching", "heads", "main", BEST),
    ("copying", "copying", "heads", "main", BEST),
    ("retention_kl", "KL from {start}", "retention", "main", KL),
    ("loss", "training loss", "loss", "main", "mean over the training batch of each step"),
    ("{judged_by}", "{judged_by}", "grade", "main", "the task's own grade on {examples}"),
    ("other_accuracy", "mean", "others", "main", "other tasks that {able} could do"),
    (
        "perplexity",
        "on English text",
        "perplexity",
        "main",
        "on the English text that ships with ctviz, at each snapshot",
    ),
    ("outside_moved", "parts", "drift", "main", DRIFT),
    ("metric_full", "all", "parts", "main", "mean of {metric}, nothing corrupted, on {judged}"),
    ("metric_circuit", "circuit", "parts", "main", PARTS.format("all outside of it")),
    ("metric_complement", "rest", "parts", "main", PARTS.format("all inside of it")),
    ("metric_corrupt", "none", "parts", "reference", PARTS.format("everything")),
)


def recorded(
    run: Run,
    *,
    damaged: list[DamagedRun] | None = None,
    groups: tuple[NodeGroup, ...] = (),
) -> Timeline | None:
    """What the player shows of a run as it is on disk now; None until its model is loaded.

    The very same object, as long as the run says the same. Damaged snapshots are left out and put
    into ``damaged``. Raises DamagedRun if the run cannot be read, or says too little of itself.
    """
    try:
        graph = run.graph
        return None if graph is None else _timeline(_state(run, graph, damaged, groups))
    except CtvizError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedRun(f"{run.folder} cannot be shown: {error!r}.") from error


@lru_cache(maxsize=RUNS)
def packed(timeline: Timeline) -> dict[str, Any]:
    """What `ctviz.views.timeline.pack` makes of a timeline, made once; not to be changed."""
    return pack(timeline)


@lru_cache(maxsize=RUNS)
def self_organized(timeline: Timeline) -> pd.DataFrame:
    """Edges that only strengthened or weakened, see `ctviz.runs.monotone`, made once."""
    graph, errors = timeline.graph, timeline.errors
    whole = None if errors is None else list(errors)
    return monotone_edges(list(timeline.scores), whole, list(timeline.circuit), graph)


def read_once(file: Path, graph: Graph | None) -> Snapshot:
    """A snapshot's file, read once for all pages; raises DamagedRun as `read_snapshot` does."""
    return _read(file, written(file), graph)


@lru_cache(maxsize=SNAPSHOTS)
def _read(file: Path, stamp: tuple[int, int] | None, graph: Graph | None) -> Snapshot:
    return read_snapshot(file, graph)


@dataclass(frozen=True, slots=True)
class _State:
    """All that a timeline is made of. Equal states make the same one: snapshots are compared by
    identity, as each is read once, and ``said`` is what ``about`` and ``curves`` say."""

    run: str
    config: TuneConfig
    state: str
    snapshots: tuple[Snapshot, ...]
    groups: tuple[NodeGroup, ...]
    causes: tuple[Causes, ...]
    said: str
    graph: Graph = field(compare=False)
    about: dict[str, Any] = field(compare=False)
    curves: tuple[Curve, ...] = field(compare=False)


def _state(
    run: Run, graph: Graph, damaged: list[DamagedRun] | None, groups: tuple[NodeGroup, ...]
) -> _State:
    config, about = run.config, run.about
    snapshots = tuple(run.snapshots(damaged=damaged, read=read_once))
    on = measured_on(about, config)
    words = {
        "metric": about["task"]["metric"],
        "dev": on.metric,
        "judged": on.judged,
        "neutral": on.neutral,
        "examples": counted(about["examples"], "dev example"),
        "judged_by": about["task"].get("judged_by", "accuracy"),
        "random": random_circuits(config),
        "start": config.start,
        "able": _ablest(about, config),
    }
    first = snapshots[0].step if snapshots else 0
    last = snapshots[-1].step if snapshots else -1
    made = _made_by(run.id, config)
    curves = _curves(run.metrics(), last, words, made) + _abilities(
        about, (first, last), config, made
    )
    said = hashlib.sha256(json.dumps(about).encode())
    for curve in curves:
        said.update(f"{curve.key} {len(curve.steps)}".encode())
        said.update(curve.steps.tobytes() + curve.values.tobytes())
    return _State(
        run=run.id,
        config=config,
        state=run.status().state,
        snapshots=snapshots,
        groups=groups,
        causes=tuple(read_causes(run, paths.runs()).values()),
        said=said.hexdigest(),
        graph=graph,
        about=about,
        curves=curves,
    )


def score_source(about: Mapping[str, Any], config: TuneConfig) -> str:
    """What a run's edges were scored by, and on what; ``about`` is its ``run.json``."""
    integrated = about.get("attribution", {}).get("method") == "eap-ig"
    more = " with integrated gradients" if integrated else ""
    scored = measured_on(about, config).scored
    return f"edge attribution patching{more} on {scored}, {config.ablation} ablation"


def _ablest(about: Mapping[str, Any], config: TuneConfig) -> str:
    """The model that decided how edges are scored and what is measured beside the task, in words:
    of a series the last one, else the one that a run begins with."""
    return "the last model" if "series" in about else config.start


def _agreement(about: Mapping[str, Any], config: TuneConfig) -> str:
    """How the scores agreed with exact patching, if that was tried."""
    found = about.get("attribution", {})
    value = found.get("correlation", {}).get(found.get("method"))
    if value is None:
        return ""
    return (
        f". Correlation with exactly patching {found['nodes']} nodes of "
        f"{_ablest(about, config)} on {counted(found['pairs'], 'pair')}: {value:.2f}"
    )


def random_circuits(config: TuneConfig) -> str:
    """The random circuits beside the circuit of a snapshot, in words."""
    return f"{config.draws} {RANDOM_NAMES[config.random][config.draws == 1]}"


def _made_by(run: str, config: TuneConfig) -> str:
    return f"run {run}, {METHOD_NAMES[config.method]}, seed {config.seed}"


@lru_cache(maxsize=RUNS)
def _timeline(now: _State) -> Timeline:
    snapshots, graph, config, about = now.snapshots, now.graph, now.config, now.about
    count, on = len(snapshots), measured_on(about, config)
    source = score_source(about, config)
    tuned = np.array([_touched(graph, s.tuned) for s in snapshots]).reshape(count, len(graph.nodes))
    made = _made_by(now.run, config)
    steps = [s.step for s in snapshots]
    trust = overview(measured((s.metrics for s in snapshots), on.judging))
    return Timeline(
        run=now.run,
        title=about["task"]["title"],
        model=model_of(about, about["model"]["name"]),
        task=about["task"]["key"],
        method=config.method,
        metric=about["task"]["metric"],
        state=now.state,
        examples=about["examples"],
        source=f"{source}, seed {config.seed}",
        graph=graph,
        n_edges=config.edges,
        steps=steps,
        scores=_stack([s.scores for s in snapshots], graph.exists.shape, np.float32),
        circuit=_stack([s.circuit for s in snapshots], graph.exists.shape, bool),
        updated=tuned.astype(bool),
        redundancy={
            key: _stack([s.redundancy[key] for s in snapshots], (len(graph.nodes),), np.float32)
            for key in ("circuit", "mass")
        },
        curves=with_gaps(now.curves, steps, trust),
        probes=_probes(snapshots),
        errors=_errors(snapshots, graph),
        split=_split(snapshots, graph, config.tau),
        quality=_metrics_of(snapshots, QUALITY),
        trust=tuple(trust),
        alone=_metrics_of(snapshots, ALONE),
        moved=_of_nodes([s.moved for s in snapshots], graph),
        specific=_of_nodes([s.specific for s in snapshots], graph),
        heads=_heads(snapshots, graph),
        ablation=config.ablation,
        tau=config.tau,
        groups=now.groups,
        causes=now.causes,
        names=_names(about, snapshots),
        provenance={
            "scores": f"{source}; {made}{_agreement(about, config)}",
            "redundancy": f"from the scores and the circuit of this step, {on.scored}; {made}",
            "quality": f"measured by running the circuit alone on {on.judged}; {made}",
            "random": random_circuits(config),
            "probes": f"one prompt, run at every snapshot; {made}",
            "effect": f"direct logit attribution, mean over {_prompts(snapshots)}; {made}",
            "moved": "norm of the difference of a node's parameters from those of "
            f"{config.start}, by the norm of these; {made}",
            **dict.fromkeys(("previous", "matching", "copying"), f"{REPEATS}; {made}"),
            "specific": "|score| of all that a node writes, beside its effect on neutral sentences "
            f"in {config.start}, each by its mean over nodes; {made}",
        },
    )


_BY_INPUT: WeakKeyDictionary[Snapshot, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def _names(about: Mapping[str, Any], snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """Of the members of a series that has names, else nothing."""
    members = about.get("series", {}).get("members", [])
    names = {member["step"]: member["name"] for member in members if member["name"]}
    return tuple(names.get(s.step, f"step {s.step}") for s in snapshots) if names else ()


def _inputs(snapshot: Snapshot, graph: Graph, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """float [head, 3] by the estimators circuit and mass, made once for each snapshot."""
    if snapshot not in _BY_INPUT:
        circuit = circuit_redundancy(Circuit(graph, snapshot.circuit))
        mass = mass_redundancy(Scores(graph, np.nan_to_num(snapshot.scores)), tau=tau)
        _BY_INPUT[snapshot] = circuit.by_input(), mass.by_input()
    return _BY_INPUT[snapshot]


def _stack(arrays: list[np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), dtype=dtype)


def _touched(graph: Graph, tuned: np.ndarray) -> np.ndarray:
    """bool [node]: whether the update moved parameters that the node owns.

    ``input`` and ``logits`` own none; a head's share of a key or value slot counts as its own.
    """
    touched = np.zeros(len(graph.nodes), dtype=bool)
    touched[: len(graph.sources)] |= tuned.any(axis=1)
    touched |= tuned.any(axis=0) @ graph.feeds
    touched[[0, -1]] = False
    return touched


def _errors(snapshots: Sequence[Snapshot], graph: Graph) -> np.ndarray | None:
    """float32 [T, source, slot], NaN at snapshots that kept none; None if none of them has any."""
    if all(s.error is None for s in snapshots):
        return None
    unknown = np.full(graph.exists.shape, np.nan, dtype=np.float32)
    return np.stack([unknown if s.error is None else s.error for s in snapshots])


def _of_nodes(values: Sequence[np.ndarray | None], graph: Graph) -> np.ndarray | None:
    """float32 [T, node], NaN at snapshots that kept none; None if none of them has any."""
    if all(each is None for each in values):
        return None
    unknown = np.full(len(graph.nodes), np.nan, dtype=np.float32)
    return np.stack([unknown if each is None else each for each in values])


def _heads(snapshots: Sequence[Snapshot], graph: Graph) -> dict[str, np.ndarray]:
    """float32 [T, node] by name, of what any snapshot has kept, NaN at those that did not."""
    names = dict.fromkeys(name for s in snapshots for name in s.heads)
    found = {name: _of_nodes([s.heads.get(name) for s in snapshots], graph) for name in names}
    return {name: values for name, values in found.items() if values is not None}


def _prompts(snapshots: Sequence[Snapshot]) -> str:
    return counted(len(snapshots[0].probes) if snapshots else 0, "stored prompt")


def _split(snapshots: Sequence[Snapshot], graph: Graph, tau: float) -> dict[str, np.ndarray]:
    """float32 [T, head, 3] by estimator: redundancy of each head's query, key and value."""
    both = [_inputs(s, graph, tau) for s in snapshots]
    shape = (graph.n_layers * graph.n_heads, 3)
    return {
        "circuit": _stack([circuit for circuit, _ in both], shape, np.float32),
        "mass": _stack([mass for _, mass in both], shape, np.float32),
    }


def _metrics_of(snapshots: Sequence[Snapshot], names: Sequence[str]) -> np.ndarray:
    """float [T, name]: some numbers of each snapshot, NaN if unknown."""
    rows = [[_number(s.metrics.get(name)) for name in names] for s in snapshots]
    return np.array(rows, dtype=float).reshape(len(snapshots), len(names))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _curves(
    metrics: pd.DataFrame, last: int, words: dict[str, str], made: str
) -> tuple[Curve, ...]:
    """Curves up to the last snapshot: a live run's metrics are a few steps ahead of it."""
    curves = []
    parts = "metric_circuit" in metrics  # else there is nothing to compare
    for name, label, panel, kind, note in CURVES:
        column = name.format(**words)
        if column in metrics and (parts or panel != "parts"):
            values = metrics[["step", column]].dropna()
            values = values[values["step"] <= last]
            if len(values):
                curves.append(
                    Curve(
                        key=column,
                        label=label.format(**words),
                        panel=panel,
                        steps=values["step"].to_numpy(dtype=int),
                        values=values[column].to_numpy(dtype=float),
                        kind=kind,  # type: ignore[arg-type]
                        note=f"{note.format(**words)}; {made}",
                    )
                )
    return tuple(curves)


def _abilities(
    about: Mapping[str, Any], ends: tuple[int, int], config: TuneConfig, made: str
) -> tuple[Curve, ...]:
    """What lm-evaluation-harness measured at the first and the last step, as curves of one or two
    points: shares beside the other tasks, perplexities beside that of English."""
    curves, (first, last) = [], ends
    end = "the last one" if config.method == "recorded" else "the tuned one at the end"
    for ability in abilities_of(about):
        points = {first: ability.before} | ({} if ability.after is None else {last: ability.after})
        panel = "perplexity" if ability.metric.endswith("perplexity") else "others"
        if panel == "others" and not all(0 <= value <= 1 for value in points.values()):
            continue  # in units of its own, which no panel has
        curves.append(
            Curve(
                key=f"{PREFIX}.{ability.name}",
                label=f"{ability.name} (lm-eval)",
                panel=panel,
                steps=np.array(list(points), dtype=int),
                values=np.array(list(points.values()), dtype=float),
                note=f"by lm-evaluation-harness, of {config.start} and of {end}; {made}",
            )
        )
    return tuple(curves)


def _probes(snapshots: Sequence[Snapshot]) -> tuple[Probe, ...]:
    if not snapshots:
        return ()
    probes = []
    for index, first in enumerate(snapshots[0].probes):
        readings = [s.probes[index] for s in snapshots]
        probes.append(
            Probe(
                label="".join(first.tokens),
                tokens=list(first.tokens),
                answer=first.answer,
                foil=first.foil,
                predictions=[list(reading.top) for reading in readings],
                attention=np.stack([reading.attention for reading in readings]),
                attribution=np.stack([reading.attribution for reading in readings]),
                chances=np.array([reading.chances or (np.nan, np.nan) for reading in readings]),
            )
        )
    return tuple(probes)
