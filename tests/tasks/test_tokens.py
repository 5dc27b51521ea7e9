"""A tokenizer without torch, and pairs as it cuts them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from transformers import AutoTokenizer

from ctviz import paths
from ctviz.errors import MissingModel, UnknownName
from ctviz.tasks.example import Pair
from ctviz.tasks.tokens import Tokens, open_tokenizer, pair_problem


class TestTokenizers:
    TEXTS = (
        "The keys to the cabinet are",
        " is",
        "",
        "café, 1234 “quotes”\n\n  and\tmore",
        "<|endoftext|>The end",
    )

    def test_the_same_ids_and_texts_as_transformers(self):
        light = open_tokenizer("tiny")
        heavy = AutoTokenizer.from_pretrained(paths.data() / "tiny")
        assert light.eos_token == heavy.eos_token == "<|endoftext|>"
        for text in self.TEXTS:
            for special in (True, False):
                ids = heavy(text, add_special_tokens=special)["input_ids"]
                assert light(text, add_special_tokens=special)["input_ids"] == ids
                for each in ids:
                    assert light.decode([each]) == heavy.decode([each])

    def test_it_needs_no_torch(self):
        code = (
            "import sys; from ctviz.tasks.files.check import check; "
            "from ctviz.tasks.tokens import open_tokenizer; open_tokenizer('tiny'); "
            "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_models_that_are_not_here(self, tmp_path):
        with pytest.raises(MissingModel, match="tokenizer of nobody/nothing is not on this"):
            open_tokenizer("nobody/nothing")
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(MissingModel, match="needs a tokenizer"):
            open_tokenizer(str(tmp_path))
        with pytest.raises(UnknownName):
            open_tokenizer("tinny")

    def test_the_end_of_text_is_found_in_every_place_that_names_it(self, tmp_path):
        tiny = paths.data() / "tiny"
        (tmp_path / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
        number = open_tokenizer("tiny").rust.token_to_id("<|endoftext|>")
        for config, settings, end in (
            ({"eos_token_id": number}, {}, "<|endoftext|>"),
            ({"eos_token_id": [number, 5]}, {}, "<|endoftext|>"),
            ({}, {"eos_token": {"content": "<end>"}}, "<end>"),
            ({}, {}, None),
        ):
            (tmp_path / "config.json").write_text(json.dumps(config))
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
            assert open_tokenizer(str(tmp_path)).eos_token == end

    @pytest.mark.parametrize(
        ("pair", "why"),
        [
            (Pair("The keys", "The key", " are", " is"), ""),
            (Pair("The keys", "The key", " the keys", " the key"), ""),
            (Pair("The keys", "The key", " is", " is"), "answer and foil are the same tokens"),
            (Pair("The keys", "The key", " the", " the key"), "the answer's tokens are the begin"),
            (Pair("The keys", "The key", " the key", " the"), "the foil's tokens are the begin"),
            (Pair("The keys", "The key", "", " is"), "the answer has no tokens"),
            (Pair("The keys", "The key", " is", ""), "the foil has no tokens"),
            (Pair("", "", " are", " is"), "clean has no tokens"),
            (Pair("The keys " * 40, "The key " * 40, " are", " is"), "but the model reads at most"),
        ],
    )
    def test_why_a_pair_cannot_be_used(self, pair, why):
        found = pair_problem(Tokens(open_tokenizer("tiny")).cut(pair), longest=64)
        assert why in found if why else not found

    def test_a_pair_is_cut_where_answer_and_foil_part(self):
        tokens = Tokens(open_tokenizer("tiny"))
        parts = tokens.cut(Pair("The keys", "The key", " the keys are", " the key"))
        the, keys, are, key = (tokens.continuation(w)[0] for w in (" the", " keys", " are", " key"))
        assert (parts.shared, parts.answer, parts.foil) == ([the], [keys, are], [key])
        assert (parts.clean, parts.corrupt) == (tokens.prompt("The keys"), tokens.prompt("The key"))
