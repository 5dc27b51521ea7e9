"""EAP-IG's JSON: files as EAP-IG writes them, round trips, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctviz.circuits.eap_json import load_eap_json, save_eap_json
from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit, Scores
from ctviz.circuits.selection import top_edges
from ctviz.errors import BadCircuitFile
from tests.small_graph import circuit, scores

SHAPES = [
    (1, 1),
    (2, 2),
    (2, 3, None, True),
    (2, 4, 2),
    (1, 7, 1),
    (2, 6, 2, True),
    (2, 4, 2, False, 3),
]
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def foreign(*, older: bool = False) -> dict[str, Any]:
    """One layer of one head, spelled out as EAP-IG's two writers do."""
    inside = {"input": True, "a0.h0": True, "m0": False, "logits": True}
    cfg = {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False}
    return {
        "cfg": cfg if older else {**cfg, "d_model": 8},
        "nodes": inside if older else {name: {"in_graph": x} for name, x in inside.items()},
        "edges": {
            "input->a0.h0<q>": {"score": 0.0, "in_graph": False},
            "input->a0.h0<k>": {"score": -0.25, "in_graph": False},
            "input->a0.h0<v>": {"score": 1.5, "in_graph": True},
            "input->m0": {"score": 0.125, "in_graph": False},
            "a0.h0->m0": {"score": -3e-05, "in_graph": False},
            "input->logits": {"score": 1, "in_graph": False},
            "a0.h0->logits": {"score": -2.0, "in_graph": True},
            "m0->logits": {"score": 0.5, "in_graph": False},
        },
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("older", [False, True])
def test_both_forms_of_eap_ig_are_read(tmp_path, older):
    read = load_eap_json(write(tmp_path / "graph.json", foreign(older=older)))
    found, inside = read.scores, read.circuit
    assert found is not None
    graph = found.graph
    assert graph == inside.graph == Graph(1, 1)
    assert inside.edges() == ["input->a0.h0<v>", "a0.h0->logits"]
    assert found.values.dtype == np.float32
    assert found.values[graph.edge("input->a0.h0<k>")] == np.float32(-0.25)
    assert found.values[graph.edge("a0.h0->m0")] == np.float32(-3e-05)
    assert found.values[graph.edge("input->logits")] == 1


def test_what_is_written_has_the_form_of_eap_ig(tmp_path):
    path = tmp_path / "graph.json"
    read = load_eap_json(write(path, foreign()))
    found, inside = read.scores, read.circuit
    assert found is not None
    save_eap_json(path, found, inside, d_model=8)
    written, expected = json.loads(path.read_text()), foreign()
    assert written["cfg"] == expected["cfg"]
    assert written["nodes"] == expected["nodes"]
    assert written["edges"].keys() == expected["edges"].keys()
    for name, edge in written["edges"].items():
        assert edge == {
            "score": float(np.float32(expected["edges"][name]["score"])),
            "in_graph": expected["edges"][name]["in_graph"],
        }
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written is left


def test_a_node_is_inside_with_an_edge_in_and_an_edge_out(tmp_path):
    path = tmp_path / "graph.json"
    inside = circuit("input->m0", "a0.h1->m1", "m1->logits", "m0->a1.h0<k>")
    save_eap_json(path, scores(), inside)
    nodes = json.loads(path.read_text())["nodes"]
    assert [name for name, node in nodes.items() if node["in_graph"]] == [
        *("input", "m0", "m1", "logits")
    ]


def test_a_shared_edge_is_written_for_each_head_with_an_equal_share(tmp_path):
    path = tmp_path / "graph.json"
    graph = Graph(1, 4, 2)
    found = scores(graph, **{"input->a0.g1<k>": 3.0, "input->a0.h0<q>": 1.0})
    save_eap_json(path, found, circuit("input->a0.g1<k>", graph=graph))
    content = json.loads(path.read_text())
    assert content["cfg"]["n_kv_heads"] == 2
    assert "d_model" not in content["cfg"]
    edges = content["edges"]
    assert len(edges) == Graph(1, 4).n_edges
    assert edges["input->a0.h2<k>"] == edges["input->a0.h3<k>"] == {"score": 1.5, "in_graph": True}
    assert edges["input->a0.h0<k>"] == {"score": 0.0, "in_graph": False}
    assert edges["input->a0.h0<q>"] == {"score": 1.0, "in_graph": False}
    read = load_eap_json(path)
    back = read.scores
    assert back is not None
    assert back.graph == graph
    assert back.values[graph.edge("input->a0.g1<k>")] == 3.0

    del content["cfg"]["n_kv_heads"]
    read = load_eap_json(write(path, content))
    plain, inside = read.scores, read.circuit
    assert plain is not None
    assert plain.graph == Graph(1, 4)
    assert plain.values[plain.graph.edge("input->a0.h3<k>")] == 1.5
    assert inside.edges() == ["input->a0.h2<k>", "input->a0.h3<k>"]


@settings(deadline=None, max_examples=60)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 10_000), data=st.data())
def test_a_round_trip_is_exact(tmp_path_factory, shape, seed, data):
    path = tmp_path_factory.mktemp("exchange") / "graph.json"
    graph = Graph(*shape)
    rng = np.random.default_rng(seed)
    size = np.clip(rng.lognormal(0, 25, graph.exists.shape), SMALLEST, LARGEST)
    values = (rng.choice([-1, 0, 1], size.shape) * size * graph.exists).astype(np.float32)
    rows, columns = np.nonzero(graph.exists)
    for extreme in (LARGEST, -LARGEST, SMALLEST, -0.0):
        at = data.draw(st.integers(0, len(rows) - 1))
        values[rows[at], columns[at]] = extreme
    found = Scores(graph, values)
    inside = top_edges(found, data.draw(st.integers(1, graph.n_edges)))
    save_eap_json(path, found, inside)
    read = load_eap_json(path)
    back, mask = read.scores, read.circuit
    assert back is not None
    assert back.graph == mask.graph == graph
    assert (back.values == values).all()
    assert (mask.mask == inside.mask).all()


