"""What the benchmarks run: models of a shape, random prompts for them, and a training step."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from ctviz.errors import UnknownName
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import load, pick_device
from ctviz.tasks.batch import Batch

__all__ = ["SHAPES", "gpt2", "model_of", "random_batch", "training_step"]

SHAPES = ("tiny", "smollm2-135m", "gpt2-small")


def model_of(shape: str, *, device: str = "auto") -> Anatomy:
    """A model by the name of its shape; ``gpt2-small`` has random weights of that model's shape.

    Raises UnknownName, and MissingModel for a known model whose weights have not been fetched.
    """
    if shape not in SHAPES:
        raise UnknownName("shape", shape, SHAPES)
    if shape != "gpt2-small":
        return load(shape, device=device).anatomy
    return gpt2(GPT2Config(), device=device)


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


def training_step(anatomy: Anatomy, batch: Batch) -> None:
    """The usual forward and backward pass: cross-entropy of every next token of the clean prompts,
    gradients of every parameter, no optimizer."""
    anatomy.model.zero_grad(set_to_none=True)
    anatomy.model(input_ids=batch.clean, labels=batch.clean, use_cache=False).loss.backward()
