"""Deduction, reading, years, capitals and docstrings: each answer is worked out from the text."""

from __future__ import annotations

import ast
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable

import pytest
from transformers import AutoTokenizer

from ctviz.english import ADJECTIVES, COLORS, NAMES, NOUNS, part_of
from ctviz.models.known import KNOWN
from ctviz.tasks import capitals, docstrings, greater_than, logic, reading
from ctviz.tasks.answers import overlap
from ctviz.tasks.example import Example
from ctviz.tasks.logic import Claim, Rule, verdict
from ctviz.tasks.task import SPLITS, Split, Task

ALL = [
    task.at(level.key) if level else task
    for module in (logic, reading, greater_than, capitals, docstrings)
    for task in module.TASKS
    for level in task.levels or (None,)
]
OF_LEVEL = {f"{task.key}:{task.level}": task for task in ALL}
GREATER = OF_LEVEL["greater-than:"]
TINY = AutoTokenizer.from_pretrained(KNOWN["tiny"].folder)
LEXICON = {
    *(noun.singular for noun in NOUNS),
    *(name.text for name in NAMES),
    *(adjective.text for adjective in ADJECTIVES),
    *COLORS,
}


def of(key: str) -> list[Task]:
    return [task for task in ALL if task.key == key]


def words(texts: Iterable[str]) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", " ".join(texts)))


def texts(example: Example) -> tuple[str, ...]:
    assert example.pair is not None
    return (
        example.prompt,
        example.target,
        *example.choices,
        *example.accepted,
        *(example.pair.corrupt, example.pair.answer, example.pair.foil),
    )


def asked_both_ways(example: Example) -> list[tuple[str, str]]:
    """The clean prompt with the answer and the corrupt one with the foil: both must be right."""
    assert example.pair is not None
    return [
        (example.pair.clean, example.pair.answer.strip()),
        (example.pair.corrupt, example.pair.foil.strip()),
    ]


# All of them


@pytest.mark.slow
@pytest.mark.parametrize("task", ALL, ids=OF_LEVEL)
def test_sizes(task: Task):
    # Four sentences about each of 51, 17 and 24 countries or capitals; no prompt comes twice.
    few = {"train": 204, "dev": 68, "test": 96} if task.key == "capital-country" else {}
    for split, asked in (("train", 1500), ("dev", 300), ("test", 300)):
        examples = task.examples(asked, split=split)
        assert len({example.prompt for example in examples}) == len(examples)
        assert len(examples) == few.get(split, asked)
    assert task.examples(40, split="dev", seed=3) == task.examples(40, split="dev", seed=3)
    assert task.examples(40, split="dev", seed=3) != task.examples(40, split="dev", seed=4)


# What the patterns themselves say; every other word belongs to one split.
PATTERNS = {
    "logic": """Facts is not If someone they are Question Answer true false unknown""",
    "reading": """Passage Question Answer The the At at in on went from to left and walked came
        took along home but with brought arrived Where did come go What take leave When Who
        no answer""",
    "capital-country": """The capital city of is the called government in Everybody knows that
        People who live name""",
    "docstring": """def self param""",
}


@pytest.mark.parametrize("key", PATTERNS)
def test_splits_share_only_the_words_of_the_patterns(key: str):
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        drawn = [example for task in of(key) for example in task.examples(400, split=split)]
        found[split] = words(text for example in drawn for text in texts(example))
        for word in found[split] & LEXICON - set(PATTERNS[key].split()):
            assert part_of(word) == split
    for one, other in itertools.combinations(SPLITS, 2):
        assert found[one] & found[other] - set(PATTERNS[key].split()) == set()


@pytest.mark.parametrize("task", ALL, ids=OF_LEVEL)
def test_pairs_are_alike_but_for_what_decides(task: Task):
    for example in task.examples(300, split="dev"):
        pair = example.pair
        assert pair is not None
        assert pair.clean == example.prompt
        assert pair.clean != pair.corrupt
        assert pair.answer != pair.foil
        if task.key != "capital-country":  # where names of two words are filled in
            assert len(pair.clean.split()) == len(pair.corrupt.split())
        if example.choices:
            assert example.choices[:2] == (pair.answer, pair.foil)
            assert len(set(example.choices)) == len(example.choices)
            assert example.target == pair.answer
        else:
            assert example.target == f"{pair.answer}\n"
            assert example.accepted[0] == pair.answer.strip()


