"""The benchmarks measure what they say; nothing here asserts a time."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from ctviz.attribution.attribute import attribute
from ctviz.bench.abilities import bench_abilities, guessing
from ctviz.bench.attribution import bench_attribution
from ctviz.bench.memory import peak_memory
from ctviz.bench.run import bench_run
from ctviz.bench.scaling import bench_scaling, exponent
from ctviz.bench.tuning import bench_tuning
from ctviz.bench.workloads import least_work
from ctviz.errors import CtvizError, OutOfRange, UnknownName
from ctviz.models.anatomy import Anatomy
from ctviz.tasks import TASKS, find_task
from tests.random_models import random_batch, random_model
from tests.short_runs import shorten


@pytest.mark.slow
def test_attribution_reports_its_named_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformer_lens", None)  # as if it were not installed
    result = bench_attribution("tiny", batch=2, tokens=4, rounds=1, device="cpu")
    assert result["ratio_to_training_step"] > 0
    assert result["floor"] > 0
    assert result["ratio_to_floor"] == pytest.approx(
        result["ratio_to_training_step"] / result["floor"], rel=0.01
    )
    assert result["peak_memory_ratio"] > 0
    assert result["peak_memory_mb"] > 1
    assert result["device"] == "cpu"
    assert result["rounds"] == 1
    assert result["machine"]["cores"] >= 1
    assert result["ratio_to_reference"] is None
    assert result["max_score_difference"] is None
    assert "pip install 'ctviz[reference]'" in result["reference"]


def test_blocks_of_neurons_are_measured_and_have_no_reference() -> None:
    """Four layers of four heads, and MLPs of four blocks, counted one by one."""
    result = bench_attribution(
        "tiny", mlp_block=128, batch=2, tokens=4, rounds=1, device="cpu", memory=False
    )
    before, edges = 1, 0  # nodes in front of a part of the model, and what they send into it
    for slots, nodes in [(12, 4), (4, 4)] * 4 + [(1, 0)]:
        edges += before * slots
        before += nodes
    assert (result["mlp_block"], result["n_edges"]) == (128, edges)
    assert result["reference"] == "It has no blocks of neurons."
    with pytest.raises(OutOfRange, match="the nearest are 64 and 128"):
        bench_attribution("tiny", mlp_block=100, memory=False, device="cpu")


def test_attribution_takes_the_other_method() -> None:
    result = bench_attribution(
        "tiny",
        batch=2,
        tokens=4,
        rounds=1,
        method="eap-ig",
        device="cpu",
        memory=False,
        reference=False,
    )
    assert result["method"] == "eap-ig"
    assert result["peak_memory_ratio"] is None


@pytest.mark.parametrize("runs", [1, 3])
def test_the_floor_is_forward_passes_and_backward_ones_without_parameters(runs: int) -> None:
    anatomy = Anatomy(random_model("gpt2"))
    seen: list[bool] = []
    block = anatomy.blocks[0].module
    forward = block.register_forward_pre_hook(lambda _, x: seen.append(x[0].requires_grad))
    back: list[bool] = []
    backward = block.register_full_backward_hook(lambda *_: back.append(True))
    asked = [p.requires_grad for p in anatomy.model.parameters()]
    least_work(anatomy, random_batch(), runs=runs)
    forward.remove()
    backward.remove()
    assert len(seen) == 1 + runs
    assert back == [True] * runs
    assert all(p.grad is None for p in anatomy.model.parameters())
    assert asked == [p.requires_grad for p in anatomy.model.parameters()]


def test_unknown_shapes_are_refused() -> None:
    with pytest.raises(UnknownName, match="tiny"):
        bench_attribution("large", memory=False)


@pytest.mark.skipif(shutil.which("false") is None, reason="there is no `false` on this system")
def test_a_failed_measurement_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(CtvizError, match="exit code 1"):
        peak_memory("eap", "tiny", mlp_block=0, batch=2, tokens=4, device="cpu")


def test_exponent_recovers_a_power_law() -> None:
    sizes = np.array([2, 4, 8, 16])
    assert exponent(sizes, 3.5 * sizes**1.25) == pytest.approx(1.25)
    noise = np.array([1.02, 0.98, 0.99, 1.01])
    assert exponent(sizes, sizes**0.5 * noise) == pytest.approx(0.5, abs=0.02)


def test_scaling_reports_a_row_a_model_and_the_exponents() -> None:
    result = bench_scaling(
        series=(1, 2), fixed=2, d_model=16, batch=2, tokens=4, rounds=1, device="cpu"
    )
    assert [(row["layers"], row["heads"]) for row in result["table"]] == [(1, 2), (2, 2), (2, 1)]
    assert [row["edges"] for row in result["table"]] == [13, 46, 23]
    assert set(result["exponents"]) == {"layers", "heads", "edges"}
    assert all(row["microseconds_per_token"] > 0 for row in result["table"])


@pytest.mark.slow
def test_tuning_reports_its_named_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    monkeypatch.setattr("ctviz.bench.tuning.EVERY", 2)
    monkeypatch.setattr("ctviz.bench.tuning.RUN_STEPS", 3)
    result = bench_tuning("tiny", rounds=1, device="cpu")
    for found in (result, result["random_tokens"]):
        for name in ("every_step", "every_8"):
            low, high = found[f"ratio_{name}_range"]
            assert 0 < low == found[f"ratio_{name}"] == high
    assert result["peak_memory_ratio"] == pytest.approx(
        result["peak_memory_mb"] / result["peak_memory_mb_full"], abs=1e-3
    )
    assert result["run_steps"] == 3
    with pytest.raises(UnknownName, match="smollm2-135m"):
        bench_tuning("gpt2-small")


@pytest.mark.slow
def test_a_run_reports_what_a_person_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    monkeypatch.setattr("ctviz.bench.run.STEPS", 4)
    monkeypatch.setattr("ctviz.bench.run.SNAPSHOTS", 2)
    result = bench_run("tiny", device="cpu")
    assert (result["steps"], result["snapshots"], result["evaluate"]) == (4, 3, "quick")
    for run in (result["first"], result["again"]):
        assert 0 < run["first_snapshot_seconds"] < run["total_seconds"]
        assert run["total_seconds"] >= run["steps_seconds"]
        assert run["ratio_to_steps"] >= 1
        assert sum(run["phases"].values()) <= run["total_seconds"]
    assert result["discover_to_scoring"] > 1
    assert result["two_at_once"] > 0
    with pytest.raises(UnknownName, match="smollm2-135m"):
        bench_run("gpt2-small")


@pytest.mark.slow
def test_abilities_say_who_does_what_and_who_cannot_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = ("sva", "word-problems", "gender")
    monkeypatch.setattr("ctviz.bench.abilities.TASKS", {key: TASKS[key] for key in wanted})
    monkeypatch.setattr("ctviz.bench.abilities.ENOUGH", {"train": 50, "dev": 20, "test": 20})
    rows = bench_abilities(models=("tiny",), examples=20, device="cpu")["tasks"]
    assert set(rows) == {
        f"{t.key}:{x.key}" if x.key != t.usual else t.key
        for t in map(find_task, wanted)
        for x in t.levels
    }
    assert rows["sva"]["models"]["tiny"]["above"] is True
    assert rows["sva"]["sizes"] == {"train": 50, "dev": 20, "test": 20}
    assert rows["word-problems:3"]["models"]["tiny"].get("above") is not True
    assert rows["gender"]["models"]["tiny"]["guess"] is None


def test_a_guesser_says_what_is_most_frequent() -> None:
    reading = find_task("reading")
    dev = reading.examples(60, split="dev")
    silent = sum(e.accepted == ("no answer",) for e in dev) / len(dev)
    assert guessing(reading, dev) == pytest.approx(silent, abs=0.05)
    assert guessing(find_task("logic"), find_task("logic").examples(9, split="dev")) == (
        pytest.approx(1 / 3)
    )
    assert guessing(find_task("gender"), []) is None


@pytest.mark.filterwarnings("ignore")  # TransformerLens' own
@pytest.mark.parametrize("method", ["eap", "eap-ig"])
@pytest.mark.parametrize("name", ["gpt2", "llama-grouped"])
def test_reference_agrees(name: str, method: str) -> None:
    pytest.importorskip(
        "transformer_lens",
        reason="TransformerLens is not installed: pip install 'ctviz[reference]'",
        exc_type=ImportError,
    )
    from ctviz.bench.reference import build_reference, reference_scores

    anatomy, batch = Anatomy(random_model(name)), random_batch()
    reference = build_reference(anatomy)
    ours = attribute(anatomy, batch, method=method).values
    for frozen in (False, True):
        theirs = reference_scores(reference, batch, method=method, frozen=frozen).numpy()
        theirs = np.where(anatomy.graph.exists, theirs, 0)
        # float32 somewhere inside either library's norms: not to the last digit of float64
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
