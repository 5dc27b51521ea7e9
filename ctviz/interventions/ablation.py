"""What corrupting a source means: its output on the counterfactual prompt, its mean, or zero."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.circuits.choices import ABLATIONS, Ablation
from ctviz.errors import UnknownName
from ctviz.models.anatomy import Anatomy
from ctviz.models.writes import Writes, run_writes
from ctviz.tasks.batch import Batch

__all__ = ["corrupt_writes", "source_means"]


@torch.no_grad()
def source_means(anatomy: Anatomy, batch: Batch, micro_batch: int) -> Writes:
    """Mean of each write over all examples and real positions of the clean prompts, [1, 1, width].

    Head outputs are linear in what is averaged, so means are taken before heads are told apart.
    """
    sums: list[Tensor] | None = None
    count = 0
    for part in batch.split(micro_batch):
        kept = run_writes(anatomy, part.clean, part.first)
        real = part.real
        flat = [written[real].sum(dim=0) for written in kept.tensors]
        sums = flat if sums is None else [a + b for a, b in zip(sums, flat, strict=True)]
        count += int(real.sum())
    assert sums is not None
    return Writes.of([(total / count)[None, None] for total in sums])


def corrupt_writes(
    anatomy: Anatomy, batch: Batch, ablation: Ablation, means: Writes | None
) -> Writes | None:
    """What sources write when corrupted; None stands for zero everywhere.

    On the counterfactual prompt the last MLP is run only where answers are predicted.
    """
    if ablation not in ABLATIONS:
        raise UnknownName("ablation", ablation, ABLATIONS)
    if ablation == "zero":
        return None
    return (
        means
        if ablation == "mean"
        else run_writes(anatomy, batch.corrupt, batch.first, read_at=batch.answer_tokens)
    )
