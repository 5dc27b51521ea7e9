"""A model in bfloat16: its numbers are off by the rounding of its own runs, and no further."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from ctviz.circuits.scores import Circuit
from ctviz.interventions.faithfulness import metric_of_circuit, metric_of_model
from ctviz.models.anatomy import Anatomy
from ctviz.models.known import KNOWN
from ctviz.models.loading import load
from ctviz.tasks import find_task
from ctviz.tasks.batch import Batch
from ctviz.tasks.fitting import encode_task
from tests.random_models import SPECIMENS, random_batch, random_model

SMOLLM2 = "smollm2-135m"
missing = not KNOWN[SMOLLM2].ready and not os.environ.get("CTVIZ_REQUIRE_SMOLLM2")


def rounding(anatomy: Anatomy, batch: Batch) -> float:
    """How far runs in bfloat16 are from those of the same weights in float32; converts the model.

    The larger of clean and corrupt, root mean square over examples.
    """
    rough = [metric_of_model(anatomy, batch, corrupt=corrupt) for corrupt in (False, True)]
    anatomy.model.float()
    fine = [metric_of_model(anatomy, batch, corrupt=corrupt) for corrupt in (False, True)]
    return max(apart(a, b) for a, b in zip(rough, fine, strict=True))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one - other) ** 2)))


def ends(anatomy: Anatomy, batch: Batch) -> tuple[float, float]:
    """How far the full circuit is from the clean run, and the empty one from the corrupt run."""
    exists = anatomy.graph.exists
    full = metric_of_circuit(anatomy, batch, Circuit(anatomy.graph, exists.copy()))
    empty = metric_of_circuit(anatomy, batch, Circuit(anatomy.graph, np.zeros_like(exists)))
    return (
        apart(full, metric_of_model(anatomy, batch)),
        apart(empty, metric_of_model(anatomy, batch, corrupt=True)),
    )


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_full_and_empty_circuit_of_random_models(name):
    anatomy, batch = Anatomy(random_model(name, dtype=torch.bfloat16)), random_batch(examples=12)
    found = ends(anatomy, batch)
    assert max(found) <= 2 * rounding(anatomy, batch)  # of two runs


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        pytest.param(
            SMOLLM2,
            marks=[
                pytest.mark.smollm2,
                pytest.mark.skipif(missing, reason=f"run `ctviz models fetch {SMOLLM2}` once"),
            ],
        ),
    ],
)
def test_full_and_empty_circuit_of_trained_models(name):
    loaded = load(name, device="cpu", dtype="bfloat16")
    batch, _ = encode_task(loaded, find_task("sva-flip"), 8, split="dev", seed=0)
    found = ends(loaded.anatomy, batch)
    assert max(found) <= 2 * rounding(loaded.anatomy, batch)


@torch.no_grad()
def test_logits_are_not_rounded():
    anatomy = load("tiny", device="cpu", dtype="bfloat16").anatomy
    hidden = anatomy.hidden(torch.tensor([[1, 2, 3]]))
    logits = anatomy.unembedded(hidden)
    by_hand = hidden.double() @ anatomy.unembedding.weight.double().T
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), by_hand, rtol=1e-5, atol=1e-5)
