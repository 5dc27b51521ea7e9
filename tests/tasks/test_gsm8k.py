"""Files of GSM8K."""

from __future__ import annotations

import json

import pytest

from ctviz.tasks.files import open_file
from ctviz.tasks.files.gsm8k import LAYOUT

GSM = {
    "question": "A shelf holds 12 jars.\nHalf of them\tare empty. How many are full?",
    "answer": "Half of 12 is 12/2 = <<12/2=6>>6 jars.\nSo 12-6 = <<12-6=6>>6 are full\n#### 6",
}


def test_gsm8k_becomes_a_question_and_a_worked_answer_on_one_line(tmp_path):
    other = {"question": "What does it cost?", "answer": "It costs a lot.\n#### $1,250.00"}
    text = f"\ufeff{json.dumps(GSM)}\n\n{json.dumps(other)}\n"
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    opened = open_file(str(tmp_path / "train.jsonl"))
    parsed = opened.parsed
    assert (opened.format.key, opened.grade) == ("gsm8k", "exact")
    assert not parsed.problems
    (one, first), (three, third) = parsed.examples
    assert (one, three) == (1, 3)
    assert first.prompt == (
        "Question: A shelf holds 12 jars. Half of them are empty. How many are full?\nAnswer:"
    )
    assert first.target == (
        " Half of 12 is 12/2 = 6 jars. So 12-6 = 6 are full. The answer is 6.\n"
    )
    assert first.accepted == ("6",)
    assert first.pair is None
    assert third.accepted == ("1250",)
    assert third.target == " It costs a lot. The answer is 1250.\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nothing", "not valid JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[1]", "a JSON object is needed"),
        ('{"answer": "#### 1"}', 'no "question"'),
        ('{"question": "Q"}', 'no "answer"'),
        ('{"question": "", "answer": "#### 1"}', '"question" is ""'),
        ('{"question": ["Q"], "answer": "#### 1"}', "must be a text"),
        ('{"question": "Q", "answer": "It is 1."}', "no last line"),
        ('{"question": "Q", "answer": "####"}', "one number"),
        ('{"question": "Q", "answer": "#### 3/4"}', "one number, but there is '3/4'"),
        ('{"question": "Q", "answer": "#### some"}', "one number"),
        (r'{"question": "\udc00", "answer": "#### 1"}', "half a surrogate pair"),
    ],
)
def test_a_malformed_line_of_gsm8k_is_named(tmp_path, line, said):
    text = f"{json.dumps(GSM)}\n{line}\n"
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    opened = open_file(str(tmp_path / "train.jsonl"))
    parsed = opened.parsed
    assert (opened.format.key, opened.grade) == ("gsm8k", "exact")
    assert [number for number, _ in parsed.examples] == [1]
    (problem,) = parsed.problems
    assert problem.line == 2
    assert said in problem.text


def test_it_is_recognized_by_its_result():
    assert LAYOUT.recognizes(GSM)
    for row in ({}, {"prompt": "a"}, {"question": "Q", "answer": "an old bridge"}):
        assert not LAYOUT.recognizes(row)
