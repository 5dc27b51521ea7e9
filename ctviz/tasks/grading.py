"""How well a model does a task, in the terms that people use.

A task's grade (`ctviz.tasks.task.GRADES`) names what is computed here:

=========  ==================================================================================
``choice``  ``accuracy``: share of examples whose right choice has the largest log-probability,
            summed over its tokens
``bias``    ``bias``: mean |p - q| / (p + q), with p and q the probabilities of the stereotypical
            and of the other choice; ``stereotype``: the same without the bars, positive where the
            model leans to the stereotype; ``stereotypical``: share of examples that prefer it
``exact``   ``exact_match``: share of examples whose last number, in the first line that the model
            goes on with, is the accepted one
``span``    ``f1`` and ``exact_match`` of that line as SQuAD computes them
=========  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import tanh

import torch
from transformers import GenerationConfig, PreTrainedModel

from ctviz.models.loading import Loaded
from ctviz.models.mode import evaluating
from ctviz.progress import parts
from ctviz.tasks.answers import exact_match, last_number, overlap
from ctviz.tasks.continuations import ROWS, log_probabilities
from ctviz.tasks.example import Example
from ctviz.tasks.task import Task
from ctviz.tasks.tokens import Tokens

__all__ = ["Answer", "answers", "chance", "chosen_rightly", "generate", "grade"]

SPARE = 4  # tokens that an answer may be longer than the longest target


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answers to one example: the choice that it finds likeliest, or the line that it
    goes on with. ``value``: 1 or 0 for right and wrong, the F1 of a span, (p - q) / (p + q) of a
    bias.
    """

    said: str
    value: float


def grade(loaded: Loaded, task: Task, examples: Sequence[Example]) -> dict[str, float]:
    """The numbers of a task's grade on some examples, by name; the task's own number first.

    Deterministic. ``examples`` must not be empty.
    """
    found = answers(loaded, task, examples)
    mean = sum(answer.value for answer in found) / len(found)
    if task.grade == "choice":
        return {"accuracy": mean}
    if task.grade == "exact":
        return {"exact_match": mean}
    if task.grade == "span":
        pairs = zip(found, examples, strict=True)
        exact = sum(exact_match(answer.said, e.accepted) for answer, e in pairs)
        return {"f1": mean, "exact_match": exact / len(examples)}
    return {
        "bias": sum(abs(answer.value) for answer in found) / len(found),
        "stereotype": mean,
        "stereotypical": sum(answer.value > 0 for answer in found) / len(found),
    }


def answers(loaded: Loaded, task: Task, examples: Sequence[Example]) -> list[Answer]:
    """What a model answers to each example, by the task's grade. Deterministic."""
    if task.grade in ("choice", "bias"):
        found = log_probabilities(loaded, [(e.prompt, e.choices) for e in examples])
        best = [row.index(max(row)) for row in found]
        if task.grade == "choice":
            values = [float(at == 0) for at in best]
        else:  # (p - q) / (p + q) = tanh of half the difference of their logarithms
            values = [tanh((row[0] - row[1]) / 2) for row in found]
        said = [e.choices[at] for at, e in zip(best, examples, strict=True)]
        return [Answer(*each) for each in zip(said, values, strict=True)]
    tokens = Tokens(loaded.tokenizer)
    longest = max(len(tokens.continuation(e.prompt, e.target)) for e in examples) + SPARE
    lines = generate(loaded, [e.prompt for e in examples], longest)
    if task.grade == "exact":
        return [
            Answer(line, float(last_number(line) in e.accepted))
            for line, e in zip(lines, examples, strict=True)
        ]
    return [Answer(s, overlap(s, e.accepted)) for s, e in zip(lines, examples, strict=True)]


def chosen_rightly(loaded: Loaded, examples: Sequence[Example]) -> list[bool]:
    """Of each example, whether its right choice is the likeliest one."""
    found = log_probabilities(loaded, [(e.prompt, e.choices) for e in examples])
    return [row.index(max(row)) == 0 for row in found]


def chance(task: Task, examples: Sequence[Example]) -> float | None:
    """The accuracy of guessing, None for grades that have no such thing."""
    if task.grade != "choice":
        return None
    return sum(1 / len(e.choices) for e in examples) / len(examples)


@torch.no_grad()
def generate(loaded: Loaded, prompts: Sequence[str], longest: int) -> list[str]:
    """The first line that the model goes on with, greedily, of at most ``longest`` tokens."""
    tokenizer, model = loaded.tokenizer, loaded.model
    tokens = Tokens(tokenizer)
    ids = [tokens.prompt(prompt) for prompt in prompts]
    most = loaded.anatomy.context
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    said = [""] * len(prompts)
    by_length = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    for start in parts(range(0, len(by_length), ROWS)):
        chosen = by_length[start : start + ROWS]
        width = max(len(ids[row]) for row in chosen)
        rows = torch.tensor([[pad] * (width - len(ids[row])) + ids[row] for row in chosen])
        real = torch.tensor([[0] * (width - len(ids[row])) + [1] * len(ids[row]) for row in chosen])
        room = longest if most is None else min(longest, most - width)
        if room < 1:
            continue  # no room for a single token: nothing is said
        with evaluating(model), _greedy(model, room, pad), loaded.anatomy.ticking():
            out = model.generate(  # type: ignore[operator]
                rows.to(model.device), attention_mask=real.to(model.device)
            )
        for row, ids_ in zip(chosen, out[:, width:].tolist(), strict=True):
            text = str(tokenizer.decode(ids_, skip_special_tokens=True))
            said[row] = text.partition("\n")[0]
    return said


@contextmanager
def _greedy(model: PreTrainedModel, tokens: int, pad: int) -> Iterator[None]:
    """Let a model say what it finds likeliest, whatever its own settings ask for: they may punish
    repetition, forbid words or draw at random."""
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=tokens, pad_token_id=pad, eos_token_id=own.eos_token_id
    )
    try:
        yield
    finally:
        model.generation_config = own
