"""Tiny random models, the specimens of each supported family, and batches for them: no download."""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ctviz.models.families import FAMILIES
from ctviz.tasks.batch import IGNORED, Batch

__all__ = [
    "CUT",
    "SPECIMENS",
    "VOCABULARY",
    "WHOLE_AND_CUT",
    "random_batch",
    "random_model",
    "with_masses",
]

VOCABULARY = 97
SPECIMENS = {
    name: (family.model_type, settings)
    for family in FAMILIES.values()
    for name, settings in family.specimens.items()
}
CUT = " in blocks"
WHOLE_AND_CUT = [name + cut for name in sorted(SPECIMENS) for cut in ("", CUT)]
"""Of the fixture `anatomy`: each specimen as it is, and with MLPs of four blocks."""


def random_model(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> PreTrainedModel:
    """A model whose every parameter, biases and norms included, is random and matters."""
    torch.manual_seed(seed)
    family, settings = SPECIMENS[name]
    ends = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, **{**ends, **settings})
    model = AutoModelForCausalLM.from_config(config).eval()
    for label, parameter in model.named_parameters():
        norm = parameter.ndim == 1 and "weight" in label
        torch.nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    return model.to(dtype)


def random_batch(*, examples: int = 5, seed: int = 1, answers: int = 1) -> Batch:
    """Random prompts of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    last = torch.tensor([6, 5, 6, 3, 4] * examples)[:examples]
    draw = lambda *shape: torch.randint(1, VOCABULARY, shape, generator=generator)  # noqa: E731
    answer = draw(examples, answers)
    return Batch(
        clean=draw(examples, 7),
        corrupt=draw(examples, 7),
        last=last,
        answer=answer,
        foil=(answer[:, -1] + 1 + draw(examples) % 90) % VOCABULARY,
    )


def with_masses(batch: Batch) -> Batch:
    """The same with several right and wrong tokens, not equally many for each example."""
    right = torch.stack([batch.answer[:, -1], (batch.answer[:, -1] + 30) % VOCABULARY], dim=1)
    wrong = torch.stack([(batch.foil + k) % VOCABULARY for k in (0, 2, 50)], dim=1)
    right[1, 1] = wrong[2, 1] = IGNORED
    return replace(batch, right=right, wrong=wrong)
