"""Models whose heads share keys and values, seen with those of each head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.errors import UnsupportedModel
from ctviz.models.anatomy import Anatomy
from ctviz.models.ungrouped import ungrouped
from tests.random_models import SPECIMENS, random_batch, random_model

PER_HEAD_NORMS = "stablelm-parallel"


@pytest.mark.parametrize("name", sorted(set(SPECIMENS) - {PER_HEAD_NORMS}))
def test_it_computes_the_same_and_its_scores_add_up_to_the_shared_ones(name):
    anatomy, batch = Anatomy(random_model(name)), random_batch()
    found = ungrouped(anatomy)
    graph = anatomy.graph
    if graph.kv_heads == graph.n_heads:
        assert found is anatomy
        return
    assert found.graph.kv_heads == graph.n_heads
    ids = batch.clean
    with torch.no_grad():
        before, after = anatomy.model(ids).logits, found.model(ids).logits
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    shared, each = attribute(anatomy, batch).values, attribute(found, batch).values
    slot_of, _ = graph.feed_pairs
    sums = [each[:, slot_of == column].sum(axis=1) for column in range(len(graph.slots))]
    np.testing.assert_allclose(np.stack(sums, axis=1), shared, atol=2e-6)


def test_weights_are_those_of_the_model_and_copied_only_where_they_must_be():
    anatomy = Anatomy(random_model("llama-grouped"))
    found = ungrouped(anatomy)
    ours, theirs = (dict(a.model.named_parameters()) for a in (anatomy, found))
    for name, parameter in ours.items():
        same = theirs[name].data_ptr() == parameter.data_ptr()
        assert same == ("k_proj" not in name and "v_proj" not in name), name
    assert not any(parameter.requires_grad for parameter in theirs.values())


def test_what_has_no_such_view_is_refused():
    with pytest.raises(UnsupportedModel, match="no ungrouped view"):
        ungrouped(Anatomy(random_model(PER_HEAD_NORMS)))
