"""What each method may move, when it looks for a circuit, and that all get the same batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ctviz.attribution.attribute import attribute
from ctviz.circuits.scores import Circuit
from ctviz.circuits.selection import top_edges
from ctviz.errors import CtvizError, EmptyCircuit, OutOfRange, UnknownName
from ctviz.interventions.faithfulness import metric_of_model
from ctviz.models.loading import load
from ctviz.runs.config import METHODS, TuneConfig
from ctviz.runs.snapshot import StepRecord
from ctviz.tuning import loop
from ctviz.tuning.checkpoint import save_checkpoint
from ctviz.tuning.loop import Tuning
from ctviz.tuning.lora import is_adapter, merged
from ctviz.tuning.methods import select_circuit
from ctviz.tuning.ownership import owned_units
from tests.owned_by_hand import allowed, bits
from tests.short_runs import config, records, shorten, snapshots, tuning

PARTIAL = ("circuit", "frozen-circuit", "circuit-and-random", "random", "lora")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    shorten(monkeypatch)


class Watched:
    """A run with what happened in it, step by step."""

    def __init__(self, **changes):
        self.tuning = tuning(**changes)
        self.untuned = bits(self.tuning.anatomy)
        self.rows, self.owned = [], []
        own, draw = self.tuning.method.own, self.tuning.batches.draw

        def next_rows():
            self.rows.append(draw())
            return self.rows[-1]

        def watched(step, batch):
            self.owned.append(own(step, batch).units)
            return own(step, batch)

        self.tuning.batches.draw = next_rows
        self.tuning.method.own = watched
        self.events = list(self.tuning)
        self.records, self.snapshots = records(self.events), snapshots(self.events)
        self.losses = [record.loss for record in self.records]


# ---------------------------------------------------------------------- one loop for all


@pytest.mark.slow
def test_all_methods_get_the_same_batches_and_another_seed_gets_others():
    rows = {method: Watched(method=method, steps=6).rows for method in METHODS}
    assert len(rows["circuit"]) == 6
    assert all(found == rows["circuit"] for found in rows.values())
    assert all(len(set(batch)) == 6 for batch in rows["circuit"])
    assert Watched(method="full", steps=6, seed=1).rows != rows["full"]


def test_every_example_comes_once_before_any_comes_again():
    found = tuning(batch_size=8)
    once = [row for _ in range(4) for row in found.batches.draw()]
    again = [row for _ in range(4) for row in found.batches.draw()]
    assert sorted(once) == sorted(again) == list(range(32))
    assert once != again


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_run_and_another_seed_another(method):
    one, same, other = (Watched(method=method, seed=seed) for seed in (3, 3, 4))
    assert one.losses == same.losses
    assert one.losses != other.losses
    np.testing.assert_array_equal(one.snapshots[-1].scores, same.snapshots[-1].scores)
    assert one.snapshots[-1].metrics == same.snapshots[-1].metrics
    assert (one.snapshots[-1].scores != other.snapshots[-1].scores).any()


def test_all_methods_start_from_the_same_snapshot():
    """Adapters that do nothing yet leave not even a rounding error."""
    first, *others = (next(iter(tuning(method=method))) for method in METHODS)
    for other in others:
        np.testing.assert_array_equal(first.scores, other.scores)
        assert first.metrics == other.metrics
        assert not other.tuned.any()


# ---------------------------------------------------------------------- what moves


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("sgd", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", PARTIAL)
def test_nothing_moves_that_a_step_does_not_own(method, optimizer):
    run = tuning(method=method, optimizer=optimizer, weight_decay=0.1, edges=6, steps=6)
    anatomy = run.anatomy
    before, counted, total = bits(anatomy), 0, sum(p.numel() for p in load_model().parameters())
    for event in run:
        if not isinstance(event, StepRecord):
            continue
        assert event.outside_moved == 0
        owned = list(run.optimizer.owned)
        adapters = {name for name in owned if is_adapter(name)}
        masks = {} if adapters else allowed(anatomy, owned)
        moved = 0
        for name, value in anatomy.model.named_parameters():
            changed = value.detach() != before[name]
            may = masks[name] if masks else torch.tensor(name in adapters)
            assert not (changed & ~may).any(), name
            moved += int(changed.sum())
        assert moved > 0
        size = sum(int(mask.sum()) for mask in masks.values()) if masks else run.optimizer.n_owned
        assert event.trained_fraction == size / total
        before, counted = bits(anatomy), counted + 1
    assert counted == 6


def load_model():
    return load("tiny").model


def test_full_tuning_moves_every_tensor_and_has_no_outside():
    run = Watched(method="full")
    assert [record.outside_moved for record in run.records] == [None] * 4
    assert [record.trained_fraction for record in run.records] == [1.0] * 4
    for name, value in run.tuning.anatomy.model.named_parameters():
        assert not torch.equal(value, run.untuned[name]), name
    assert (run.snapshots[-1].tuned == run.tuning.anatomy.graph.exists).all()


def test_the_meter_would_say_so(monkeypatch):
    """What moves outside by somebody else's hand is counted in the step's record."""
    run = tuning(method="circuit")
    usual = run.optimizer.step

    def step(**options):
        with torch.no_grad():
            run.anatomy.final_norm.module.bias[0] += 1e-3
        return usual(**options)

    run.optimizer.step = step
    assert [record.outside_moved for record in records(list(run))] == [1] * 4


# ---------------------------------------------------------------------- circuits


def watch_discovery(monkeypatch, **changes) -> tuple[list[int], Tuning, list]:
    """Steps at which edges are scored for a step, snapshots left aside."""
    run, steps = tuning(**changes), []

    def counting(anatomy, pairs, **options):
        if pairs is not run.dataset.score_pairs:
            steps.append(run.step + 1)
        return attribute(anatomy, pairs, **options)

    monkeypatch.setattr(loop, "attribute", counting)
    return steps, run, list(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("circuit", [1, 4, 7]),
        ("frozen-circuit", [1]),
        ("random", [1]),
        ("full", []),
        ("lora", []),
    ],
)
def test_circuits_are_discovered_when_they_are_due(monkeypatch, method, expected):
    steps, run, events = watch_discovery(
        monkeypatch, method=method, rediscover=3, steps=8, snapshot_every=4
    )
    assert steps == expected
    sizes = {record.n_circuit_edges for record in records(events)}
    assert sizes == ({30} if method.endswith("circuit") else {None})
    assert run.step == 8


def test_the_circuit_of_a_step_comes_from_its_own_batch():
    run = tuning(steps=2, snapshot_every=1)
    rows = tuning(steps=2).batches.draw()
    scores = attribute(run.anatomy, run.dataset.train_pairs[torch.tensor(rows)])
    expected = top_edges(scores, 30)
    first = snapshots(list(run))[1]
    np.testing.assert_array_equal(first.tuned, expected.mask)


def test_a_circuit_stays_between_discoveries_and_changes_at_them():
    found = [s.tuned for s in Watched(rediscover=3, steps=6, snapshot_every=1).snapshots[1:]]
    assert all((one == found[0]).all() for one in found[:3])
    assert all((one == found[3]).all() for one in found[3:])
    assert (found[0] != found[3]).any()


def test_a_frozen_circuit_is_that_of_the_first_pairs_for_good():
    run = Watched(method="frozen-circuit", rediscover=2, snapshot_every=1)
    fresh = tuning()
    expected = top_edges(attribute(fresh.anatomy, fresh.dataset.train_pairs[:12]), 30)
    for snapshot in run.snapshots[1:]:
        np.testing.assert_array_equal(snapshot.tuned, expected.mask)
    assert len(set(run.owned)) == 1
    assert set(run.owned[0]) == set(owned_units(expected))


@pytest.mark.slow
@pytest.mark.parametrize("edges", [3, 30, 200])
def test_random_units_have_the_size_of_the_first_pairs_circuit(edges):
    run = Watched(method="random", edges=edges, rediscover=2, steps=4)
    fresh = tuning()
    circuit = top_edges(attribute(fresh.anatomy, fresh.dataset.train_pairs[:12]), edges)
    sizes = {unit.name: unit.size for unit in run.tuning.method.units}
    wanted = sum(sizes[name] for name in owned_units(circuit))
    for names in run.owned:
        assert abs(sum(sizes[name] for name in names) - wanted) <= max(sizes.values())
        assert len(set(names)) == len(names) > 0
    assert run.owned[0] == run.owned[1] != run.owned[2] == run.owned[3]
    assert not run.snapshots[-1].tuned.any()
    other = Watched(method="random", edges=edges, seed=1, steps=1, snapshot_every=1)
    assert other.owned[0] != run.owned[0]


def test_the_circuit_is_what_lies_above_a_threshold():
    run = tuning(select="threshold", threshold=0.05)
    first = next(iter(run))
    expected = (np.abs(first.scores) >= 0.05) & run.anatomy.graph.exists
    np.testing.assert_array_equal(first.circuit, expected)
    assert 0 < expected.sum() < 479
    sizes = [record.n_circuit_edges for record in records(list(run))]
    assert all(0 < size < 479 for size in sizes)
    assert len(set(sizes)) > 1  # unlike with a number of edges


@pytest.mark.slow
@pytest.mark.parametrize(
    ("course", "sizes"),
    [("linear", [30, 24, 18, 12, 6]), ("cosine", [30, 26, 18, 10, 6])],
)
def test_the_number_of_edges_follows_its_course(course, sizes):
    changes = {"edges_course": course, "edges_end": 6, "steps": 5, "snapshot_every": 5}
    run = Watched(**changes)
    assert [record.n_circuit_edges for record in run.records] == sizes
    assert [int(s.circuit.sum()) for s in run.snapshots] == [30, 6]
    grown = Watched(**{**changes, "edges": 6, "edges_end": 30})
    assert [record.n_circuit_edges for record in grown.records] == sizes[::-1]


def test_a_course_of_one_step_is_its_start():
    one = config(steps=1, snapshot_every=1, edges_course="linear", edges_end=6)
    assert one.edges_at(1) == 30


def test_courses_and_choices_that_make_no_sense_are_refused():
    with pytest.raises(CtvizError, match="a course needs an end"):
        config(edges_course="linear")
    with pytest.raises(CtvizError, match="an end a course"):
        config(edges_end=6)
    with pytest.raises(UnknownName, match="Known selects: top, threshold, greedy, nodes, specific"):
        config(select="largest")
    with pytest.raises(OutOfRange, match="threshold"):
        config(threshold=-1.0)
    with pytest.raises(UnknownName, match="frozen-circuit, circuit-and-random, random, full"):
        config(method="half")


def test_a_threshold_that_nothing_reaches_is_explained(monkeypatch):
    run = tuning(select="threshold", threshold=1e6)
    with pytest.raises(EmptyCircuit, match=r"step 0 .* the largest is .* Lower the threshold"):
        list(run)
    scores = attribute(run.anatomy, run.dataset.dev_pairs)
    with pytest.raises(EmptyCircuit, match="At step 3 no edge"):
        select_circuit(scores, run.config, 3)


@pytest.mark.parametrize("method", ["circuit", "frozen-circuit", "random"])
def test_a_circuit_that_owns_nothing_is_explained(monkeypatch, method):
    def past_everything(scores, config, step):
        mask = np.zeros_like(scores.graph.exists)
        mask[scores.graph.edge("input->logits")] = True
        return Circuit(scores.graph, mask)

    monkeypatch.setattr("ctviz.tuning.methods.select_circuit", past_everything)
    with pytest.raises(EmptyCircuit, match=r"step 1 owns no parameter.*1 edge.*Take more edges"):
        list(tuning(method=method))


# ---------------------------------------------------------------------- adapters


def test_adapters_alone_move_and_the_base_weights_stay_to_the_bit():
    run = Watched(method="lora", snapshot_every=1)
    plain = dict(load_model().named_parameters())
    kept = {
        name.replace(".base_layer.", "."): value
        for name, value in run.tuning.anatomy.model.named_parameters()
        if not is_adapter(name)
    }
    assert set(kept) == set(plain)
    assert all(torch.equal(kept[name], value) for name, value in plain.items())
    names = [unit.name for unit in run.tuning.method.units]
    assert len(names) == 2 * 4 * len(run.tuning.anatomy.blocks)  # two factors of four layers each
    assert set(run.owned[0]) == set(names)
    for name, value in run.tuning.anatomy.model.named_parameters():
        assert not is_adapter(name) or not torch.equal(value, run.untuned[name]), name
    assert (run.snapshots[-1].tuned == run.tuning.anatomy.graph.exists).all()


def test_a_snapshot_of_an_adapted_model_is_one_of_the_merged_model(tmp_path):
    run = Watched(method="lora", learning_rate=3e-3, steps=6)
    last, dataset = run.snapshots[-1], run.tuning.dataset
    # through the adapters, as they are trained
    beside = metric_of_model(run.tuning.anatomy, dataset.dev_pairs).mean()
    assert last.metrics["metric"] == pytest.approx(beside, abs=1e-4)
    assert abs(last.metrics["metric"] - run.snapshots[0].metrics["metric"]) > 0.1
    # in a model of its own that never had any
    merged_model = load("tiny")
    kept = load_file(save_checkpoint(run.tuning, tmp_path, finished=True))
    with torch.no_grad():
        for name, parameter in merged_model.model.named_parameters():
            parameter.copy_(kept.pop(f"model.{name}"))
    assert not kept
    scores = attribute(merged_model.anatomy, dataset.score_pairs)
    np.testing.assert_array_equal(scores.values, last.scores)


def test_merging_ends_with_the_block_also_after_an_error():
    run = Watched(method="lora", learning_rate=3e-3)
    anatomy = run.tuning.anatomy
    before = bits(anatomy)
    ids = run.tuning.dataset.dev_pairs.clean
    with torch.no_grad():
        beside = anatomy.hidden(ids)

        def inside():
            with merged(anatomy):
                torch.testing.assert_close(anatomy.hidden(ids), beside, rtol=1e-4, atol=1e-4)
                assert any(
                    not torch.equal(p, before[n]) for n, p in anatomy.model.named_parameters()
                )
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            inside()
        assert all(torch.equal(p, before[n]) for n, p in anatomy.model.named_parameters())
        torch.testing.assert_close(anatomy.hidden(ids), beside, rtol=0, atol=0)


def test_the_rank_and_the_seed_decide_the_adapters():
    one, other, wide = (
        tuning(method="lora", lora_rank=rank, seed=seed) for rank, seed in ((2, 0), (2, 1), (4, 0))
    )
    torch.manual_seed(99)  # nobody else's seed
    again = tuning(method="lora", lora_rank=2)

    def factors(run):
        return {u.name: u.parts[0].view for u in run.method.units}

    assert all(torch.equal(a, factors(again)[name]) for name, a in factors(one).items())
    assert any(not torch.equal(a, factors(other)[name]) for name, a in factors(one).items())
    assert sum(u.size for u in wide.method.units) == 2 * sum(u.size for u in one.method.units)
    assert one.n_parameters == sum(p.numel() for p in load_model().parameters())


def test_every_setting_of_a_method_is_in_the_config_that_a_run_stores():
    asked = config(method="random", rediscover=3, edges_course="cosine", edges_end=9, lora_rank=2)
    assert TuneConfig.from_dict(asked.to_dict()) == asked


# ---------------------------------------------------------------------- beside the circuit


def test_random_parts_beside_the_circuit_are_drawn_once_from_what_it_does_not_own():
    run, circuit = (
        Watched(method=method, edges=6, rediscover=2, attribution="eap")
        for method in ("circuit-and-random", "circuit")
    )
    sizes = {unit.name: unit.size for unit in run.tuning.method.units}
    first = set(circuit.owned[0])
    added = set(run.owned[0]) - first
    outside = sum(size for name, size in sizes.items() if name not in first)
    assert sum(sizes[name] for name in added) == pytest.approx(0.1 * outside, rel=0.3)
    assert first < set(run.owned[0])
    for units in run.owned:
        assert added <= set(units)
    state = run.tuning.method.state()
    again = tuning(method="circuit-and-random", edges=6).method
    again.load_state(state)
    assert {again.units[row].name for row in state["added"].tolist()} == added
    assert set(again.own(2, None).units) == set(run.owned[-1])


def test_another_share_and_another_seed_add_other_parts():
    few, many, other = (
        set(tuning(method="circuit-and-random", edges=6, **changes).method.own(1, None).units)
        for changes in ({"random_share": 0.05}, {"random_share": 0.5}, {"seed": 1})
    )
    assert len(few) < len(many)
    assert other not in (few, many)
    with pytest.raises(OutOfRange, match="random_share"):
        config(random_share=1.5)
