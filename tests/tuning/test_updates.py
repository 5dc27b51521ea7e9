"""Each node's update put in and taken out: the very weights, and what the model then does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctviz.models.loading import load
from ctviz.tasks import find_task
from ctviz.tasks.batch import encode
from ctviz.tasks.neutral import neutral_texts
from ctviz.tuning.needed import largest_prefix, random_set, smallest_set
from ctviz.tuning.readings import Reader
from ctviz.tuning.updates import Updates
from tests.handmade_updates import grouped, weights_with

FAMILIES = ("llama-grouped", "gpt2", "gpt-neox", "phi3", "gemma3", "falcon-new")


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest):
    return grouped(request.param)


def noise(tensors: dict[str, torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    for tensor in tensors.values():
        tensor += 0.05 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)


def weights(loaded) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in loaded.model.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def batch_for(loaded):
    pairs = find_task("sva").pairs(6, split="dev")
    return encode(pairs, loaded.tokenizer, vocabulary=loaded.anatomy.vocabulary)


def test_all_in_is_the_tuned_model_and_all_out_the_untuned_one(loaded, tmp_path):
    untuned = weights(loaded)
    file = tmp_path / "weights" / "000002.safetensors"
    weights_with(loaded, file, noise)
    tuned = {name: tensor.clone() for name, tensor in untuned.items()}
    noise(tuned)
    updates = Updates(loaded, file)
    assert same(weights(loaded), untuned)
    updates.put(updates.nodes)
    assert same(weights(loaded), tuned)
    with updates.exchanged("m1"):
        assert not same(weights(loaded), tuned)
    assert same(weights(loaded), tuned)
    updates.put(())
    assert same(weights(loaded), untuned)
    moved = sum(update.size for update in updates.nodes.values())
    assert moved == sum(tensor.numel() for tensor in untuned.values())
    assert list(updates.nodes)[-1] == "other"


def test_shared_keys_and_values_are_their_groups_own(tmp_path):
    loaded = grouped()
    untuned = weights(loaded)
    file = tmp_path / "weights" / "000002.safetensors"
    weights_with(loaded, file, noise)
    updates = Updates(loaded, file)
    d = loaded.anatomy.d_head
    group, head = slice(d, 2 * d), slice(3 * d, 4 * d)
    expected = {
        "a0.g1": {f"self_attn.{k}_proj.{p}": group for k in "kv" for p in ("weight", "bias")},
        "a0.h3": {f"self_attn.q_proj.{p}": head for p in ("weight", "bias")},
    }
    for node, parts in expected.items():
        updates.put([node])
        now = weights(loaded)
        for name, tensor in now.items():
            differs = (tensor != untuned[name]).nonzero()
            short = name.removeprefix("model.layers.0.")
            if short in parts:
                rows = set(range(len(tensor))[parts[short]])
                assert set(differs[:, 0].tolist()) == rows
            elif node == "a0.h3" and short == "self_attn.o_proj.weight":
                assert set(differs[:, 1].tolist()) == set(range(3 * d, 4 * d))
            else:
                assert not len(differs), name
    tensors = [f"model.layers.0.{name}" for name in expected["a0.g1"]]
    assert updates.tensors(["a0.g1"]) == sorted(tensors)


def test_only_what_moved_is_an_update(tmp_path):
    loaded = load("tiny")

    def change(tensors):
        tensors["transformer.h.1.mlp.c_proj.bias"] += 1
        tensors["transformer.ln_f.weight"][3] += 1

    file = tmp_path / "weights" / "000002.safetensors"
    weights_with(loaded, file, change)
    updates = Updates(loaded, file)
    sizes = {node: update.size for node, update in updates.nodes.items()}
    width, d = 4 * 128, 128
    assert sizes == {"m1": width * d + d, "other": d}  # the unit <out> as a whole, not <in>


def test_one_node_at_a_time_reads_as_the_whole_model_does(loaded, tmp_path, double_throughout):
    file = tmp_path / "weights" / "000002.safetensors"
    weights_with(loaded, file, noise)
    reader = Reader(loaded, batch_for(loaded), "logit_difference")
    updates = Updates(loaded, file)
    for background in ((), tuple(updates.nodes)):
        updates.put(background)
        counted: list[int] = []
        found = reader.each(updates, counted.append)
        assert list(found) == list(updates.nodes)
        assert sum(counted) == len(found)
        for node, reading in found.items():
            updates.put(set(background) ^ {node})
            whole = reader.read()
            np.testing.assert_allclose(reading.metric, whole.metric, rtol=1e-9, atol=1e-9)
            assert reading.kl == pytest.approx(whole.kl, abs=1e-9)
            np.testing.assert_allclose(reader.metric(), whole.metric, rtol=1e-12)


def test_the_distance_is_zero_from_itself_and_as_defined_from_others(tmp_path):
    loaded = load("tiny")
    file = tmp_path / "weights" / "000002.safetensors"
    weights_with(loaded, file, noise)
    reader = Reader(loaded, batch_for(loaded), "logit_difference")
    assert reader.read().kl == pytest.approx(0.0, abs=1e-6)

    def said():
        with torch.no_grad():
            ids = [loaded.tokenizer(t, return_tensors="pt").input_ids for t in neutral_texts(6)]
            return torch.cat([loaded.model(i).logits[0].log_softmax(-1) for i in ids])

    before = said()
    updates = Updates(loaded, file)
    updates.put(updates.nodes)
    after = said()
    kl = (before.exp() * (before - after)).sum(-1).mean()
    assert reader.read().kl == pytest.approx(float(kl), rel=1e-4)


# ---------------------------------------------------------------------- searching

SIZES = {"a": 10, "b": 1, "c": 5, "d": 1, "e": 3, "f": 2}


def test_the_smallest_set_is_found_by_leaving_out():
    def enough(nodes):
        return {"b", "e"} <= set(nodes) or "a" in nodes

    rankings = (["a", "b", "c", "d", "e", "f"], ["f", "b", "d", "e", "c", "a"])
    assert smallest_set(SIZES, rankings, enough) == ("b", "e")
    assert smallest_set(SIZES, rankings[:1], enough) == ("a",)
    assert smallest_set(SIZES, rankings, lambda nodes: len(nodes) == 6) == tuple(SIZES)
    assert smallest_set(SIZES, rankings, lambda nodes: True) == ()


def test_no_set_is_asked_about_twice():
    asked = []

    def enough(nodes):
        asked.append(frozenset(nodes))
        return {"c", "d"} <= set(nodes)

    found = smallest_set(SIZES, (list(SIZES), list(SIZES)[::-1]), enough)
    assert found == ("c", "d")
    assert len(asked) == len(set(asked))


def test_the_largest_beginning_that_does_nothing():
    ranking = list("abcdef")
    for n in range(7):
        assert largest_prefix(ranking, lambda nodes, n=n: len(nodes) <= n) == tuple(ranking[:n])
    assert largest_prefix([], lambda nodes: True) == ()


def test_random_sets_have_about_as_many_parameters():
    draws = {random_set(SIZES, 12, seed=0, draw=draw) for draw in range(8)}
    assert len(draws) > 1
    assert all(9 <= sum(SIZES[node] for node in nodes) <= 15 for nodes in draws)
    assert random_set(SIZES, 12, seed=0, draw=1) == random_set(SIZES, 12, seed=0, draw=1)
    assert set(random_set(SIZES, 22, seed=0, draw=0)) == set(SIZES)
