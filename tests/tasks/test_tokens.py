"""Pairs as a tokenizer cuts them, and why some cannot be used."""

from __future__ import annotations

import pytest

from ctviz.models.reader import open_reader
from ctviz.tasks.example import Pair
from ctviz.tasks.tokens import Tokens, pair_problem


class TestPairs:
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
        found = pair_problem(Tokens(open_reader("tiny").tokenizer).cut(pair), longest=64)
        assert why in found if why else not found

    def test_a_pair_is_cut_where_answer_and_foil_part(self):
        tokens = Tokens(open_reader("tiny").tokenizer)
        parts = tokens.cut(Pair("The keys", "The key", " the keys are", " the key"))
        the, keys, are, key = (
            tokens.continuation("The", w)[0] for w in (" the", " keys", " are", " key")
        )
        assert (parts.shared, parts.answer, parts.foil) == ([the], [keys, are], [key])
        assert (parts.clean, parts.corrupt) == (tokens.prompt("The keys"), tokens.prompt("The key"))
