"""lm-evaluation-harness on a task in a folder, where it is installed: no download."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ctviz.cli import main
from ctviz.errors import BadTask, MissingExtra, UnknownName
from ctviz.models.loading import load
from ctviz.runs import open_run
from ctviz.tuning.abilities import Abilities
from ctviz.views.recorded import recorded
from tests.short_runs import BRIEF_OPTIONS

TASK = """
task: agree
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: ["is", "are"]
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
DOCS = [  # the last one's answer is wrong
    ("The key to the cabinets", 0),
    ("The keys to the cabinet", 1),
    ("The boy near the doors", 0),
    ("The girls near the table", 0),
]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a task that asks for the verb."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = tmp_path / "agree.jsonl"
    data.write_text("".join(json.dumps({"prompt": p, "answer": a}) + "\n" for p, a in DOCS))
    file = tmp_path / "agree.yaml"
    file.write_text(TASK.format(data=data))
    return str(file)


def right_by_hand(answers: list[int]) -> float:
    """The share of prompts after which the model holds the right verb for likelier."""
    loaded = load("tiny")
    right = []
    for (prompt, _), answer in zip(DOCS, answers, strict=True):
        ids = loaded.tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            said = loaded.model(ids).logits[0, -1]
        verbs = [loaded.tokenizer(verb).input_ids[-1] for verb in (" is", " are")]
        right.append(int(said[verbs].argmax()) == answer)
    return sum(right) / len(right)


@pytest.mark.filterwarnings("ignore")  # the harness's own
def test_the_harness_says_what_one_finds_by_hand_and_leaves_no_trace(own: str) -> None:
    pytest.importorskip("lm_eval")
    loaded = load("tiny")
    padding, torch_state = loaded.tokenizer.pad_token, torch.get_rng_state()
    drawn = random.getstate(), np.random.get_state()[1].tolist()
    found = Abilities(loaded, (own,), 0).measure()
    assert found["lm-eval.agree.acc"] == right_by_hand([answer for _, answer in DOCS]) == 0.75
    deviation = np.std([1, 1, 1, 0], ddof=1) / 2
    assert found["lm-eval.agree.acc_stderr"] == pytest.approx(deviation)
    assert Abilities(loaded, (own,), 2).measure()["lm-eval.agree.acc"] == 1.0
    assert not loaded.changed
    assert loaded.tokenizer.pad_token == padding
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == drawn


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_measures_them_before_and_after_and_shows_them(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    out = ["--out", str(tmp_path / "runs")]
    asked = ["--steps", "2", "--learning-rate", "1e-2", "--abilities", f"lm-eval:{own}"]
    assert main(["tune", *asked, *BRIEF_OPTIONS, "--set=keep_weights=0", "--json", *out]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["before"]["lm-eval.agree.acc"] == 0.75
    after = result["after"]["lm-eval.agree.acc"]
    assert main(["show", result["run"], *out]) == 0
    assert f"lm-eval, agree acc: 0.75 ± 0.250 before, {after:.4g}" in capsys.readouterr().out
    curves = recorded(open_run(result["run"], tmp_path / "runs")).curves
    (curve,) = [each for each in curves if each.key == "lm-eval.agree acc"]
    assert (curve.panel, curve.steps.tolist()) == ("others", [0, 2])
    assert curve.values.tolist() == [0.75, after]


def test_a_file_that_cannot_be_run_says_what_the_harness_says(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    file = tmp_path / "gone.yaml"
    with pytest.raises(BadTask, match=r"cannot measure .*gone\.yaml"):
        Abilities(load("tiny"), (str(file),), 0).measure()


@pytest.mark.slow
def test_a_name_that_is_none_is_known_before_anything_is_measured() -> None:
    pytest.importorskip("lm_eval")
    with pytest.raises(UnknownName, match="Did you mean 'arc_easy'"):
        Abilities(load("tiny"), ("arc_eazy",), 0)


def test_without_the_harness_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ctviz\[lm-eval\]'"):
        Abilities(load("tiny"), ("arc_easy",), 0)
    assert Abilities(load("tiny"), (), 0).measure() == {}
