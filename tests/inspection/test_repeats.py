"""What heads do on repeated words: by hand, and of a model whose heads are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from ctviz.english import FEW_THINGS
from ctviz.inspection.lens import added_logits
from ctviz.inspection.patterns import attention_patterns
from ctviz.inspection.repeats import BLOCK, ROWS, head_scores, repeated_words
from ctviz.models.anatomy import Anatomy
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.handmade.vocabulary import new_tokenizer
from ctviz.models.hooks import hooked
from ctviz.models.loading import load
from ctviz.models.writes import source_outputs, writes
from tests.random_models import random_model


@pytest.fixture(scope="module")
def by_hand():
    return load("induction")


def test_rows_are_different_words_said_twice(by_hand):
    ids = repeated_words(by_hand, FEW_THINGS)
    assert ids.shape == (ROWS, 2 * BLOCK)
    assert torch.equal(ids[:, :BLOCK], ids[:, BLOCK:])
    assert all(len(set(row[:BLOCK])) == BLOCK for row in ids.tolist())
    words = {by_hand.tokenizer.decode([i]).strip() for i in ids.unique().tolist()}
    assert words == set(FEW_THINGS)
    assert torch.equal(ids, repeated_words(by_hand, FEW_THINGS))
    assert not torch.equal(ids, repeated_words(by_hand, FEW_THINGS, seed=1))


def test_words_that_are_no_single_token_are_left_out(by_hand):
    made_up = ("zyzzyva", "quokka")
    ids = repeated_words(by_hand, (*FEW_THINGS[:BLOCK], *made_up))
    assert len(ids.unique()) == BLOCK
    assert repeated_words(by_hand, (*FEW_THINGS[: BLOCK - 1], *made_up)) is None


def test_what_the_tokenizer_puts_in_front_stands_in_front(by_hand):
    whole = new_tokenizer(FEW_THINGS)
    end = whole.eos_token
    whole.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{end} $A", special_tokens=[(end, whole.eos_token_id)]
    )
    ids = repeated_words(replace(by_hand, tokenizer=whole), FEW_THINGS)
    assert ids[:, 0].unique().tolist() == [whole.eos_token_id]
    assert torch.equal(ids[:, 1:], repeated_words(by_hand, FEW_THINGS))


def test_the_heads_of_the_model_by_hand(by_hand):
    """Scores that follow from how it was made, see `ctviz.models.handmade.induction`."""
    graph = by_hand.anatomy.graph
    previous, finder = KNOWN_ANSWERS["induction"].roles
    found = head_scores(by_hand.anatomy, repeated_words(by_hand, FEW_THINGS))
    best = {key: graph.nodes[int(np.nanargmax(values))] for key, values in found.items()}
    assert best == {"previous": previous, "matching": finder, "copying": finder}
    # a match has exp(5) times the weight of each other position, and q of these may be seen
    match, rows = math.exp(5), range(1, 2 * BLOCK)
    assert found["previous"][graph.node(previous)] == pytest.approx(
        np.mean([match / (match + q) for q in rows]), abs=0.01
    )
    # the first position has no word before it, so it notes itself and is a second match of one
    first, *rest = range(BLOCK, 2 * BLOCK)
    shares = [match / (2 * match + first - 1), *(match / (match + q) for q in rest)]
    assert found["matching"][graph.node(finder)] == pytest.approx(np.mean(shares), abs=0.02)
    assert found["copying"][graph.node(finder)] > 0.9
    for node in graph.nodes:
        if node != finder and node.startswith("a"):
            assert found["copying"][graph.node(node)] < 1e-3  # it writes nothing that is read
            assert found["matching"][graph.node(node)] < 0.2
        if not node.startswith("a"):
            assert all(np.isnan(values[graph.node(node)]) for values in found.values())


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "gpt-neox"])
def test_the_shares_follow_from_what_heads_add_to_the_logits(name):
    """The slow way: each head's own logits at each word, by the logit lens."""
    anatomy = Anatomy(random_model(name))
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randperm(anatomy.vocabulary, generator=draw)[:BLOCK] for _ in range(3)]
    ids = torch.stack([torch.cat([row, row]) for row in rows])
    found = head_scores(anatomy, ids)
    final: list[torch.Tensor] = []
    with writes(anatomy) as kept, hooked(before=[(anatomy.final_norm.module, final.append)]):
        hidden = anatomy.hidden(ids)
    patterns = attention_patterns(anatomy, ids, hidden, range(anatomy.graph.n_layers))
    outputs = source_outputs(anatomy, kept).unflatten(1, ids.shape)
    for layer, pattern in enumerate(patterns):
        for head in range(anatomy.graph.n_heads):
            node = anatomy.graph.node(f"a{layer}.h{head}")
            shares, matching, previous = [], [], []
            for row in range(3):
                for q in range(1, 2 * BLOCK):
                    previous.append(float(pattern[row, head, q, q - 1]))
                for q in range(BLOCK, 2 * BLOCK):
                    matching.append(float(pattern[row, head, q, q - BLOCK + 1]))
                    added = added_logits(anatomy, outputs[node, row, q], final[0][row, q])
                    block = added[ids[row, BLOCK:]]
                    raised = (block - block.mean()).relu()
                    looked = ids[row, pattern[row, head, q].argmax()]
                    own = raised[(ids[row, BLOCK:] == looked).nonzero()[0, 0]]
                    shares.append(float(own / raised.sum()))
            assert found["copying"][node] == pytest.approx(np.mean(shares), abs=1e-4)
            assert found["matching"][node] == pytest.approx(np.mean(matching), abs=1e-5)
            assert found["previous"][node] == pytest.approx(np.mean(previous), abs=1e-5)
