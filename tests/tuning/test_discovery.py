"""Tuning discovers its circuit by the methods, metrics and selections that `discover` has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctviz.attribution.attribute import attribute
from ctviz.attribution.general import general_batch, general_effect
from ctviz.circuits.scores import Scores, specific_share
from ctviz.circuits.selection import SELECTIONS
from ctviz.errors import BadTask, CtvizError
from ctviz.interventions.faithfulness import metric_of_model
from ctviz.jobs.outcome import about_run
from ctviz.models.loading import load
from ctviz.models.untuned import Untuned
from ctviz.tasks import find_task
from ctviz.tuning.baselines import Baselines
from ctviz.tuning.general import untuned_general
from tests.short_runs import config, own_file, shorten, snapshots, told, tuning


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


@pytest.mark.parametrize("select", ["greedy", "nodes"])
def test_a_step_moves_what_the_selection_chooses(select):
    run = tuning(select=select, attribution="eap", edges=12)
    rows = run.batches.draw()
    pairs = run.dataset.pairs_of(rows)
    expected = SELECTIONS[select].choose(attribute(run.anatomy, pairs), 12)
    owned = run.method.own(1, pairs)
    assert owned.circuit is not None
    assert (owned.circuit.mask == expected.mask).all()
    first = next(iter(tuning(select=select, attribution="eap", edges=12)))
    chosen = SELECTIONS[select].choose(attribute(run.anatomy, run.dataset.score_pairs), 12)
    assert (first.circuit == chosen.mask).all()


def test_a_size_that_changes_is_that_of_every_selection_by_number():
    run = tuning(select="greedy", snapshot_every=1, edges_course="linear", edges_end=6)
    sizes = [snapshot.circuit.sum() for snapshot in snapshots(list(run))]
    assert sizes == [30, 30, 22, 14, 6]


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["probability_difference", "log_probability", "kl"])
def test_scores_and_metric_are_those_of_the_metric_that_is_asked_for(metric):
    run = tuning(metric=metric, attribution="eap-ig", steps=1, snapshot_every=1)
    first = next(iter(run))
    fresh = tuning()
    pairs = run.dataset.score_pairs
    expected = attribute(fresh.anatomy, pairs, method="eap-ig", metric=metric)
    np.testing.assert_allclose(first.scores, expected.values, rtol=1e-4, atol=1e-7)
    whole = metric_of_model(fresh.anatomy, run.dataset.dev_pairs, metric=metric).mean()
    assert first.metrics["metric"] == pytest.approx(whole, abs=1e-6)
    said = about_run(run)["task"]["metric"]
    assert said != find_task("sva-flip").metric


def test_the_usual_metric_is_the_logit_difference_or_that_of_targets(tmp_path):
    assert tuning().dataset.metric == "logit_difference"
    alone = own_file(tmp_path, told())
    run = tuning(task=alone, ablation="mean")
    assert run.dataset.metric == "log_probability"
    assert not run.dataset.paired
    assert tuning(task=alone, ablation="mean", metric="log_probability").dataset.metric
    with pytest.raises(BadTask, match="no pairs, so of the metrics only log_probability"):
        tuning(task=alone, ablation="mean", metric="kl")


def test_the_kl_has_no_first_order_and_says_so():
    with pytest.raises(CtvizError, match=r"every score would be 0\. Take --attribution eap-ig"):
        config(metric="kl", attribution="eap").check_startable()
    config(metric="kl").check_startable()


@pytest.mark.slow
def test_eap_ig_discovers_at_every_step():
    run = tuning(attribution="eap-ig", select="nodes", edges=12)
    rows = run.batches.draw()
    pairs = run.dataset.pairs_of(rows)
    scores = attribute(run.anatomy, pairs, method="eap-ig")
    owned = run.method.own(1, pairs)
    assert (owned.circuit.mask == SELECTIONS["nodes"].choose(scores, 12).mask).all()


def test_specific_edges_are_those_beside_the_untuned_models_effect_on_general_text():
    run = tuning(select="specific", attribution="eap", edges=12, learning_rate=3e-3)
    general = general_effect(run.anatomy, general_batch(run.loaded))
    rows = run.batches.draw()
    pairs = run.dataset.pairs_of(rows)
    scores = replace(attribute(run.anatomy, pairs), general=general)
    owned = run.method.own(1, pairs)
    assert (owned.circuit.mask == SELECTIONS["specific"].choose(scores, 12).mask).all()
    first, *_, last = snapshots(list(run))
    for snapshot in (first, last):
        found = Scores(run.anatomy.graph, snapshot.scores, general=general)
        assert (snapshot.circuit == SELECTIONS["specific"].choose(found, 12).mask).all()
        np.testing.assert_allclose(snapshot.specific, specific_share(found), rtol=1e-5)
    assert not np.array_equal(first.specific, last.specific, equal_nan=True)


def test_what_edges_do_for_general_text_is_measured_where_it_is_needed():
    assert tuning().general is not None
    assert tuning(evaluate="none").general is None
    bare = tuning(evaluate="none", steps=2)
    assert next(iter(bare)).specific is None
    assert tuning(evaluate="none", select="specific").general is not None


def test_it_is_remembered_of_a_model_and_of_how_its_mlps_are_cut(monkeypatch):
    loaded = load("tiny")
    known = Baselines(loaded, Untuned(loaded))
    first = untuned_general(loaded, known)
    monkeypatch.setattr("ctviz.tuning.general.general_effect", lambda *_: pytest.fail("again"))
    again = untuned_general(loaded, Baselines(loaded, Untuned(loaded)))
    np.testing.assert_array_equal(again.edges, first.edges)
    np.testing.assert_array_equal(again.nodes, first.nodes)
    with pytest.raises(pytest.fail.Exception, match="again"):
        untuned_general(loaded.cut_into(128), known)


def test_without_text_that_a_model_reads_the_map_is_left_out_but_not_the_selection(monkeypatch):
    def none(loaded):
        raise BadTask("None of 24 pairs fits.")

    monkeypatch.setattr("ctviz.tuning.general.general_batch", none)
    run = tuning()
    assert run.general is None
    assert run.notices == ["How specific nodes are is not recorded. None of 24 pairs fits."]
    with pytest.raises(BadTask, match="None of 24"):
        tuning(select="specific")
