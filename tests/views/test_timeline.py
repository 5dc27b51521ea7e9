"""The payload of the player: round trips, quantisation, what is kept, and odd runs."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from ctviz.bench.synthetic import CASES, timeline
from ctviz.circuits.graph import Graph
from ctviz.export import draw_timeline
from ctviz.runs.groups import NodeGroup
from ctviz.views.encoding import (
    unpack_attention,
    unpack_bits,
    unpack_redundancy,
    unpack_scores,
    unpack_series,
)
from ctviz.views.layout import place
from ctviz.views.packing import pack
from ctviz.views.recorded import recorded
from ctviz.views.timeline import Probe, Timeline
from ctviz.views.view import View
from tests.written_runs import write_run


def kept(payload: dict, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the payload's edges."""
    rows = np.array([row for row, _ in payload["edges"]], dtype=int)
    columns = [graph.slot(payload["slots"][slot]["name"]) for _, slot in payload["edges"]]
    return rows, np.array(columns, dtype=int)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c == "large" else ()) for c in sorted(CASES)]
)
def test_every_case_is_json_without_nan(case: str) -> None:
    payload = pack(timeline(case))
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


@pytest.mark.parametrize("case", ["tiny", "gqa", "zero", "one", "noedges"])
def test_scores_and_membership_survive(case: str) -> None:
    run = timeline(case)
    payload = pack(run)
    rows, columns = kept(payload, run.graph)
    union = np.argwhere(run.circuit.any(axis=0))
    assert len(rows) == len(union)
    assert {(r, c) for r, c in zip(rows, columns, strict=True)} == {(r, c) for r, c in union}
    exact = run.scores[:, rows, columns]
    largest = np.abs(exact).max(axis=1, initial=0)
    # int16 has 32767 steps on either side of zero; the scale itself is sent with 7 digits.
    bound = largest[:, None] * (0.5 / 32767 + 1e-6)
    assert (np.abs(unpack_scores(payload) - exact) <= bound).all()
    member = unpack_bits(payload["member"], len(run.steps), len(rows))
    np.testing.assert_array_equal(member, run.circuit[:, rows, columns])
    updated = unpack_bits(payload["updated"], len(run.steps), len(run.graph.nodes))
    np.testing.assert_array_equal(updated, run.updated)


def test_redundancy_gives_back_whole_edge_counts() -> None:
    run = timeline("gpt2")
    payload = pack(run)
    for key, exact in run.redundancy.items():
        back = unpack_redundancy(payload["redundancy"][key], len(run.steps))
        np.testing.assert_array_equal(np.isnan(back), np.isnan(exact))
        defined = ~np.isnan(exact)
        assert np.abs(back - exact)[defined].max() <= 0.5 / 65534 + 1e-12
        needed = np.rint((1 - back) * run.graph.degrees)[defined]
        np.testing.assert_array_equal(needed, np.rint((1 - exact) * run.graph.degrees)[defined])


def test_attention_survives_and_only_touched_heads_are_sent() -> None:
    run = timeline("tiny")
    payload = pack(run)
    rows, columns = kept(payload, run.graph)
    touched = {run.graph.sources[row] for row in rows}
    touched |= {node for column in columns for node in run.graph.slots[column].feeds}
    heads = {name for name in touched if name.startswith("a")}
    for probe, packed in zip(run.probes, payload["probes"], strict=True):
        assert set(packed["attention"]) == heads
        for name, text in packed["attention"].items():
            layer, head = (int(part) for part in name[1:].split(".h"))
            back = unpack_attention(text, len(run.steps), len(probe.tokens))
            assert np.abs(back - probe.attention[:, layer, head]).max() <= 0.5 / 255 + 1e-9


