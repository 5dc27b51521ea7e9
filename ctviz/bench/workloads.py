"""What the benchmarks run: models of a shape, random prompts for them, and a training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config

from ctviz.errors import UnknownName
from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.loading import load, pick_device
from ctviz.models.writes import frozen
from ctviz.runs.config import Method, TuneConfig
from ctviz.tasks.batch import Batch
from ctviz.tasks.texts import Texts
from ctviz.tuning.batches import Batches
from ctviz.tuning.loop import Tuning

__all__ = [
    "EDGES",
    "SHAPES",
    "gpt2",
    "least_work",
    "model_of",
    "random_batch",
    "run_of",
    "stepper",
    "training_step",
]

EDGES = {"tiny": 40, "smollm2-135m": 400}  # of the circuits that are tuned
SHAPES = ("tiny", "smollm2-135m", "gpt2-small")


def model_of(shape: str, *, mlp_block: int = 0, device: str = "auto") -> Anatomy:
    """A model by the name of its shape; ``gpt2-small`` has random weights of that model's shape.

    ``mlp_block``: see `ctviz.models.loading.load`. Raises UnknownName, OutOfRange for such a block,
    and MissingModel for a known model whose weights have not been fetched.
    """
    if shape not in SHAPES:
        raise UnknownName("shape", shape, SHAPES)
    if shape != "gpt2-small":
        return load(shape, device=device, mlp_block=mlp_block).anatomy
    return gpt2(GPT2Config(), device=device).cut_into(mlp_block)


def gpt2(config: GPT2Config, *, device: str = "auto") -> Anatomy:
    """A GPT-2 with random weights."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    return Anatomy(model.to(pick_device(device)))


def random_batch(anatomy: Anatomy, *, batch: int, tokens: int) -> Batch:
    """Random clean and corrupt prompts that share no prefix, each with one answer token."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = anatomy.model.config.vocab_size

    def draw(*shape: int) -> torch.Tensor:
        return torch.randint(1, vocabulary, shape, generator=generator)

    answer = draw(batch)
    return Batch(
        clean=draw(batch, tokens),
        corrupt=draw(batch, tokens),
        last=torch.full((batch,), tokens - 1),
        answer=answer[:, None],
        foil=(answer + 1) % vocabulary,
    ).to(anatomy.device)


def run_of(model: str, method: Method, **settings: Any) -> TuneConfig:
    """The tuning run that is measured: sva-flip, in batches of 16."""
    return TuneConfig(
        model=model,
        task="sva-flip",
        method=method,
        edges=EDGES[model],
        attribution="eap",  # whose cost this is
        **settings,
    )


def stepper(
    model: str,
    method: Method,
    rediscover: int,
    *,
    mlp_block: int = 0,
    tokens: int = 0,
    device: str = "auto",
) -> Callable[[], object]:
    """A tuning run of batches of 16: each call does its next step.

    On pairs of the task sva-flip, or with ``tokens`` on random prompts of that length.
    """
    config = run_of(
        model,
        method,
        rediscover=rediscover,
        mlp_block=mlp_block,
        steps=100_000,
        snapshot_every=100_000,
        other_tasks=(),
        learning_rate=1e-6,  # stays where it is, so that each step does the same work
        device=device,
    )
    loaded = load(model, device=device, mlp_block=mlp_block)
    tuning = Tuning(loaded, config)
    if tokens:
        pairs = random_batch(loaded.anatomy, batch=64, tokens=tokens)
        last = torch.full((64,), tokens, device=pairs.clean.device)
        tuning.dataset = replace(
            tuning.dataset,
            train=Texts(torch.cat([pairs.clean, pairs.answer], dim=1), last, last),
            train_pairs=pairs,
            pair_row=tuple(range(64)),
        )
        tuning.batches = Batches(64, config.batch_size, seed=config.seed)
    tuning.begun = True
    events = iter(tuning)
    return lambda: next(events)


def least_work(anatomy: Anatomy, batch: Batch, *, runs: int = 1) -> None:
    """What no attribution by gradients can do without: the corrupt prompts forward, the clean ones
    forward and backward, ``runs`` times, down to the embeddings. No parameter gets a gradient."""
    metric_of = BatchMetric(anatomy, batch, "logit_difference")
    embeddings: list[Tensor] = []

    def start(x: Tensor) -> Tensor:
        embeddings.append(x.detach().requires_grad_())
        return embeddings[-1]

    with torch.no_grad():
        anatomy.hidden(batch.corrupt)
    with frozen(anatomy), hooked(before=[(anatomy.blocks[0].module, start)]):
        for _ in range(runs):
            metric_of(anatomy.hidden(batch.clean)).sum().backward(inputs=embeddings[-1:])


def training_step(anatomy: Anatomy, batch: Batch) -> None:
    """The usual forward and backward pass: cross-entropy of every next token of the clean prompts,
    gradients of every parameter, no optimizer."""
    anatomy.model.zero_grad(set_to_none=True)
    anatomy.model(input_ids=batch.clean, labels=batch.clean, use_cache=False).loss.backward()
