"""Effects on general text, against runs with one edge really corrupted by a little, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.attribution.general import METRIC, SEED, TEXTS, general_batch, general_effect
from ctviz.circuits.scores import Circuit
from ctviz.errors import BadTask
from ctviz.interventions.ablation import source_means
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.loading import load
from ctviz.tasks.batch import IGNORED, Batch
from ctviz.tasks.neutral import neutral_texts
from tests.patched_by_hand import PatchedRun
from tests.random_models import VOCABULARY, random_model

STEP = 1e-4


def sentences() -> Batch:
    """Three token rows of different length, each said to follow its first token."""
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randint(1, VOCABULARY, (n,), generator=generator) for n in (6, 4, 5)]
    clean, answer = torch.zeros((3, 5), dtype=torch.int64), torch.full((3, 5), IGNORED)
    for at, row in enumerate(rows):
        clean[at, : len(row) - 1] = row[:-1]
        answer[at, 6 - len(row) :] = row[1:]
    last = torch.tensor([len(row) - 2 for row in rows])
    return Batch(clean=clean, corrupt=clean, last=last, answer=answer, foil=torch.zeros(3).long())


@torch.no_grad()
def log_probabilities(anatomy: Anatomy, batch: Batch, outside: np.ndarray) -> torch.Tensor:
    """log p of each row after its first token, with edges corrupted in part: [row]."""
    whole = Circuit(anatomy.graph, anatomy.graph.exists)
    run = PatchedRun(anatomy, batch, whole, source_means(anatomy, batch, len(batch)))
    run.outside = torch.from_numpy(outside)
    with hooked(before=run.before, after=run.after):
        logits = anatomy.model(batch.clean, attention_mask=batch.real.long()).logits
    found = []
    for row in range(len(batch)):
        ids = [int(each) for each in batch.answer[row] if each != IGNORED]
        told = logits[row, : len(ids)].log_softmax(dim=-1)
        found.append(sum(told[at, token] for at, token in enumerate(ids)))
    return torch.stack(found)


@pytest.mark.usefixtures("double_throughout")
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_an_effect_is_the_root_mean_square_of_what_corrupting_does_to_each_text(family, cut):
    anatomy = Anatomy(random_model(family))
    anatomy = anatomy.cut_into(anatomy.neurons // 4) if cut else anatomy
    graph, batch = anatomy.graph, sentences()
    found = general_effect(anatomy, batch)
    rng = np.random.default_rng(0)
    edges = np.argwhere(graph.exists)
    chosen = [*rng.permutation(edges)[:12], graph.edge("input->logits")]

    def derivative(mask: np.ndarray) -> np.ndarray:
        both = [log_probabilities(anatomy, batch, sign * STEP * mask) for sign in (-1, 1)]
        return ((both[0] - both[1]) / (2 * STEP)).numpy()

    for row, column in chosen:
        mask = np.zeros(graph.exists.shape)
        mask[row, column] = 1
        expected = np.sqrt((derivative(mask) ** 2).mean())
        assert found.edges[row, column] == pytest.approx(expected, rel=1e-4, abs=1e-7)
    for row in (0, 1, len(graph.sources) - 1):
        mask = np.zeros(graph.exists.shape)
        mask[row] = graph.exists[row]
        expected = np.sqrt((derivative(mask) ** 2).mean())
        assert found.nodes[row] == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert (found.edges[~graph.exists] == 0).all()


@pytest.mark.usefixtures("double_throughout")
def test_a_single_text_has_the_size_of_its_own_score():
    anatomy = Anatomy(random_model("gpt2"))
    one = sentences()[:1]
    scores = attribute(anatomy, one, ablation="mean", metric="log_probability")
    found = general_effect(anatomy, one)
    np.testing.assert_allclose(found.edges, np.abs(scores.values), rtol=1e-6)
    np.testing.assert_allclose(found.nodes, np.abs(scores.nodes().values), rtol=1e-6)


def test_the_texts_are_whole_sentences_other_than_those_of_retention():
    loaded = load("tiny")
    batch = general_batch(loaded)
    texts = sorted(neutral_texts(TEXTS, seed=SEED), key=len)
    assert len(batch) == TEXTS
    for row, text in enumerate(texts):
        ids = loaded.tokenizer(text)["input_ids"]
        prompt = batch.clean[row, : int(batch.last[row]) + 1].tolist()
        answer = [int(each) for each in batch.answer[row] if each != IGNORED]
        assert prompt == ids[:-1]
        assert answer == ids[-len(answer) :]
        assert len(loaded.tokenizer(text.split()[0])["input_ids"]) + len(answer) == len(ids)
    assert not set(texts) & set(neutral_texts(100))
    assert METRIC == "log_probability"


def test_a_model_that_reads_none_of_the_texts_says_so(monkeypatch):
    loaded = load("tiny")
    monkeypatch.setattr(type(loaded.anatomy), "context", 2)
    with pytest.raises(BadTask, match="None of 24 pairs fits"):
        general_batch(loaded)
