"""Models from names, folders and memory, with their own tokenizer or another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from ctviz import paths
from ctviz.attribution.attribute import attribute
from ctviz.errors import MissingModel, UnknownName, UnsupportedModel
from ctviz.models.loading import Loaded, load
from ctviz.tasks import find_task
from ctviz.tasks.fitting import encode_task


@pytest.fixture
def tiny() -> Loaded:
    return load("tiny")


@pytest.fixture
def bare(tiny: Loaded, tmp_path: Path) -> Path:
    """A folder with a model and no tokenizer."""
    tiny.model.save_pretrained(tmp_path / "bare")
    return tmp_path / "bare"


def scores(loaded: Loaded) -> torch.Tensor:
    batch, _ = encode_task(loaded, find_task("sva"), 4, split="dev", seed=0)
    return torch.from_numpy(attribute(loaded.anatomy, batch).values)


def test_a_folder_may_be_a_text_or_a_path(tiny: Loaded, tmp_path: Path) -> None:
    assert load(paths.data() / "tiny").name == "tiny"  # what ships is called so everywhere
    folder = tmp_path / "mine"
    shutil.copytree(paths.data() / "tiny", folder)
    for given in (folder, str(folder)):
        loaded = load(given)
        assert loaded.name == str(folder)
        assert loaded.revision == tiny.revision
        assert loaded.stored


def test_a_model_in_memory_is_taken_as_it_is_but_evaluates(tiny: Loaded) -> None:
    model = tiny.model.double().train()
    model.lm_head.weight.requires_grad_(False)
    asked = [parameter.requires_grad for parameter in model.parameters()]
    loaded = load(model, tokenizer=tiny.tokenizer)
    assert loaded.model is model
    assert loaded.tokenizer is tiny.tokenizer
    assert not model.training
    assert model.dtype == torch.float64
    assert [parameter.requires_grad for parameter in model.parameters()] == asked
    assert not loaded.stored
    assert load(model, tokenizer=tiny.tokenizer, dtype="float32").model.dtype == torch.float32


def test_a_model_in_memory_has_the_scores_of_the_stored_one(tiny: Loaded) -> None:
    again = load(load("tiny").model, tokenizer="tiny")
    assert torch.equal(scores(again), scores(tiny))


def test_the_revision_of_a_model_in_memory_follows_its_tensors(tiny: Loaded) -> None:
    first = load(tiny.model, tokenizer=tiny.tokenizer)
    revision = first.revision
    assert revision.startswith("memory:")
    assert load(tiny.model, tokenizer=tiny.tokenizer).revision == revision
    with torch.no_grad():
        tiny.model.transformer.h[0].mlp.c_fc.weight[0, 0] += 1e-6
    assert load(tiny.model, tokenizer=tiny.tokenizer).revision != revision
    assert first.revision != revision
    assert first.origin == revision


def test_a_model_made_in_memory_is_named_after_its_class(tiny: Loaded) -> None:
    small = GPT2Config(vocab_size=len(tiny.tokenizer), n_layer=1, n_head=2, n_embd=8)
    assert load(GPT2LMHeadModel(small), tokenizer=tiny.tokenizer).name == "GPT2LMHeadModel"


def test_a_folder_without_a_tokenizer_takes_another_one(
    bare: Path, tiny: Loaded, tmp_path: Path
) -> None:
    with pytest.raises((MissingModel, UnsupportedModel), match="tokenizer"):
        load(bare)
    tiny.tokenizer.save_pretrained(tmp_path / "words")
    for words in ("tiny", tmp_path / "words", str(tmp_path / "words"), tiny.tokenizer):
        loaded = load(bare, tokenizer=words)
        assert loaded.tokenizer("The keys").input_ids == tiny.tokenizer("The keys").input_ids
        assert not loaded.stored


def test_what_cannot_be_taken_is_refused_in_words(tiny: Loaded) -> None:
    with pytest.raises(UnsupportedModel, match="Give it as tokenizer="):
        load(tiny.model)
    with pytest.raises(UnsupportedModel, match="type Linear"):
        load(torch.nn.Linear(2, 2), tokenizer="tiny")  # type: ignore[arg-type]
    other = BertModel(
        BertConfig(
            vocab_size=9,
            hidden_size=4,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=4,
        )
    )
    with pytest.raises(UnsupportedModel, match="family 'bert', which has no architecture table"):
        load(other, tokenizer="tiny")
    with pytest.raises(UnsupportedModel, match="tokenizer of type int"):
        load("tiny", tokenizer=4)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="no model 'tinny'"):
        load("tiny", tokenizer="tinny")
    with pytest.raises(UnknownName, match="no dtype 'int8'"):
        load("tiny", dtype="int8")
    half = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_layer=1, n_head=2, n_embd=8))
    half.lm_head.to("meta")
    with pytest.raises(UnsupportedModel, match="spread over cpu, meta"):
        load(half, tokenizer="tiny")
