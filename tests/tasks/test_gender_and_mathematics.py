"""Pronouns after occupations and names, sums and word problems, and their files."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from ctviz import paths
from ctviz.english import NAMES, NOUNS
from ctviz.tasks import arithmetic, gender, word_problems
from ctviz.tasks.answers import last_number
from ctviz.tasks.example import Example
from ctviz.tasks.files import gsm8k, winobias
from ctviz.tasks.task import SPLITS, Task

TINY = paths.data() / "tiny"
(BIAS, PRONOUN), (SUMS,), (STORIES,) = gender.TASKS, arithmetic.TASKS, word_problems.TASKS
LEVELS = [task.at(level.key) for task in (BIAS, PRONOUN, SUMS, STORIES) for level in task.levels]
ONE_DIGIT = SUMS.at("add-1")
NAMED = {name.text: name.gender for name in NAMES}
THINGS = {form for noun in NOUNS for form in (noun.singular, noun.plural)}
OCCUPATIONS = {word: kind for kind, words in gender.OCCUPATIONS.items() for word in words}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


def level_of(task: Task) -> str:
    return f"{task.key}:{task.level}"


def drawn(task: Task, n: int = 300) -> list[Example]:
    return [example for split in SPLITS for example in task.examples(n, split=split)]


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text)


# ------------------------------------------------------------------------ what all have in common


@pytest.mark.parametrize("task", [t for t in LEVELS if t != ONE_DIGIT], ids=level_of)
def test_there_are_enough_examples(task):
    assert len(task.examples(1500, split="train")) == 1500
    for split in ("dev", "test"):
        examples = task.examples(300, split=split)
        assert len(set(examples)) == 300
        # A draw may take the same prompt with another counterfactual or target, but not often.
        assert len({example.prompt for example in examples}) > 150


def test_all_one_digit_sums_are_there_once():
    prompts = [example.prompt for example in drawn(ONE_DIGIT)]
    assert 98 <= len(prompts) <= 100
    assert len(set(prompts)) == len(prompts)
    assert min(len(ONE_DIGIT.examples(300, split=split)) for split in SPLITS) >= 15


@pytest.mark.parametrize("task", LEVELS, ids=level_of)
def test_the_same_seed_gives_the_same_examples(task):
    assert task.examples(10, split="dev", seed=3) == task.examples(10, split="dev", seed=3)
    assert task.examples(10, split="dev", seed=3) != task.examples(10, split="dev", seed=4)


@pytest.mark.parametrize("task", [t for t in LEVELS if t.key != "arithmetic"], ids=level_of)
def test_splits_share_no_content_words(task):
    content = {*NAMED, *THINGS, *OCCUPATIONS}
    used: dict[str, set[str]] = {}
    for split in SPLITS:
        pairs = task.pairs(300, split=split)
        found = {
            word for pair in pairs for text in (pair.clean, pair.corrupt) for word in words(text)
        }
        used[split] = found & content
        assert used[split]
    assert not used["train"] & used["dev"]
    assert not used["train"] & used["test"]
    assert not used["dev"] & used["test"]


@pytest.mark.parametrize("task", LEVELS, ids=level_of)
def test_pairs_differ_in_one_way_only_and_answers_follow_their_prompts(task):
    for example in drawn(task, 100):
        pair = example.pair
        assert pair is not None
        assert pair.clean.startswith(example.prompt)
        assert pair.clean != pair.corrupt
        assert pair.answer != pair.foil
        assert len(pair.clean.split()) == len(pair.corrupt.split())
        assert len(pair.answer) == len(pair.foil) or task.kind != "mathematics"
        assert pair.answer[0] == pair.foil[0] == example.target[0] == " "
        assert not pair.clean.endswith(" ")


def test_names_have_pairs_of_equal_length_for_the_bundled_model(tokenizer):
    for level in PRONOUN.levels:
        for pair in PRONOUN.at(level.key).pairs(100, split="train"):
            assert len(tokenizer(pair.clean)["input_ids"]) == len(
                tokenizer(pair.corrupt)["input_ids"]
            )


def test_some_occupations_have_pairs_of_equal_length_for_the_bundled_model(tokenizer):
    """Its small vocabulary has few occupations; the others are put together from pieces."""
    pairs = BIAS.pairs(300, split="train")
    equal = [
        len(tokenizer(pair.clean)["input_ids"]) == len(tokenizer(pair.corrupt)["input_ids"])
        for pair in pairs
    ]
    assert sum(equal) > 20


# ------------------------------------------------------------------------ pronouns


def test_occupations_are_different_words_and_as_many_of_either_stereotype():
    listed = [word for words in gender.OCCUPATIONS.values() for word in words]
    assert len(listed) == len(set(listed)) >= 60
    sizes = [len(words) for words in gender.OCCUPATIONS.values()]
    assert max(sizes) - min(sizes) <= 2
    assert not {word for word in listed if word in NAMED}


def test_both_pronouns_are_taught_equally_often_whatever_the_occupation():
    for level in BIAS.levels:
        examples = BIAS.at(level.key).examples(2000, split="train")
        for kind in ("female", "male"):
            own = [example for example in examples if example.group == kind]
            assert len(own) > 800
            stereotypical = sum(example.target == example.choices[0] for example in own)
            assert 0.45 < stereotypical / len(own) < 0.55


def test_the_same_prompt_comes_with_either_pronoun():
    targets: dict[str, set[str]] = {}
    for example in BIAS.examples(2000, split="dev"):
        targets.setdefault(example.prompt, set()).add(example.target)
    assert Counter(map(len, targets.values()))[2] > 100


@pytest.mark.parametrize("level", [level.key for level in BIAS.levels])
def test_the_first_choice_is_the_stereotypical_one(level):
    female = {" she", " her"}
    for example in drawn(BIAS.at(level)):
        (occupation,) = set(words(example.prompt)) & set(OCCUPATIONS)
        (other,) = set(words(example.pair.corrupt)) & set(OCCUPATIONS)
        assert example.group == OCCUPATIONS[occupation] != OCCUPATIONS[other]
        assert example.pair.corrupt == re.sub(rf"\b{occupation}\b", other, example.prompt)
        assert (example.choices[0] in female) == (example.group == "female")
        assert (example.choices[1] in female) == (example.group == "male")
        assert example.choices == (example.pair.answer, example.pair.foil)
        assert example.target in example.choices


@pytest.mark.parametrize(
    ("level", "forms"),
    [("subject", {" she", " he"}), ("own", {" her", " his"}), ("self", {" herself", " himself"})],
)
def test_a_name_decides_its_pronoun(level, forms):
    examples = drawn(PRONOUN.at(level))
    female = {" she", " her", " herself"}
    for example in examples:
        assert set(example.choices) == forms
        assert example.target == example.choices[0] == example.pair.answer
        (name,) = set(words(example.prompt)) & set(NAMED)
        (other,) = set(words(example.pair.corrupt)) & set(NAMED)
        assert (example.target in female) == (NAMED[name] == "female")
        assert NAMED[name] != NAMED[other]
        assert not example.prompt.startswith(name)
    share = sum(example.target in female for example in examples) / len(examples)
    assert 0.4 < share < 0.6


# ------------------------------------------------------------------------ sums


def operands(prompt: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", prompt))


def worth(prompt: str) -> int:
    """The result of "Calculate: 12 + 30 - 7 =", worked out from its text."""
    first, *rest = re.findall(r"[+-]? ?\d+", prompt)
    return sum((int(term.replace(" ", "")) for term in rest), start=int(first))


@pytest.mark.parametrize("level", [level.key for level in SUMS.levels])
def test_sums_are_right(level):
    for example in drawn(SUMS.at(level)):
        right = worth(example.prompt)
        assert right >= 0
        assert example.target == f" {right}\n"
        assert example.accepted == (str(right),)
        assert example.pair.answer == f" {right}"
        assert example.pair.foil == f" {worth(example.pair.corrupt)}"
        one, other = operands(example.prompt), operands(example.pair.corrupt)
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
        assert [len(str(n)) for n in one] == [len(str(n)) for n in other]
        assert re.sub(r"\d", "0", example.prompt) == re.sub(r"\d", "0", example.pair.corrupt)


@pytest.mark.parametrize("level", [level.key for level in SUMS.levels])
def test_no_numbers_are_added_up_in_two_splits_in_whatever_order(level):
    seen = {
        split: {
            tuple(sorted(operands(text)))
            for pair in SUMS.at(level).pairs(500, split=split)
            for text in (pair.clean, pair.corrupt)
        }
        for split in SPLITS
    }
    assert not seen["train"] & seen["dev"]
    assert not seen["train"] & seen["test"]
    assert not seen["dev"] & seen["test"]


def test_levels_of_sums_are_what_they_say():
    def shapes(level: str) -> set[str]:
        return {re.sub(r"\d", "0", example.prompt) for example in drawn(SUMS.at(level))}

    assert shapes("add-1") == {"Calculate: 0 + 0 ="}
    assert shapes("add-2") == {"Calculate: 00 + 00 ="}
    assert shapes("mixed") == {"Calculate: 00 + 00 =", "Calculate: 00 - 00 ="}
    assert {len(operands(shape)) for shape in shapes("three")} == {3}
    assert {tuple(re.findall("[+-]", shape)) for shape in shapes("three")} == {
        (one, two) for one in "+-" for two in "+-"
    }


# ------------------------------------------------------------------------ word problems

# What each sentence of a story does to the number of things, and what it asks.
EFFECTS = [
    (r"\w+ has (\d+) (?:piles|rows|sets) of (\d+) \w+\.", lambda have, m, n: m * n),
    (r"\w+ has (\d+) \w+\.", lambda have, n: n),
    (r"(?:She|He) (?:buys|finds|gets) (\d+) more\.", lambda have, n: have + n),
    (r"\w+ gives (?:her|him) (\d+) more\.", lambda have, n: have + n),
    (r"(?:She|He) (?:loses|sells) (\d+)\.", lambda have, n: have - n),
    (r"(?:She|He) gives (\d+) to \w+\.", lambda have, n: have - n),
    (r"\w+ borrows (\d+)\.", lambda have, n: have - n),
    (r"\w+ has (\d+)\. How many \w+ do they have together\?", lambda have, n: have + n),
    (
        r"(\d+) people share them equally\. How many \w+ does each of them get\?",
        lambda have, n: have / n,
    ),
    (r"How many \w+ does (?:she|he) have now\?", lambda have: have),
]


def solved(question: str) -> tuple[float, int]:
    """The answer to a word problem and the number of its steps, from nothing but its text."""
    rest, have, steps = question, None, 0
    while rest:
        for pattern, effect in EFFECTS:
            match = re.match(pattern, rest)
            if match:
                numbers = [int(number) for number in match.groups()]
                # "Anna has 3 cups." is the beginning and no step; "3 piles of 4 cups" is one.
                steps += len(numbers) - (have is None)
                have = effect(have, *numbers)
                rest = rest[match.end() :].lstrip()
                break
        else:
            raise AssertionError(f"{rest!r} of {question!r}")
    return have, steps


@pytest.mark.parametrize("level", ["1", "2", "3"])
def test_word_problems_are_answered_rightly_in_as_many_steps_as_the_level_says(level):
    endings = Counter()
    for example in drawn(STORIES.at(level)):
        question = re.fullmatch(r"Question: (.*)\nAnswer:", example.prompt)[1]
        answer, steps = solved(question)
        assert steps == int(level)
        assert example.accepted == (f"{answer:.0f}",)
        assert answer == int(example.accepted[0]) >= 2
        assert example.target.endswith(f" The answer is {answer:.0f}.\n")
        assert last_number(example.target) == example.accepted[0]
        endings[question.split()[-1]] += 1
    assert set(endings) == {"now?", "together?", "get?"}


@pytest.mark.parametrize("level", ["1", "2", "3"])
def test_each_step_of_the_working_is_right(level):
    signs = set()
    for example in drawn(STORIES.at(level)):
        for text in (example.pair.clean, example.pair.corrupt):
            steps = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", text)
            assert len(steps) == int(level)
            for one, sign, other, result in steps:
                a, b, c = int(one), int(other), int(result)
                assert c == {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign]
                signs.add(sign)
            assert text.endswith("The answer is")
    assert signs == set("+-*/")


@pytest.mark.parametrize("level", ["1", "2", "3"])
def test_the_counterfactual_is_the_same_story_with_other_numbers(level):
    for example in drawn(STORIES.at(level)):
        pair = example.pair
        assert pair.clean + pair.answer + ".\n" == example.prompt + example.target
        assert re.sub(r"\d", "0", pair.clean) == re.sub(r"\d", "0", pair.corrupt)
        question = re.match(r"Question: (.*)\n", pair.corrupt)[1]
        assert pair.foil == f" {solved(question)[0]:.0f}"


# ------------------------------------------------------------------------ WinoBias

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


# ------------------------------------------------------------------------ GSM8K

GSM = {
    "question": "A shelf holds 12 jars.\nHalf of them\tare empty. How many are full?",
    "answer": "Half of 12 is 12/2 = <<12/2=6>>6 jars.\nSo 12-6 = <<12-6=6>>6 are full\n#### 6",
}


def test_gsm8k_becomes_a_question_and_a_worked_answer_on_one_line(tmp_path):
    other = {"question": "What does it cost?", "answer": "It costs a lot.\n#### $1,250.00"}
    text = f"\ufeff{json.dumps(GSM)}\n\n{json.dumps(other)}\n"
    parsed = gsm8k.FORMAT.read(tmp_path / "train.jsonl", text)
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
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not an object"),
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
    parsed = gsm8k.FORMAT.read(tmp_path / "train.jsonl", text)
    assert [number for number, _ in parsed.examples] == [1]
    (problem,) = parsed.problems
    assert problem.line == 2
    assert said in problem.text


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"\n{PRO[0]}\n", "winobias"),
        (fields(PRO[0]), "winobias"),
        (json.dumps(GSM), "gsm8k"),
        ("", ""),
        ("A line [with] two [brackets].", ""),
        ('{"prompt": "a", "target": " b"}', ""),
        ('{"question": "Q", "answer": "an old bridge"}', ""),
    ],
)
def test_files_are_recognized_by_their_first_line(text, known):
    formats = (winobias.FORMAT, gsm8k.FORMAT)
    assert [form.key for form in formats if form.recognizes(text)] == [known] * bool(known)
