"""One run of the model for discovery and training gives what two runs give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.attribution.gradients import SharedRun
from ctviz.models.loading import load
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import StepRecord
from ctviz.tuning.loop import Tuning
from ctviz.tuning.owned_gradients import owned_gradients
from ctviz.tuning.ownership import circuit_units
from tests.random_models import WHOLE_AND_CUT
from tests.short_runs import shorten


@pytest.mark.parametrize("anatomy", WHOLE_AND_CUT, indirect=True)
def test_gradients_through_the_run_of_discovery_are_those_of_a_run_of_its_own(anatomy, batch):
    """In each family, for every parameter that a circuit can own, in float64."""
    parameters = list({part.parameter for u in circuit_units(anatomy) for part in u.parts})
    for parameter in anatomy.model.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    shared = SharedRun()
    scores = attribute(anatomy, batch, shared=shared)
    assert shared.hidden is not None
    parts = [part for unit in circuit_units(anatomy) for part in unit.parts]

    def gradients(hidden):
        logits = anatomy.logits_at(hidden, batch.positions[:, -1:])[:, 0]
        loss = torch.nn.functional.cross_entropy(logits, batch.answer[:, -1])
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    for one, other in zip(
        gradients(shared.hidden), gradients(anatomy.hidden(batch.clean)), strict=True
    ):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    whole = dict(zip(parameters, gradients(anatomy.hidden(batch.clean)), strict=True))
    attribute(anatomy, batch, shared=shared)
    logits = anatomy.logits_at(shared.hidden, batch.positions[:, -1:])[:, 0]
    loss = torch.nn.functional.cross_entropy(logits, batch.answer[:, -1])
    found = owned_gradients(loss, shared.calls, parts)
    assert found
    for part in parts:
        wanted = whole[part.parameter]
        if part not in found:
            assert wanted is None
        else:
            torch.testing.assert_close(found[part], wanted[part.index], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(scores.values, attribute(anatomy, batch).values)


def test_a_batch_that_is_split_is_not_shared(anatomy, batch):
    shared = SharedRun()
    attribute(anatomy, batch, micro_batch=2, shared=shared)
    assert shared.hidden is None


@pytest.fixture
def short(monkeypatch):
    shorten(monkeypatch)


CONFIG = {"model": "tiny", "steps": 3, "edges": 40, "examples": 4, "snapshot_every": 3}


def steps(monkeypatch, *, share: bool, **changes) -> tuple[list[StepRecord], Tuning, list[bool]]:
    tuning = Tuning(load("tiny"), TuneConfig(**{**CONFIG, "task": "sva-flip", **changes}))
    tuning.begun = True
    usual, kept = Tuning.sharable, []

    def sharable(self, rows):
        kept.append(usual(self, rows))
        return kept[-1] and share

    monkeypatch.setattr(Tuning, "sharable", sharable)
    records = [e for e in tuning if isinstance(e, StepRecord)]
    monkeypatch.setattr(Tuning, "sharable", usual)
    return records, tuning, kept


@pytest.mark.usefixtures("short")
def test_a_run_is_the_same_with_and_without_sharing(monkeypatch):
    # not AdamW, which makes whole steps of gradients that are nothing but rounding
    one, tuned, could = steps(monkeypatch, share=True, optimizer="sgd")
    other, plain, _ = steps(monkeypatch, share=False, optimizer="sgd")
    assert could == [True] * 3
    for a, b in zip(one, other, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)
        assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-4)
        assert a.trained_fraction == b.trained_fraction
        assert a.outside_moved == 0
    for a, b in zip(
        tuned.anatomy.model.parameters(), plain.anatomy.model.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "text"},
        {"precision": "bfloat16"},
        {"micro_batch": 4},
        {"method": "full"},
        {"method": "frozen-circuit"},
        {"task": "arithmetic:add-1", "batch_size": 4},
    ],
    ids=str,
)
def test_what_is_not_the_same_run_is_not_shared(monkeypatch, changes):
    records, _, could = steps(monkeypatch, share=True, **changes)
    assert len(records) == 3
    assert could == [False] * 3