def test_a_budget_cuts_attention_and_keeps_the_strongest_heads() -> None:
    run = timeline("gpt2")
    small = pack(run, attention_bytes=60_000)
    spent = sum(len(text) for probe in small["probes"] for text in probe["attention"].values())
    assert 0 < spent <= 60_000
    rows, columns = kept(small, run.graph)
    size = np.abs(run.scores[:, rows, columns]).max(axis=0)
    strength: dict[str, float] = {}
    for row, column, value in zip(rows, columns, size, strict=True):
        for name in (run.graph.sources[row], *run.graph.slots[column].feeds):
            strength[name] = max(strength.get(name, 0.0), float(value))
    heads = sorted((n for n in strength if n.startswith("a")), key=lambda n: -strength[n])
    n_sent = len(small["probes"][0]["attention"])
    # Heads of equal strength, both ends of one edge, may come in either order.
    weakest = min(strength[name] for name in small["probes"][0]["attention"])
    assert weakest >= strength[heads[n_sent]]


def test_a_cap_keeps_the_strongest_edges_and_says_what_is_missing() -> None:
    run = timeline("tiny")
    whole = pack(run)["whole"]
    payload = pack(run, max_edges=20)
    assert payload["whole"] == whole | {"kept": 20, "dropped": whole["union"] - 20}
    rows, columns = kept(payload, run.graph)
    strength = np.abs(run.scores).max(axis=0)
    inside = run.circuit.any(axis=0)
    inside[rows, columns] = False
    assert strength[rows, columns].min() >= strength[inside].max()


def test_a_large_circuit_is_sent_whole_and_a_larger_one_up_to_a_bound() -> None:
    graph = Graph(30, 9, 3, mlp_blocks=24)
    strength = np.random.default_rng(0).exponential(1.0, graph.exists.shape) * graph.exists
    run = timeline("one")
    for size, kept_now in ((3000, 3000), (9000, 4000)):
        mask = strength >= np.sort(strength, axis=None)[-size]
        n = len(graph.nodes)
        cut = dataclasses.replace(
            run,
            graph=graph,
            scores=strength[None].astype(np.float32),
            circuit=mask[None],
            updated=np.zeros((1, n), dtype=bool),
            redundancy={"circuit": np.zeros((1, n))},
            probes=(),
            errors=None,
            split=None,
            moved=None,
            specific=None,
        )
        found = pack(cut)["whole"]
        assert (found["kept"], found["dropped"]) == (kept_now, size - kept_now)


@pytest.mark.slow
def test_the_promised_size() -> None:
    payload = pack(timeline("big"))  # 500 edges x 100 snapshots x 158 nodes
    assert payload["whole"]["union"] > 500
    assert len(json.dumps(payload)) < 2_000_000


def test_errors_survive_and_unknown_ones_are_marked() -> None:
    run = timeline("tiny")
    exact = np.random.default_rng(3).exponential(0.05, run.scores.shape)
    exact[2] = np.nan
    payload = pack(dataclasses.replace(run, errors=exact))
    rows, columns = kept(payload, run.graph)
    back = unpack_errors(payload)
    assert np.isnan(back[2]).all()
    largest = np.array(payload["errors"]["largest"])[:, None]
    known = np.arange(len(run.steps)) != 2
    far = np.abs(back - exact[:, rows, columns])[known]
    assert (far <= 1e-5 * largest[known]).all()


def unpack_errors(payload: dict) -> np.ndarray:
    """float [T, E] from a payload, NaN where unknown."""
    sent = payload["errors"]
    codes = unpack_series(sent["codes"], len(payload["steps"]))
    values = np.array(sent["largest"])[:, None] * codes / 65534
    return np.where(codes == 65535, np.nan, values)


def test_counts_are_of_the_whole_circuit_even_if_not_all_is_sent() -> None:
    run = timeline("gpt2")
    payload = pack(run, max_edges=50)
    assert payload["whole"]["dropped"] > 0
    assert payload["counts"]["size"] == [200] * len(run.steps)
    entered = [0] + [int((b & ~a).sum()) for a, b in itertools.pairwise(run.circuit)]
    assert payload["counts"]["entered"] == entered
    backwards = dataclasses.replace(run, circuit=run.circuit[::-1])
    other = pack(run, beside=backwards, max_edges=50)["other"]
    both = (run.circuit & run.circuit[::-1]).sum(axis=(1, 2))
    assert other["counts"]["both"] == both.tolist()


