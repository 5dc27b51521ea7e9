"""Tiny random models, one a family, built from their configs: no download, float64."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel

from ctviz.models.anatomy import Anatomy
from ctviz.tasks.batch import Batch

CONFIGS = {
    "gpt2": GPT2Config(
        n_layer=3,
        n_head=4,
        n_embd=32,
        vocab_size=97,
        n_positions=32,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "llama": LlamaConfig(
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        hidden_size=32,
        intermediate_size=48,
        vocab_size=97,
    ),
    "llama-grouped": LlamaConfig(
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        hidden_size=48,
        head_dim=12,
        intermediate_size=40,
        vocab_size=97,
        attention_bias=True,
        mlp_bias=True,
    ),
}


def random_model(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> PreTrainedModel:
    """A model whose every parameter, biases and norms included, is random and matters."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    for label, parameter in model.named_parameters():
        norm = parameter.ndim == 1 and "weight" in label
        torch.nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    return model.to(dtype)


def random_batch(*, examples: int = 5, seed: int = 1, equal: bool = False) -> Batch:
    """Random prompts of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    last = torch.tensor([6, 5, 6, 3, 4] * examples)[:examples]
    if equal:
        last = torch.full((examples,), 6)
    draw = lambda *shape: torch.randint(1, 97, shape, generator=generator)  # noqa: E731
    answer = draw(examples)
    return Batch(
        clean=draw(examples, 7),
        corrupt=draw(examples, 7),
        last=last,
        answer=answer,
        foil=(answer + 1 + draw(examples) % 90) % 97,
    )


@pytest.fixture(params=sorted(CONFIGS))
def anatomy(request: pytest.FixtureRequest) -> Anatomy:
    """Each family in turn."""
    return Anatomy(random_model(request.param))


@pytest.fixture
def batch() -> Batch:
    """Five random pairs."""
    return random_batch()
