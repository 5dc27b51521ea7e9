"""How much of an attribution is done at a time."""

from __future__ import annotations

import pytest

from ctviz.attribution.plan import column_groups, plan, product_width
from ctviz.circuits.graph import Graph
from ctviz.models.anatomy import Anatomy
from tests.random_models import random_batch, random_model


@pytest.mark.parametrize(("columns", "width"), [((0, 111), 112), ((111, 223), 112), ((5, 6), 16)])
def test_a_product_has_a_multiple_of_sixteen_columns(columns, width):
    assert product_width(slice(*columns)) == width


def test_groups_are_whole_layers_and_cover_every_slot_once():
    groups = list(column_groups(Graph(12, 12, 12)))  # 37 slots a layer, and the logits
    assert [(g.start, g.stop) for g in groups] == [
        (0, 111),
        (111, 222),
        (222, 333),
        (333, 445),
    ]


def test_a_small_model_is_scored_at_once():
    found = plan(Anatomy(random_model("gpt2")), random_batch(), runs=1)
    assert (found.examples, found.scored, found.positions) == (5, 5, 7)


def test_parts_are_even(monkeypatch):
    anatomy, batch = Anatomy(random_model("gpt2")), random_batch(examples=9)
    graph, length = anatomy.graph, batch.clean.shape[1]
    widest = max(map(product_width, column_groups(graph)))
    each = (len(graph.sources) + widest) * anatomy.d_model * 8 * length + graph.exists.size * 8
    monkeypatch.setattr("ctviz.attribution.plan.workspace", lambda *_: 8 * each)
    assert plan(anatomy, batch, runs=1).scored == 5  # 5 and 4, not 8 and 1
