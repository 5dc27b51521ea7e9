"""What heads do where words come twice: look one back, find what came next, and say it.

On a row of words drawn at random and then said again, "A B C A B C", nothing tells what comes next
but the first time. Two heads that work together can use it: one that looks at the word before, and
one that finds its notes (an induction head; Elhage et al. 2021, Olsson et al. 2022).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ctviz.inspection.lens import pushed_above
from ctviz.inspection.patterns import attention_patterns
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import Loaded
from ctviz.models.writes import unit_outputs, writes
from ctviz.tasks.tokens import Tokens

__all__ = ["BEST", "BLOCK", "ROWS", "head_scores", "repeated_words"]

BLOCK = 7  # words, said twice
ROWS = 32
BEST = {"previous": "previous_token", "matching": "prefix_matching", "copying": "copying"}
"""What the largest of each score is called among the numbers of a snapshot."""
BEFORE = "The"  # a word after which all words are ordinary ones


def repeated_words(loaded: Loaded, words: Sequence[str], *, seed: int = 0) -> Tensor | None:
    """Rows of `BLOCK` different words at random, each row said twice: int [`ROWS`, position].

    In front stands what the tokenizer puts in front of every text. None if fewer than `BLOCK` of
    the words are one token each, or the model's context is shorter.
    """
    anatomy = loaded.anatomy
    tokens = Tokens(loaded.tokenizer, anatomy.vocabulary)
    texts = [f" {word}" for word in words]
    known = [t for t in texts if not tokens.continuation_problem(BEFORE, t, "word")]
    cut = [tokens.continuation(BEFORE, text) for text in known]
    ids = sorted({each[0] for each in cut if len(each) == 1})
    front = tokens.prompt(BEFORE)[: -len(tokens.words(BEFORE))]
    if len(ids) < BLOCK or len(front) + 2 * BLOCK > (anatomy.context or 2**31):
        return None
    rng = random.Random(f"repeats {seed}")
    rows = [[*front, *(2 * rng.sample(ids, BLOCK))] for _ in range(ROWS)]
    return torch.tensor(rows, device=anatomy.device)


@torch.no_grad()
def head_scores(anatomy: Anatomy, ids: Tensor) -> dict[str, np.ndarray]:
    """Three scores of each head on rows that end with a block said twice: float32 [node] by name.

    ``ids``: int [row, position], the last 2 * `BLOCK` of them the block, as `repeated_words` makes.

    ``previous``: mean attention from a word of the rows to the one before it. ``matching``, the
    prefix-matching score: mean attention from a word of the second time to the one that followed it
    the first time (Olsson et al. 2022, where blocks are longer). ``copying``: at each word of the
    second time what the head writes raises some of the block's logits above their mean; the share
    of the raise that goes to the word the head looks at most, mean over words (after Olsson et al.
    2022; 0 where it raises none). All are 0 to 1; `1 / BLOCK` of the raise is what chance gives.
    NaN for what is no head. Empty where attention cannot be read (`attention_patterns`).
    """
    graph, n = anatomy.graph, ids.shape[1]
    with writes(anatomy) as kept:
        hidden = anatomy.hidden(ids)
    patterns = attention_patterns(anatomy, ids, hidden, range(graph.n_layers))
    if patterns is None:
        return {}
    second = torch.arange(n - BLOCK, n, device=ids.device)
    later = torch.arange(n - 2 * BLOCK + 1, n, device=ids.device)
    block = ids[:, second]
    found: dict[str, list[Tensor]] = {"previous": [], "matching": [], "copying": []}
    for layer, pattern in enumerate(patterns):  # [row, head, query, key]
        pattern = pattern.float()
        found["previous"].append(pattern[:, :, later, later - 1].mean(dim=(0, 2)))
        found["matching"].append(pattern[:, :, second, second - BLOCK + 1].mean(dim=(0, 2)))
        z = kept.heads[layer][:, second].flatten(0, 1)
        written = unit_outputs(z, anatomy.blocks[layer].write_weight, graph.n_heads)
        raised = pushed_above(anatomy, written.unflatten(1, block.shape), block).relu()
        most = pattern[:, :, second].argmax(dim=-1).transpose(0, 1)  # [head, row, query]
        said = ids.expand(graph.n_heads, -1, -1).gather(2, most)
        own = (raised * (said[..., None] == block[:, None])).sum(dim=-1)
        share = own / raised.sum(dim=-1).clamp(min=torch.finfo(raised.dtype).tiny)
        found["copying"].append(share.mean(dim=(1, 2)))
    return {name: _of_nodes(anatomy, scores) for name, scores in found.items()}


def _of_nodes(anatomy: Anatomy, scores: Sequence[Tensor]) -> np.ndarray:
    """float32 [node], of [head] by layer; NaN for what is no head."""
    graph = anatomy.graph
    values = np.full(len(graph.nodes), np.nan, dtype=np.float32)
    for layer, each in enumerate(scores):
        values[graph.rows(layer)["head"]] = each.cpu().numpy()
    return values
