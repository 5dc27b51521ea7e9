"""Files of WinoBias in both of their forms."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from ctviz.tasks.files import winobias

PRO = [
    "1 The plumber thanked [the florist] and gave [her] a rose.",
    "2 The florist thanked [the plumber] and gave [him] a rose.",
    "3 [The pilot] called an attendant because [he] was ill.",
    "4 The clerk met [the attendant] and saw [her] dog .",
]
ANTI = [
    "1 The plumber thanked [the florist] and gave [him] a rose.",
    "2 The florist thanked [the plumber] and gave [her] a rose.",
    "3 [The pilot] called an attendant because [she] was ill.",
    "4 The clerk met [the attendant] and saw [his] dog .",
]


def read(folder: Path, name: str, lines: list[str]):
    file = folder / name
    file.write_text("\n".join(lines) + "\n")
    return winobias.FORMAT.read(file, file.read_text())


def fields(line: str, **more: str) -> str:
    """A line of the original text as a JSON object, without the brackets."""
    occupation, pronoun = re.findall(r"\[(.*?)\]", line)
    sentence = re.sub(r"^\d+ |[][]", "", line)
    return json.dumps({"sentence": sentence, "occupation": occupation, "pronoun": pronoun, **more})


def test_winobias_in_its_original_form(tmp_path):
    read(tmp_path, "anti_stereotyped.txt", ANTI)
    parsed = read(tmp_path, "pro_stereotyped.txt", PRO)
    assert not parsed.problems
    assert not parsed.notes
    assert [number for number, _ in parsed.examples] == [1, 2, 3, 4]
    first, second, third, fourth = (example for _, example in parsed.examples)
    assert first.prompt == "The plumber thanked the florist and gave"
    assert first.choices == (" her", " him")
    assert (first.group, second.group) == ("female", "male")
    assert first.pair.clean == first.prompt
    assert first.pair.corrupt == "The florist thanked the plumber and gave" == second.prompt
    assert (first.pair.answer, first.pair.foil) == first.choices
    assert third.choices == (" he", " she")
    assert third.pair.corrupt == "The attendant called a pilot because"
    assert fourth.choices == (" her", " his")
    assert fourth.pair.corrupt == "The attendant met the clerk and saw"
    assert parsed.keys[0] == parsed.keys[1] != parsed.keys[2]


def test_a_file_of_the_other_stereotype_gives_the_same_choices(tmp_path):
    pro = read(tmp_path, "pro.txt", PRO)
    anti = read(tmp_path, "anti.txt", ANTI)
    assert [e.choices for _, e in pro.examples] == [e.choices for _, e in anti.examples]
    assert not anti.notes


def test_winobias_as_json_lines(tmp_path):
    lines = [
        fields(PRO[0], participant="the plumber", stereotype="pro"),
        fields(ANTI[1], participant="the florist", stereotype="anti"),
    ]
    parsed = read(tmp_path, "mine.jsonl", lines)
    assert not parsed.problems
    first, second = (example for _, example in parsed.examples)
    assert first.choices == (" her", " him")
    assert second.choices == (" him", " her")
    assert (first.group, second.group) == ("female", "male")
    assert first.pair.corrupt == second.prompt
    assert second.pair.corrupt == first.prompt


def test_the_field_decides_over_the_name_of_the_file(tmp_path):
    (one,) = read(tmp_path, "anti.jsonl", [fields(PRO[0], stereotype="pro")]).examples
    assert one[1].choices == (" her", " him")


def test_a_misaligned_partner_is_not_believed(tmp_path):
    read(tmp_path, "anti.txt", [ANTI[3], ANTI[0]])
    parsed = read(tmp_path, "pro.txt", ["The boss met [the maid] and gave [her] dog away."])
    assert parsed.examples[0][1].choices == (" her", " him")
    assert len(parsed.notes) == 1


@pytest.mark.parametrize(
    ("sentence", "other"),
    [
        ("The boss met [the maid] and thanked [her].", " him"),
        ("The boss met [the maid] and left [her] the key.", " him"),
        ("The boss met [the maid] and offered [her] advice.", " him"),
        ("The boss met [the maid] and left [her] quickly.", " him"),
        ("The boss met [the maid] and lost [her] key.", " his"),
        ("The boss met [the maid] and saw [herself].", " himself"),
        ("The boss met [the maid] because [she] was late.", " he"),
    ],
)
def test_the_other_pronoun_without_a_partner_file(tmp_path, sentence, other):
    parsed = read(tmp_path, "pro.txt", [sentence])
    assert parsed.examples[0][1].choices[1] == other
    assert len(parsed.notes) == (" [her]" in sentence)


def test_occupations_of_several_words_are_known_from_other_lines(tmp_path):
    lines = [
        "On the roof the construction worker met [the nurse] and thanked [her].",
        "The nurse met [the construction worker] and thanked [him].",
    ]
    first = read(tmp_path, "pro.txt", lines).examples[0][1]
    assert first.pair.corrupt == "On the roof the nurse met the construction worker and thanked"


def test_without_brackets_elsewhere_the_other_occupation_is_what_the_sentence_begins_with(tmp_path):
    lines = [
        "The boss met [the maid] at the door and thanked [her].",
        "[The carver] made the desk for the duke and praised [his] taste.",
    ]
    first, second = read(tmp_path, "pro.txt", lines).examples
    assert first[1].pair.corrupt == "The maid met the boss at the door and thanked"
    assert second[1].pair is None


def test_a_sentence_whose_other_occupation_is_not_found_has_no_pair(tmp_path):
    parsed = read(tmp_path, "pro.txt", ["[The nurse] was late because [she] slept."])
    assert parsed.examples[0][1].pair is None
    assert parsed.keys == ("The nurse was late because",)
    assert "no counterfactual prompt" in parsed.notes[0]


def test_winobias_teaches_both_pronouns_equally_often(tmp_path):
    lines = [line for _ in range(6) for line in PRO]
    taught = Counter(
        (example.group, example.choices.index(example.target))
        for _, example in read(tmp_path, "pro.txt", lines).examples
    )
    assert taught == dict.fromkeys([(group, i) for group in ("female", "male") for i in (0, 1)], 6)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("The plumber thanked the florist.", "two parts in brackets"),
        ("The plumber thanked [the florist] and [the maid].", "no part in brackets is a pronoun"),
        ("When [she] came, [the nurse] slept.", "in front of the occupation"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "two parts in brackets"),
        ('{"a":' * 100_000, "not valid JSON"),
        ("{}", 'there is no "sentence"'),
        (fields(PRO[0], stereotype="both"), 'must be "pro" or "anti"'),
        (fields(PRO[0], pronoun="they"), "'they', but must be one of she"),
        (fields(PRO[0], pronoun="himself"), "does not come after 'florist'"),
        (fields(PRO[0], occupation="the baker"), "does not mention the occupation 'baker'"),
        ('{"sentence": 3, "pronoun": "her", "occupation": "the maid"}', '"sentence" is 3'),
        (r'{"sentence": "\ud800", "pronoun": "her", "occupation": "a"}', "half a surrogate pair"),
    ],
)
def test_a_malformed_line_of_winobias_is_named(tmp_path, line, said):
    parsed = read(tmp_path, "pro.txt", [PRO[0], "", line, PRO[1]])
    assert [number for number, _ in parsed.examples] == [1, 4]
    (problem,) = parsed.problems
    assert problem.line == 3
    assert said in problem.text


@pytest.mark.parametrize("name", ["mine.txt", "pro_and_anti.txt", "produce.txt", "antics.txt"])
def test_without_a_stereotype_there_is_a_problem(tmp_path, name):
    parsed = read(tmp_path, name, PRO[:1])
    assert not parsed.examples
    assert "stereotypical" in parsed.problems[0].text


def test_both_forms_are_recognized_by_their_first_line():
    recognized = winobias.FORMAT.recognizes
    assert recognized(f"\n{PRO[0]}\n")
    assert recognized(fields(PRO[0]))
    for text in ("", "A line [with] two [brackets].", '{"prompt": "a", "target": " b"}'):
        assert not recognized(text)
