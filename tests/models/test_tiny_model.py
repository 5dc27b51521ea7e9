"""The bundled model: an ordinary small folder, really trained, and trained again the same way."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from ctviz import paths
from ctviz.english import agreement, indirect_object, pronoun, repeat, years
from ctviz.errors import OutOfRange, UnsupportedModel
from ctviz.models.loading import load
from ctviz.models.tiny import corpus, vocabulary
from ctviz.models.tiny.card import evaluate
from ctviz.models.tiny.train import CONTEXT, rows, train
from ctviz.models.tiny.vocabulary import check_single_tokens, single_tokens
from ctviz.runs.series import of_checkpoints

TINY = paths.data() / "tiny"
ITEMS = 500


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture(scope="module")
def measured() -> Iterator[dict]:
    # The model is too small to gain from threads, and loses much by them on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield evaluate(TINY, seed=77_777, items=ITEMS)
    torch.set_num_threads(threads)


# The shipped folder


def test_the_folder_is_small_and_ordinary():
    files = sorted(file.name for file in TINY.iterdir())
    assert set(files) >= {"card.json", "config.json", "model.safetensors", "tokenizer.json"}
    assert {Path(name).suffix for name in files} <= {".json", ".safetensors"}
    assert sum((TINY / name).stat().st_size for name in files) <= 8 * 2**20


def test_the_folder_names_no_place_on_a_disk():
    for file in TINY.glob("*.json"):
        if file.name == "tokenizer.json":
            continue  # its vocabulary has every byte, "/" included
        assert "/" not in file.read_text(encoding="utf-8"), file.name


def test_the_weights_are_those_of_a_small_gpt2():
    model = AutoModelForCausalLM.from_pretrained(TINY)
    config = model.config
    assert (config.model_type, config.n_layer, config.n_head, config.n_embd) == ("gpt2", 4, 4, 128)
    assert config.n_positions == CONTEXT
    assert config.tie_word_embeddings
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_the_card_describes_the_model():
    card = json.loads((TINY / "card.json").read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(TINY)
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert card["vocabulary"] == model.config.vocab_size <= vocabulary.VOCABULARY_SIZE
    assert card["data"]["sentence_shares"] == corpus.SHARES
    assert sum(corpus.SHARES.values()) == pytest.approx(1.0)


# The tokenizer


def test_every_word_of_the_lexicon_is_one_token(tokenizer):
    check_single_tokens(tokenizer.backend_tokenizer)
    for text in single_tokens():
        assert len(tokenizer.encode(text, add_special_tokens=False)) == 1, text


@pytest.mark.slow
@given(text=st.text(max_size=60))
def test_any_text_survives_the_tokenizer(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_years_are_cut_into_pairs_of_digits(tokenizer):
    assert tokenizer.tokenize(" 1732 to 1745.") == ["Ġ17", "32", "Ġto", "Ġ17", "45", "."]


def test_one_end_of_text_token_plays_every_part(tokenizer):
    assert tokenizer.convert_ids_to_tokens(0) == vocabulary.END_OF_TEXT
    assert {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} == {0}
    assert tokenizer.encode("The key") == tokenizer.encode("The key", add_special_tokens=False)


def test_prompts_and_their_counterfactuals_are_equally_long(tokenizer):
    rng = random.Random(3)

    def length(text: str) -> int:
        return len(tokenizer.encode(text))

    for _ in range(200):
        sentence = agreement(rng, held_out=None)
        assert length(sentence.singular) == length(sentence.plural)
        gift = indirect_object(rng, held_out=None)
        assert length(gift.prompt) == length(gift.third_person) == length(gift.swapped)
        for draw in (pronoun, years, repeat):
            item = draw(rng, held_out=None)
            assert length(item.prompt) == length(item.corrupt)
            assert length(item.prompt) < CONTEXT


def test_a_split_word_is_named():
    bare = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    state = json.loads(bare.to_str())
    state["model"]["merges"] = [
        pair for pair in state["model"]["merges"] if "".join(pair) != "Ġkeys"
    ]
    with pytest.raises(UnsupportedModel, match=r"1 words .* ' keys'"):
        check_single_tokens(Tokenizer.from_str(json.dumps(state)))


# What the model has learnt: held-out combinations, another seed than training and the card


@pytest.mark.slow
def test_agreement_survives_an_opposite_attractor(measured):
    assert measured["agreement_opposite"]["over_foil"] >= 0.97
    for part in ("by_kind", "by_subject"):
        for name, share in measured["agreement_opposite"][part].items():
            assert share["over_foil"] >= 0.93, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "least"),
    [
        ("agreement_simple", 0.99),
        ("agreement_same", 0.99),
        ("indirect_object", 0.95),
        ("pronoun", 0.98),
        ("years", 0.95),
        ("repeat", 0.95),
    ],
)
def test_other_tasks(measured, task, least):
    assert measured[task]["over_foil"] >= least


@pytest.mark.slow
def test_the_receiver_is_the_first_choice_of_the_whole_vocabulary(measured):
    assert measured["indirect_object"]["over_vocabulary"] >= 0.95


# Training


def test_rows_are_full_and_start_both_ways(tokenizer):
    sample = list(itertools.islice(rows(tokenizer, seed=1), 400))
    assert {len(row) for row in sample} == {CONTEXT}
    at_end = sum(row[0] == 0 for row in sample) / len(sample)
    assert 0.3 < at_end < 0.5
    assert sample == list(itertools.islice(rows(tokenizer, seed=1), 400))
    assert sample != list(itertools.islice(rows(tokenizer, seed=2), 400))


@pytest.mark.slow
def test_training_is_the_same_for_the_same_seed(tmp_path):
    lines: list[str] = []
    threads = torch.get_num_threads()
    for name, checkpoints in (("one", 0), ("two", 4)):
        card = train(
            tmp_path / name,
            seed=4,
            steps=3,
            threads=1,
            items=2,
            log=lines.append,
            checkpoints=checkpoints,
        )
        assert card["training"]["steps"] == 3
    assert torch.get_num_threads() == threads
    assert of_checkpoints(str(tmp_path / "two")).members[-1].step == 3
    last = load(str(tmp_path / "two" / "checkpoint-3")).model.state_dict()
    for name, tensor in load(str(tmp_path / "two")).model.state_dict().items():
        assert torch.equal(last[name], tensor.half().float()), name
    for file in sorted(file.name for file in (tmp_path / "one").iterdir()):
        one, two = (tmp_path / name / file for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), file
    trained, shipped = (
        load_file(tmp_path / "one" / "model.safetensors"),
        load_file(TINY / "model.safetensors"),
    )
    assert trained.keys() == shipped.keys()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one", "two"]
    assert any("step 3 of 3" in line for line in lines)


@pytest.mark.parametrize("options", [{"steps": 0}, {"items": 0}, {"checkpoints": 1}])
def test_training_refuses_nothing_to_do(tmp_path, options):
    with pytest.raises(OutOfRange, match="must be at least"):
        train(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
