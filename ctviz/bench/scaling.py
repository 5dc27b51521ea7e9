"""How the cost of scoring all edges grows with the model: layers, heads and edges.

Two series of GPT-2-shaped models with random weights: layers at fixed width and heads, and heads at
fixed width, so that the second grows the graph but not the model. The vocabulary is small: layers
are what grows, and attribution has no need of logits at every position.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config

from ctviz.attribution.attribute import attribute
from ctviz.bench.rounds import machine, take_turns
from ctviz.bench.workloads import gpt2, random_batch, training_step
from ctviz.circuits.choices import Attribution
from ctviz.models.anatomy import Anatomy
from ctviz.tasks.batch import Batch

__all__ = ["bench_scaling", "exponent"]

SERIES = (2, 4, 8, 16)
FIXED = 8  # heads while layers grow, layers while heads grow
VOCABULARY = 1024


def bench_scaling(
    *,
    series: Sequence[int] = SERIES,
    fixed: int = FIXED,
    d_model: int = 256,
    batch: int = 16,
    tokens: int = 16,
    method: Attribution = "eap",
    rounds: int = 5,
    device: str = "auto",
) -> dict[str, Any]:
    """Time `attribute` and a training step on models of growing size, all in turn.

    ``table``: one row a model, times as medians in microseconds per token. ``exponents``: p of the
    fit time ~ size^p for attribution, ``training_step_exponents`` for the training step: by
    ``layers`` and ``heads`` over their own series, by ``edges`` over all models.
    """
    by_layers = [(n, fixed) for n in series]
    by_heads = [(fixed, n) for n in series]
    shapes = list(dict.fromkeys([*by_layers, *by_heads]))
    models = {shape: _model(*shape, d_model=d_model, device=device) for shape in shapes}
    actions: dict[str, Callable[[], object]] = {}
    for shape, anatomy in models.items():
        examples = random_batch(anatomy, batch=batch, tokens=tokens)
        actions[f"step {shape}"] = _step(anatomy, examples)
        actions[f"ours {shape}"] = _attribution(anatomy, examples, method)
    place = next(iter(models.values())).device
    seconds = take_turns(actions, rounds=rounds, device=place)
    per_token = {
        name: statistics.median(times) * 1e6 / (batch * tokens) for name, times in seconds.items()
    }
    table = [
        {
            "layers": shape[0],
            "heads": shape[1],
            "d_model": d_model,
            "edges": anatomy.graph.n_edges,
            "microseconds_per_token": round(per_token[f"ours {shape}"], 2),
            "ratio_to_training_step": round(
                per_token[f"ours {shape}"] / per_token[f"step {shape}"], 3
            ),
        }
        for shape, anatomy in models.items()
    ]

    def fits(what: str) -> dict[str, float]:
        def times(shapes: Sequence[tuple[int, int]]) -> list[float]:
            return [per_token[f"{what} {shape}"] for shape in shapes]

        edges = [anatomy.graph.n_edges for anatomy in models.values()]
        return {
            "layers": round(exponent(series, times(by_layers)), 3),
            "heads": round(exponent(series, times(by_heads)), 3),
            "edges": round(exponent(edges, times(shapes)), 3),
        }

    return {
        "method": method,
        "batch": batch,
        "tokens": tokens,
        "vocabulary": VOCABULARY,
        "table": table,
        "exponents": fits("ours"),
        "training_step_exponents": fits("step"),
        "rounds": rounds,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": machine(place),
    }


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """p of cost ~ size^p, by least squares in the logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)


def _model(layers: int, heads: int, *, d_model: int, device: str) -> Anatomy:
    config = GPT2Config(
        n_layer=layers,
        n_head=heads,
        n_embd=d_model,
        vocab_size=VOCABULARY,
        bos_token_id=0,
        eos_token_id=0,
    )
    return gpt2(config, device=device)


def _step(anatomy: Anatomy, examples: Batch) -> Callable[[], None]:
    def step() -> None:
        training_step(anatomy, examples)
        anatomy.model.zero_grad(set_to_none=True)  # many models are held at once

    return step


def _attribution(anatomy: Anatomy, examples: Batch, method: Attribution) -> Callable[[], object]:
    return lambda: attribute(anatomy, examples, method=method)