@pytest.mark.parametrize(
    "task",
    [task for task in ALL if task.key != "capital-country" and task.level != "one-fact"],
    ids=lambda task: f"{task.key}:{task.level}",
)
def test_pairs_have_equal_token_counts_in_the_bundled_tokenizer(task: Task):
    """Capitals and days are not in its vocabulary, so they have as many tokens as it takes."""
    for split in SPLITS:
        for example in task.examples(200, split=split):
            assert example.pair is not None
            clean, corrupt = TINY([example.pair.clean, example.pair.corrupt])["input_ids"]
            assert len(clean) == len(corrupt)


# Logic


def by_truth_table(facts: list[Claim], rules: list[Rule], statement: Claim) -> str | None:
    """The verdict by looking at every world; None where facts and rules allow no world at all."""
    words = sorted({claim.word for claim in [*facts, *itertools.chain(*rules), statement]})
    worlds = [
        world
        for values in itertools.product((True, False), repeat=len(words))
        for world in [dict(zip(words, values, strict=True))]
        if all(world[fact.word] == fact.holds for fact in facts)
        and all(world[p.word] != p.holds or world[c.word] == c.holds for p, c in rules)
    ]
    if not worlds:
        return None
    seen = {world[statement.word] == statement.holds for world in worlds}
    return {(True,): "true", (False,): "false"}.get(tuple(seen), "unknown")


def test_the_solver_agrees_with_truth_tables():
    rng = random.Random(0)

    def claim() -> Claim:
        return Claim(rng.choice("abcde"), rng.random() < 0.6)

    counts: Counter[str] = Counter()
    for _ in range(3000):
        facts = [claim() for _ in range(rng.randint(0, 2))]
        rules = [Rule(claim(), claim()) for _ in range(rng.randint(0, 5))]
        statement = claim()
        expected = by_truth_table(facts, rules, statement)
        if expected is not None:
            counts[expected] += 1
            assert verdict(facts, rules, statement) == expected, (facts, rules, statement)
    assert min(counts[label] for label in ("true", "false", "unknown")) > 100


@pytest.mark.parametrize(
    ("facts", "rules", "expected"),
    [
        ([Claim("big", True)], [], "unknown"),
        ([Claim("calm", False)], [], "false"),
        ([Claim("big", True)], [Rule(Claim("big", True), Claim("calm", True))], "true"),
        ([Claim("big", False)], [Rule(Claim("big", True), Claim("calm", True))], "unknown"),
        ([Claim("big", False)], [Rule(Claim("calm", True), Claim("big", True))], "false"),
        ([], [Rule(Claim("calm", False), Claim("calm", True))], "true"),
    ],
    ids=["absent", "contradicted", "forwards", "not the converse", "backwards", "from nothing"],
)
def test_verdicts_by_hand(facts: list[Claim], rules: list[Rule], expected: str):
    assert verdict(facts, rules, Claim("calm", True)) == expected


def claim_of(text: str) -> Claim:
    return Claim(text.removeprefix("not "), not text.startswith("not "))


@pytest.mark.parametrize("task", of("logic"), ids=lambda task: task.level)
def test_verdicts_follow_from_the_text(task: Task):
    depth = int(task.level[-1])
    for example in task.examples(300, split="dev"):
        for prompt, right in asked_both_ways(example):
            told, _, question = prompt.partition(" Question: ")
            rules = [
                Rule(claim_of(premise), claim_of(conclusion))
                for premise, conclusion in re.findall(
                    r"If someone is (.+?), they are (.+?)\.", told
                )
            ]
            facts = dict(re.findall(r"([A-Z]\w+) is ((?:not )?\w+)\.", told))
            asked = re.fullmatch(r"(\w+) is (.+)\. Answer:", question)
            assert asked is not None
            known = [claim_of(facts[asked[1]])]
            statement = claim_of(asked[2])
            assert len(facts) == 2
            assert len(rules) == 2 * depth
            assert by_truth_table(known, rules, statement) == right
            if right != "unknown":  # no rule that leads there can be left out
                needed = sum(
                    by_truth_table(known, [r for r in rules if r != rule], statement) == "unknown"
                    for rule in rules
                )
                assert needed == depth
        assert set(example.choices) == {" true", " false", " unknown"}
        assert example.group == example.target.strip()


