"""What is known of an untuned model is found by all that it depends on, and by nothing less."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ctviz
from ctviz import paths
from ctviz.circuits.choices import ABLATIONS
from ctviz.models.loading import Loaded, load
from ctviz.models.untuned import Untuned
from ctviz.tasks import TASKS
from ctviz.tasks.example import Example
from ctviz.tuning import baselines, loop, retention
from ctviz.tuning.baselines import Baselines, key_of
from ctviz.tuning.loop import Tuning
from tests.random_models import random_batch
from tests.short_runs import config


def known(loaded: Loaded) -> Baselines:
    return Baselines(loaded, Untuned(loaded))


def asked(found: Baselines, what: str = "grade", **key: object) -> bool:
    """Whether a value has to be measured."""
    calls = []
    value = found.remembered(what, key, lambda: calls.append(1) or {"accuracy": 0.25})
    assert value == {"accuracy": 0.25}
    return bool(calls)


def files() -> list[Path]:
    return sorted(paths.baselines().iterdir())


def test_a_value_is_measured_once():
    first, again = known(load("tiny")), known(load("tiny"))
    assert asked(first, examples="x")
    assert not first.known
    assert not asked(again, examples="x")
    assert again.known
    assert len(files()) == 1


def test_it_says_whether_something_is_known_without_measuring_it():
    found = known(load("tiny"))

    def both() -> None:
        for name in ("x", "y"):
            found.remembered("grade", {"examples": name}, lambda: pytest.fail("measured"))

    assert not found.knows(both)
    assert asked(found, examples="x")
    assert not found.knows(both)
    assert asked(found, examples="y")
    assert found.knows(both)
    with pytest.raises(pytest.fail.Exception):
        found.remembered("grade", {"examples": "z"}, lambda: pytest.fail("measured"))


def weights(loaded, monkeypatch):
    with torch.no_grad():
        next(iter(loaded.model.parameters())).view(-1)[5] += 1e-6


def order_of_weights(loaded, monkeypatch):
    with torch.no_grad():
        weight = loaded.model.transformer.h[0].attn.c_proj.weight
        weight.copy_(weight.T.clone())


def settings(loaded, monkeypatch):
    loaded.model.config.layer_norm_epsilon *= 2


def tokenizer(loaded, monkeypatch):
    loaded.tokenizer.add_tokens(["zzz"])


def precision(loaded, monkeypatch):
    loaded.model.to(torch.float64)


def of_ctviz(loaded, monkeypatch):
    monkeypatch.setattr(ctviz, "__version__", "0.0.0")


def of_torch(loaded, monkeypatch):
    monkeypatch.setattr("ctviz.tuning.baselines.torch.__version__", "0.0.0")


def of_transformers(loaded, monkeypatch):
    monkeypatch.setattr("ctviz.tuning.baselines.transformers.__version__", "0.0.0")


def schema(loaded, monkeypatch):
    monkeypatch.setattr(baselines, "SCHEMA", baselines.SCHEMA + 1)


def device(loaded, monkeypatch):
    monkeypatch.setattr(type(loaded.anatomy), "device", torch.device("mps"))


@pytest.mark.parametrize(
    "change",
    [
        weights,
        order_of_weights,
        settings,
        tokenizer,
        precision,
        of_ctviz,
        of_torch,
        of_transformers,
        schema,
        device,
    ],
)
def test_another_model_or_version_is_asked_anew(monkeypatch, change):
    assert asked(known(load("tiny")), examples="x")
    loaded = load("tiny")
    change(loaded, monkeypatch)
    assert asked(known(loaded), examples="x")


def test_another_question_or_input_is_asked_anew():
    found = known(load("tiny"))
    assert asked(found, examples="x")
    assert asked(found, "right", examples="x")
    assert asked(found, examples="y")
    assert asked(found, examples="x", ablation="mean")
    assert not asked(found, examples="x")


def test_the_key_of_examples_is_all_that_they_say():
    example = Example("a", " b", None, (" b", " c"), ("b",), "g")
    changes = [
        {"prompt": "x"},
        {"target": " x"},
        {"choices": (" c", " b")},
        {"accepted": ()},
        {"group": "x"},
    ]
    others = [replace(example, **change) for change in changes]
    assert len({key_of([each]) for each in (example, *others)}) == 6
    assert key_of([example, others[0]]) != key_of([others[0], example])
    assert key_of([example]) == key_of([replace(example)])


def test_the_key_of_a_batch_is_all_that_it_holds():
    batch = random_batch()
    changed = [
        replace(batch, **{name: getattr(batch, name) + 1})
        for name in ("clean", "corrupt", "answer", "foil")
    ]
    keys = {key_of(each) for each in (batch, *changed, batch[:4])}
    assert len(keys) == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace("0.25", "0.75"),
        lambda text: text.replace('"what": "grade"', '"what": "other"'),
        lambda text: json.dumps({"value": {"accuracy": 1.0}}),
        lambda text: '{"key": ' * 5000,
    ],
)
def test_a_damaged_file_is_measured_anew_and_mended(damage):
    assert asked(known(load("tiny")), examples="x")
    [file] = files()
    whole = file.read_text()
    file.write_text(damage(whole))
    assert asked(known(load("tiny")), examples="x")
    assert file.read_text() == whole


def test_without_a_place_everything_is_measured_and_nothing_fails(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CTVIZ_BASELINES", str(tmp_path / "file" / "below"))
    found = known(load("tiny"))
    assert asked(found, examples="x")
    assert asked(found, examples="x")


def test_a_full_disk_is_no_error(monkeypatch):
    def full(path, value):
        path.with_suffix(".part").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(baselines, "write_json", full)
    assert asked(known(load("tiny")), examples="x")
    assert asked(known(load("tiny")), examples="x")


# ---------------------------------------------------------------------- in a run

ASKED = {"other_tasks": ("capital-country", "induction", "ioi"), "retention_examples": 6}
MORE = {"retention_test_examples": 10, "retention_prompts": 3, "test_examples": 8}


def tuning(found: Baselines | None, loaded: Loaded, **changes: object) -> Tuning:
    return Tuning(loaded, config(**{**ASKED, **MORE, **changes}), baselines=found)


def test_what_is_known_is_what_is_measured(monkeypatch):
    loaded = load("tiny")
    alone = tuning(None, loaded)
    expected = alone.test_grades()
    first = tuning(known(loaded), loaded)
    assert first.untuned_grades() == expected
    assert "other_accuracy" in expected
    for module, name in ((loop, "try_methods"), (retention, "chosen_rightly")):
        monkeypatch.setattr(module, name, None)  # is not called again
    monkeypatch.setattr(retention.Retention, "perplexity", None)
    again = tuning(known(load("tiny")), loaded)
    assert again.untuned_grades() == expected
    assert again.attribution == alone.attribution
    assert again.retention.others == alone.retention.others


def test_no_example_of_another_task_is_asked_twice_of_the_untuned_model(monkeypatch):
    loaded, seen = load("tiny"), []
    usual = retention.chosen_rightly
    monkeypatch.setattr(
        retention, "chosen_rightly", lambda model, new: (seen.extend(new), usual(model, new))[1]
    )
    kept = tuning(None, loaded).retention
    found = kept.untuned()
    assert len(seen) == len(set(seen))
    assert len(seen) == 6 * 3 + 4 * len(kept.others)
    expected = retention.Retention(loaded, TASKS["sva-flip"], config(**ASKED, **MORE))
    assert found == expected.measure(thorough=True)


@pytest.mark.parametrize(
    "change",
    [
        {"ablation": ABLATIONS[1]},
        {"attribution": "eap-ig"},
        {"examples": 5},
        {"examples_seed": 1},
        {"task": "sva"},
        {"scored_on": "dev"},
    ],
)
def test_another_setting_tries_methods_anew(monkeypatch, change):
    loaded, tried = load("tiny"), []
    usual = loop.try_methods
    monkeypatch.setattr(loop, "try_methods", lambda *a, **k: (tried.append(1), usual(*a, **k))[1])
    found = known(loaded)
    tuning(found, loaded)
    tuning(found, loaded)
    assert len(tried) == 1
    tuning(found, loaded, **change)
    assert len(tried) == 2
