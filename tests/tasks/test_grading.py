"""Grades in the terms that people use, against the same computed the slow way."""

from __future__ import annotations

import math

import pytest
import torch

from ctviz.models.loading import load
from ctviz.tasks import Example, find_task
from ctviz.tasks.answers import exact_match, last_number, normalized, overlap
from ctviz.tasks.continuations import log_probabilities
from ctviz.tasks.grading import chance, generate, grade
from ctviz.tasks.task import Generated, Task


@pytest.fixture(scope="module")
def loaded():
    return load("tiny")


def task(kind: str) -> Task:
    return Task("t", "t", "own", "m", "a", "e", Generated(lambda *_: None), grade=kind)  # type: ignore[arg-type, return-value]


def slow(loaded, prompt: str, choice: str) -> float:
    """One run a choice, by transformers alone."""
    ids = loaded.tokenizer(prompt)["input_ids"]
    said = loaded.tokenizer(choice, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids + said])).logits[0].log_softmax(dim=-1)
    return sum(float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(said))


def test_log_probabilities_are_those_of_one_run_a_choice(loaded):
    asked = [
        ("The keys to the cabinet", (" are", " is", " are in the garden", " are in")),
        ("The dog", (" sleeps", " runs quickly")),
        ("When Mary and John went to the shop, Mary gave a ring to", (" John", " Mary")),
    ]
    found = log_probabilities(loaded, asked)
    for (prompt, choices), row in zip(asked, found, strict=True):
        expected = [slow(loaded, prompt, choice) for choice in choices]
        assert row == pytest.approx(expected, abs=1e-4)


def test_accuracy_counts_the_first_choice_and_bias_compares_two(loaded):
    right = Example("The keys to the cabinet", " are", choices=(" are", " is"))
    wrong = Example("The keys to the cabinet", " is", choices=(" is", " are"))
    assert grade(loaded, task("choice"), [right, right, right, wrong]) == {"accuracy": 0.75}
    assert chance(task("choice"), [right, wrong]) == 0.5
    p, q = (math.exp(slow(loaded, right.prompt, choice)) for choice in right.choices)
    found = grade(loaded, task("bias"), [right, wrong])
    assert found["bias"] == pytest.approx(abs(p - q) / (p + q), abs=1e-5)
    assert found["stereotype"] == pytest.approx(0, abs=1e-6)
    assert found["stereotypical"] == 0.5
    assert chance(task("bias"), [right]) is None


def test_generation_is_greedy_and_does_not_depend_on_its_company(loaded):
    prompts = ["The keys to the cabinet", "The dog", "Words: red blue green red blue"]
    together = generate(loaded, prompts, 4)
    for prompt, said in zip(prompts, together, strict=True):
        assert generate(loaded, [prompt], 4) == [said]
        ids = loaded.tokenizer(prompt)["input_ids"]
        start = len(ids)
        with torch.no_grad():
            for _ in range(4):
                ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
        whole = loaded.tokenizer.decode(ids[start:]).partition(loaded.tokenizer.eos_token)[0]
        assert whole.partition("\n")[0] == said
    assert together[2] == " green."


def test_a_prompt_that_fills_the_context_is_answered_by_nothing(loaded):
    long = " ".join(["red"] * 64)
    assert len(loaded.tokenizer(long)["input_ids"]) >= 64
    assert generate(loaded, [long], 4) == [""]


def test_answers_in_free_text_are_judged_by_number_and_by_words(loaded, monkeypatch):
    said = iter([[" 3 + 4 = 7. The answer is 7.", "it is 12"], ["the old bridge", "no answer"]])
    monkeypatch.setattr("ctviz.tasks.grading.generate", lambda *_: next(said))
    numbers = [Example("p", " 7\n", accepted=("7",)), Example("p", " 13\n", accepted=("13",))]
    assert grade(loaded, task("exact"), numbers) == {"exact_match": 0.5}
    spans = [
        Example("p", "t", accepted=("an old stone bridge",)),
        Example("p", "t", accepted=("x",)),
    ]
    found = grade(loaded, task("span"), spans)
    assert found["f1"] == pytest.approx((2 * 2 / (2 + 3)) / 2)
    assert found["exact_match"] == 0.0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 1,250.0 is it.", "1250"),
        ("7 + 5 = 12", "12"),
        ("-3", "-3"),
        ("-0", "0"),
        ("2.50", "2.5"),
        ("none", None),
    ],
)
def test_the_last_number_is_read_as_plain_digits(text, number):
    assert last_number(text) == number


def test_words_are_compared_without_case_articles_and_punctuation():
    assert normalized("The  Old, old bridge!") == ["old", "old", "bridge"]
    assert exact_match("An apple.", ["pear", "the apple"])
    assert not exact_match("apples", ["apple"])
    assert overlap("the", ["a"]) == 1.0
    assert overlap("the", ["bridge"]) == 0.0
    assert overlap("old bridge", ["bridge", "old bridge"]) == 1.0


def test_every_task_can_be_graded_by_what_it_says(loaded):
    for key in ("sva", "pronoun", "gender"):
        chosen = find_task(key)
        found = grade(loaded, chosen, chosen.examples(6, split="dev"))
        assert next(iter(found)) == chosen.judged_by.name
        assert all(math.isfinite(value) for value in found.values())
