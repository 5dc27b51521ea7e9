"""Models with a circuit that is known by construction: is it what discovery finds?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute
from ctviz.circuits.scores import Circuit
from ctviz.cli import main
from ctviz.interventions.faithfulness import Evaluation, metric_of_circuit, metric_of_model
from ctviz.models.fetching import fetch
from ctviz.models.handmade import KNOWN_ANSWERS, KnownAnswer
from ctviz.models.known import KNOWN
from ctviz.models.loading import Loaded, load
from ctviz.tasks import Pair, Split, find_task
from ctviz.tasks.batch import Batch, encode
from ctviz.tasks.task import SPLITS

PAIRS = 120


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A known answer, the model, a batch of its task and the score of each edge on it."""

    known: KnownAnswer
    loaded: Loaded
    batch: Batch
    scores: np.ndarray

    @property
    def true(self) -> np.ndarray:
        """bool [source, slot]: the edges that were built in."""
        graph = self.known.graph
        mask = np.zeros_like(graph.exists)
        for name in self.known.true_edges:
            mask[graph.edge(name)] = True
        return mask

    @property
    def false(self) -> np.ndarray:
        """bool [source, slot]: all other edges."""
        return self.known.graph.exists & ~self.true


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Iterator[Path]:
    """An empty cache folder for this module."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTVIZ_CACHE", str(folder))
        yield folder


@functools.cache
def make_case(key: str) -> Case:
    known = KNOWN_ANSWERS[key]
    loaded = load(key, device="cpu")
    batch = encode(find_task(known.task).pairs(PAIRS, split="dev"), loaded.tokenizer)
    assert len(batch) == PAIRS
    return Case(known, loaded, batch, attribute(loaded.anatomy, batch).values)


@pytest.fixture(params=sorted(KNOWN_ANSWERS))
def case(request) -> Case:
    return make_case(request.param)


def area_under_roc(positive: np.ndarray, negative: np.ndarray) -> float:
    """How often a positive is larger than a negative; a tie counts half."""
    above = positive[:, None] > negative[None, :]
    level = positive[:, None] == negative[None, :]
    return float(np.mean(above + 0.5 * level))


# ---------------------------------------------------------------------- what was built


def test_every_known_answer_is_a_known_model_with_a_task_of_its_own():
    assert set(KNOWN_ANSWERS) == {key for key, known in KNOWN.items() if known.handmade}
    assert len({find_task(known.task).key for known in KNOWN_ANSWERS.values()}) == len(
        KNOWN_ANSWERS
    )


def test_what_is_said_of_a_model_is_true_of_it(case):
    known, graph = case.known, case.known.graph
    assert case.loaded.anatomy.graph == graph
    assert case.true.sum() == len(known.true_edges)
    assert f"{len(known.true_edges)} true edges" in known.title
    assert f"{graph.n_layers} layers x {graph.n_heads} heads" in known.title
    millions = sum(p.numel() for p in case.loaded.model.parameters()) / 1e6
    assert known.parameters == f"{millions:.1f} M"
    ends = {end for name in known.true_edges for end in name.split("<")[0].split("->")}
    assert set(known.roles) == ends - {"input", "logits"}
    assert not set(known.roles) & set(known.silent)


def test_it_does_its_task(case):
    """On each prompt its first choice of the whole vocabulary is the answer."""
    anatomy, batch = case.loaded.anatomy, case.batch
    with torch.no_grad():
        logits = case.loaded.model(batch.clean, attention_mask=torch.ones_like(batch.clean)).logits
    said = logits[torch.arange(PAIRS), batch.last].argmax(dim=-1)
    assert said.tolist() == batch.answer.reshape(PAIRS, -1)[:, -1].tolist()
    assert metric_of_model(anatomy, batch).min() > 5
    assert metric_of_model(anatomy, batch, corrupt=True).max() < -5


@pytest.mark.parametrize(
    ("key", "node", "distance"),
    [
        ("induction", "a0.h1", "one back"),
        ("induction", "a1.h2", "after the same word"),
        ("induction-mlp", "a0.h2", "one back"),
        ("induction-mlp", "a1.h0", "after the same word"),
    ],
)
def test_heads_attend_where_they_should(key, node, distance):
    """Sharply, but not so sharply that the gradient to queries and keys would vanish."""
    case = make_case(key)
    model = load(key, device="cpu").model
    model.set_attn_implementation("eager")
    layer, head = int(node[1]), int(node[4])
    for ids, last in zip(case.batch.clean, case.batch.last.tolist(), strict=True):
        with torch.no_grad():
            run = model(
                ids[None], attention_mask=torch.ones_like(ids[None]), output_attentions=True
            )
        pattern = run.attentions[layer][0, head]
        before = last - 1 if distance == "one back" else ids.tolist().index(int(ids[last])) + 1
        assert 0.92 < pattern[last, before] < 0.97


# ---------------------------------------------------------------------- what is found


@pytest.mark.parametrize("method", ["eap", "eap-ig", "exact"])
def test_true_edges_score_higher_than_all_others(case, method):
    # 32 pairs for the other methods: exact takes a run an edge
    batch = case.batch if method == "eap" else case.batch[:32]
    size = np.abs(attribute(case.loaded.anatomy, batch, method=method).values)
    assert area_under_roc(size[case.true], size[case.false]) == 1.0
    assert size[case.true].min() > 1e-3
    # What is left of other edges is rounding, and the norms that are not quite the identity.
    assert size[case.false].max() < 1e-4


def test_edges_of_silent_nodes_score_exactly_zero(case):
    graph = case.known.graph
    for node in case.known.silent:
        reads = [column for column, slot in enumerate(graph.slots) if node in slot.feeds]
        assert not case.scores[graph.source(node)].any(), node
        assert not case.scores[:, reads].any(), node
    if case.known.key == "few-heads":
        assert not case.scores[case.false].any()


@pytest.mark.slow
def test_corrupting_one_edge_hurts_exactly_if_it_is_a_true_one(case):
    """The list of true edges, confirmed without any gradient."""
    anatomy, graph, batch = case.loaded.anatomy, case.known.graph, case.batch[:40]
    whole = metric_of_circuit(anatomy, batch, Circuit(graph, graph.exists.copy()))
    change = np.zeros(graph.exists.shape)
    for row, column in np.argwhere(graph.exists):
        mask = graph.exists.copy()
        mask[row, column] = False
        metric = metric_of_circuit(anatomy, batch, Circuit(graph, mask))
        change[row, column] = np.abs(metric - whole).mean()
    assert change[case.false].max() < 1e-4
    assert change[case.true].min() > 1e-2
    if case.known.key != "few-heads":  # one corrupted edge turns the prediction around
        assert change[case.true].min() > 1.9 * whole.mean()


def test_the_true_circuit_alone_does_the_task(case):
    evaluation = Evaluation(case.loaded.anatomy, case.batch)
    found = evaluation.compare(Circuit(case.known.graph, case.true), seed=0, draws=2)
    assert found.faithfulness == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("key", ["induction", "induction-mlp"])
def test_each_true_edge_is_needed(key):
    """Without any one of them the rest of the true circuit gives the counterfactual's answer."""
    case = make_case(key)
    for name in case.known.true_edges:
        mask = case.true.copy()
        mask[case.known.graph.edge(name)] = False
        metric = metric_of_circuit(case.loaded.anatomy, case.batch, Circuit(case.known.graph, mask))
        assert metric.max() < -5, name


