"""What a circuit-tuning step costs, against a step of full fine-tuning on the same batch."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ctviz.bench.memory import peak_memory_of_run, peak_memory_of_tuning
from ctviz.bench.rounds import machine, take_turns
from ctviz.bench.workloads import EDGES, stepper
from ctviz.errors import UnknownName
from ctviz.jobs import tune
from ctviz.models.loading import load
from ctviz.runs.config import Method, TuneConfig

__all__ = ["bench_tuning"]

EVERY = 8
RUN_STEPS = 60  # of the whole run


def bench_tuning(
    model: str, *, mlp_block: int = 0, rounds: int = 3, device: str = "auto"
) -> dict[str, Any]:
    """Time steps of three runs in turn: full, circuit with discovery at each step, and at every
    eighth.

    A round is eight steps of each on the same batches, AdamW, each step with all it does in a run
    (discovery, gradients, update, the look at what moved), without snapshots. The batches are 16
    pairs of sva-flip; under ``random_tokens`` the same for 16 x 16 random tokens. Ratios are of
    medians over rounds, with their range. ``peak_memory_ratio``: peak memory of a process that does
    twelve circuit-tuning steps by that of one that does twelve full ones. For each method
    ``peak_memory_ratio_run`` is that of a whole run of twelve steps, from loading to the last
    grades, by that of its steps alone. For the tiny model also the seconds of a whole run with its
    snapshots. ``mlp_block``: neurons in each node that an MLP is cut into, 0 for whole MLPs.
    """
    if model not in EDGES:
        raise UnknownName("model of this benchmark", model, EDGES)
    methods: tuple[Method, ...] = ("circuit", "full")
    cut: dict[str, Any] = {"mlp_block": mlp_block, "device": device}
    circuit, full = (peak_memory_of_tuning(method, model, **cut) for method in methods)
    whole = [peak_memory_of_run(method, model, **cut) for method in methods]
    place = load(model, device=device).anatomy.device
    result: dict[str, Any] = {
        "model": model,
        "edges": EDGES[model],
        "mlp_block": mlp_block,
        **_ratios(model, mlp_block, 0, rounds, place),
        "random_tokens": _ratios(model, mlp_block, 16, rounds, place),
        "peak_memory_ratio": None if circuit is None or full is None else round(circuit / full, 3),
        "peak_memory_ratio_run": {
            method: None if run is None or steps is None else round(run / steps, 3)
            for method, run, steps in zip(methods, whole, (circuit, full), strict=True)
        },
        "peak_memory_mb": circuit,
        "peak_memory_mb_full": full,
        "rounds": rounds,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": machine(place),
    }
    return result | (_whole_run(model, mlp_block, device) if model == "tiny" else {})


def _ratios(
    model: str, mlp_block: int, tokens: int, rounds: int, place: torch.device
) -> dict[str, Any]:
    """Seconds of eight steps of each kind, taken in turn, by those of full fine-tuning."""

    def eight(method: Method, rediscover: int) -> Callable[[], object]:
        step = stepper(
            model, method, rediscover, mlp_block=mlp_block, tokens=tokens, device=str(place)
        )
        return lambda: [step() for _ in range(EVERY)]

    actions = {
        "full": eight("full", 1),
        "every_step": eight("circuit", 1),
        "every_8": eight("circuit", EVERY),
    }
    seconds = take_turns(actions, rounds=rounds, device=place)
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    found: dict[str, Any] = {}
    for name in ("every_step", "every_8"):
        each = [a / b for a, b in zip(seconds[name], seconds["full"], strict=True)]
        found[f"ratio_{name}"] = round(middle[name] / middle["full"], 3)
        found[f"ratio_{name}_range"] = [round(min(each), 3), round(max(each), 3)]
    return {**found, "seconds_full_step": round(middle["full"] / EVERY, 4)}


def _whole_run(model: str, mlp_block: int, device: str) -> dict[str, Any]:
    """All of a run with its snapshots, into a folder."""
    config = TuneConfig(
        model=model, task="sva-flip", steps=RUN_STEPS, edges=EDGES[model], mlp_block=mlp_block
    )
    loaded = load(model, device=device)
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        tune.tune(config, Path(scratch) / "run", loaded=loaded)
        seconds = time.perf_counter() - started
    return {"run_steps": RUN_STEPS, "run_seconds": round(seconds, 2)}
