"""Settings of runs: their ranges, how they are typed and stored, and those of older runs."""

from __future__ import annotations

import json

import pytest

from ctviz import paths
from ctviz.errors import CtvizError, OutOfRange, UnknownName
from ctviz.runs import open_run
from ctviz.runs.config import TuneConfig

USUAL = TuneConfig(model="tiny", task="sva-flip")
# what was built in before it was a setting
ONCE_BUILT_IN = {
    "mlp_block": 0,
    "train_examples": 512,
    "first_pairs": 64,
    "test_examples": 100,
    "examples_seed": 0,
    "draws": 1,
    "graded_examples": 0,
    "abilities": "",
    "ability_examples": 0,
    "random": "uniform",
    "scored_on": "dev",
    "attribution": "eap",
    "evaluate": "full",
    "tau": 0.9,
    "momentum": 0.9,
    "metric": "auto",
    "random_share": 0.1,
    "debias": 0.0,
    "paper": "",
    "retention_prompts": 24,
    "retention_window": 128,
    "retention_tokens": 1024,
    "retention_examples": 24,
    "retention_test_examples": 64,
    "other_tasks": ("sva", "ioi", "pronoun", "greater-than", "capital-country", "induction"),
}


@pytest.mark.parametrize("name", ["sample-induction", "sample-sva-flip"])
def test_a_run_without_these_settings_was_made_with_what_was_built_in(name):
    run = open_run(name, paths.shipped_runs())
    stored = run.about["config"]
    assert {key: getattr(run.config, key) for key in ONCE_BUILT_IN} == ONCE_BUILT_IN
    assert {key: getattr(run.config, key) for key in stored} == stored
    assert set(stored) | set(ONCE_BUILT_IN) == set(run.config.to_dict())
    assert (run.status().failure, run.status().diverged) == ("", False)


def test_settings_come_back_from_json_as_they_were():
    asked = TuneConfig(model="tiny", task="sva", tau=0.5, other_tasks=("ioi",), momentum=0.0)
    assert TuneConfig.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


def test_a_setting_that_is_none_is_named():
    with pytest.raises(UnknownName, match=r"no setting 'train_exampels'.*'train_examples'"):
        TuneConfig.from_dict({"model": "tiny", "task": "sva", "train_exampels": 3})


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("test_examples=20", "test_examples", 20),
        ("tau=0.5", "tau", 0.5),
        ("optimizer=sgd", "optimizer", "sgd"),
        ("other_tasks=sva,ioi", "other_tasks", ("sva", "ioi")),
        ("other_tasks=", "other_tasks", ()),
        ("task=pairs.csv?text=a", "task", "pairs.csv?text=a"),
    ],
)
def test_a_setting_is_typed_by_its_name(text, name, value):
    assert TuneConfig.parse_setting(text) == (name, value)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("tua=0.5", UnknownName, "no setting 'tua'.*'tau'"),
        ("tau=half", CtvizError, "tau is 'half', but must be a number: tau=VALUE"),
        ("seed=1.5", CtvizError, "seed is '1.5', but must be a whole number"),
        ("seed", CtvizError, "seed is '', but must be a whole number: seed=VALUE"),
    ],
)
def test_a_setting_that_cannot_be_typed_is_explained(text, error, says):
    with pytest.raises(error, match=says):
        TuneConfig.parse_setting(text)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"train_examples": 0}, OutOfRange, "train_examples is 0"),
        ({"tau": 0.0}, OutOfRange, "0 itself is excluded"),
        ({"tau": 1.5}, OutOfRange, "tau is 1.5"),
        ({"momentum": -0.1}, OutOfRange, "momentum"),
        ({"draws": 0}, OutOfRange, "draws is 0"),
        ({"retention_window": 1}, OutOfRange, "at least|from 2"),
        ({"other_tasks": ("svaa",)}, UnknownName, "no task 'svaa'"),
    ],
)
def test_settings_out_of_range_are_refused(changes, error, says):
    with pytest.raises(error, match=says):
        TuneConfig(**{**USUAL.to_dict(), **changes})