def test_edges_that_are_not_listed_are_outside_with_score_zero(tmp_path):
    content = foreign()
    del content["edges"]["a0.h0->logits"]
    read = load_eap_json(write(tmp_path / "graph.json", content))
    found, inside = read.scores, read.circuit
    assert found is not None
    assert found.values[found.graph.edge("a0.h0->logits")] == 0
    assert inside.edges() == ["input->a0.h0<v>"]


@pytest.mark.parametrize("null", [True, False])
def test_a_file_of_membership_alone_has_no_scores(tmp_path, null):
    content = foreign()
    for edge in content["edges"].values():
        del edge["score"]
        if null:
            edge["score"] = None
    read = load_eap_json(write(tmp_path / "graph.json", content))
    found, inside = read.scores, read.circuit
    assert found is None
    assert inside.n_edges == 2


def changed(*keys: str, to: Any) -> dict[str, Any]:
    content = foreign()
    place = content
    for key in keys[:-1]:
        place = place[key]
    if to is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return content


EDGE = {"score": 1.0, "in_graph": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ([1], "the file is a list"),
        (changed("cfg", to=None), "has no 'cfg'"),
        (changed("nodes", to=None), "has no 'nodes'"),
        (changed("edges", to=None), "has no 'edges'"),
        (changed("cfg", to=3), "cfg is a int"),
        (changed("cfg", "n_layers", to=None), "no 'n_layers'"),
        (changed("cfg", "n_heads", to=True), "no 'n_heads'"),
        (changed("cfg", "n_heads", to=0), "n_heads is 0"),
        (changed("cfg", "n_layers", to=10**9), "too many"),
        (changed("cfg", "n_kv_heads", to=2), "n_kv_heads is 2"),
        (changed("cfg", "n_kv_heads", to="1"), "no 'n_kv_heads'"),
        (changed("cfg", "parallel_attn_mlp", to=None), "no 'parallel_attn_mlp'"),
        (changed("cfg", "parallel_attn_mlp", to=True), "edge 'a0.h0->m0' cannot exist in a model"),
        (changed("nodes", "a0.h7", to={"in_graph": True}), "node 'a0.h7' does not exist"),
        (changed("nodes", "m0", to=1), "node 'm0' is a int"),
        (changed("nodes", "m0", to={}), "node 'm0' has no 'in_graph'"),
        (changed("edges", "m0", to=EDGE), "edge 'm0' cannot exist"),
        (changed("edges", "input->a0.h3<q>", to=EDGE), "edge 'input->a0.h3<q>' cannot exist"),
        (changed("edges", "m0->a0.h0<q>", to=EDGE), "edge 'm0->a0.h0<q>' cannot exist"),
        (changed("edges", "logits->m0", to=EDGE), "edge 'logits->m0' cannot exist"),
        (changed("edges", "input->m0", to=0.5), "edge 'input->m0' is a float"),
        (changed("edges", "input->m0", "in_graph", to=None), "edge 'input->m0' has no 'in_graph'"),
        (changed("edges", "input->m0", "score", to="x"), "edge 'input->m0' is 'x', not a number"),
        (changed("edges", "input->m0", "score", to=True), "edge 'input->m0' is True, not a number"),
        (changed("edges", "input->m0", "score", to=float("nan")), "'input->m0' is nan, but must"),
        (changed("edges", "input->m0", "score", to=float("-inf")), "'input->m0' is -inf, but must"),
        (changed("edges", "input->m0", "score", to=1e39), r"'input->m0' is 1e\+39, but must"),
        (changed("edges", "input->m0", "score", to=None), "edge 'input->m0' has no score"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, content, message):
    path = write(tmp_path / "wrong.json", content)
    with pytest.raises(BadCircuitFile, match=message) as caught:
        load_eap_json(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(BadCircuitFile, match=r"none\.json does not exist"):
        load_eap_json(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadCircuitFile, match=r"binary\.json cannot be read"):
        load_eap_json(tmp_path / "binary.json")


def test_the_heads_of_a_group_are_joined_and_counted(tmp_path):
    """As TransformerLens with ungrouped keys and values writes them: each head by itself."""
    path = tmp_path / "graph.json"
    graph = Graph(1, 2, 1)
    save_eap_json(path, scores(graph), circuit("input->a0.g0<v>", graph=graph))
    content = json.loads(path.read_text())
    content["edges"]["input->a0.h1<v>"]["in_graph"] = False
    content["edges"]["input->a0.h0<v>"]["score"] = 0.25
    content["edges"]["input->a0.h1<v>"]["score"] = -2.0
    del content["cfg"]["n_kv_heads"]
    read = load_eap_json(write(path, content), n_kv_heads=1)
    assert (read.joined, read.circuit.edges()) == (1, ["input->a0.g0<v>"])
    column = graph.slot_names.index("a0.g0<v>")
    assert read.scores.values[0, column] == -1.75
    assert read.found_on is None
    alone = load_eap_json(path)  # of a model in which each head has its own
    assert (alone.joined, alone.circuit.edges()) == (0, ["input->a0.h0<v>"])


def test_what_a_circuit_was_found_on_goes_with_it(tmp_path):
    path = tmp_path / "graph.json"
    about = {"task": "sva", "scored_split": "train", "seed": 3}
    save_eap_json(path, scores(), circuit(), found_on=about)
    assert load_eap_json(path).found_on == about
    content = json.loads(path.read_text())
    content["found_on"] = 3
    with pytest.raises(BadCircuitFile, match="found_on is a int"):
        load_eap_json(write(path, content))


def test_scores_of_each_head_are_written_as_they_are(tmp_path):
    path, graph = tmp_path / "graph.json", Graph(2, 4, 2)
    plain = Graph(2, 4)
    each = np.where(plain.exists, np.arange(plain.exists.size).reshape(plain.exists.shape), 0.0)
    slot_of, _ = graph.feed_pairs
    sums = np.stack([each[:, slot_of == c].sum(axis=1) for c in range(len(graph.slots))], axis=1)
    values = Scores(graph, sums.astype(np.float32))
    save_eap_json(path, values, Circuit(graph, graph.exists), ungrouped=each)
    kept = json.loads(path.read_text())["edges"]
    for row, column in np.argwhere(plain.exists):
        assert kept[plain.edge_name(row, column)]["score"] == each[row, column]
    np.testing.assert_allclose(load_eap_json(path).scores.values, sums, rtol=1e-6)
    with pytest.raises(ValueError, match="ungrouped scores are"):
        save_eap_json(path, values, Circuit(graph, graph.exists), ungrouped=sums)


def test_shared_scores_must_be_finite_together(tmp_path):
    path = tmp_path / "graph.json"
    graph = Graph(1, 2, 1)
    save_eap_json(path, scores(graph), circuit("input->a0.g0<v>", graph=graph))
    content = json.loads(path.read_text())
    content["edges"]["input->a0.h1<v>"]["in_graph"] = True
    for head in (0, 1):
        content["edges"][f"input->a0.h{head}<k>"]["score"] = LARGEST
    with pytest.raises(BadCircuitFile, match=r"share edge 'input->a0\.g0<k>'.*no finite number"):
        load_eap_json(write(path, content))


def test_only_scores_and_circuits_of_one_model_are_written(tmp_path):
    path = tmp_path / "graph.json"
    other = Graph(1, 2)
    with pytest.raises(ValueError, match="The scores are of"):
        save_eap_json(path, scores(), Circuit(other, other.exists))
    with pytest.raises(ValueError, match="d_model is 0"):
        save_eap_json(path, scores(), circuit(), d_model=0)
    assert not path.exists()
