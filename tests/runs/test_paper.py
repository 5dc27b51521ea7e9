"""The paper's settings, as its code has them, on graphs and runs of other sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctviz.models.known import KNOWN
from ctviz.runs.config import TuneConfig
from ctviz.runs.paper import deviations, paper_of, paper_settings


def model_folder(folder: Path, **config: object) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return str(folder)


def test_gpt2_small_gets_what_the_papers_code_sets(tmp_path: Path):
    model = model_folder(tmp_path, model_type="gpt2", n_layer=12, n_head=12)
    found = paper_settings(model, bias=False, steps=4500)
    assert found == {
        "paper": "gpt2",
        "edges": 500,
        "select": "nodes",
        "attribution": "eap",
        "rediscover": 1,
        "ablation": "mean",
        "objective": "text",
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "warmup": 100,
        "batch_size": 16,
        "max_norm": 0.0,
    }
    config = TuneConfig(model=model, task="sva-flip", steps=4500, **found)
    assert deviations(config) == "These are the paper's settings for GPT-2 small."


def test_llama_gets_others_and_its_bias_others_still(tmp_path: Path):
    model = model_folder(
        tmp_path,
        model_type="llama",
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=8192,
    )
    found = paper_settings(model, bias=False, steps=700)
    assert (found["edges"], found["learning_rate"], found["batch_size"]) == (4000, 1e-5, 32)
    assert (found["select"], found["warmup"], found["weight_decay"]) == ("nodes", 0, 0.0)
    evened = paper_settings(model, bias=True, steps=700)
    assert (evened["edges"], evened["learning_rate"], evened["debias"]) == (5000, 5e-5, 0.35)
    assert evened["select"] == "top"
    assert found["mlp_block"] == evened["mlp_block"] == 64
    config = TuneConfig(model=model, task="arithmetic", steps=700, **found)
    assert deviations(config) == "These are the paper's settings for Llama 3.2 1B."


def test_blocks_divide_the_neurons(tmp_path: Path):
    """Two layers of two heads and 900 / 60 = 15 blocks, counted one by one."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2}
    model = model_folder(tmp_path, model_type="llama", intermediate_size=900, **sizes)
    found = paper_settings(model, bias=False, steps=700)
    assert found["mlp_block"] == 60
    before, edges = 1, 0  # nodes in front of a part of the model, and what they send into it
    for slots, nodes in ((6, 2), (15, 15), (6, 2), (15, 15), (1, 0)):
        edges += before * slots
        before += nodes
    assert found["edges"] == edges // 10
    config = TuneConfig(model=model, task="arithmetic", steps=700, **found)
    assert "mlp block 60 instead of 64 (which must divide the model's neurons)" in deviations(
        config
    )


def test_what_does_not_fit_is_made_to_and_said():
    found = paper_settings("tiny", bias=False, steps=60)
    assert (found["edges"], found["warmup"]) == (47, 20)  # of 479 edges and 60 steps
    config = TuneConfig(model="tiny", task="sva-flip", **found)
    assert deviations(config) == (
        "These are the paper's settings for GPT-2 small with edges 47 instead of 500 (a tenth of "
        "the graph), warmup 20 instead of 100 (a third of the steps), 60 steps instead of about "
        "4,500."
    )
    asked = TuneConfig(model="tiny", task="ioi", **{**found, "edges": 30, "optimizer": "adamw"})
    assert "edges 30 instead of 500 (as asked)" in deviations(asked)
    assert "optimizer adamw instead of sgd (as asked)" in deviations(asked)
    assert deviations(asked).endswith("The paper does not tune it on a task like ioi.")
    assert deviations(TuneConfig(model="tiny", task="sva-flip")) == ""


@pytest.mark.parametrize("model", [*KNOWN, "somebody/something", "/nowhere/at/all"])
def test_there_are_settings_for_every_model(model: str):
    for bias in (False, True):
        for steps in (1, 60, 100_000):
            found = paper_settings(model, bias=bias, steps=steps)
            config = TuneConfig(model=model, task="gender", steps=steps, **found)
            assert config.edges >= 1
            assert deviations(config)


def test_gated_families_are_like_llama():
    assert paper_of("smollm2-135m") == paper_of("qwen2.5-0.5b") == paper_of("gemma-2-2b") == "llama"
    assert paper_of("tiny") == paper_of("pythia-70m") == paper_of("somebody/something") == "gpt2"
