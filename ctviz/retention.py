"""What tuning did to everything else: divergence from the untuned model on ordinary text."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.models.loading import Loaded
from ctviz.tasks.neutral import neutral_texts

__all__ = ["Retention"]


class Retention:
    """Remembers the untuned model's next-token distributions on neutral text.

    `divergence` is then KL(untuned || model) in nats a token, mean over all tokens: 0 at step 0.
    """

    def __init__(self, loaded: Loaded, *, texts: int = 24, seed: int = 0) -> None:
        self._loaded = loaded
        tokenizer = loaded.tokenizer
        self._prompts = [
            torch.tensor([tokenizer(text)["input_ids"]], device=loaded.anatomy.device)
            for text in neutral_texts(texts, seed=seed)
        ]
        self._untuned = [self._distribution(ids) for ids in self._prompts]

    @torch.no_grad()
    def _distribution(self, ids: Tensor) -> Tensor:
        anatomy = self._loaded.anatomy
        return anatomy.unembedding(anatomy.hidden(ids))[0].float().log_softmax(dim=-1)

    def divergence(self) -> float:
        """KL(untuned || model now), nats a token."""
        total = tokens = 0.0
        for ids, before in zip(self._prompts, self._untuned, strict=True):
            now = self._distribution(ids)
            total += float((before.exp() * (before - now)).sum())
            tokens += ids.shape[1]
        return total / tokens
