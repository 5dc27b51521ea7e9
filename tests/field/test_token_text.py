"""Tokens that are a part of a character are shown as their bytes, wherever tokens are shown."""

from __future__ import annotations

import json

import pytest

from ctviz.cli import main
from ctviz.inspection.lens import extremes
from ctviz.inspection.probe import read_probe
from ctviz.inspection.prompt import own_prompt
from ctviz.inspection.reading import top_tokens
from ctviz.models.loading import load
from ctviz.serving.engine import ANSWERS
from ctviz.tasks.example import Pair
from ctviz.tasks.token_text import token_text
from tests.field.tokenizers import byte_level, llama, llama_folder, sentencepiece
from tests.written_files import jsonl

EURO = "The \u20ac key"  # E2 82 AC in UTF-8


def shown(tokenizer, text: str) -> list[str]:
    return [token_text(tokenizer, each) for each in tokenizer(text)["input_ids"]]


def test_bytes_of_a_byte_level_tokenizer():
    # the space is its own token: merges give ▁-words and the euro's first two bytes
    assert shown(byte_level(), EURO) == ["The", " ", "<0xE2><0x82>", "<0xAC>", " key"]


@pytest.mark.parametrize("prefix", ["normalizer", "metaspace"])
def test_bytes_of_a_tokenizer_that_falls_back_on_them(prefix):
    found = shown(sentencepiece(prefix=prefix), EURO)
    assert found == ["<s>", " The", " ", "<0xE2>", "<0x82>", "<0xAC>", " key"]


def test_the_space_in_front_of_a_word_is_shown():
    tokenizer = sentencepiece()
    one, other = tokenizer.convert_tokens_to_ids(["\u2581is", "is"])
    assert (token_text(tokenizer, one), token_text(tokenizer, other)) == (" is", "is")


def test_a_replacement_character_that_the_text_has_stays():
    tokenizer = byte_level()
    assert "".join(shown(tokenizer, "\ufffd")) == "<0xEF><0xBF><0xBD>"  # three tokens here
    tokenizer.add_tokens(["\ufffd"])
    assert shown(tokenizer, "\ufffd") == ["\ufffd"]


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_no_token_is_shown_as_a_replacement_character(make):
    tokenizer = make()
    found = [token_text(tokenizer, each) for each in range(len(tokenizer))]
    assert not [text for text in found if "\ufffd" in text or not text]
    assert sum(text.startswith("<0x") for text in found) >= 128  # what is no ASCII


def test_an_embedding_without_a_token_is_named():
    assert token_text(byte_level(), 5000) == "<id 5000>"


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_every_place_that_shows_tokens_shows_bytes(make, tmp_path, capsys):
    tokenizer = make()
    folder = llama_folder(tmp_path / "model", tokenizer, vocabulary=len(tokenizer) + 3)
    loaded = load(folder)
    prompt = own_prompt(loaded, EURO, answer="\u20ac")
    assert "<0xE2>" in "".join(prompt.tokens)
    assert "<0xE2>" in prompt.notes[-1]
    pair = Pair(EURO, EURO, " \u20ac is", " \u20ac are")
    probe = read_probe(loaded, pair)
    assert probe.tokens[-3:] != ("\ufffd",) * 3
    everything = llama(len(tokenizer) + 3).get_output_embeddings().weight.sum(dim=1)
    texts = [text for text, _ in (*top_tokens(loaded, everything), *probe.top)]
    texts += [text for side in extremes(loaded, everything, len(everything)) for text, _ in side]
    assert f"<id {len(tokenizer)}>" in texts
    rows = [{"clean": EURO, "corrupt": EURO, "answer": " \u20ac is", "foil": " \u20ac are"}]
    main(["check", jsonl(tmp_path / "a.jsonl", rows), "--model", str(folder), "--json"])
    (preview,) = json.loads(capsys.readouterr().out)["preview"]
    texts += [*probe.tokens, *preview["prompt"], *preview["answer"]]
    report = ANSWERS["check_file"](str(tmp_path / "a.jsonl"), str(folder))
    texts += report.previews[0].prompt
    assert not [text for text in texts if "\ufffd" in text]
    assert "<0xAC>" in "".join(report.previews[0].prompt)