def test_query_and_keys_corrupted_together_match_again():
    case = make_case("induction")
    mask = case.true.copy()
    for name in ("input->a1.h2<q>", "a0.h1->a1.h2<k>"):
        mask[case.known.graph.edge(name)] = False
    metric = metric_of_circuit(case.loaded.anatomy, case.batch, Circuit(case.known.graph, mask))
    assert metric.min() > 5


# ---------------------------------------------------------------------- loading


def test_it_is_built_once_and_then_loaded(case, cache, monkeypatch):
    known = KNOWN[case.known.key]
    assert known.folder.parent == cache / "models"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        file.name for file in known.folder.iterdir()
    }
    with monkeypatch.context() as patch:
        patch.delitem(KNOWN_ANSWERS, case.known.key)  # building it again would raise
        again = load(case.known.key, device="cpu")
    assert again.revision == case.loaded.revision
    model, tokenizer = case.known.build()
    stored = again.model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, stored[name]), name
    text = "key, lamp and Anna’s old cat"
    assert again.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.tokenizer.decode(tokenizer(text)["input_ids"]) == f" {text}"


def test_building_replaces_a_leftover_and_yields_to_who_was_faster(tmp_path, monkeypatch):
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path))
    folder = KNOWN["induction"].folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert fetch("induction") == folder
    assert KNOWN["induction"].stored
    known = KNOWN_ANSWERS["few-heads"]
    other = KNOWN["few-heads"].folder

    def overtaken():
        other.mkdir()
        (other / "model.safetensors").write_text("another process's")
        return known.build()

    monkeypatch.setitem(KNOWN_ANSWERS, "few-heads", dataclasses.replace(known, build=overtaken))
    assert fetch("few-heads") == other
    assert (other / "model.safetensors").read_text() == "another process's"
    left = sorted(path.name for path in (tmp_path / "models").iterdir() if path.suffix != ".lock")
    assert left == sorted([folder.name, other.name])


