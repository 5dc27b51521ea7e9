"""Folders without a tokenizer, or with one in its older form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from ctviz.cli import main
from ctviz.errors import MissingModel
from ctviz.models.known import resolve
from ctviz.models.loading import load
from ctviz.models.places import place_of
from tests.field.models import PAIRS, TINY, WORDS, measured, metric_of, set_config, tiny_copy


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """What a Trainer without processing_class leaves."""
    folder = tiny_copy(tmp_path / "out" / "checkpoint-500")
    for name in WORDS:
        (folder / name).unlink()
    (folder / "trainer_state.json").write_text("{}")
    return folder


def test_a_trainers_checkpoint_says_what_it_lacks(checkpoint, tmp_path, capsys):
    set_config(checkpoint, _name_or_path="openai-community/gpt2")
    with pytest.raises(MissingModel, match=r"no tokenizer: it is a Trainer's checkpoint") as caught:
        load(checkpoint)
    assert "(openai-community/gpt2) into the folder (tokenizer.json" in str(caught.value)
    assert "network" not in str(caught.value)
    assert main(["discover", "--model", str(checkpoint), "--out", str(tmp_path / "o")]) == 1
    assert str(caught.value) in capsys.readouterr().err
    loaded = load(checkpoint, tokenizer="tiny")
    assert measured(loaded) == pytest.approx(measured(load("tiny")), abs=1e-5)


def test_a_checkpoint_takes_the_tokenizer_of_the_folder_above(checkpoint):
    for name in WORDS:
        shutil.copy(TINY / name, checkpoint.parent)
    loaded = load(checkpoint)
    right = metric_of(
        AutoModelForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(TINY)
    )
    assert measured(loaded) == pytest.approx(right, abs=1e-5)
    [note] = loaded.notes
    assert note.startswith("checkpoint-500 has no tokenizer")
    assert loaded.stored
    assert place_of(str(checkpoint)).tokenizer == str(checkpoint.parent)


def test_no_other_folder_lends_its_tokenizer(tmp_path):
    shutil.copytree(TINY, tmp_path / "m" / "inner")
    for name in WORDS:
        (tmp_path / "m" / "inner" / name).rename(tmp_path / "m" / name)
    with pytest.raises(MissingModel, match="no tokenizer"):
        load(tmp_path / "m" / "inner")


def test_the_folder_above_checkpoints_names_them(tmp_path):
    for number in (500, 1000):
        tiny_copy(tmp_path / f"checkpoint-{number}")
    with pytest.raises(MissingModel, match=r"some: checkpoint-500, checkpoint-1000. Give one"):
        resolve(str(tmp_path))


def test_a_file_is_not_a_model(tmp_path):
    folder = tiny_copy(tmp_path / "m")
    with pytest.raises(MissingModel, match=r"is a file. A model is a folder"):
        load(folder / "model.safetensors")


def test_vocabulary_and_merges_are_a_tokenizer(tmp_path):
    folder = tiny_copy(tmp_path / "m")
    about = json.loads((folder / "tokenizer.json").read_text())["model"]
    merges = [" ".join(each) if isinstance(each, list) else each for each in about["merges"]]
    (folder / "vocab.json").write_text(json.dumps(about["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges))
    (folder / "tokenizer.json").unlink()
    set_config(folder, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    loaded = load(folder)
    right = AutoTokenizer.from_pretrained(TINY)
    for prompt, *_ in PAIRS:
        assert loaded.tokenizer(prompt).input_ids == right(prompt).input_ids
    assert measured(loaded) == pytest.approx(measured(load("tiny")), abs=1e-5)
    assert place_of(str(folder)).tokenizer == str(folder)
