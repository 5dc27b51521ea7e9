"""What is measured of a model on its way: snapshots on dev examples, grades on test examples.

The model is looked at as it is; LoRA's adapters have to be merged into it (`ctviz.tuning.lora`).
"""

from __future__ import annotations

import numpy as np

from ctviz.circuits.backbone import FEW, backbone_of
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores, specific_share
from ctviz.errors import UndefinedMetric
from ctviz.inspection.probe import read_probe
from ctviz.inspection.repeats import BEST, head_scores, repeated_words
from ctviz.interventions.faithfulness import Evaluation, metric_of_model
from ctviz.models.loading import Loaded
from ctviz.progress import share
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot
from ctviz.tasks.fitting import fitting_examples
from ctviz.tasks.grading import grade
from ctviz.tuning.abilities import Abilities
from ctviz.tuning.baselines import Baselines, key_of
from ctviz.tuning.dataset import Dataset
from ctviz.tuning.methods import select_circuit
from ctviz.tuning.retention import Retention

__all__ = ["grades_on_test", "snapshot_of"]

GRADE = 0.2  # of the time that it takes to measure a model
RETAINED = 0.6  # the same with its retention, in a snapshot
ABLE = 0.3  # of the time of all grades, where there are abilities to measure


def grades_on_test(
    loaded: Loaded,
    config: TuneConfig,
    dataset: Dataset,
    retention: Retention,
    abilities: Abilities,
    baselines: Baselines | None = None,
) -> dict[str, float]:
    """The task's grade on its test split, retention measured thoroughly, and the abilities.

    ``baselines``: of the untuned model, if it is that; it is then asked what is not known yet.
    """
    task, n = dataset.task, config.test_examples
    examples, _ = fitting_examples(loaded, task, n, "test", config.examples_seed)
    with share(0.0, GRADE):
        if baselines is None:
            result = grade(loaded, task, examples)
        else:
            key = {"grade": task.grade, "examples": key_of(examples)}
            result = baselines.remembered("grade", key, lambda: grade(loaded, task, examples))
    able = ABLE if config.abilities else GRADE
    with share(GRADE, able):
        able_to = abilities.measure()
    with share(able, 1.0):
        kept = retention.measure(thorough=True) if baselines is None else retention.untuned()
    return {**result, **kept, **able_to, "test_examples": len(examples)}


def snapshot_of(
    loaded: Loaded,
    config: TuneConfig,
    dataset: Dataset,
    retention: Retention,
    scores: Scores,
    *,
    step: int,
    tuned: Circuit | None,
    moved: np.ndarray | None,
) -> Snapshot:
    """The snapshot of a step, from the scores of every edge; what its circuit carries is measured
    on the dev pairs.

    ``tuned``: the circuit that owned what this step moved, None if none did; ``moved``: see
    `Snapshot`.
    """
    graph = loaded.anatomy.graph
    circuit = select_circuit(scores, config, step)
    all_move = config.method in ("full", "lora") and step > 0
    none = np.zeros_like(graph.exists)
    mass = mass_redundancy(scores, tau=config.tau)
    heads = _heads(loaded, config, dataset)
    best = {BEST[name]: float(np.nanmax(values)) for name, values in heads.items()}
    return Snapshot(
        step=step,
        scores=scores.values.astype(np.float32),
        circuit=circuit.mask,
        tuned=tuned.mask if tuned else (graph.exists if all_move else none),
        redundancy={
            "circuit": circuit_redundancy(circuit).values.astype(np.float32),
            "mass": mass.values.astype(np.float32),
        },
        metrics=_metrics(loaded, config, dataset, retention, scores, circuit, step) | best,
        probes=tuple(read_probe(loaded, pair) for pair in dataset.probe_pairs),
        error=None if scores.error is None else scores.error.astype(np.float32),
        moved=moved,
        specific=None if scores.general is None else specific_share(scores),
        heads=heads,
    )


def _heads(loaded: Loaded, config: TuneConfig, dataset: Dataset) -> dict[str, np.ndarray]:
    """What heads do on repeated words of the task, if it has some and this model reads them."""
    words = dataset.task.repeats
    if not words or config.evaluate not in ("quick", "full"):
        return {}
    ids = repeated_words(loaded, words, seed=config.examples_seed)
    return {} if ids is None else head_scores(loaded.anatomy, ids)


def _metrics(
    loaded: Loaded,
    config: TuneConfig,
    dataset: Dataset,
    retention: Retention,
    scores: Scores,
    circuit: Circuit,
    step: int,
) -> dict[str, float]:
    """Metric and grade, and by the config's ``evaluate`` retention and how much of the behaviour
    the circuit carries.
    """
    with share(0.0, GRADE):
        each = metric_of_model(loaded.anatomy, dataset.dev_pairs, metric=dataset.metric)
        metrics = {
            "metric": float(each.mean()),
            **grade(loaded, dataset.task, dataset.graded),
        }
    if config.evaluate == "none":
        return metrics
    with share(GRADE, RETAINED):
        metrics |= retention.measure() if config.evaluate == "full" else retention.quick()
    if config.evaluate == "kl":
        return metrics
    try:
        evaluation = Evaluation(
            loaded.anatomy,
            dataset.judged_pairs,
            ablation=config.ablation,
            metric=dataset.metric,
            full=each[: len(dataset.judged_pairs)],
        )
        found = evaluation.compare(
            circuit, seed=config.seed, draws=config.draws, kind=config.random, step=step
        )
    except UndefinedMetric:
        return metrics  # clean and corrupt do not differ any more: no number beats a wrong one
    if circuit.n_edges > FEW:  # too large to be read at a glance: what is shown of it first
        alone = evaluation.faithfulness(backbone_of(scores, circuit))
        metrics |= {"backbone_faithfulness": alone.value, "backbone_error": alone.error}
    if config.evaluate == "full":  # it runs nearly the whole model, edge by edge
        outside = Circuit(evaluation.graph, evaluation.graph.exists & ~circuit.mask)
        metrics["metric_complement"] = float(evaluation.run(outside).mean())
    return metrics | {
        "metric_full": found.metric_full,
        "metric_corrupt": found.metric_empty,
        "metric_circuit": found.metric_circuit,
        "faithfulness": found.faithfulness,
        "faithfulness_error": found.error,
        "random_faithfulness": found.random,
        "random_low": found.random_low,
        "random_high": found.random_high,
    }
