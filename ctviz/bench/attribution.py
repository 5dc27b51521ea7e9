"""What the scores of all edges cost, against one training step on the same batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from ctviz.attribute import attribute
from ctviz.errors import UnknownName
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import load, pick_device
from ctviz.tasks.batch import Batch

__all__ = ["SHAPES", "bench_attribution"]

SHAPES = ("tiny", "smollm2-135m", "gpt2-small")


def bench_attribution(
    shape: str, *, batch: int = 16, tokens: int = 16, rounds: int = 7, device: str = "auto"
) -> dict[str, Any]:
    """Time `attribute` and a full training forward+backward in turn, and compare their medians.

    The training step is the usual one: cross-entropy of every next token, gradients of every
    parameter, no optimizer. ``gpt2-small`` has random weights of that model's shape.
    """
    anatomy = _anatomy(shape, device)
    model = anatomy.model
    examples = _random_batch(anatomy, batch, tokens)

    def training_step() -> None:
        model.zero_grad(set_to_none=True)
        model(input_ids=examples.clean, labels=examples.clean, use_cache=False).loss.backward()

    def score() -> None:
        attribute(anatomy, examples)

    for warm in (training_step, score):
        warm()
    pairs = [(_timed(training_step, anatomy), _timed(score, anatomy)) for _ in range(rounds)]
    step = statistics.median(pair[0] for pair in pairs)
    scores = statistics.median(pair[1] for pair in pairs)
    return {
        "shape": shape,
        "batch": batch,
        "tokens": tokens,
        "n_edges": anatomy.graph.n_edges,
        "ratio_to_training_step": round(scores / step, 3),
        "ratio_range": [round(f([s / t for t, s in pairs]), 3) for f in (min, max)],
        "training_step_seconds": round(step, 4),
        "attribution_seconds": round(scores, 4),
        "rounds": rounds,
        "device": str(anatomy.device),
        "threads": torch.get_num_threads(),
    }


def _anatomy(shape: str, device: str) -> Anatomy:
    if shape not in SHAPES:
        raise UnknownName("shape", shape, SHAPES)
    if shape != "gpt2-small":
        return load(shape, device=device).anatomy
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(GPT2Config()).eval()
    return Anatomy(model.to(pick_device(device)))


def _random_batch(anatomy: Anatomy, batch: int, tokens: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    vocabulary = anatomy.model.config.vocab_size

    def draw(*shape: int) -> torch.Tensor:
        return torch.randint(1, vocabulary, shape, generator=generator)

    answer = draw(batch)
    return Batch(
        clean=draw(batch, tokens),
        corrupt=draw(batch, tokens),
        last=torch.full((batch,), tokens - 1),
        answer=answer,
        foil=(answer + 1) % vocabulary,
    ).to(anatomy.device)


def _timed(action: Callable[[], None], anatomy: Anatomy) -> float:
    def settle() -> None:
        if anatomy.device.type == "cuda":
            torch.cuda.synchronize()
        elif anatomy.device.type == "mps":
            torch.mps.synchronize()

    settle()
    started = time.perf_counter()
    action()
    settle()
    return time.perf_counter() - started
