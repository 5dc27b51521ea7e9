"""How abilities are asked for, and how a run says what came of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctviz.errors import CtvizError
from ctviz.runs.abilities import Ability, abilities_of, ability_key, lm_eval_tasks
from ctviz.runs.config import TuneConfig


def test_tasks_are_listed_once_in_their_order() -> None:
    assert lm_eval_tasks("lm-eval:b, a,b,") == ("b", "a")
    assert lm_eval_tasks("") == ()


@pytest.mark.parametrize("asked", ["arc_easy", "lm-eval", "lm-eval:", "lm-eval: ,", "helm:a"])
def test_what_reads_otherwise_is_refused(asked: str) -> None:
    with pytest.raises(CtvizError, match="must read lm-eval:TASK"):
        TuneConfig(model="tiny", task="sva-flip", abilities=asked)


def test_files_of_tasks_are_stored_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = TuneConfig(model="tiny", task="sva-flip", abilities="lm-eval:own.yaml,arc_easy")
    assert config.located().abilities == f"lm-eval:{tmp_path}/own.yaml,arc_easy"
    assert TuneConfig(model="tiny", task="sva-flip").located().abilities == ""


def test_a_run_says_what_was_measured_before_and_after() -> None:
    names = ["acc,none", "acc_stderr,none", "exact_match,strict", "exact_match_stderr,strict"]
    assert [ability_key("a.b", name) for name in names] == [
        "lm-eval.a.b.acc",
        "lm-eval.a.b.acc_stderr",
        "lm-eval.a.b.exact_match,strict",
        "lm-eval.a.b.exact_match_stderr,strict",
    ]
    before = {"accuracy": 0.5, "other.sva": 1.0} | {
        ability_key("a.b", name): value
        for name, value in zip(names, [0.5, 0.1, 0.25, 0.05], strict=True)
    }
    about = {"before": before}
    assert abilities_of({}) == []
    assert abilities_of(about) == [
        Ability("a.b", "acc", 0.5, None, 0.1, None),
        Ability("a.b", "exact_match,strict", 0.25, None, 0.05, None),
    ]
    about["after"] = {"lm-eval.a.b.acc": 0.75, "lm-eval.a.b.acc_stderr": 0.2}
    assert abilities_of(about)[0] == Ability("a.b", "acc", 0.5, 0.75, 0.1, 0.2)