def test_query_key_and_value_quality_and_groups_are_sent() -> None:
    run = timeline("gqa")
    heads = run.graph.n_layers * run.graph.n_heads
    split = np.linspace(0, 1, len(run.steps) * heads * 3).reshape(len(run.steps), heads, 3)
    quality = np.full((len(run.steps), 5), np.nan)
    quality[0] = [0.5, 0.01, 0.02, 0.0, 0.03]
    group = NodeGroup("<i>pair</i>", ("m0", "m1"))
    changed = dataclasses.replace(run, split={"circuit": split}, quality=quality, groups=(group,))
    payload = pack(changed)
    back = unpack_redundancy(payload["split"]["circuit"], len(run.steps))
    np.testing.assert_allclose(back, split.reshape(len(run.steps), -1), atol=1e-5)
    assert payload["quality"][:2] == [[0.5, 0.01, 0.02, 0.0, 0.03], [None] * 5]
    assert payload["groups"] == [{"name": "<i>pair</i>", "nodes": ["m0", "m1"]}]


def test_maps_of_all_nodes_and_the_courses_of_edges_are_sent() -> None:
    run = timeline("tiny")
    payload = pack(run)
    known = (("effect", run.effect), ("moved", run.moved), ("specific", run.specific))
    for key, values in known:
        packed = payload["maps"][key]
        codes = unpack_series(packed["attribution"], len(run.steps)).view(np.int16)
        back = np.where(codes == -32768, np.nan, codes * packed["attribution_scale"])
        np.testing.assert_allclose(back, values, atol=packed["attribution_scale"])
    by_hand = np.mean([probe.attribution for probe in run.probes], axis=0)
    np.testing.assert_array_equal(run.effect, by_hand)
    assert len(payload["monotone"]) == len(payload["edges"])
    assert set(payload["monotone"]) <= {-1, 0, 1}
    bare = pack(dataclasses.replace(run, moved=None, specific=None, probes=(), errors=None))
    assert bare["maps"] == {}
    assert not any(bare["monotone"])


def test_every_node_has_a_place_in_the_whole_model() -> None:
    payload = pack(timeline("deep"))
    assert any(node["places"]["circuit"] is None for node in payload["nodes"])
    places = [tuple(node["places"]["model"]) for node in payload["nodes"]]
    assert len(set(places)) == len(places)
    box = payload["boxes"]["model"]
    assert all(box["left"] <= x <= box["left"] + box["width"] for x, _ in places)
    assert all(box["top"] <= y <= box["top"] + box["height"] for _, y in places)


def test_a_missing_value_becomes_null() -> None:
    payload = pack(timeline("nan"))
    metric, _, random, *_ = payload["curves"]
    assert metric["values"] == [None] * 10
    assert random["values"][3:6] == [None] * 3
    assert None not in random["values"][6:]
    assert np.isnan(unpack_redundancy(payload["redundancy"]["mass"], 10)).all()


def test_scores_that_are_not_finite_do_not_spoil_the_rest() -> None:
    run = timeline("one")
    scores = run.scores.copy()
    row, column = np.argwhere(run.circuit[0])[0]
    scores[0, row, column] = np.nan
    payload = pack(dataclasses.replace(run, scores=scores))
    back = unpack_scores(payload)[0]
    edge = payload["edges"].index(
        [row, [s["name"] for s in payload["slots"]].index(run.graph.slots[column].name)]
    )
    assert back[edge] == 0
    assert np.count_nonzero(back) == len(back) - 1


@pytest.mark.parametrize(
    "change",
    [
        {"steps": [0, 10]},
        {"circuit": np.zeros((1, 2, 2), dtype=bool)},
        {"updated": np.zeros((1, 3), dtype=bool)},
        {"redundancy": {"circuit": np.zeros((1, 3))}},
        {"probes": (dataclasses.replace(timeline("one").probes[0], predictions=[]),)},
        {"probes": (dataclasses.replace(timeline("one").probes[0], tokens=["a"]),)},
    ],
)
def test_shapes_are_checked(change: dict) -> None:
    with pytest.raises(ValueError, match="must have"):
        dataclasses.replace(timeline("one"), **change)


