"""Commands on models whose MLPs are cut into blocks of neurons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ctviz.cli import main
from ctviz.models import block_sizes
from tests.field.models import llama
from tests.short_runs import BRIEF_OPTIONS


@pytest.fixture
def answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What a command prints as JSON, into a folder of its own."""

    def ask(*arguments: str) -> dict[str, Any]:
        assert main((*arguments, "--json", "--out", str(tmp_path / "runs"))) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


@pytest.mark.slow
def test_discovery_says_what_a_circuit_of_blocks_owns(answer) -> None:
    few = ["--task", "sva", "--edges", "30", "--examples", "8"]
    cut = answer("discover", *few, "--mlp-block", "64")
    whole = answer("discover", *few)
    assert cut["mlp_block"] == 64
    assert 0 < cut["owned_fraction"] < whole["owned_fraction"] < 1
    assert {"faithfulness", "random_faithfulness"} <= set(cut)


@pytest.mark.slow
def test_a_run_of_blocks_moves_nothing_outside_and_says_which_updates_were_needed(answer) -> None:
    short = ["--steps", "4", "--edges", "30", "--learning-rate", "3e-3", *BRIEF_OPTIONS]
    run = answer("tune", "--mlp-block", "64", *short)
    assert run["outside_moved"] == 0
    assert 0 < run["trained_fraction"] < 0.5
    found = answer("causes", run["run"], "--examples", "8", "--draws", "1")
    assert run["trained_fraction"] <= found["updated_fraction"] < 1
    assert 0 < found["needed_fraction"] <= found["updated_fraction"]
    assert found["gain_carried"] > found["random_gain_carried"]


@pytest.mark.slow
@pytest.mark.parametrize(("neurons", "block"), [(128, 64), (90, 45)])
def test_the_papers_settings_work_where_mlps_are_gated(answer, tmp_path, neurons, block) -> None:
    model = str(llama(tmp_path / "llama", intermediate_size=neurons))
    brief = ["--steps", "3", *BRIEF_OPTIONS]
    run = answer("tune", "--paper", "--model", model, "--task", "sva-flip", *brief)
    config = json.loads((Path(run["folder"]) / "run.json").read_text())["config"]
    assert (config["mlp_block"], config["paper"], config["optimizer"]) == (block, "llama", "sgd")
    assert run["outside_moved"] == 0
    assert "These are the paper's settings for Llama 3.2 1B with" in run["notices"][0]
    fitted = "mlp block 45 instead of 64 (which must divide the model's neurons)"
    assert (fitted in run["notices"][0]) == (block == 45)


@pytest.mark.parametrize("command", ["discover", "tune", "curve", "audit"])
@pytest.mark.parametrize(
    ("size", "says"),
    [
        ("100", "mlp_block is 100, but must be from 1 to 512. The MLPs of this model have 512"),
        ("100", "the nearest are 64 and 128. 0 leaves MLPs whole."),
        ("1000", "mlp_block is 1,000, but must be from 1 to 512."),
        ("1000", "the nearest is 512."),
        ("-1", "mlp_block is -1, but must be "),
    ],
)
def test_a_size_that_does_not_fit_is_explained(
    command, size, says, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main((command, "--mlp-block", size)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("command", ["discover", "tune"])
def test_a_graph_that_is_too_large_is_estimated(command, tmp_path, monkeypatch, capsys) -> None:
    """1 + 4 x (4 + 512) sources, and 4 x (12 + 512) + 1 slots, in blocks of one neuron."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(block_sizes, "EDGE", 10**9)
    assert main((command, "--mlp-block", "1")) == 1
    err = capsys.readouterr().err
    assert "A graph of 2,065 sources and 2,097 slots (mlp_block 1) needs at least" in err
    assert f"{2065 * 2097:,} GB of memory" in err
    assert "Take larger blocks" in err
    assert "the nearest is 4." in err
