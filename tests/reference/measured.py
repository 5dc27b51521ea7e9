"""What is compared with stored numbers: scores, faithfulness, grades, retention and a short run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ctviz.attribution.attribute import attribute
from ctviz.circuits.choices import ABLATIONS, Ablation, Attribution
from ctviz.circuits.random_circuits import RANDOM
from ctviz.circuits.scores import Circuit, Scores
from ctviz.interventions.faithfulness import Evaluation, metric_of_model
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import Loaded, load
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot, StepRecord
from ctviz.tasks import TASKS, find_task
from ctviz.tasks.batch import Batch
from ctviz.tasks.fitting import encode_task, fitting_examples
from ctviz.tasks.grading import grade, log_probabilities
from ctviz.tuning.loop import Tuning
from ctviz.tuning.retention import Retention
from tests.random_models import random_batch, random_model

__all__ = ["FAMILIES", "SMOLLM2", "measure_family", "measure_smollm2", "measure_tiny"]

FAMILIES = ("llama-grouped", "gemma2", "gpt-neox")  # serial, norms after too, parallel and fused
SMOLLM2 = "smollm2-135m"
METHODS: tuple[Attribution, ...] = ("eap", "eap-ig")
SPREAD = 24  # scores that are stored one by one, evenly over the graph
TOP = 12  # edges that are stored by name


def measure_tiny() -> dict[str, Any]:
    """The bundled model, as it is, with other weights, and tuned for three steps."""
    loaded = load("tiny", device="cpu")
    batch, _ = encode_task(loaded, find_task("sva-flip"), 12, split="dev", seed=0)
    graded = ("sva", "ioi", "stereotype", "greater-than")
    return {
        **_circuits(loaded.anatomy, batch, edges=40),
        "grades": {key: _grades(loaded, key, 30) for key in graded if key in TASKS},
        "retention": _retention(loaded, "sva-flip", prompts=12, tokens=400, examples=12),
        "run": _run(),
    }


def measure_family(name: str) -> dict[str, Any]:
    """A random model of a family."""
    anatomy = Anatomy(random_model(name, dtype=torch.float32))
    return _circuits(anatomy, random_batch(), edges=12)


def measure_smollm2() -> dict[str, Any]:
    """The real model, on a few pairs."""
    loaded = load(SMOLLM2, device="cpu")
    batch, _ = encode_task(loaded, find_task("sva-flip"), 4, split="dev", seed=0)
    return {
        **_circuits(loaded.anatomy, batch, edges=400, ablations=("counterfactual",), draws=2),
        "grades": {key: _grades(loaded, key, 6) for key in ("sva", "ioi")},
        "retention": _retention(loaded, "sva-flip", prompts=6, tokens=200, examples=4),
    }


def _circuits(
    anatomy: Anatomy,
    batch: Batch,
    *,
    edges: int,
    ablations: tuple[Ablation, ...] = ABLATIONS,
    draws: int = 3,
) -> dict[str, Any]:
    """Scores by each method under each ablation, and what a circuit carries beside random ones.

    The circuit is drawn, not selected: it stays the same where two scores are as good as equal.
    """
    graph = anatomy.graph
    every = Circuit(graph, graph.exists.copy())
    drawn = RANDOM["uniform"](Circuit(graph, _first(graph.exists, edges)), 7)
    found: dict[str, Any] = {
        "metric": metric_of_model(anatomy, batch).tolist(),
        "metric_corrupt": metric_of_model(anatomy, batch, corrupt=True).tolist(),
    }
    for ablation in ablations:
        for method in METHODS:
            scores = attribute(anatomy, batch, method=method, ablation=ablation)
            found[f"scores {method} {ablation}"] = _told(scores)
        evaluation = Evaluation(anatomy, batch, ablation=ablation)
        compared = evaluation.compare(drawn, seed=3, draws=draws)
        found[f"circuit {ablation}"] = {
            "whole": evaluation.run(every).tolist(),
            "alone": evaluation.run(drawn).tolist(),
            "empty": evaluation.empty.tolist(),
            "faithfulness": compared.faithfulness,
            "error": compared.error,
            "random": compared.random,
            "random_spread": compared.random_spread,
        }
    return found


def _first(exists: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros_like(exists)
    mask[tuple(index[:n] for index in np.nonzero(exists))] = True
    return mask


def _told(scores: Scores) -> dict[str, Any]:
    """A score matrix in a few numbers."""
    graph, values = scores.graph, scores.values[scores.graph.exists].astype(float)
    assert scores.error is not None
    rows, columns = np.nonzero(graph.exists)
    order = np.argsort(-np.abs(values), kind="stable")[:TOP]
    some = np.linspace(0, len(values) - 1, SPREAD).astype(int)
    return {
        "sums": [
            values.sum(),
            np.abs(values).sum(),
            scores.error[graph.exists].astype(float).sum(),
        ],
        "nodes": scores.nodes().values.astype(float).tolist()[:TOP],
        "top": {graph.edge_name(rows[i], columns[i]): values[i] for i in order},
        "some": values[some].tolist(),
    }


def _grades(loaded: Loaded, key: str, n: int) -> dict[str, Any]:
    """The task's own numbers, and the log-probabilities that they rest on."""
    examples, _ = fitting_examples(loaded, TASKS[key], n, "test", 0)
    asked = [(example.prompt, example.choices) for example in examples[:4]]
    said = log_probabilities(loaded, asked)
    return {**grade(loaded, TASKS[key], examples), "log p": [v for row in said for v in row]}


def _retention(loaded: Loaded, key: str, **amount: int) -> dict[str, Any]:
    """Of the model as it is, and with every third weight matrix a little larger."""
    config = TuneConfig(
        model=loaded.name,
        task=key,
        retention_prompts=amount["prompts"],
        retention_tokens=amount["tokens"],
        retention_examples=amount["examples"],
        retention_test_examples=2 * amount["examples"],
    )
    retention = Retention(loaded, TASKS[key], config)
    retention.prepare()
    found: dict[str, Any] = {
        "others": {name: 1.0 for name in retention.others},
        "perplexity": retention.perplexity(thorough=False),
        "before": retention.measure(),
    }
    matrices = [p for p in loaded.model.parameters() if p.ndim == 2][1::3]
    with torch.no_grad():
        for matrix in matrices:
            matrix *= 1.03
        found["after"] = retention.measure()
        found["thorough"] = retention.measure(thorough=True)
        for matrix in matrices:
            matrix /= 1.03
    return found


def _run() -> dict[str, Any]:
    """Three steps of circuit-tuning on the bundled model."""
    config = TuneConfig(
        model="tiny",
        task="sva-flip",
        steps=3,
        edges=60,
        batch_size=8,
        examples=8,
        snapshot_every=3,
        train_examples=64,
        test_examples=20,
        retention_prompts=6,
        attribution="eap",
        optimizer="sgd",
        learning_rate=0.01,
        evaluate="full",
        device="cpu",
    )
    found: dict[str, Any] = {}
    tuning = Tuning(load("tiny", device="cpu"), config)
    for event in tuning:
        if isinstance(event, StepRecord):
            found[f"step {event.step}"] = {
                "loss": event.loss,
                "gradient": event.gradient_norm,
                "trained": event.trained_fraction,
            }
        elif isinstance(event, Snapshot):
            found[f"snapshot {event.step}"] = _metrics(event.metrics)
    found["after"] = _metrics(tuning.test_grades())
    return found


def _metrics(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in sorted(values.items())}
