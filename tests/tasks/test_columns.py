"""Files with named columns: what each column says, and what is refused."""

from __future__ import annotations

import csv
import json

import pytest

from ctviz.errors import BadTask
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files import columns, file_task, open_file
from ctviz.tasks.files.columns import as_columns
from ctviz.tasks.files.content import Content
from tests.written_files import examples, jsonl, pairs, problems


class TestPairs:
    def test_an_answer_gets_a_space_in_front_and_a_note_says_so(self, tmp_path):
        rows = [
            {"clean": "One", "corrupt": "Two", "answer": "is", "foil": " are"},
            {"clean": "you", "corrupt": "he", "answer": "'re", "foil": "'s"},
            {"clean": "ends in a line\n", "corrupt": "b\n", "answer": "is", "foil": "are"},
        ]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        assert [(e.pair.answer, e.pair.foil) for _, e in opened.parsed.examples] == [
            (" is", " are"),
            ("'re", "'s"),
            ("is", "are"),
        ]
        assert not opened.parsed.problems
        assert [note for note in opened.parsed.notes if "space" in note] == [
            "On 1 line a space was put in front of an answer, a foil or a target, because the "
            "prompt does not end with one ('e is'). A column verbatim that says true leaves text "
            "as it is."
        ]

    def test_prompts_that_end_in_a_space_are_noted(self, tmp_path):
        rows = [{**pairs(1)[0], "clean": "The key "}]
        (note,) = open_file(jsonl(tmp_path / "a.jsonl", rows)).parsed.notes
        assert note.startswith("1 prompt ends in a space")

    def test_verbatim_puts_nothing_in(self, tmp_path):
        rows = [{**pairs(1)[0], "verbatim": True}]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        assert opened.parsed.examples[0][1].pair.answer == "are"
        assert opened.parsed.notes == ()

    def test_without_a_counterfactual_the_clean_prompt_stands_for_it(self, tmp_path):
        rows = [{k: v for k, v in row.items() if k != "corrupt"} for row in pairs(2)]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        pair = opened.parsed.examples[0][1].pair
        assert pair.clean == pair.corrupt == "0 keys to the hat"
        assert any("mean or zero ablation" in note for note in opened.parsed.notes)

    def test_prompt_and_target_are_for_tuning_only(self, tmp_path):
        rows = [{"prompt": f"The sky at {i} is", "target": "blue"} for i in range(20)]
        task = file_task(jsonl(tmp_path / "a.jsonl", rows))
        (example,) = task.examples(1, split="train")
        assert (example.target, example.accepted) == (" blue\n", ("blue",))
        assert example.pair is None
        assert task.grade == "span"
        with pytest.raises(BadTask, match="no counterfactual pairs"):
            task.pairs(5, split="train")

    def test_json_lists_csv_and_jsonl_say_the_same(self, tmp_path):
        rows = pairs(3)
        with (tmp_path / "a.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
        (tmp_path / "a.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        lines = examples(jsonl(tmp_path / "a.jsonl", rows))
        assert len(lines) == 3
        assert examples(str(tmp_path / "a.csv")) == lines
        assert examples(str(tmp_path / "a.json")) == lines

    def test_lines_are_counted_from_one_in_every_kind_of_file(self, tmp_path):
        good, bad = pairs(1)[0], {**pairs(1)[0], "answer": ""}
        assert problems(jsonl(tmp_path / "a.jsonl", [good, "\n", bad])) == {3: "answer is empty"}
        (tmp_path / "a.json").write_text(f"[\n{json.dumps(good)},\n\n{json.dumps(bad)}\n]")
        assert problems(str(tmp_path / "a.json")) == {4: "answer is empty"}
        (tmp_path / "a.csv").write_text('clean,answer,foil\n"a\nb",is,are\nc,,are\nd,e\n')
        assert problems(str(tmp_path / "a.csv")) == {
            4: "answer is empty",
            5: "2 cells, but the header has 3",
        }


class TestExamplesAsColumns:
    @pytest.mark.parametrize(
        "example",
        [
            Example("a", " b\n", accepted=("b",)),
            Example("a", "b", accepted=()),
            Example("a", "b\n", accepted=("b", "c"), group="g"),
            Example("a ", "b\n", choices=("b\n", "c\n"), accepted=("b",)),
            Example.of(Pair("a", "c", " b", " d")),
            Example.of(Pair("a", "a", "b", " d")),
            Example("q", " 3\n", Pair("q so", "p so", " 3", " 4"), accepted=("3",)),
            Example("q", "x", Pair("q", "p", " x", " y"), choices=("x", " y", " z"), group="7"),
        ],
    )
    def test_every_example_can_be_written_as_columns(self, tmp_path, example):
        columns_of = as_columns(example)
        grade = {} if example.choices else {"grade": "span"}
        content = Content(tmp_path / "a.jsonl", json.dumps({**columns_of, **grade}))
        parsed = columns.read(content, columns.Reading())
        assert parsed.problems == ()
        assert [found for _, found in parsed.examples] == [example]

    def test_examples_with_and_without_pairs_can_stand_in_one_file(self, tmp_path):
        mixed = [
            Example("a", " b\n", Pair("a so", "c so", " 1", " 2"), accepted=("b",)),
            Example("d", " e\n", accepted=("e",)),
        ]
        rows = [{**as_columns(example), "grade": "exact"} for example in mixed]
        name = jsonl(tmp_path / "a.jsonl", rows)
        assert examples(name) == mixed
        assert not problems(name)

    def test_some_choices_without_a_grade_are_unclear(self, tmp_path):
        rows = [
            {"prompt": "a", "target": "b", "choices": ["b", "c"]},
            {"prompt": "d", "target": "e"},
        ]
        assert "Only 1 of 2 examples have choices" in problems(jsonl(tmp_path / "a.jsonl", rows))[0]
