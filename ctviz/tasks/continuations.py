"""The probabilities of what may follow a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor
from transformers import DynamicCache

from ctviz.errors import BadTask
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import Loaded
from ctviz.progress import parts as in_parts
from ctviz.tasks.tokens import Tokens

__all__ = ["ROWS", "log_probabilities"]

ROWS = 64  # prompts that are run at a time
Ids = tuple[int, ...]


@torch.no_grad()
def log_probabilities(
    loaded: Loaded, asked: Sequence[tuple[str, Sequence[str]]]
) -> list[list[float]]:
    """log p(choice | prompt) in nats, summed over its tokens, for each choice of each prompt.

    Each prompt runs once, whatever is asked about it. Raises BadTask, naming the prompt, for a
    choice that the tokenizer cannot divide from it.
    """
    tokens = Tokens(loaded.tokenizer, loaded.anatomy.vocabulary)
    wanted: list[tuple[Ids, list[Ids]]] = []
    begun: dict[Ids, dict[Ids, set[int]]] = {}  # by prompt: what stands after it, and what may then
    for prompt, choices in asked:
        ids, texts = tuple(tokens.prompt(prompt)), []
        after = begun.setdefault(ids, {})
        for choice in choices:
            if wrong := tokens.continuation_problem(prompt, choice, "choice"):
                raise BadTask(f"{prompt!r}: {wrong}")
            text = tuple(tokens.continuation(prompt, choice))
            for n, token in enumerate(text):
                after.setdefault(text[:n], set()).add(token)
            texts.append(text)
        wanted.append((ids, texts))
    found: dict[tuple[Ids, Ids], float] = {}  # by prompt and the beginning of a choice
    prompts = sorted(begun, key=len)
    for start in in_parts(range(0, len(prompts), ROWS)):
        some = prompts[start : start + ROWS]
        if all(list(begun[prompt]) == [()] for prompt in some):
            found |= _next_tokens(loaded.anatomy, some, begun)
            continue
        for _, same in groupby(some, key=len):  # no padding between a prompt and what follows it
            found |= _all_tokens(loaded.anatomy, list(same), begun)
    return [
        [sum(found[ids, text[: n + 1]] for n in range(len(text))) for text in texts]
        for ids, texts in wanted
    ]


def _next_tokens(
    anatomy: Anatomy,
    prompts: Sequence[Ids],
    begun: Mapping[Ids, Mapping[Ids, set[int]]],
    past: DynamicCache | None = None,
) -> dict[tuple[Ids, Ids], float]:
    """log p(token | prompt) of the first tokens of all choices."""
    hidden = anatomy.hidden(_rows(prompts, anatomy), past=past)
    places = [(row, len(prompt) - 1, prompt, ()) for row, prompt in enumerate(prompts)]
    return _read(anatomy, hidden, places, begun)


def _all_tokens(
    anatomy: Anatomy, prompts: Sequence[Ids], begun: Mapping[Ids, Mapping[Ids, set[int]]]
) -> dict[tuple[Ids, Ids], float]:
    """The same of all tokens, for prompts of one length."""
    past = DynamicCache(config=anatomy.model.config)
    found = _next_tokens(anatomy, prompts, begun, past)
    rows = [  # a beginning that another one goes on from is read off the longer one's row
        (at, before)
        for at, prompt in enumerate(prompts)
        for before in begun[prompt]
        if before and not any(o[: len(before)] == before != o for o in begun[prompt])
    ]
    if not rows:
        return found
    past.batch_select_indices(torch.tensor([at for at, _ in rows], device=anatomy.device))
    hidden = anatomy.hidden(_rows([before for _, before in rows], anatomy), past=past)
    places = [
        (row, n - 1, prompts[at], before[:n])
        for row, (at, before) in enumerate(rows)
        for n in range(1, len(before) + 1)
    ]
    return found | _read(anatomy, hidden, places, begun)


def _read(
    anatomy: Anatomy,
    hidden: Tensor,
    places: Sequence[tuple[int, int, Ids, Ids]],
    begun: Mapping[Ids, Mapping[Ids, set[int]]],
) -> dict[tuple[Ids, Ids], float]:
    """At (row, position) of hidden states stand the last tokens of a prompt and a beginning."""
    rows = torch.tensor([row for row, *_ in places], device=anatomy.device)
    positions = torch.tensor([[at] for _, at, *_ in places], device=anatomy.device)
    log_p = anatomy.logits_at(hidden[rows], positions)[:, 0].float().log_softmax(dim=-1)
    wanted = [
        (index, prompt, before, token)
        for index, (_, _, prompt, before) in enumerate(places)
        for token in sorted(begun[prompt][before])
    ]
    index = torch.tensor([[index, token] for index, *_, token in wanted], device=anatomy.device)
    values = log_p[index[:, 0], index[:, 1]].tolist()
    return {
        (prompt, (*before, token)): value
        for (_, prompt, before, token), value in zip(wanted, values, strict=True)
    }


def _rows(texts: Sequence[Ids], anatomy: Anatomy) -> Tensor:
    """int64 [text, position], padded on the right."""
    width = max(map(len, texts))
    rows = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts])
    return rows.to(anatomy.device)
