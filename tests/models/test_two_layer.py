"""The two-layer model: small, learns what it should, and the same again from the same seed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from ctviz import paths
from ctviz.cli import main
from ctviz.english import FEW_THINGS
from ctviz.errors import CtvizError, MissingModel, OutOfRange
from ctviz.models.checkpoints import log_spaced
from ctviz.models.known import KNOWN, located_model, resolve
from ctviz.models.loading import load
from ctviz.models.two_layer import train as training
from ctviz.models.two_layer.vocabulary import CONTEXT, WORDS, new_tokenizer
from ctviz.runs.series import of_checkpoints
from ctviz.tasks import find_task
from ctviz.tasks.batch import misfit
from ctviz.tasks.tokens import Tokens

SHIPPED = paths.data() / "two-layer"


def test_the_shipped_folder_is_small_and_names_no_place_on_a_disk():
    files = [file for file in SHIPPED.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors"}
    assert sum(file.stat().st_size for file in files) <= 2 * 2**20
    for file in files:
        if file.suffix == ".json" and file.name != "tokenizer.json":
            assert "/" not in file.read_text(encoding="utf-8"), file


def test_the_model_is_the_last_of_its_checkpoints():
    last = of_checkpoints("two-layer").members[-1]
    assert load("two-layer").fingerprint == load(last.model).fingerprint


def test_its_mlps_write_nothing():
    for step in (0, 2000):
        loaded = load(f"two-layer/checkpoint-{step}")
        assert loaded.name == f"two-layer/checkpoint-{step}"
        assert loaded.reloadable
        assert not loaded.notes
        for block in loaded.model.transformer.h:
            assert all(not parameter.any() for parameter in block.mlp.parameters())


def test_checkpoints_are_called_the_same_by_name_and_by_folder(tmp_path: Path):
    by_name, by_folder = of_checkpoints("two-layer"), of_checkpoints(str(SHIPPED))
    assert by_name == by_folder
    assert [m.model for m in by_name.members] == [
        f"two-layer/checkpoint-{member.step}" for member in by_name.members
    ]
    inside = SHIPPED / "checkpoint-2000"
    assert located_model(str(inside)) == "two-layer/checkpoint-2000"
    assert located_model(str(SHIPPED)) == "two-layer"
    assert resolve("two-layer/checkpoint-2000") == str(inside)
    assert located_model(str(tmp_path)) == str(tmp_path)
    with pytest.raises(MissingModel, match="train-two-layer"):
        resolve("two-layer/checkpoint-7")
    with pytest.raises(MissingModel, match="train-tiny"):
        resolve("tiny/checkpoint-7")
    assert resolve("tiny/other") == "tiny/other"  # of the hub


def test_its_words_hold_those_of_the_task():
    tokenizer = new_tokenizer()
    assert set(FEW_THINGS) <= set(WORDS)
    assert tokenizer(" hat key").input_ids == tokenizer("hat key").input_ids
    assert tokenizer.decode(tokenizer("hat key").input_ids) == " hat key"
    assert tokenizer("hat theories").input_ids[1] == tokenizer.unk_token_id
    pairs = find_task("induction").pairs(20, split="test")
    tokens = Tokens(tokenizer, len(tokenizer))
    assert not any(misfit(tokens, pair, "logit_difference", CONTEXT) for pair in pairs)


def test_rows_say_a_block_of_different_words_again_and_again():
    batch = next(training.rows(3))
    assert batch.shape == (training.BATCH, CONTEXT)
    assert torch.equal(batch, next(training.rows(3)))
    assert not torch.equal(batch, next(training.rows(4)))
    for row in batch.tolist():
        start = next(i for i in range(CONTEXT) if row[i] in row[i + 1 :])
        length = row[start + 1 :].index(row[start]) + 1
        assert start <= training.BEFORE
        assert training.SHORTEST <= length <= training.LONGEST
        assert len(set(row[: start + length])) == start + length
        assert all(row[i] == row[i - length] for i in range(start + length, CONTEXT))


def test_the_same_seed_trains_the_same_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one, two = tmp_path / "one", tmp_path / "two"
    card = training.train(one, seed=5, steps=6, checkpoints=3)
    assert [entry["step"] for entry in card["loss_by_time"]] == [0, 5, 6]
    again = training.train(two, seed=5, steps=6, checkpoints=3)
    assert card == again
    for file in one.rglob("*.safetensors"):
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()
    assert main(["models", "train-two-layer", "--out", str(two)]) == 1
    assert "already holds a model" in capsys.readouterr().err
    assert load(str(one)).anatomy.graph.n_heads == training.HEADS


def test_a_short_training_already_lowers_the_loss(tmp_path: Path):
    card = training.train(tmp_path / "short", steps=30, checkpoints=2)
    first, last = card["loss_by_time"][0], card["loss_by_time"][-1]
    assert last["second"] < first["second"]


def test_too_few_steps_or_checkpoints_are_refused(tmp_path: Path):
    with pytest.raises(OutOfRange):
        training.train(tmp_path / "no", steps=1)
    with pytest.raises(OutOfRange):
        training.train(tmp_path / "no", steps=5, checkpoints=1)
    assert not (tmp_path / "no").exists()


def test_the_card_tells_of_the_jump():
    card = json.loads((SHIPPED / "card.json").read_text(encoding="utf-8"))
    course = {entry["step"]: entry["second"] for entry in card["loss_by_time"]}
    first = {entry["step"]: entry["first"] for entry in card["loss_by_time"]}
    assert course[0] == pytest.approx(first[0], abs=0.01)
    assert course[2000] < 0.1 * first[2000]
    assert list(course) == [member.step for member in of_checkpoints("two-layer").members]
    assert list(course) == list(log_spaced(training.FIRST, training.STEPS, training.CHECKPOINTS))


def test_steps_are_spread_by_one_factor():
    steps = log_spaced(10, 10_000, 8)
    assert steps[:2] == (0, 10)
    assert steps[-1] == 10_000
    factor = 1000 ** (1 / 6)
    for one, other in itertools.pairwise(steps[1:]):
        assert other == pytest.approx(factor * one, abs=factor)  # both are rounded
    assert log_spaced(3, 5, 9) == (0, 3, 4, 5)


def test_it_is_listed_as_bundled():
    assert KNOWN["two-layer"].ready
    assert KNOWN["two-layer"].bundled
    with pytest.raises(CtvizError, match="no checkpoints"):
        of_checkpoints("tiny")


def test_its_recording_shows_the_scores_of_heads(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "sample-two-layer"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[2].split()[-2:] == ["prefix_matching", "copying"]
    assert main(["show", "sample-two-layer", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)["metrics"][-1]
    assert last["prefix_matching"] > 0.8
    assert last["previous_token"] > 0.9
