"""Switch one node off, and see what the model then says.

What the node writes is set to zero, to its mean over the task's dev prompts (all positions), or to
what it writes on the counterfactual prompt, for everything that reads it. That is the model with
all edges out of the node corrupted, as `ctviz.interventions.faithfulness` runs it, done at the node
itself.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.choices import Ablation, Metric
from ctviz.circuits.graph import kind_of, layer_of
from ctviz.errors import UndefinedMetric
from ctviz.inspection.answers import OnPrompt, OnTask, Prompt
from ctviz.inspection.reading import compared, top_tokens, with_answer
from ctviz.interventions.ablation import corrupt_writes, source_means
from ctviz.interventions.metric import BatchMetric, check_batch, check_metric
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.loading import Loaded
from ctviz.models.writes import Writes, run_writes
from ctviz.tasks.batch import Batch

__all__ = ["off_on_prompt", "off_on_task"]

ROWS = 32  # examples that are run at a time


@torch.no_grad()
def off_on_prompt(
    loaded: Loaded, prompt: Prompt, node: str, ablation: Ablation, *, others: Batch | None = None
) -> OnPrompt:
    """Switch a head or an MLP off on a prompt, `with_answer` if it has no answer.

    ``others`` are the pairs that the mean is taken over. Raises UndefinedMetric where the ablation
    needs what is not there: a counterfactual, or other prompts.
    """
    if ablation == "counterfactual" and prompt.corrupt is None:
        raise UndefinedMetric(
            "This prompt has no counterfactual to take the node's output from. Switch the node off "
            "with zero or its mean, or choose one of the task's pairs."
        )
    if ablation == "mean" and others is None:
        raise UndefinedMetric("There are no prompts of the task here to take a mean over.")
    anatomy, prompt = loaded.anatomy, with_answer(loaded, prompt)
    answer, foil = prompt.answer, prompt.foil
    assert answer is not None
    batch = Batch(
        clean=torch.tensor([prompt.ids]),
        corrupt=torch.tensor([prompt.corrupt or prompt.ids]),
        last=torch.tensor([len(prompt.ids) - 1]),
        answer=torch.tensor([[answer]]),
        foil=torch.tensor([answer if foil is None else foil]),
    ).to(anatomy.device)
    means = source_means(anatomy, others, ROWS) if ablation == "mean" and others else None

    def logits(hidden: Tensor) -> Tensor:
        return anatomy.logits_at(hidden, batch.positions)[0, -1].float()

    before = logits(anatomy.hidden(batch.clean))
    with hooked(after=[_off(anatomy, batch, node, ablation, means)]):
        after = logits(anatomy.hidden(batch.clean))
    return OnPrompt(
        before=float(compared(before, answer, foil)),
        after=float(compared(after, answer, foil)),
        top_before=top_tokens(loaded, before),
        top_after=top_tokens(loaded, after),
    )


@torch.no_grad()
def off_on_task(
    loaded: Loaded, batch: Batch, node: str, ablation: Ablation, metric: Metric
) -> OnTask:
    """Switch a head or an MLP off on pairs of the task; the mean is that over these pairs.

    Raises UndefinedMetric if a metric is not finite.
    """
    before, after = off_metrics(loaded.anatomy, batch, node, ablation, metric)
    change = after - before
    error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.nan
    return OnTask(float(before.mean()), float(after.mean()), float(error), len(batch))


@torch.no_grad()
def off_metrics(
    anatomy: Anatomy, batch: Batch, node: str, ablation: Ablation, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """The metric of each example with the node as it is and switched off, float [example] twice."""
    check_batch(anatomy, batch, metric)
    means = source_means(anatomy, batch, ROWS) if ablation == "mean" else None
    before, after = [], []
    for part in batch.split(ROWS):
        metric_of = BatchMetric(anatomy, part, metric)
        before.append(metric_of(anatomy.hidden(part.clean, part.first)))
        with hooked(after=[_off(anatomy, part, node, ablation, means)]):
            after.append(metric_of(anatomy.hidden(part.clean, part.first)))
        for values in (before[-1], after[-1]):
            check_metric(values, ROWS * (len(before) - 1))
    return torch.cat(before).cpu().double().numpy(), torch.cat(after).cpu().double().numpy()


def _off(
    anatomy: Anatomy, batch: Batch, node: str, ablation: Ablation, means: Writes | None
) -> Hook:
    """A hook on the output that the node is a part of, which makes the node write what corrupting
    says. Nothing in front of the node changes, so what it would write is known beforehand."""
    clean = run_writes(anatomy, batch.clean, batch.first)
    corrupt = corrupt_writes(anatomy, batch, ablation, means)
    change = -_output(anatomy, clean, node)
    if corrupt is not None:
        change = change + _output(anatomy, corrupt, node)
    block = anatomy.blocks[layer_of(node, anatomy.graph.n_layers)]
    if kind_of(node) == "mlp":
        module = block.mlp_write
    else:
        post = block.attention_post_norm
        module = block.attention_out if post is None else post.module
    return module, lambda written: written + change.view(written.shape).to(written.dtype)


def _output(anatomy: Anatomy, kept: Writes, node: str) -> Tensor:
    """What a head or an MLP writes, [batch, position, d_model]."""
    layer = layer_of(node, anatomy.graph.n_layers)
    block, graph = anatomy.blocks[layer], anatomy.graph
    if kind_of(node) == "mlp" and not block.mlp_parts:
        return kept.mlps[layer]
    if kind_of(node) == "mlp":
        z, weight, units = kept.mlps[layer], block.mlp_write_weight, graph.mlp_blocks
    else:
        z, weight, units = kept.heads[layer], block.write_weight, graph.n_heads
    unit = int(node.split(".")[1][1:])
    own = z.unflatten(-1, (units, -1))[..., unit, :]
    written: Tensor = own @ weight.unflatten(0, (units, -1))[unit].to(own.dtype)
    return written
