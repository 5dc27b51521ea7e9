"""Pronouns after occupations and names, sums and word problems."""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import Any

import pytest
from transformers import AutoTokenizer

from ctviz import paths
from ctviz.english import NAMES, NOUNS
from ctviz.tasks import arithmetic, gender, word_problems
from ctviz.tasks.answers import last_number
from ctviz.tasks.example import Example
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


@functools.cache
def drawn(task: Task, n: int = 300) -> tuple[Example, ...]:
    return tuple(example for split in SPLITS for example in task.examples(n, split=split))


def each_level(task: Task, *, slow: str) -> list[Any]:
    """Its levels, to parametrize with; one of them takes long to draw."""
    levels = [level.key for level in task.levels]
    assert slow in levels
    return [pytest.param(key, marks=pytest.mark.slow if key == slow else ()) for key in levels]


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text)


# ------------------------------------------------------------------------ what all have in common


@pytest.mark.slow
@pytest.mark.parametrize("task", [t for t in LEVELS if t != ONE_DIGIT], ids=level_of)
def test_there_are_enough_examples_and_each_prompt_comes_once(task):
    # test has one man's name, so there are fewer pronouns
    least = {"pronoun": 250, "pronoun:own": 150, "pronoun:self": 80}.get(task.name, 300)
    assert len({example.prompt for example in task.examples(1500, split="train")}) == 1500
    for split in ("dev", "test"):
        examples = task.examples(300, split=split)
        prompts = {example.prompt for example in examples}
        assert len(prompts) == len(examples)
        assert least <= len(examples) <= 300


@pytest.mark.slow
def test_all_one_digit_sums_are_there_once():
    prompts = [example.prompt for example in drawn(ONE_DIGIT)]
    assert 98 <= len(prompts) <= 100
    assert len(set(prompts)) == len(prompts)
    assert min(len(ONE_DIGIT.examples(300, split=split)) for split in SPLITS) >= 15


@pytest.mark.parametrize("task", LEVELS, ids=level_of)
def test_the_same_seed_gives_the_same_examples(task):
    assert task.examples(10, split="dev", seed=3) == task.examples(10, split="dev", seed=3)
    assert task.examples(10, split="dev", seed=3) != task.examples(10, split="dev", seed=4)


@pytest.mark.slow
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


def test_the_same_prompt_comes_with_either_pronoun_after_all_new_ones():
    examples = BIAS.examples(2000, split="dev")
    targets: dict[str, set[str]] = {}
    for example in examples:
        targets.setdefault(example.prompt, set()).add(example.target)
    assert Counter(map(len, targets.values()))[2] > 100
    assert len({example.prompt for example in examples[: len(targets)]}) == len(targets)
    assert len({(e.prompt, e.target) for e in examples}) == len(examples)


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
    # As many women as men, also where a split has few names of men and so few prompts.
    share = sum(example.target in female for example in examples) / len(examples)
    assert share == 0.5


# ------------------------------------------------------------------------ sums


def operands(prompt: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", prompt))


def worth(prompt: str) -> int:
    """The result of "Calculate: 12 + 30 - 7 =", worked out from its text."""
    first, *rest = re.findall(r"[+-]? ?\d+", prompt)
    return sum((int(term.replace(" ", "")) for term in rest), start=int(first))


@pytest.mark.parametrize("level", each_level(SUMS, slow="add-1"))
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


@pytest.mark.parametrize("level", each_level(SUMS, slow="add-1"))
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
        return {re.sub(r"\d", "0", example.prompt) for example in drawn(SUMS.at(level), 100)}

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
    (r"\w+ (?:buys|finds|gets) (\d+) more\.", lambda have, n: have + n),
    (r"\w+ gives \w+ (\d+) more\.", lambda have, n: have + n),
    (r"\w+ (?:loses|sells) (\d+)\.", lambda have, n: have - n),
    (r"\w+ gives (\d+) to \w+\.", lambda have, n: have - n),
    (r"\w+ borrows (\d+)\.", lambda have, n: have - n),
    (r"\w+ has (\d+)\. How many \w+ do they have together\?", lambda have, n: have + n),
    (
        r"(\d+) people share them equally\. How many \w+ does each of them get\?",
        lambda have, n: have / n,
    ),
    (r"How many \w+ does \w+ have now\?", lambda have: have),
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


@pytest.mark.parametrize("level", each_level(STORIES, slow="3"))
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


@pytest.mark.parametrize("level", each_level(STORIES, slow="3"))
def test_a_pronoun_of_a_story_can_mean_one_person_only(level):
    seen = Counter()
    for example in drawn(STORIES.at(level)):
        text = example.pair.clean
        people = list(dict.fromkeys(word for word in words(text) if word in NAMED))
        said = {word.lower() for word in words(text)} & {"she", "her", "he", "him"}
        alike = len(people) == 2 and NAMED[people[0]] == NAMED[people[1]]
        seen[alike] += 1
        assert not (alike and said), text
        assert said <= ({"she", "her"} if NAMED[people[0]] == "female" else {"he", "him"})
        asked = re.search(r"does (\w+) have now", text)
        assert asked is None or asked[1] in (people[0], "she", "he")
    assert min(seen[True], seen[False]) > 50


@pytest.mark.parametrize("level", each_level(STORIES, slow="3"))
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


@pytest.mark.parametrize("level", each_level(STORIES, slow="3"))
def test_the_counterfactual_is_the_same_story_with_other_numbers(level):
    for example in drawn(STORIES.at(level)):
        pair = example.pair
        assert pair.clean + pair.answer + ".\n" == example.prompt + example.target
        assert re.sub(r"\d", "0", pair.clean) == re.sub(r"\d", "0", pair.corrupt)
        question = re.match(r"Question: (.*)\n", pair.corrupt)[1]
        assert pair.foil == f" {solved(question)[0]:.0f}"
