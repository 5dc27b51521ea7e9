"""Spaces that are put in front of an answer, and where none belongs."""

from __future__ import annotations

import pytest

from ctviz.inspection.prompt import own_prompt
from ctviz.models.loading import load
from ctviz.tasks.files import open_file
from tests.field.tokenizers import byte_level, llama
from tests.written_files import examples, jsonl


@pytest.mark.parametrize(
    ("prompt", "answer", "foil"),
    [
        ("\u4e1c\u4eac\u5728", "\u65e5\u672c", "\u4e2d\u56fd"),  # Chinese
        ("\u6771\u4eac\u306f", "\u306b\u307b\u3093", "\u30d5\u30e9\u30f3\u30b9"),  # Japanese
        (
            "\u0e1b\u0e23\u0e30\u0e40\u0e17\u0e28",
            "\u0e44\u0e17\u0e22",
            "\u0e25\u0e32\u0e27",
        ),  # Thai
        ("\u7b54\u6848\uff1a", "4", "5"),  # a number after Chinese
    ],
)
def test_scripts_without_spaces_get_none(tmp_path, prompt, answer, foil):
    rows = [{"clean": prompt, "answer": answer, "foil": foil}]
    name = jsonl(tmp_path / "a.jsonl", rows)
    (example,) = examples(name)
    assert (example.pair.answer, example.pair.foil) == (answer, foil)
    assert not [note for note in open_file(name).parsed.notes if "space was put" in note]
    (target,) = examples(jsonl(tmp_path / "b.jsonl", [{"prompt": prompt, "target": answer}]))
    assert target.target == f"{answer}\n"


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("\uc11c\uc6b8\uc740", "\ud55c\uad6d"),
        ("Dans la for\u00eat", "\u00e9crit"),
    ],  # Korean, French
)
def test_scripts_with_spaces_get_one(tmp_path, prompt, answer):
    (example,) = examples(jsonl(tmp_path / "a.jsonl", [{"prompt": prompt, "target": answer}]))
    assert example.target == f" {answer}\n"


def test_the_note_says_where_it_is_doubtful_and_how_to_leave_text_as_it_is(tmp_path):
    rows = [
        {"clean": "The key", "answer": "is", "foil": "are"},
        {"clean": "2+2=", "answer": "4", "foil": "5"},
        {"clean": "She was walk", "answer": "ing", "foil": "ed"},
    ]
    notes = open_file(jsonl(tmp_path / "a.jsonl", rows)).parsed.notes
    assert any("On 3 lines a space was put" in note and "('= 4')" in note for note in notes)
    assert any("column verbatim that says true" in note for note in notes)
    assert any(note.startswith("On 2 of these") for note in notes)
    kept = [{**row, "verbatim": True} for row in rows]
    name = jsonl(tmp_path / "b.jsonl", kept)
    assert [e.pair.answer for e in examples(name)] == ["is", "4", "ing"]
    assert not [note for note in open_file(name).parsed.notes if "space" in note]


def test_inspection_puts_none_into_a_script_without_spaces():
    tokenizer = byte_level()
    tokenizer.add_tokens([" \u65e5"])  # so that a space would make one token of several
    loaded = load(llama(len(tokenizer)), tokenizer=tokenizer)
    prompt = own_prompt(loaded, "\u6771\u4eac", answer="\u65e5")
    assert prompt.answer == tokenizer("\u65e5")["input_ids"][0]
    assert not [note for note in prompt.notes if "with the space" in note]
