"""Greater-than as the literature measures it: p(later years) - p(other years)."""

from __future__ import annotations

import re

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

import ctviz
from ctviz.errors import BadTask
from ctviz.interventions.faithfulness import Evaluation, metric_of_model
from ctviz.tasks import find_task
from ctviz.tasks.batch import Batch, encode, fitting
from ctviz.tasks.example import Pair
from ctviz.tasks.greater_than import TASKS

METRIC = "probability_difference"
YEARS = [f"{year:02d}" for year in range(100)]


def first_year(prompt: str) -> int:
    """The last two digits of the year that a prompt begins with."""
    return int(re.findall(r"\d{4}", prompt)[0][2:])


def small(pairs: list[Pair], digits: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """A random model whose tokens are words and numbers of so many digits: GPT-2 cuts 17|52."""
    split = pre_tokenizers.Split(Regex(rf"\d{{{digits}}}| ?[A-Za-z]+"), "isolated")
    texts = [text for pair in pairs for text in (pair.clean, pair.corrupt)]
    found = {word for text in texts for word, _ in split.pre_tokenize_str(text)}
    numbers = {str(number).zfill(digits) for number in range(10**digits)}
    words = ["<unk>", *sorted(found | numbers)]
    rust = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    rust.pre_tokenizer = split
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=32, n_embd=16, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        model.lm_head.weight *= 50  # so that probabilities differ
    return model, tokenizer


def by_hand(logits: torch.Tensor, later: list[int], others: list[int]) -> float:
    """The probability of some tokens less that of others, from the logits of the last position."""
    p = logits.double().softmax(dim=-1)
    return float(p[later].sum() - p[others].sum())


def last_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> Tensor:
    with torch.no_grad():
        return model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return find_task("greater-than").pairs(6, split="dev")


def test_all_years_are_right_or_wrong(pairs):
    for pair in pairs:
        first = first_year(pair.clean)
        assert pair.answers == tuple(YEARS[first + 1 :])
        assert pair.foils == tuple(YEARS[: first + 1])


@pytest.mark.parametrize("digits", [1, 2])
def test_the_metric_is_that_of_the_logits(pairs, digits):
    """Of years that are one token all are counted, as in the paper: 47 later ones and 53 others
    after 1752. Of those of two tokens the tens are, without those that begin years of both kinds.
    """
    model, tokenizer = small(pairs, digits)
    anatomy = ctviz.load(model, tokenizer=tokenizer).anatomy
    found = metric_of_model(anatomy, encode(pairs, tokenizer, metric=METRIC), metric=METRIC)
    numbers = YEARS if digits == 2 else list("0123456789")
    ids = tokenizer.convert_tokens_to_ids(numbers)
    for pair, value in zip(pairs, found, strict=True):
        first = first_year(pair.clean)
        later, others = (first + 1, first + 1) if digits == 2 else (first // 10 + 1, first // 10)
        logits = last_logits(model, tokenizer, pair.clean)
        assert value == pytest.approx(by_hand(logits, ids[later:], ids[:others]), abs=1e-6)
        assert abs(value) > 1e-3


def test_the_bundled_model_has_learnt_it_and_a_circuit_is_judged_by_it(pairs):
    loaded = ctviz.load("tiny")
    tokenizer = loaded.tokenizer
    batch = encode(pairs, tokenizer, metric=METRIC)
    evaluation = Evaluation(loaded.anatomy, batch, metric=METRIC)
    ids = tokenizer.convert_tokens_to_ids(YEARS)
    for index, pair in enumerate(pairs):
        later = first_year(pair.clean) + 1
        for prompt, value in (
            (pair.clean, evaluation.full[index]),
            (pair.corrupt, evaluation.empty[index]),
        ):
            logits = last_logits(loaded.model, tokenizer, prompt)
            assert value == pytest.approx(by_hand(logits, ids[later:], ids[:later]), abs=1e-5)
    assert evaluation.full.mean() > evaluation.empty.mean() + 0.2


def test_a_part_of_a_batch_keeps_its_answers(pairs):
    tokenizer = ctviz.load("tiny").tokenizer
    batch = encode(pairs, tokenizer, metric=METRIC)
    part: Batch = batch[2:4].to("cpu")
    assert torch.equal(part.right, batch.right[2:4])
    assert torch.equal(part.wrong, batch.wrong[2:4])
    assert encode(pairs, tokenizer).right is None  # nothing else looks at them


def test_what_cannot_be_told_apart_is_left_out(pairs):
    _, tokenizer = small(pairs, 1)
    same = Pair(pairs[0].clean, pairs[0].corrupt, "81", "34")
    mixed = Pair(same.clean, same.corrupt, "81", "34", ("81", "39"), ("34", "85"))
    with pytest.raises(BadTask, match="tokens that begin right and wrong answers are the same"):
        encode([mixed], tokenizer, metric=METRIC)
    chosen = fitting([same, mixed], tokenizer, metric=METRIC)
    assert chosen.pairs == (same,)


@pytest.mark.parametrize("metric", ["probability_difference", "kl"])
def test_a_foil_that_only_begins_the_answer_is_refused_by_every_metric_that_needs_one(
    pairs, metric
):
    _, tokenizer = small(pairs, 1)
    pair = Pair(pairs[0].clean, pairs[0].corrupt, "33", "3")
    with pytest.raises(BadTask, match="differ in none"):
        encode([pair], tokenizer, metric=metric)


def test_the_task_says_what_the_metric_is():
    assert "probability_difference" in TASKS[0].explanation
