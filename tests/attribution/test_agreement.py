"""Whether scores agree with exact patching, and the method that is taken for a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.attribution.agreement import AGREES, Agreement, try_methods
from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.interventions.faithfulness import metric_of_model
from ctviz.models.anatomy import Anatomy
from tests.random_models import random_batch, random_model


@pytest.fixture(scope="module")
def gpt2() -> Anatomy:
    return Anatomy(random_model("gpt2"))


def test_the_correlation_is_pearsons():
    one, other = np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 3.0, 2.0, 6.0])
    found = Agreement("eap", ("a", "b", "c", "d"), one, other)
    assert found.correlation == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-12)
    assert Agreement("eap", ("a", "b"), one[:2], np.ones(2)).correlation is None


def test_some_nodes_are_patched_as_all_are(gpt2):
    batch = random_batch()
    all_of_them = exact_node_scores(gpt2, batch).values
    rows = np.array([0, 3, len(all_of_them) - 1])
    some = exact_node_scores(gpt2, batch, rows=rows).values
    np.testing.assert_array_equal(some[rows], all_of_them[rows])
    assert np.isnan(np.delete(some, rows)).all()


@pytest.mark.parametrize("asked", ["eap", "eap-ig"])
def test_a_method_that_is_asked_for_is_compared_on_the_same_pairs(gpt2, asked):
    batch = random_batch()
    trial = try_methods(gpt2, batch, asked=asked)
    (found,) = trial.tried
    assert (trial.method, trial.asked, trial.pairs) == (asked, asked, len(batch))
    rows = [gpt2.graph.sources.index(node) for node in found.nodes]
    scores = attribute(gpt2, batch, method=asked).nodes().values
    np.testing.assert_allclose(found.estimate, scores[rows], atol=1e-12)
    exact = exact_node_scores(gpt2, batch).values
    np.testing.assert_allclose(found.exact, exact[rows], atol=1e-12)
    about = trial.about()
    assert about["correlation"] == {asked: found.correlation}
    assert about["nodes"] == len(rows)


def test_eap_is_taken_only_where_it_agrees(gpt2):
    """With such MLPs it does in the second model and does not in the first."""
    batch, seen = random_batch(), set()
    for size in (2.0, 30.0):
        anatomy = Anatomy(random_model("gpt2"))
        with torch.no_grad():
            for block in anatomy.blocks:
                for module in (*block.mlp_in, block.mlp_out):
                    module.weight *= size
        trial = try_methods(anatomy, batch)
        first = trial.tried[0].correlation
        assert trial.tried[0].method == "eap"
        assert (len(trial.tried) == 1) == (first >= AGREES)
        best = max(trial.tried, key=lambda each: each.correlation)
        assert trial.method == best.method
        seen.add(trial.method)
    assert seen == {"eap", "eap-ig"}


def test_kl_goes_straight_to_integrated_gradients_and_exact_is_not_tried(gpt2):
    trial = try_methods(gpt2, random_batch(), metric="kl")
    assert [each.method for each in trial.tried] == ["eap-ig"]
    exact = try_methods(gpt2, random_batch(), asked="exact")
    assert (exact.method, exact.tried, exact.about()["nodes"]) == ("exact", (), 0)


def test_the_two_ends_of_the_path(gpt2):
    """With one step, the gradient is that of the clean run, or that of the corrupt one.

    The sum of all scores into logits follows from the final norm's gradient at that end; that the
    clean end is EAP itself is known, so the corrupt end is EAP of the exchanged prompts, negated.
    """
    batch = random_batch()
    clean, corrupt = (
        attribute(gpt2, batch, method="eap-ig", steps=1, end=end).values
        for end in ("clean", "corrupt")
    )
    np.testing.assert_allclose(clean, attribute(gpt2, batch).values, atol=1e-12)
    exchanged = random_batch()
    exchanged = type(batch)(
        clean=batch.corrupt,
        corrupt=batch.clean,
        last=batch.last,
        answer=batch.answer,
        foil=batch.foil,
        first=batch.first,
    )
    there = attribute(gpt2, exchanged).values  # d metric at the corrupt run times corrupt - clean
    np.testing.assert_allclose(corrupt, -there, atol=1e-10)
    assert np.abs(clean - corrupt).max() > 1e-3
    assert metric_of_model(gpt2, batch).shape == (len(batch),)


def test_the_means_over_the_ends_differ_by_the_ends_alone(gpt2):
    """m (clean end - corrupt end) is the clean run's scores less the corrupt run's."""
    batch, m = random_batch(), 4
    ends = {
        end: attribute(gpt2, batch, method="eap-ig", steps=m, end=end).values
        for end in ("clean", "corrupt")
    }
    single = {
        end: attribute(gpt2, batch, method="eap-ig", steps=1, end=end).values
        for end in ("clean", "corrupt")
    }
    np.testing.assert_allclose(
        m * (ends["clean"] - ends["corrupt"]), single["clean"] - single["corrupt"], atol=1e-9
    )
