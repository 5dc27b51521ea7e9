"""Measuring the bundled model on combinations of words that its corpus never uses."""

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as TokenizerBase

from ctviz.english import (
    ATTRACTOR_KINDS,
    NUMBERS,
    Agreement,
    Number,
    agreement,
    indirect_object,
    pronoun,
    repeat,
    years,
)
from ctviz.models.tiny.corpus import documents

# Training uses small seeds; the evaluation's items must come from another stream.
EVALUATION_SEED: Final = 1_000_003
_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class _Choice:
    """A prompt with the continuations that are right and those that are wrong."""

    prompt: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Result:
    over_wrong: bool
    over_vocabulary: bool


def evaluate(
    folder: Path | str, *, seed: int = EVALUATION_SEED, items: int = 500
) -> dict[str, Any]:
    """Measure the model in `folder` on `items` held-out items of each kind.

    `over_foil` is the share of items whose right continuations together are likelier than the
    wrong ones (for one against one: the larger logit); `over_vocabulary` the share in which the
    likeliest token of the whole vocabulary is right. `agreement_opposite` has an attractor of
    the other number than the subject; the corpus loss is in nats per token, on fresh documents.
    """
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(seed)

    opposed = [
        agreement(
            rng, held_out=True, kinds=(kind,), attractor=NUMBERS[index // len(ATTRACTOR_KINDS) % 2]
        )
        for index, kind in zip(range(items), itertools.cycle(ATTRACTOR_KINDS), strict=False)
    ]
    aligned = [agreement(rng, held_out=True, kinds=ATTRACTOR_KINDS) for _ in range(items)]
    simple = [agreement(rng, held_out=True, kinds=("simple",)) for _ in range(items)]
    receivers = [indirect_object(rng, held_out=True) for _ in range(items)]
    pronouns = [pronoun(rng, held_out=True) for _ in range(items)]
    spans = [years(rng, held_out=True) for _ in range(items)]
    lists = [repeat(rng, held_out=True) for _ in range(items)]

    def measure(choices: Sequence[_Choice]) -> list[_Result]:
        return _judge(model, tokenizer, choices)

    against = measure([_agree(item, item.misleading) for item in opposed])
    pairs = list(zip(opposed, against, strict=True))
    return {
        "seed": seed,
        "items": items,
        "agreement_opposite": {
            **_over_foil(against),
            "by_kind": {
                kind: _over_foil([result for item, result in pairs if item.kind == kind])
                for kind in ATTRACTOR_KINDS
            },
            "by_subject": {
                number: _over_foil([result for item, result in pairs if item.misleading == number])
                for number in NUMBERS
            },
        },
        "agreement_same": _over_foil(measure([_agree(i, i.attractor_number) for i in aligned])),
        "agreement_simple": _over_foil(
            measure([_agree(item, NUMBERS[n % 2]) for n, item in enumerate(simple)])
        ),
        "indirect_object": _both(
            measure([_Choice(i.prompt, (i.answer,), (i.foil,)) for i in receivers])
        ),
        "pronoun": _both(measure([_Choice(i.prompt, (i.answer,), (i.foil,)) for i in pronouns])),
        "years": _both(measure([_Choice(i.prompt, i.later, i.earlier) for i in spans])),
        "repeat": _both(measure([_Choice(i.prompt, (i.answer,), (i.foil,)) for i in lists])),
        "corpus_loss": _corpus_loss(model, tokenizer, seed),
    }


def _agree(item: Agreement, number: Number | None) -> _Choice:
    assert number is not None
    return _Choice(item.prompt(number), (item.answer(number),), (item.foil(number),))


def _over_foil(results: Sequence[_Result]) -> dict[str, float]:
    """For agreement, where the corpus has many good verbs at one place but only two forms each."""
    count = max(1, len(results))
    return {"over_foil": round(sum(result.over_wrong for result in results) / count, 4)}


def _both(results: Sequence[_Result]) -> dict[str, float]:
    count = max(1, len(results))
    share = round(sum(result.over_vocabulary for result in results) / count, 4)
    return {**_over_foil(results), "over_vocabulary": share}


def _judge(
    model: PreTrainedModel, tokenizer: TokenizerBase, choices: Sequence[_Choice]
) -> list[_Result]:
    results = []
    token = functools.cache(lambda text: _token(tokenizer, text))
    for start in range(0, len(choices), _BATCH):
        batch = choices[start : start + _BATCH]
        log_probs = _next_token(model, tokenizer, [choice.prompt for choice in batch])
        for row, choice in zip(log_probs, batch, strict=True):
            right = [token(text) for text in choice.right]
            wrong = [token(text) for text in choice.wrong]
            margin = row[right].logsumexp(0) - row[wrong].logsumexp(0)
            results.append(_Result(bool(margin > 0), int(row.argmax()) in right))
    return results


@torch.no_grad()
def _next_token(
    model: PreTrainedModel, tokenizer: TokenizerBase, prompts: Sequence[str]
) -> torch.Tensor:
    """Log-probabilities after each prompt, [prompts, vocabulary]; no token is put in front."""
    ids = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    width = max(map(len, ids))
    # Padding on the right cannot reach the last real position through causal attention, so
    # nothing needs to be masked; the mask of ones says so.
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    logits = model(
        padded, attention_mask=torch.ones_like(padded), use_cache=False
    ).logits  # [prompts, tokens, vocabulary]
    last = torch.tensor([len(row) - 1 for row in ids])
    found: torch.Tensor = logits[torch.arange(len(ids)), last].log_softmax(-1)
    return found


def _token(tokenizer: TokenizerBase, text: str) -> int:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == 1, f"{text!r} is {len(ids)} tokens"
    return int(ids[0])


@torch.no_grad()
def _corpus_loss(model: PreTrainedModel, tokenizer: TokenizerBase, seed: int) -> float:
    """Mean loss in nats per token on fresh documents, each read on its own."""
    total, count = 0.0, 0
    for text in itertools.islice(documents(seed), 200):
        context = model.config.n_positions
        ids = torch.tensor(
            tokenizer.encode(text, add_special_tokens=False, truncation=True, max_length=context)
        )
        mask = torch.ones_like(ids[None])
        logits = model(ids[None], attention_mask=mask, use_cache=False).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum"))
        count += len(ids) - 1
    return round(total / count, 4)