def test_steps_must_increase() -> None:
    run = timeline("nan")
    with pytest.raises(ValueError, match="increase"):
        dataclasses.replace(run, steps=[0] * len(run.steps))


# ---------------------------------------------------------------------- layout


def test_the_graph_reads_like_the_model() -> None:
    graph = Graph(3, 4)
    xy = place(graph, np.ones(len(graph.nodes), dtype=bool)).xy
    assert set(xy) == set(graph.nodes)
    heights = [xy[name][1] for name in ("input", "a0.h0", "m0", "a1.h0", "m1", "a2.h0", "logits")]
    assert heights == sorted(heights, reverse=True)  # y grows downwards
    assert xy["a0.h2"][0] == xy["a2.h2"][0]
    assert xy["m1"][0] > xy["a1.h3"][0]
    assert len(set(xy.values())) == len(xy)


def test_unused_layers_and_columns_of_a_large_model_take_no_room() -> None:
    graph = Graph(30, 16)
    active = np.zeros(len(graph.nodes), dtype=bool)
    for name in ("a3.h2", "a20.h9", "m20"):
        active[graph.node(name)] = True
    placement = place(graph, active)
    assert set(placement.xy) == {"input", "logits", "a3.h2", "a20.h9", "m20"}
    assert [layer for layer, _ in placement.rows] == [3, 20]
    assert [(first, last) for first, last, _ in placement.folds] == [(0, 2), (4, 19), (21, 29)]
    heights = [placement.xy["input"][1], placement.folds[0][2], placement.rows[0][1]]
    heights += [placement.folds[1][2], placement.rows[1][1], placement.folds[2][2]]
    heights.append(placement.xy["logits"][1])
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 7


def test_a_large_model_stands_along_its_residual_stream_and_a_deep_one_lies_on_its_side() -> None:
    graph = Graph(30, 16)
    active = np.zeros(len(graph.nodes), dtype=bool)
    for layer in range(12):
        for name in (f"a{layer}.h2", f"a{layer}.h{4 + layer % 4}", f"m{layer}"):
            active[graph.node(name)] = True
    upright = place(graph, active)
    assert upright.stream
    assert not upright.across
    assert upright.xy["input"][0] == upright.xy["logits"][0] == 0  # where the stream is
    for layer in range(12):
        left, right = upright.xy[f"a{layer}.h2"][0], upright.xy[f"a{layer}.h{4 + layer % 4}"][0]
        assert left < right < 0 < upright.xy[f"m{layer}"][0]
        assert right == upright.xy["a0.h4"][0]  # packed beside the stream
    active[graph.node("m12")] = True
    assert place(graph, active).across
    crowd = Graph(16, 32)
    many = place(crowd, np.ones(len(crowd.nodes), dtype=bool)).xy
    ranks = [many["a3.h31"], many["a3.h20"], many["a3.h19"], many["a3.h0"]]  # of 12, 12 and 8
    assert ranks[0][0] == ranks[2][0] > ranks[3][0]
    assert [y for _, y in ranks] == sorted(y for _, y in ranks)
    assert ranks[0][1] == ranks[1][1] < many["m3"][1] == ranks[2][1] < ranks[3][1]
    assert len(set(many.values())) == len(many)
    small = place(Graph(8, 12), np.ones(len(Graph(8, 12).nodes), dtype=bool))
    assert not small.stream


def test_blocks_that_take_part_stand_beside_their_mlp() -> None:
    graph = Graph(30, 9, 3, mlp_blocks=24)
    active = np.zeros(len(graph.nodes), dtype=bool)
    for name in ("a3.h2", "m3.b7", "m3.b20", "m4.b0"):
        active[graph.node(name)] = True
    xy = place(graph, active).xy
    assert set(xy) == {"input", "logits", "a3.h2", "m3", "m3.b7", "m3.b20", "m4", "m4.b0"}
    assert xy["a3.h2"][0] < xy["m3"][0] < xy["m3.b7"][0] < xy["m3.b20"][0]
    assert xy["m3"][1] == xy["m3.b7"][1] == xy["m3.b20"][1] > xy["m4.b0"][1]
    assert xy["m4.b0"][0] == xy["m3.b7"][0]