def test_a_task_of_other_words_is_nothing_to_it(tmp_path, capsys):
    asked = ["discover", "--model", "induction", "--task", "sva", "--edges", "5"]
    assert main([*asked, "--out", str(tmp_path)]) == 1
    assert "Faithfulness is undefined" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(KNOWN_ANSWERS))
def test_it_can_be_tuned(key, tmp_path, capsys):
    task = KNOWN_ANSWERS[key].task
    asked = ["--model", key, "--task", task, "--steps", "1", "--edges", "5", "--examples", "8"]
    assert main(["tune", *asked, "--out", str(tmp_path), "--json"]) == 0
    assert '"outside_moved": 0' in capsys.readouterr().out


# ---------------------------------------------------------------------- the tasks' pairs


def draws(key: str, split: Split) -> list[Pair]:
    return find_task(key).pairs(40, split=split, seed=5)


def followers(prompt: str) -> tuple[str, str]:
    """The last word of a prompt and the word that followed it when it was there before."""
    words = prompt.split()
    return words[-1], words[words.index(words[-1]) + 1]


@pytest.mark.parametrize("split", SPLITS)
def test_induction_pairs_exchange_two_bigrams(split):
    for pair in draws("induction", split):
        (x, b), (y, c) = followers(pair.clean), followers(pair.corrupt)
        assert (pair.answer, pair.foil) == (f" {b}", f" {c}")
        assert sorted([*pair.clean.split(), y]) == sorted([*pair.corrupt.split(), x])
        assert followers(f"{pair.clean} {y}") == (y, c)
        assert pair.clean.split()[0] == pair.corrupt.split()[0] not in (x, y)
        assert len(set(pair.clean.split())) == len(pair.clean.split()) - 1
        assert len(pair.clean.split()) <= 15  # positions that the model knows


@pytest.mark.parametrize("split", SPLITS)
def test_opposite_pairs_ask_for_the_opposite(split):
    from ctviz.english import OPPOSITES

    for pair in draws("opposite", split):
        for prompt, said in ((pair.clean, pair.answer), (pair.corrupt, pair.foil)):
            assert {followers(prompt)[1], said.strip()} in [set(both) for both in OPPOSITES]
            assert said.strip() not in prompt.split()
        assert pair.clean.split()[:2] == pair.corrupt.split()[:2]


@pytest.mark.parametrize("split", SPLITS)
def test_echo_pairs_share_nothing_but_the_first_word(split):
    for pair in draws("echo", split):
        clean, corrupt = pair.clean.split(), pair.corrupt.split()
        assert (pair.answer, pair.foil) == (f" {clean[-1]}", f" {corrupt[-1]}")
        assert set(clean) & set(corrupt) == {clean[0]} == {corrupt[0]}
        assert len(clean) == len(corrupt)
