"""Watch a model on a fixed prompt: attention, next tokens, direct logit attribution."""

from __future__ import annotations

import numpy as np
import torch

from ctviz.inspection.lens import direct_attribution
from ctviz.inspection.patterns import attention_patterns
from ctviz.models.hooks import hooked
from ctviz.models.loading import Loaded
from ctviz.models.writes import source_outputs, writes
from ctviz.runs.snapshot import ProbeReading
from ctviz.tasks.batch import encode
from ctviz.tasks.example import Pair
from ctviz.tasks.token_text import token_text

__all__ = ["read_probe"]

TOP = 5


@torch.no_grad()
def read_probe(loaded: Loaded, pair: Pair) -> ProbeReading:
    """Read what the graph's nodes do on a pair's clean prompt.

    The attention is NaN where the model's usual way of computing it cannot be done step by step.
    """
    anatomy, tokenizer = loaded.anatomy, loaded.tokenizer
    graph = anatomy.graph
    batch = encode([pair], tokenizer, vocabulary=anatomy.vocabulary).to(anatomy.device)
    final: list[torch.Tensor] = []
    with writes(anatomy) as kept, hooked(before=[(anatomy.final_norm.module, final.append)]):
        hidden = anatomy.hidden(batch.clean)
    logits = anatomy.logits_at(hidden, batch.positions)[0, -1].float()
    chance = logits.softmax(dim=-1)
    probability, token = chance.topk(TOP)
    answer, foil = int(batch.answer[0, -1]), int(batch.foil[0])
    found = direct_attribution(
        anatomy,
        source_outputs(anatomy, kept)[:, -1].float(),
        final[0][0, -1].float(),
        answer,
        foil,
    )
    patterns = attention_patterns(anatomy, batch.clean, hidden, range(graph.n_layers))
    n = batch.clean.shape[1]
    attention = np.full((graph.n_layers, graph.n_heads, n, n), np.nan, dtype=np.float16)
    if patterns is not None:
        attention = torch.stack([each[0] for each in patterns]).half().cpu().numpy()

    def text(token_id: int) -> str:
        return token_text(tokenizer, token_id)

    return ProbeReading(
        tokens=tuple(text(i) for i in batch.clean[0].tolist()),
        answer=pair.answer,
        foil=pair.foil,
        attention=attention,
        top=tuple((text(i), p) for i, p in zip(token.tolist(), probability.tolist(), strict=True)),
        attribution=np.append(found.cpu().numpy(), np.nan).astype(np.float32),
        chances=(float(chance[answer]), float(chance[foil])),
    )