@pytest.mark.slow
@pytest.mark.parametrize("task", of("logic"), ids=lambda task: task.level)
def test_a_constant_verdict_is_right_a_third_of_the_time(task: Task):
    """Each share may be off by five standard errors."""
    seen = Counter(example.target for example in task.examples(3000, split="train"))
    assert all(abs(seen[label] - 1000) < 130 for label in (" true", " false", " unknown"))


# Reading

EVENTS = (
    r"(?P<who>\w+) took the (?P<what>.+) to the (?P<where>\w+)",
    r"(?P<who>\w+) went to the (?P<where>\w+) with the (?P<what>.+)",
    r"(?P<who>\w+) brought the (?P<what>.+) along to the (?P<where>\w+)",
    r"At the (?P<where>\w+), (?P<who>\w+) arrived with the (?P<what>.+)",
    r"The (?P<what>.+) came to the (?P<where>\w+) with (?P<who>\w+)",
    r"(?P<who>\w+) went from the (?P<start>\w+) to the (?P<end>\w+)(?P<extra>.*)",
    r"(?P<who>\w+) left the (?P<start>\w+)(?P<extra>.*) and went to the (?P<end>\w+)",
    r"(?P<who>\w+) walked to the (?P<end>\w+)(?P<extra>.*) and came from the (?P<start>\w+)",
    r"(?P<who>\w+) took the (?P<taken>.+) along and left the (?P<left>.+) at home",
    r"(?P<who>\w+) left the (?P<left>.+) at home but took the (?P<taken>.+) along",
)
QUESTIONS = (
    ("who", r"Who took the (?P<what>\w+) to the (?P<where>\w+)"),
    ("what", r"What did (?P<who>\w+) take to the (?P<where>\w+)"),
    ("where", r"Where did (?P<who>\w+) take the (?P<what>\w+)"),
    ("start", r"Where did (?P<who>\w+) come from"),
    ("end", r"Where did (?P<who>\w+) go"),
    ("taken", r"What did (?P<who>\w+) take along"),
    ("left", r"What did (?P<who>\w+) leave at home"),
    ("time", r"When did (?P<who>\w+) go"),
    ("company", r"Who went with (?P<who>\w+)"),
)


def events_of(passage: str) -> list[dict[str, str]]:
    found = []
    for sentence in passage.removesuffix(".").split(". "):
        matches = [match for event in EVENTS if (match := re.fullmatch(event, sentence))]
        assert len(matches) == 1, sentence
        event = matches[0].groupdict()
        extra = event.pop("extra", "").strip()
        if extra:
            kind = "company" if extra.startswith("with ") else "time"
            event[kind] = extra.removeprefix("with ")
        found.append(event)
    return found


def answered(prompt: str) -> str:
    """What a reader finds in the passage, without its article."""
    match = re.fullmatch(r"Passage: (.*)\nQuestion: (.*)\?\nAnswer:", prompt)
    assert match is not None
    [(slot, given)] = [
        (slot, m.groupdict()) for slot, q in QUESTIONS if (m := re.fullmatch(q, match[2]))
    ]
    found = [
        event[slot]
        for event in events_of(match[1])
        if slot in event and all(event[name].split()[-1] == said for name, said in given.items())
    ]
    assert len(found) <= 1
    return found[0] if found else "no answer"


@pytest.mark.parametrize("task", of("reading"), ids=lambda task: task.level)
def test_answers_are_what_the_passage_says(task: Task):
    groups: Counter[str] = Counter()
    for example in task.examples(300, split="dev"):
        for prompt, right in asked_both_ways(example):
            assert answered(prompt) == right.removeprefix("the ")
        assert all(overlap(answer, example.accepted) == 1 for answer in example.accepted)
        assert len(example.prompt.split()) <= 50
        assert (example.accepted == ("no answer",)) == (example.group == "no answer")
        groups[example.group] += 1
    assert set(groups) == {"answered", "no answer"}
    assert 0.25 * 300 < groups["no answer"] < 0.42 * 300