def test_a_run_with_blocks_is_packed_and_drawn() -> None:
    run = timeline("blocks")
    payload = pack(run)
    blocks = [n for n in payload["nodes"] if n["kind"] == "block" and n["places"]["circuit"]]
    assert blocks
    assert all(node["name"] == f"m{node['layer']}.b{node['unit']}" for node in blocks)
    mlps = [node for node in payload["nodes"] if node["kind"] == "mlp"]
    assert [node["name"] for node in mlps] == [f"m{layer}" for layer in range(30)]
    assert payload["shape"]["blocks"] == 24
    assert len(json.dumps(payload)) < 2_000_000
    for heat in ("nodes", "steps"):
        assert draw_timeline(run, "svg", View(heat=heat), origin="made up").content


def test_shared_heads_are_drawn_below_their_group() -> None:
    payload = pack(timeline("gqa"))
    nodes = {node["name"]: node for node in payload["nodes"]}
    shared = [slot for slot in payload["slots"] if ".g" in slot["name"]]
    assert shared
    for slot in shared:
        anchor = payload["nodes"][slot["node"]]
        members = [payload["nodes"][n] for n in slot["feeds"]]
        assert anchor["kind"] == "kv"
        assert len(members) == 3
        x, y = anchor["places"]["circuit"]
        places = [member["places"]["circuit"] for member in members]
        assert all(y > other for _, other in places)
        assert x == pytest.approx(np.mean([other for other, _ in places]), abs=0.02)
    assert nodes["logits"]["degree"] == 1 + 8 * 10


def test_positions_do_not_depend_on_time() -> None:
    run = timeline("tiny")
    shorter = Timeline(
        **{f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
        | {
            "steps": run.steps[:30],
            "scores": run.scores[:30],
            "circuit": run.circuit[:30],
            "updated": run.updated[:30],
            "probes": (),
            "redundancy": {k: v[:30] for k, v in run.redundancy.items()},
            "errors": None,
            "split": None,
            "quality": None,
            "trust": (),
            "moved": None,
            "specific": None,
        }
    )
    places = [[(n["name"], n["places"]) for n in pack(r)["nodes"]] for r in (run, shorter)]
    assert places[0] == places[1]


@pytest.mark.parametrize("case", [{"snapshots": 0}, {"snapshots": 1}, {"nan": True}])
def test_a_run_that_has_little_to_show_still_has_a_timeline(tmp_path, case: dict) -> None:
    timeline = recorded(write_run(tmp_path / "one", "tiny", **case))
    assert timeline is not None
    payload = pack(timeline)
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert len(payload["steps"]) == case.get("snapshots", len(timeline.steps))


def test_chances_are_those_kept_else_of_stored_predictions_else_unknown() -> None:
    run = timeline("tiny").on_clock([0, 1, 2, 3], [0, 1, 2, 3])
    shape = run.graph.n_layers, run.graph.n_heads, 2, 2
    probe = Probe(
        label="The key",
        tokens=["The", " key"],
        answer=" is",
        foil=" are",
        predictions=[
            [(" is", 0.5), (" was", 0.25)],  # kept as well: what was kept is exact
            [(" is", 0.5), (" are", 0.25)],
            [(" was", 0.5), (" is", 0.25)],
            [(" is", 0.5), (" is", 0.25)],  # two tokens that are written alike
        ],
        attention=np.zeros((4, *shape)),
        attribution=np.zeros((4, len(run.graph.nodes))),
        chances=np.array([[0.50001, 0.0625], *[[np.nan, np.nan]] * 3]),
    )
    unknown = [[0.5, 0.0625], [0.5, 0.25], [0.25, None], [None, None]]
    found = pack(dataclasses.replace(run, probes=(probe,)))["probes"][0]["chances"]
    assert found == unknown
    old = dataclasses.replace(probe, chances=None)
    found = pack(dataclasses.replace(run, probes=(old,)))["probes"][0]["chances"]
    assert found == [[0.5, None], *unknown[1:]]
