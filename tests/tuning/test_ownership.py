"""The freeze promise: what the circuit does not own does not move, not by one bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.scores import Circuit
from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy
from ctviz.tuning.ownership import (
    MotionMeter,
    UnitOptimizer,
    circuit_units,
    owned_units,
    whole_units,
)
from tests.owned_by_hand import allowed, bits
from tests.random_models import WHOLE_AND_CUT, random_batch, random_model

whole_and_cut = pytest.mark.parametrize("anatomy", WHOLE_AND_CUT, indirect=True)
OPTIMIZERS = {
    "sgd": lambda views: torch.optim.SGD(views, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adamw": lambda views: torch.optim.AdamW(views, lr=0.01, weight_decay=0.1, fused=True),
}


def one_step(anatomy: Anatomy, optimizer: UnitOptimizer, names: list[str], seed: int) -> None:
    batch = random_batch(seed=seed)
    optimizer.own(names)
    (
        -BatchMetric(anatomy, batch, "logit_difference")(anatomy.hidden(batch.clean)).mean()
    ).backward()
    optimizer.step(max_norm=1.0)


@pytest.mark.parametrize("mlp_block", [0, 8])
@pytest.mark.parametrize("family", ["gpt2", "llama", "llama-grouped"])
@pytest.mark.parametrize("kind", sorted(OPTIMIZERS))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_not_owned_does_not_move(family, kind, mlp_block, data):
    anatomy = Anatomy(random_model(family, dtype=torch.float32), mlp_block=mlp_block)
    optimizer = UnitOptimizer(circuit_units(anatomy), OPTIMIZERS[kind])
    meter = MotionMeter(anatomy, optimizer.units.values())
    for step in range(4):
        size = data.draw(st.integers(1, 60))
        circuit = random_circuit(anatomy.graph, size, seed=data.draw(st.integers(0, 99)))
        names = owned_units(circuit)
        before = bits(anatomy)
        one_step(anatomy, optimizer, names, seed=step)
        may_move = allowed(anatomy, names)
        moved = 0
        for name, value in anatomy.model.named_parameters():
            changed = value.detach() != before[name]
            assert not (changed & ~may_move[name]).any(), name
            moved += int(changed.sum())
        assert moved == 0 or names
        assert optimizer.n_owned == sum(int(mask.sum()) for mask in may_move.values())
        assert meter.moved(names) == []


@whole_and_cut
def test_a_slot_owns_the_outputs_that_attribution_reads_as_its_own(anatomy):
    """The conformance tests prove `Projection.take`; ownership cuts by `Projection.columns`."""
    units = {unit.name: unit for unit in circuit_units(anatomy)}
    for slot in anatomy.graph.slots:
        if slot.kind not in "qkv":
            continue
        projection = anatomy.blocks[slot.layer].projection(slot.kind)
        width = projection.module.weight.numel() // anatomy.d_model
        own = projection.take(torch.arange(width))[slot.unit]
        columns = projection.columns(slot.unit)
        assert own.tolist() == list(range(columns.start, columns.stop))
        assert all(
            part.parameter.ndim == 1 or columns in part.index for part in units[slot.name].parts
        )
    everything = Circuit(anatomy.graph, anatomy.graph.exists.copy())
    assert set(owned_units(everything)) == set(units)


@pytest.mark.parametrize("kind", sorted(OPTIMIZERS))
@whole_and_cut
def test_owned_units_move_and_come_back(kind, anatomy):
    anatomy = Anatomy(anatomy.model.float(), mlp_block=anatomy.mlp_block)
    one, other = anatomy.graph.mlp_nodes(0)[0], anatomy.graph.mlp_nodes(1)[-1]
    optimizer = UnitOptimizer(circuit_units(anatomy), OPTIMIZERS[kind])
    start = bits(anatomy)
    one_step(anatomy, optimizer, ["a1.h0<out>", f"{one}<in>"], seed=0)
    after_one = bits(anatomy)
    one_step(anatomy, optimizer, [f"{other}<out>"], seed=1)
    after_two = bits(anatomy)
    one_step(anatomy, optimizer, ["a1.h0<out>", f"{one}<in>"], seed=2)
    after_three = bits(anatomy)
    unit = optimizer.units[f"{one}<in>"].parts[0].parameter
    name = next(n for n, p in anatomy.model.named_parameters() if p is unit)
    assert not torch.equal(start[name], after_one[name])
    assert torch.equal(after_one[name], after_two[name])
    assert not torch.equal(after_two[name], after_three[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_meter_sees_a_single_bit_and_what_sums_would_miss(dtype):
    anatomy = Anatomy(random_model("gpt2", dtype=dtype))
    units = circuit_units(anatomy)
    meter = MotionMeter(anatomy, units)
    assert meter.moved([]) == []
    outside = anatomy.blocks[1].attention_out.bias  # in no unit
    heads = anatomy.blocks[0].attention_out.weight
    d = anatomy.d_head
    with torch.no_grad():
        outside[3] = torch.nextafter(outside[3], torch.tensor(10.0, dtype=dtype))
        heads[0, 0] += 0.5
        heads[1, 0] -= 0.5  # the sum of head 0 stays
        first = heads[d, 0].clone()
        heads[d, 0] = -first  # the squares of head 1 stay
    assert meter.moved([]) == ["a0.h0<out>", "a0.h1<out>", "transformer.h.1.attn.c_proj.bias"]
    assert meter.moved([]) == []
    with torch.no_grad():
        heads[0, 0] += 0.5
    assert meter.moved(["a0.h0<out>"]) == []


def test_one_owned_step_equals_the_plain_optimizer_on_everything_owned():
    """With every unit owned, each step is what torch does on the same weights."""
    one, other = (Anatomy(random_model("gpt2", dtype=torch.float32)) for _ in range(2))
    owner = UnitOptimizer(whole_units(one), OPTIMIZERS["adamw"])
    plain = OPTIMIZERS["adamw"](list(other.model.parameters()))
    for seed in range(3):
        batch = random_batch(seed=seed)
        one_step(one, owner, list(owner.units), seed=seed)
        (
            -BatchMetric(other, batch, "logit_difference")(other.hidden(batch.clean)).mean()
        ).backward()
        torch.nn.utils.clip_grad_norm_(list(other.model.parameters()), 1.0)
        plain.step()
        plain.zero_grad()
    for (name, a), b in zip(one.model.named_parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)


def test_a_circuit_owns_readers_inputs_and_writers_outputs():
    anatomy = Anatomy(random_model("llama-grouped"))
    graph = anatomy.graph
    mask = np.zeros_like(graph.exists)
    for edge in ("input->a0.g1<k>", "a0.h4->m1", "m1->logits", "a0.h0->a1.h2<q>"):
        mask[graph.edge(edge)] = True
    assert sorted(owned_units(Circuit(graph, mask))) == [
        "a0.g1<k>",
        "a0.h0<out>",
        "a0.h4<out>",
        "a1.h2<q>",
        "m1<in>",
        "m1<out>",
    ]
