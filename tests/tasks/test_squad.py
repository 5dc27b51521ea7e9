"""Files in the form of SQuAD."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctviz.tasks.example import Example
from ctviz.tasks.files.squad import FORMAT


def squad(*paragraphs: object) -> str:
    return json.dumps({"version": "v2.0", "data": [{"title": "T", "paragraphs": paragraphs}]})


def question(**fields: object) -> dict[str, object]:
    return {"id": "1", "question": "Who came?", "is_impossible": False, **fields}


GOOD = question(answers=[{"text": "the cat", "answer_start": 0}, {"text": "cat"}, {"text": "cat"}])
BAD = {
    "no object": "Who?",
    "no question": {"answers": [{"text": "x"}]},
    "a question of blanks": question(question="  ", answers=[{"text": "x"}]),
    "no answers": question(answers=[]),
    "answers that are no list": question(answers={"text": "x"}),
    "an answer that is no object": question(answers=["x"]),
    "an empty answer": question(answers=[{"text": ""}]),
    "an answer that is a number": question(answers=[{"text": 7}]),
    "half a surrogate": question(answers=[{"text": "\ud800"}]),
    "impossible is a word": question(answers=[{"text": "x"}], is_impossible="no"),
}


def test_questions_are_read(tmp_path: Path):
    text = squad(
        {"context": "The cat\ncame in.", "qas": [GOOD, question(is_impossible=True, answers=[])]},
        {"context": "A dog.", "qas": [question(answers=[{"text": " A dog "}])]},
    )
    parsed = FORMAT.read(tmp_path / "questions.json", text)
    assert parsed.problems == ()
    assert [number for number, _ in parsed.examples] == [1, 2, 3]
    assert parsed.keys == ("Passage: The cat came in.",) * 2 + ("Passage: A dog.",)
    first, second, third = (example for _, example in parsed.examples)
    assert first == Example(
        "Passage: The cat came in.\nQuestion: Who came?\nAnswer:",
        " the cat\n",
        accepted=("the cat", "cat"),
        group="answered",
    )
    assert (second.target, second.accepted) == (" no answer\n", ("no answer",))
    assert (third.target, third.accepted) == (" A dog\n", ("A dog",))


@pytest.mark.parametrize("entry", BAD.values(), ids=BAD)
def test_a_malformed_question_is_a_problem_with_its_number(tmp_path: Path, entry: object):
    text = squad({"context": "The cat came.", "qas": [GOOD, entry, GOOD]})
    parsed = FORMAT.read(tmp_path / "questions.json", text)
    assert [number for number, _ in parsed.examples] == [1, 3]
    assert [problem.line for problem in parsed.problems] == [2]


@pytest.mark.parametrize(
    "paragraph",
    [None, [], {}, {"context": "x", "qas": None}, {"qas": [GOOD]}, {"context": 3, "qas": [GOOD]}],
)
def test_a_malformed_paragraph_is_one_problem(tmp_path: Path, paragraph: object):
    text = squad(paragraph, {"context": "The cat came.", "qas": [GOOD]})
    parsed = FORMAT.read(tmp_path / "questions.json", text)
    assert [number for number, _ in parsed.examples] == [2]
    assert [problem.line for problem in parsed.problems] == [1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"data": {}}',
        '{"data": []}',
        '{"other": []}',
        "[" * 200_000,
        squad()[:-1],
    ],
    ids=[
        "empty",
        "cut",
        "a list",
        "a number",
        "no list",
        "no articles",
        "no data",
        "deeply nested",
        "no end",
    ],
)
def test_a_file_that_is_none_is_one_problem_with_the_file(tmp_path: Path, text: str):
    parsed = FORMAT.read(tmp_path / "questions.json", text)
    assert parsed.examples == ()
    assert [problem.line for problem in parsed.problems] == [0]


@pytest.mark.parametrize("article", [None, "x", {}, {"paragraphs": {}}])
def test_a_malformed_article_is_one_problem(tmp_path: Path, article: object):
    parsed = FORMAT.read(tmp_path / "questions.json", json.dumps({"data": [article]}))
    assert parsed.examples == ()
    assert [problem.line for problem in parsed.problems] == [1]


def test_files_are_recognized_by_their_beginning():
    text = squad({"context": "x" * 9000, "qas": [GOOD]})
    other = json.dumps({"data": [{"paragraphs": [{"qas": [GOOD], "context": "x" * 9000}]}]})
    assert FORMAT.recognizes(other[:4000])
    assert FORMAT.recognizes("\ufeff\n" + text[:4000])
    assert not FORMAT.recognizes('{"question": "How many?", "answer": "7"}\n')
    assert not FORMAT.recognizes('[{"data": 1}]')