@pytest.mark.parametrize("level", ["two-people", "distractor"])
def test_a_question_without_an_answer_asks_for_what_occurs(level: str):
    """Otherwise the words of the question alone would give it away."""
    for example in OF_LEVEL[f"reading:{level}"].examples(200, split="dev"):
        passage, question, _ = example.prompt.split("\n")
        content = words([question]) & LEXICON
        assert len(content) == 2
        assert content <= words([passage])


def test_distractors_share_both_parts_of_the_question():
    for example in OF_LEVEL["reading:distractor"].examples(200, split="dev"):
        passage = example.prompt.split("\n")[0].removeprefix("Passage: ")
        events = events_of(passage)
        assert len(events) == 3
        different = sorted(len({event[slot] for event in events}) for slot in events[0])
        assert different == [2, 2, 3]


# Greater-than


@pytest.mark.parametrize("split", SPLITS)
def test_later_years(split: Split):
    for example in GREATER.examples(300, split=split):
        pair = example.pair
        assert pair is not None
        [clean], [corrupt] = (re.findall(r"\d{4}", text) for text in (pair.clean, pair.corrupt))
        assert pair.clean.endswith(f" {clean[:2]}")
        assert pair.corrupt == pair.clean.replace(clean, corrupt)
        assert len(pair.answer) == len(pair.foil) == 2
        assert pair.foil[0] < clean[2] < pair.answer[0]
        assert corrupt[2] < pair.foil[0]


def test_no_span_of_years_is_in_two_splits():
    def spans(split: Split) -> set[tuple[str, str]]:
        """Noun and first year of the clean prompts."""
        return {
            (noun, year)
            for example in GREATER.examples(600, split=split)
            for noun, year in re.findall(r"(?:The|long) (\w+) \D*(\d{4})", example.prompt)
        }

    found = {split: spans(split) for split in SPLITS}
    assert min(map(len, found.values())) > 50
    for one, other in itertools.combinations(SPLITS, 2):
        assert not found[one] & found[other]


# Capitals

CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Norway": "Oslo",
    "India": "New Delhi",
    "Kenya": "Nairobi",
    "Argentina": "Buenos Aires",
    "Nepal": "Kathmandu",
    "Spain": "Madrid",
}


def test_capitals_are_those_of_the_country():
    """Each of a few well-known facts, in both directions, wherever it comes up."""
    checked = set()
    for task in of("capital-country"):
        known = CAPITALS if task.level == "capital" else {c: n for n, c in CAPITALS.items()}
        for split in SPLITS:
            for example in task.examples(300, split=split):
                assert len({choice[1] for choice in example.choices}) == 4
                for prompt, right in asked_both_ways(example):
                    for given, wanted in known.items():
                        if re.search(rf"\b{given}\b", prompt):
                            assert right == wanted
                            checked.add(given)
    assert checked == {*CAPITALS, *CAPITALS.values()}


def test_there_are_seventy_countries_with_different_capitals():
    found = {
        (example.pair.clean, example.target)
        for split in SPLITS
        for example in OF_LEVEL["capital-country:capital"].examples(600, split=split)
        if example.pair is not None and " called" in example.pair.clean
    }
    assert len(found) == len({target for _, target in found}) >= 70


# Docstrings


@pytest.mark.parametrize("task", of("docstring"), ids=lambda task: task.level)
def test_the_next_argument_of_the_header(task: Task):
    n = {"three": 3, "four": 4, "five": 5}[task.level]
    for example in task.examples(300, split="dev"):
        for prompt, right in asked_both_ways(example):
            [function] = ast.parse(f'{prompt} {right}: text\n    """').body
            assert isinstance(function, ast.FunctionDef)
            arguments = [argument.arg for argument in function.args.args]
            documented = re.findall(r":param (\w+):", ast.get_docstring(function) or "")
            assert arguments[0] == "self"
            assert len(arguments) == n + 1
            assert documented == arguments[1 : 1 + len(documented)]
            assert 2 <= len(documented) < n
            assert set(example.choices) == {f" {argument}" for argument in arguments[1:]}
