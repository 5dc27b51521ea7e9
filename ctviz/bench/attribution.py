"""What the scores of all edges cost, against one training step on the same batch and against the
usual implementation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ctviz.attribution.attribute import attribute
from ctviz.bench.memory import peak_memory
from ctviz.bench.reference import Reference, build_reference, reference_scores
from ctviz.bench.rounds import machine, take_turns
from ctviz.bench.workloads import SHAPES, least_work, model_of, random_batch, training_step
from ctviz.circuits.choices import Attribution
from ctviz.errors import UnsupportedModel
from ctviz.models.anatomy import Anatomy
from ctviz.tasks.batch import Batch

__all__ = ["SHAPES", "bench_attribution"]

RUNS = {"eap": 1, "eap-ig": 5}  # forward and backward on the clean side
REFERENCE_ROUNDS = 3  # at most: it takes many times as long


def bench_attribution(
    shape: str,
    *,
    mlp_block: int = 0,
    batch: int = 16,
    tokens: int = 16,
    method: Attribution = "eap",
    rounds: int = 7,
    device: str = "auto",
    memory: bool = True,
    reference: bool = True,
) -> dict[str, Any]:
    """Time `attribute`, a full training forward+backward, the floor and the reference in turn.

    ``mlp_block``: neurons in each node that an MLP is cut into, 0 for whole MLPs; the reference
    knows whole ones only.

    Ratios are of medians, with the range over rounds. ``ratio_to_training_step``: our seconds by
    the training step's. ``floor``: what no attribution by gradients can do without
    (`ctviz.bench.workloads.least_work`; for ``eap`` two forward passes and a backward one), by the
    training step's seconds; ``ratio_to_floor``: our seconds by its. ``ratio_to_reference``: the
    reference's seconds by ours; also with its parameters frozen. ``max_score_difference``: largest
    |ours - reference| by the largest |reference|. ``peak_memory_ratio``: our peak memory by the
    training step's, see `ctviz.bench.memory`. What is not measured is None; ``reference`` then says
    why.
    """
    ours = step = None
    if memory:
        setting: dict[str, Any] = {"batch": batch, "tokens": tokens, "device": device}
        setting["mlp_block"] = mlp_block
        ours = peak_memory(method, shape, **setting)
        step = peak_memory(None, shape, **setting)
    anatomy = model_of(shape, mlp_block=mlp_block, device=device)
    examples = random_batch(anatomy, batch=batch, tokens=tokens)
    seconds = take_turns(
        {
            "step": lambda: training_step(anatomy, examples),
            "ours": lambda: attribute(anatomy, examples, method=method),
            "floor": lambda: least_work(anatomy, examples, runs=RUNS[method]),
        },
        rounds=rounds,
        device=anatomy.device,
    )
    anatomy.model.zero_grad(set_to_none=True)
    ratio, ratio_range = _ratio(seconds["ours"], seconds["step"])
    floor, floor_range = _ratio(seconds["floor"], seconds["step"])
    above, above_range = _ratio(seconds["ours"], seconds["floor"])
    return {
        "shape": shape,
        "method": method,
        "mlp_block": mlp_block,
        "batch": batch,
        "tokens": tokens,
        "n_edges": anatomy.graph.n_edges,
        "ratio_to_training_step": ratio,
        "ratio_range": ratio_range,
        "floor": floor,
        "floor_range": floor_range,
        "ratio_to_floor": above,
        "ratio_to_floor_range": above_range,
        "training_step_seconds": round(statistics.median(seconds["step"]), 4),
        "attribution_seconds": round(statistics.median(seconds["ours"]), 4),
        **_against_reference(anatomy, examples, method, rounds, wanted=reference),
        "peak_memory_ratio": None if ours is None or step is None else round(ours / step, 3),
        "peak_memory_mb": ours,
        "peak_memory_mb_training_step": step,
        "rounds": rounds,
        "device": str(anatomy.device),
        "threads": torch.get_num_threads(),
        "machine": machine(anatomy.device),
    }


def _against_reference(
    anatomy: Anatomy, examples: Batch, method: Attribution, rounds: int, *, wanted: bool
) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(
        (
            "ratio_to_reference",
            "ratio_to_reference_range",
            "ratio_to_frozen_reference",
            "reference_seconds",
            "max_score_difference",
        )
    )
    if not wanted:
        return {**found, "reference": "It was not asked for."}
    if anatomy.mlp_block:
        return {**found, "reference": "It has no blocks of neurons."}
    try:
        built = build_reference(anatomy)
    except (ImportError, UnsupportedModel) as error:
        return {**found, "reference": str(error)}

    def run(*, frozen: bool) -> Callable[[], torch.Tensor]:
        return lambda: reference_scores(built, examples, method=method, frozen=frozen)

    seconds = take_turns(
        {
            "ours": lambda: attribute(anatomy, examples, method=method),
            "reference": run(frozen=False),
            "frozen": run(frozen=True),
        },
        rounds=min(rounds, REFERENCE_ROUNDS),
        device=anatomy.device,
    )
    ratio, ratio_range = _ratio(seconds["reference"], seconds["ours"])
    return {
        "ratio_to_reference": ratio,
        "ratio_to_reference_range": ratio_range,
        "ratio_to_frozen_reference": _ratio(seconds["frozen"], seconds["ours"])[0],
        "reference_seconds": round(statistics.median(seconds["reference"]), 4),
        "max_score_difference": _difference(anatomy, examples, method, built),
        "reference": built.name,
    }


def _difference(
    anatomy: Anatomy, examples: Batch, method: Attribution, reference: Reference
) -> float:
    """Largest |ours - reference| over all edges, relative to the largest |reference|."""
    theirs = reference_scores(reference, examples, method=method).double().cpu().numpy()
    theirs = np.where(anatomy.graph.exists, theirs, 0.0)
    ours = attribute(anatomy, examples, method=method).values
    return float(f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.2e}")


def _ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, list[float]]:
    """Ratio of the medians, and its range over rounds."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    middle = statistics.median(above) / statistics.median(below)
    return round(middle, 3), [round(min(each), 3), round(max(each), 3)]
