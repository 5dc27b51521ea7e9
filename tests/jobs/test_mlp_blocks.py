"""Jobs on a model whose MLPs are cut into blocks of neurons."""

from __future__ import annotations

import json

import pytest

from ctviz.circuits.graph import Graph
from ctviz.jobs import tune
from ctviz.jobs.discovery import Search, discover
from ctviz.jobs.evaluate import evaluate
from ctviz.jobs.question import Question
from ctviz.models.loading import load
from ctviz.runs import Run
from ctviz.runs.config import TuneConfig
from tests.owned_by_hand import allowed
from tests.short_runs import shorten

BLOCK = 64


def test_discovery_says_what_the_circuit_owns_and_its_file_is_evaluated(tmp_path):
    loaded = load("tiny", mlp_block=BLOCK)
    search = Search(task="sva", edges=30, examples=8, draws=1)
    result = discover(loaded, search, tmp_path, eap_json=True)
    names = json.loads((tmp_path / "scores.json").read_text())["circuit"]
    owned = set()
    for source, slot in (name.split("->") for name in names):
        owned |= {f"{source}<out>"} - {"input<out>"}
        owned |= {slot if "<" in slot else f"{slot}<in>"} - {"logits<in>"}
    masks = allowed(loaded.anatomy, sorted(owned))
    total = sum(mask.numel() for mask in masks.values())
    assert result["owned_fraction"] == sum(int(mask.sum()) for mask in masks.values()) / total
    again = evaluate(  # a model with whole MLPs is cut as the file's circuit is
        load("tiny"), Question(task="sva", examples=8, draws=1), tmp_path / "circuit.json"
    )
    assert again["faithfulness"] == pytest.approx(result["faithfulness"], abs=1e-5)
    assert again["n_edges"] == result["n_edges"] == loaded.anatomy.graph.n_edges


def test_a_tuned_run_keeps_its_blocks_and_moves_nothing_else(tmp_path, monkeypatch):
    shorten(monkeypatch)
    config = TuneConfig(
        model="tiny", task="sva-flip", mlp_block=BLOCK, steps=3, edges=20, examples=4, draws=1
    )
    result = tune.tune(config, tmp_path / "run")
    run = Run(tmp_path / "run")
    whole = load("tiny").anatomy
    assert run.graph == Graph(**{**run.about["graph"], "mlp_blocks": whole.neurons // BLOCK})
    assert run.graph.whole == whole.graph
    assert result["outside_moved"] == 0
    assert 0 < result["trained_fraction"] < 0.5
    for snapshot in run.snapshots():
        assert snapshot.scores.shape == run.graph.exists.shape
