"""The first real language model, fetched by ``ctviz models fetch smollm2-135m``."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.circuits.scores import Circuit
from ctviz.circuits.selection import top_edges
from ctviz.interventions.faithfulness import Evaluation, metric_of_circuit, metric_of_model
from ctviz.models.known import KNOWN
from ctviz.models.loading import load
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot, StepRecord
from ctviz.tasks import find_task
from ctviz.tasks.fitting import encode_task
from ctviz.tuning.loop import Tuning

NAME = "smollm2-135m"
missing = not KNOWN[NAME].ready and not os.environ.get("CTVIZ_REQUIRE_SMOLLM2")
pytestmark = [
    pytest.mark.smollm2,
    pytest.mark.skipif(
        missing, reason=f"needs 540 MB of weights: run `ctviz models fetch {NAME}` once"
    ),
]


@pytest.fixture(scope="module")
def loaded():
    return load(NAME)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("The keys to the cabinet", " are"),
        ("When Mary and John went to the store, John gave a drink to", " Mary"),
    ],
)
def test_it_completes_english(loaded, prompt, expected):
    ids = loaded.tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = loaded.anatomy.logits_at(loaded.anatomy.hidden(ids), torch.tensor([-1]))
    assert loaded.tokenizer.decode([int(logits.argmax())]) == expected


def test_its_circuit_carries_agreement_and_the_identities_hold(loaded):
    anatomy = loaded.anatomy
    batch, _ = encode_task(loaded, find_task("sva"), 8, split="dev", seed=0)
    clean = metric_of_model(anatomy, batch)
    assert clean.mean() > 0.5
    full = Circuit(anatomy.graph, anatomy.graph.exists.copy())
    # float32 through 30 layers, and sums over 300 sources at each read
    np.testing.assert_allclose(metric_of_circuit(anatomy, batch, full), clean, atol=2e-3)
    circuit = top_edges(attribute(anatomy, batch), 2000)
    found = Evaluation(anatomy, batch).compare(circuit, seed=0, draws=1)
    assert found.faithfulness > 0.3 > abs(found.random)


def test_a_few_steps_move_it_towards_disagreement_and_nothing_else():
    config = TuneConfig(
        model=NAME,
        task="sva-flip",
        steps=4,
        edges=400,
        batch_size=8,
        examples=8,
        learning_rate=1e-4,
        snapshot_every=4,
        other_tasks=("ioi",),
    )
    events = list(Tuning(load(NAME), config))
    first, last = (event for event in events if isinstance(event, Snapshot))
    assert last.metrics["metric"] > first.metrics["metric"] + 0.5
    records = [event for event in events if isinstance(event, StepRecord)]
    assert [record.outside_moved for record in records] == [0.0] * 4
    assert all(record.trained_fraction < 0.8 for record in records)
