"""Lower precision and other devices give the same scores, up to what they can hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.circuits.selection import top_edges
from ctviz.interventions.faithfulness import Evaluation
from ctviz.models.anatomy import Anatomy
from tests.random_models import SPECIMENS, random_batch, random_model

DEVICES = [
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ),
    pytest.param(
        "mps",
        marks=pytest.mark.skipif(
            not torch.backends.mps.is_available(), reason="needs an Apple GPU (MPS)"
        ),
    ),
]


@pytest.mark.parametrize("name", sorted(SPECIMENS))
@pytest.mark.parametrize("method", ["eap", "eap-ig"])
def test_bfloat16_gives_the_scores_of_float32_up_to_its_precision(name, method):
    batch = random_batch()
    exact = attribute(Anatomy(random_model(name, dtype=torch.float32)), batch, method=method)
    rough = attribute(Anatomy(random_model(name, dtype=torch.bfloat16)), batch, method=method)
    assert rough.values.dtype == np.float32
    # bfloat16 keeps 8 bits, so activations are off by 0.4 % and gradients by some of these
    assert np.corrcoef(rough.values.ravel(), exact.values.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", ["eap", "eap-ig", "exact"])
@pytest.mark.parametrize("name", ["gpt2", "llama-grouped", "gemma2", "falcon-new"])
def test_a_device_gives_the_scores_of_the_cpu(name, method, device):
    batch = random_batch()
    here, there = (Anatomy(random_model(name, dtype=torch.float32)) for _ in range(2))
    there.model.to(device)
    one = attribute(here, batch, method=method)
    other = attribute(there, batch.to(device), method=method)
    atol = 1e-3 * np.abs(one.values).max()  # TF32 and other orders of summation
    np.testing.assert_allclose(other.values, one.values, rtol=0, atol=atol)
    circuit = top_edges(one, 30)
    shares = [
        Evaluation(anatomy, batch.to(place)).faithfulness(circuit).value
        for anatomy, place in ((here, "cpu"), (there, device))
    ]
    assert shares[0] == pytest.approx(shares[1], abs=1e-2)


def test_scores_of_float64_are_float64_and_those_of_float32_are_close():
    batch = random_batch()
    fine = attribute(Anatomy(random_model("gpt2")), batch).values
    usual = attribute(Anatomy(random_model("gpt2", dtype=torch.float32)), batch).values
    assert (fine.dtype, usual.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(usual, fine, rtol=0, atol=1e-5 * np.abs(fine).max())
