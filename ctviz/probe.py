"""Watch a model on a fixed prompt: attention, next tokens, direct logit attribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.loading import Loaded
from ctviz.models.writes import source_outputs, writes
from ctviz.snapshot import ProbeReading
from ctviz.tasks.batch import encode
from ctviz.tasks.example import Pair

__all__ = ["read_probe"]

TOP = 5


@torch.no_grad()
def read_probe(loaded: Loaded, pair: Pair) -> ProbeReading:
    """Run a pair's clean prompt once and read what the graph's nodes do on it."""
    anatomy, tokenizer = loaded.anatomy, loaded.tokenizer
    batch = encode([pair], tokenizer).to(anatomy.device)
    final: list[torch.Tensor] = []
    watching = hooked(before=[(anatomy.final_norm.module, final.append)])
    with writes(anatomy) as kept, watching, eager_attention(anatomy):
        output = anatomy.model.base_model(
            input_ids=batch.clean,
            attention_mask=torch.ones_like(batch.clean),
            use_cache=False,
            output_attentions=True,
        )
    logits = anatomy.logits_at(output.last_hidden_state, batch.positions)[0, -1].float()
    probability, token = logits.softmax(dim=-1).topk(TOP)

    def text(token_id: int) -> str:
        return str(tokenizer.decode([token_id]))

    return ProbeReading(
        tokens=tuple(text(i) for i in batch.clean[0].tolist()),
        answer=pair.answer,
        foil=pair.foil,
        attention=torch.stack([a[0] for a in output.attentions]).half().cpu().numpy(),
        top=tuple((text(i), p) for i, p in zip(token.tolist(), probability.tolist(), strict=True)),
        attribution=_direct(
            anatomy,
            source_outputs(anatomy, kept)[:, -1].float(),
            final[0][0, -1].float(),
            int(batch.answer[0, -1]),
            int(batch.foil[0]),
        ),
    )


def _direct(
    anatomy: Anatomy, outputs: torch.Tensor, residual: torch.Tensor, answer: int, foil: int
) -> np.ndarray:
    """[source, d_model] and the final residual stream [d_model] -> float32 [node]."""
    norm = anatomy.final_norm
    _, inverse_sigma = norm.standardize(residual)
    if norm.centred:
        outputs = outputs - outputs.mean(dim=-1, keepdim=True)
    weight = anatomy.unembedding.weight
    direction = (weight[answer] - weight[foil]).float() * inverse_sigma
    if norm.scale is not None:
        direction = direction * norm.scale.float()
    return np.append((outputs @ direction).cpu().numpy(), np.float32(np.nan)).astype(np.float32)


@contextmanager
def eager_attention(anatomy: Anatomy) -> Iterator[None]:
    """Attention computed step by step inside the block, so that its patterns can be returned."""
    config = anatomy.model.config
    usual = config._attn_implementation
    try:
        anatomy.model.set_attn_implementation("eager")
        yield
    finally:
        anatomy.model.set_attn_implementation(usual)
