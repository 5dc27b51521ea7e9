"""Where answers stand in whole sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctviz.tasks.example import Pair
from ctviz.tasks.files import open_file
from tests.written_files import examples, jsonl, problems


class TestSentences:
    def read(self, tmp_path: Path, **row: object) -> tuple[list[Pair | None], dict[int, str]]:
        name = jsonl(tmp_path / "a.jsonl", [row])
        return [example.pair for example in examples(name)], problems(name)

    def test_the_prompt_is_what_stands_in_front_of_each_answer(self, tmp_path):
        found, wrong = self.read(
            tmp_path,
            text="The island of cats is where they sleep.",
            answer=["is", "sleep"],
            foil=["are", "sleeps"],
        )
        clean = "The island of cats is where they"
        assert found == [
            Pair("The island of cats", "The island of cats", " is", " are"),
            Pair(clean, clean, " sleep", " sleeps"),
        ]
        assert not wrong

    def test_contractions_go_on_without_a_space_but_words_do_not(self, tmp_path):
        found, wrong = self.read(
            tmp_path,
            text="If you're late we've lost, for they have “won”.",
            answer=["'re", "'ve", "have", "won"],
            foil=["'s", "has", "'s", "lose"],
        )
        assert [(p.clean[-4:], p.answer, p.foil) for p in found] == [
            (" you", "'re", "'s"),
            ("e we", "'ve", " has"),
            ("they", " have", "'s"),
            ("ve “", "won", "lose"),
        ]
        assert not wrong

    def test_an_answer_at_the_beginning_has_no_prompt(self, tmp_path):
        found, wrong = self.read(
            tmp_path, text="Is it what you want?", answer=["Is", "want"], foil=["Are", "wants"]
        )
        assert [p.answer for p in found] == [" want"]
        assert wrong == {1: "nothing stands in front of 'Is'"}

    def test_the_beginning_is_passed_over_if_the_answer_comes_again(self, tmp_path):
        found, wrong = self.read(tmp_path, text=" is one who is here", answer="is", foil="are")
        assert [p.clean for p in found] == [" is one who"]
        assert not wrong

    def test_an_answer_at_several_places_is_unclear(self, tmp_path):
        found, wrong = self.read(
            tmp_path, text="So John's dog thinks it's late", answer="'s", foil="'re"
        )
        assert not found
        assert "more than one place" in wrong[1]

    def test_a_whole_counterfactual_sentence_tells_which_place_is_meant(self, tmp_path):
        found, wrong = self.read(
            tmp_path,
            text="So John's dog thinks it's late",
            corrupt="So John 's dog think it 're late",
            answer="'s",
            foil="'re",
        )
        assert found == [
            Pair("So John's dog thinks it", "So John 's dog think it", "'s", "'re"),
        ]
        assert not wrong

    @pytest.mark.parametrize(
        ("row", "wrong"),
        [
            ({"text": "a cat", "answer": "dog", "foil": "x"}, "'dog' not found in text as a word"),
            ({"text": "a cats", "answer": "cat", "foil": "x"}, "'cat' not found in text as a word"),
            ({"text": "a b c", "answer": ["c", "b"], "foil": ["x", "y"]}, "in this order"),
            ({"text": "a b", "answer": ["b"], "foil": ["x", "y"]}, "1 answers, but 2 foils"),
            ({"text": "a b", "answer": "b", "foil": "b"}, "answer and foil are the same ('b')"),
            ({"text": "a b", "answer": [], "foil": []}, "answer is empty"),
            ({"text": "a b", "answer": "b", "foil": "x", "corrupt": "a y"}, "not found in corrupt"),
        ],
    )
    def test_what_does_not_fit_is_said(self, tmp_path, row, wrong):
        found, said = self.read(tmp_path, **row)
        assert not found
        assert wrong in said[1]

    def test_verbs_of_a_sentence_stay_in_one_split(self, tmp_path):
        rows = [
            {
                "text": f"{i} cats run and they eat a lot",
                "answer": ["run", "eat"],
                "foil": ["s", "t"],
            }
            for i in range(60)
        ]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        of_line: dict[int, set[str]] = {}
        for (line, _), split in zip(opened.parsed.examples, opened.splits, strict=True):
            of_line.setdefault(line, set()).add(split)
        assert len(of_line) == 60
        assert all(len(splits) == 1 for splits in of_line.values())
