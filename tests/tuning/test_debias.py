"""The de-biasing term against transformers' own logits, and what it does to a bias."""

from __future__ import annotations

import pytest
import torch

from ctviz.errors import BadTask, OutOfRange
from ctviz.tuning.loop import Tuning
from tests.short_runs import config, own_file, records, shorten, told, tuning

ROWS = list(range(6))


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


def loss_of(run: Tuning, micro: int = 6) -> float:
    return run.gradients(ROWS, [unit.name for unit in run.method.units], micro)


@torch.no_grad()
def leaning_by_hand(run: Tuning) -> float:
    """Mean of |logit(answer) - logit(foil)|, one prompt at a time, by the model itself."""
    found = []
    for row in ROWS:
        pair = run.dataset.train_pairs[torch.tensor([run.dataset.pair_row[row]])]
        logits = run.loaded.model(pair.clean).logits[0, int(pair.last[0])]
        found.append(abs(float(logits[pair.answer[0, -1]] - logits[pair.foil[0]])))
    return sum(found) / len(found)


@pytest.mark.parametrize("task", ["gender", "sva-flip"])
def test_the_term_is_beta_times_the_mean_leaning(task):
    plain, evened = (tuning(task=task, method="full", debias=beta) for beta in (0.0, 0.35))
    expected = loss_of(plain) + 0.35 * leaning_by_hand(plain)
    assert loss_of(evened) == pytest.approx(expected, rel=1e-5)
    whole = {n: p.grad.clone() for n, p in evened.anatomy.model.named_parameters()}
    assert loss_of(evened, 2) == pytest.approx(expected, rel=1e-5)
    for name, parameter in evened.anatomy.model.named_parameters():
        scale = float(whole[name].abs().max())
        torch.testing.assert_close(parameter.grad, whole[name], rtol=1e-3, atol=1e-5 * scale)


def test_it_is_the_same_through_the_run_that_discovery_has_made():
    """In parts of the batch, a step trains through runs of its own."""
    shared, own = (
        records(list(tuning(debias=0.5, attribution="eap", micro_batch=m, steps=2))) for m in (0, 3)
    )
    assert [r.loss for r in shared] == pytest.approx([r.loss for r in own], rel=1e-4)
    assert shared[0].loss > records(list(tuning(attribution="eap", steps=2)))[0].loss + 0.1


def test_tasks_without_two_sides_say_so(tmp_path):
    with pytest.raises(BadTask, match="two sides for debias to even out"):
        tuning(task=own_file(tmp_path, told()), ablation="mean", debias=0.1)
    with pytest.raises(OutOfRange, match="debias is -1"):
        config(debias=-1.0)
