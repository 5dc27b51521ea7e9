"""What a job will take, measured on the real model without leaving anything behind.

Each thing that a job does many times is done once or twice, with the job's own code, and counted.

``python -m ctviz.jobs.dry_run FOLDER`` reads the settings of a tuning run as JSON from standard
input and prints estimates as they become better, one JSON object a line; what cannot be is printed
as ``{"error": ...}``.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psutil
import torch

from ctviz import paths
from ctviz.attribution.attribute import attribute
from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.selection import check_edges
from ctviz.errors import CtvizError
from ctviz.interventions.faithfulness import Evaluation, metric_of_model
from ctviz.jobs.discovery import Search
from ctviz.jobs.outcome import about_run, weight_change
from ctviz.models.loading import Loaded, load, pick_device
from ctviz.models.memory import free_memory
from ctviz.models.untuned import Untuned
from ctviz.progress import phase
from ctviz.runs import RunWriter
from ctviz.runs.config import TuneConfig
from ctviz.runs.estimate import Estimate, GradeBefore
from ctviz.runs.least_memory import check_tunable
from ctviz.runs.snapshot import StepRecord
from ctviz.runs.weights import steps_to_keep
from ctviz.tasks.grading import chance, grade
from ctviz.tasks.task import GRADES
from ctviz.tuning.abilities import Abilities
from ctviz.tuning.baselines import Baselines
from ctviz.tuning.checkpoint import SnapshotWeights, save_checkpoint
from ctviz.tuning.dataset import Dataset
from ctviz.tuning.loop import Tuning
from ctviz.tuning.measure import snapshot_of
from ctviz.tuning.motion import nodes_moved
from ctviz.tuning.retention import Retention

__all__ = ["Meter", "dry_discover", "dry_tune", "free_disk", "time_tests"]

STEPS = 4  # that are taken
PAIRS = 16  # on which a discovery is measured
MATRICES = 9  # bytes of scores, their errors and the circuit, for each source and slot
ROW = 150  # bytes of a circuit's edge, as JSON and as CSV
SCRATCH = 0.05  # of the time of a run goes into checkpoints, at most
T = TypeVar("T")
Tell = Callable[[Estimate], None]


class Meter:
    """Times pieces of work, and what memory they take at the most."""

    def __init__(self) -> None:
        self.seconds = 0.0  # of the last piece

    def time(self, work: Callable[[], T]) -> T:
        """Do it, and keep how long it took."""
        began = time.perf_counter()
        made = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - began
        return made

    @staticmethod
    def most(device: torch.device) -> int:
        """Bytes that this process has taken at the most, on a device."""
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated(device)
        try:
            import resource
        except ImportError:  # Windows keeps the peak elsewhere
            return int(psutil.Process().memory_info().peak_wset)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if psutil.MACOS else peak * 1024

    @staticmethod
    def taken(device: torch.device) -> int:
        """Bytes that it takes now."""
        if device.type == "cuda":
            return torch.cuda.memory_allocated(device)
        return int(psutil.Process().memory_info().rss)


def dry_tune(config: TuneConfig, folder: Path, *, tell: Tell = lambda _: None) -> Estimate:
    """What a tuning run into a folder below ``folder`` will take; told as it is measured.

    Raises what the run itself would raise before its first step.
    """
    check_tunable(config, free_memory(pick_device(config.device)))
    meter = Meter()
    loaded = meter.time(lambda: load(config.model, device=config.device))
    loaded = loaded.cut_into(config.mlp_block)
    for edges in (config.edges, config.edges_end or config.edges):
        check_edges(loaded.anatomy.graph, edges, hint=f"({loaded.name})")
    device = loaded.anatomy.device
    found = Estimate(
        seconds={"load": meter.seconds},
        available=free_memory(device) + meter.taken(device),
        disk_free=free_disk(folder),
        device=str(device),
    )
    tell(found)
    with phase("measuring"):
        return _dry_tune(config, loaded, meter, found, tell)


def _dry_tune(
    config: TuneConfig, loaded: Loaded, meter: Meter, found: Estimate, tell: Tell
) -> Estimate:
    device = loaded.anatomy.device
    steps = max(config.steps, STEPS + 1)
    briefly = replace(config, steps=steps, snapshot_every=steps)  # none comes between the steps
    untuned = Untuned(loaded)
    baselines = meter.time(lambda: Baselines(loaded, untuned))
    baseline = meter.seconds
    # what is found out of the untuned model here, the run itself will know; LoRA would change it
    plain = replace(briefly, method="full")
    Tuning(loaded, plain, baselines=baselines).retention.prepare()
    tuning = meter.time(lambda: Tuning(loaded, briefly, baselines=baselines))
    baseline += meter.seconds
    known = baselines.knows(tuning.untuned_grades)
    seconds = dict(found.seconds)
    kept = SnapshotWeights(tuning, Path("nowhere"), untuned)
    # the first snapshot, and what retention remembers of the untuned model for it
    retention, data = tuning.retention, tuning.dataset
    scores = meter.time(lambda: tuning.discover(data.score_pairs))
    snapshot_seconds = meter.seconds
    meter.time(retention.quick)
    baseline, quick = baseline + meter.seconds / 2, meter.seconds / 2
    cheap = replace(config, evaluate="quick" if config.evaluate == "full" else config.evaluate)
    snapshot = meter.time(
        lambda: snapshot_of(
            *(loaded, cheap, data, retention, scores),
            step=0,
            tuned=None,
            moved=nodes_moved(loaded, untuned),
        )
    )
    snapshot_seconds += meter.seconds
    name = GRADES[data.task.grade].name
    guessing = chance(data.task, data.graded)
    graded = GradeBefore(name, snapshot.metrics[name], len(data.graded), "dev", guessing)
    found = replace(found, grade=graded)
    # the untuned model on the test split, as the tuned one at the end
    meter.time(lambda: retention.others)
    baseline += meter.seconds
    tested, full = time_tests(loaded, config, data, retention, tuning.abilities, quick, meter)
    if config.evaluate == "full":
        snapshot_seconds += full - quick
    seconds["baseline"] = baseline + (0.0 if known else tested)
    seconds["discovery"] = snapshot_seconds
    seconds["snapshots"] = snapshot_seconds * -(-config.steps // config.every)
    tell(replace(found, seconds=seconds))
    each = _step_seconds(tuning, config, meter)
    seconds["steps"] = each * config.steps
    tell(replace(found, seconds=seconds))
    meter.time(lambda: weight_change(loaded, untuned))
    seconds["final evaluation"] = tested + meter.seconds
    with tempfile.TemporaryDirectory() as scratch:
        writer = RunWriter(Path(scratch) / "run", config)
        writer.describe(loaded.anatomy.graph, **about_run(tuning))
        writer.snapshot(snapshot)
        small = sum(file.stat().st_size for file in writer.folder.rglob("*") if file.is_file())
        checkpoint = meter.time(lambda: save_checkpoint(tuning, writer.folder))
        written, state = meter.seconds, checkpoint.stat().st_size
        model = save_checkpoint(tuning, writer.folder, finished=True).stat().st_size
    snapshots = -(-config.steps // config.every)
    checkpoints = min(float(snapshots), 1 + SCRATCH * sum(seconds.values()) / max(written, 1e-3))
    weights = len(steps_to_keep(config, kept.size)) * kept.size
    seconds["snapshots"] += written * checkpoints + written * weights / max(1, state)
    left = small * (1 + snapshots) + weights
    return replace(
        found,
        seconds=seconds,
        memory=meter.most(device),
        disk=left + model,
        disk_most=left + 2 * state,
        whole=True,
    )


def time_tests(
    loaded: Loaded,
    config: TuneConfig,
    dataset: Dataset,
    retention: Retention,
    abilities: Abilities,
    quick: float,
    meter: Meter,
) -> tuple[float, float]:
    """Seconds of the grades on test examples, from part of them, and of a full measurement of
    retention; ``quick``: of a quick one. Which other tasks are measured has to be known."""
    meter.time(lambda: grade(loaded, dataset.task, dataset.graded))
    graded = meter.seconds / len(dataset.graded) * config.test_examples
    numbers = meter.time(retention.measure)
    full = meter.seconds
    english = thorough = 0.0
    if "perplexity" in numbers:
        meter.time(lambda: retention.perplexity(thorough=False))
        english = meter.seconds
        thorough = english * max(1.0, _general_tokens(loaded) / config.retention_tokens)
    elsewhere = max(0.0, full - quick - english)
    elsewhere *= config.retention_test_examples / config.retention_examples
    meter.time(abilities.measure)
    return graded + quick + thorough + elsewhere + meter.seconds, full


def _step_seconds(tuning: Tuning, config: TuneConfig, meter: Meter) -> float:
    """Seconds of a step, from the first ones: those that discover and, where there are such, those
    that do not."""
    tuning.begun = True
    taken: list[float] = []
    events = iter(tuning)
    while len(taken) < STEPS:
        event = next(events)
        if isinstance(event, StepRecord):
            taken.append(event.seconds)
    if config.method != "circuit" or config.rediscover == 1:
        return median(taken[1:])  # the first one makes what the others find
    rest = median(taken[1:])
    return rest + max(0.0, taken[0] - rest) / config.rediscover


def _general_tokens(loaded: Loaded) -> int:
    text = (paths.data() / "english" / "general.txt").read_text(encoding="utf-8")
    return len(loaded.tokenizer.encode(text, add_special_tokens=False))


def dry_discover(loaded: Loaded, search: Search, folder: Path, seconds: float) -> Estimate:
    """What a discovery into a folder below ``folder`` will take; ``seconds``: to load the model."""
    search.check(loaded)
    meter, anatomy = Meter(), loaded.anatomy
    device, graph = anatomy.device, anatomy.graph
    available = free_memory(device) + meter.taken(device)
    with phase("measuring"):
        batch, _ = search.pairs(loaded, search.found_on)
        judged, _ = search.pairs(loaded, search.judged_on)
        few = batch[:PAIRS]
        how: dict[str, Any] = {"ablation": search.ablation, "metric": search.metric}
        if search.method == "exact":  # a run of the model for each edge
            meter.time(lambda: metric_of_model(anatomy, few, metric=search.metric))
            scoring = meter.seconds / len(few) * len(batch) * graph.n_edges
        else:
            brief = replace(search, examples=min(PAIRS, search.examples))
            trial, _ = meter.time(lambda: brief.scores(loaded, few))
            both = meter.seconds
            meter.time(lambda: attribute(anatomy, few, method=trial.method, end=search.end, **how))
            scoring = both + meter.seconds * (len(batch) / len(few) - 1)
        circuit = random_circuit(graph, min(search.edges, graph.n_edges), seed=search.seed)
        part = judged[:PAIRS]
        evaluation = meter.time(lambda: Evaluation(anatomy, part, **how))
        judging = meter.seconds
        meter.time(lambda: evaluation.compare(circuit, seed=search.seed, draws=search.draws))
        judging = (judging + meter.seconds) * len(judged) / len(part)
    disk = graph.exists.size * MATRICES + circuit.n_edges * ROW
    return Estimate(
        seconds={"load": seconds, "discovery": scoring, "evaluation": judging},
        memory=meter.most(device),
        available=available,
        disk=disk,
        disk_most=disk,
        disk_free=free_disk(folder),
        device=str(device),
        whole=True,
    )


def free_disk(folder: Path) -> int:
    """Bytes that are free where a folder is or will be."""
    whole = folder.absolute()
    return shutil.disk_usage(next(p for p in (whole, *whole.parents) if p.exists())).free


def main() -> int:
    """Measure for a page; returns the exit code."""

    def say(found: dict[str, Any]) -> None:
        sys.stdout.write(f"{json.dumps(found)}\n")
        sys.stdout.flush()

    def tell(estimate: Estimate) -> None:
        say(estimate.plain())

    try:
        config = TuneConfig.from_dict(json.loads(sys.stdin.read()))
        tell(dry_tune(config, Path(sys.argv[1]), tell=tell))
    except CtvizError as error:
        say({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
