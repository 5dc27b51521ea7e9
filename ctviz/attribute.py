"""Edge attribution patching: a score for every edge of the graph, for about one training step.

The score of an edge u -> v estimates metric(clean) - metric(u -> v alone corrupted) to first order
(Syed et al. 2023, arXiv 2310.10348; sign as in DESIGN):

    score(u -> v) = sum over positions of (a_u,clean - a_u,corrupt) . d metric / d x_v

with x_v the residual stream as read by v alone. In four steps:

1. run the corrupt prompts and keep what each source writes;
2. run the clean prompts with autograd started at the embeddings (no parameter needs a gradient),
   keep what each source writes and differentiate the metric at the q/k/v projections, at the MLPs'
   own reads and at the final norm's;
3. per layer, carry the q/k/v gradients back through each head's slice of the projection and
   through the norm, which gives d metric / d x_v of every slot: one linear layer of work;
4. the scores of all edges into a layer are then one matrix product,
   [sources, examples * positions * d_model] x [examples * positions * d_model, slots].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctviz.ablation import Ablation, corrupt_writes, source_means
from ctviz.circuit import Scores
from ctviz.errors import OutOfRange, UndefinedMetric
from ctviz.models.anatomy import Anatomy, Block, LinearModule
from ctviz.models.hooks import Hook, hooked
from ctviz.models.writes import Writes, frozen, source_outputs, writes
from ctviz.tasks.batch import Batch
from ctviz.tasks.metrics import logit_difference

__all__ = ["affordable_examples", "attribute"]

MEMORY_LIMIT = 768 * 2**20  # bytes that the source outputs of one micro-batch may take


def attribute(
    anatomy: Anatomy,
    batch: Batch,
    *,
    ablation: Ablation = "counterfactual",
    micro_batch: int | None = None,
) -> Scores:
    """Score every edge on a batch by edge attribution patching, as the mean over examples.

    ``ablation`` says what corrupting means: ``counterfactual`` (the corrupt prompt), ``mean`` (each
    source's mean over the batch's clean tokens) or ``zero``. ``micro_batch`` examples are run at a
    time (by default as many as fit in a fixed amount of memory); the result does not depend on it.

    Units: those of the metric. Positive: the edge supports the behaviour. Raises UndefinedMetric
    if the metric or a score is not finite, naming the example or the edge.
    """
    size = micro_batch or affordable_examples(anatomy, batch)
    if size < 1:
        raise OutOfRange("micro_batch", size, 1, None)
    graph = anatomy.graph
    total = torch.zeros(graph.exists.shape, dtype=torch.float64)
    means = source_means(anatomy, batch, size) if ablation == "mean" else None
    done = 0
    for part in batch.split(size):
        total += _attribute_part(anatomy, part, ablation, means, done)
        done += len(part)
    precision = _precision(anatomy)
    values = (total / len(batch)).to(precision).numpy()
    return Scores(graph, np.where(graph.exists, values, values.dtype.type(0)))


def affordable_examples(anatomy: Anatomy, batch: Batch) -> int:
    """Examples whose source outputs fit into MEMORY_LIMIT bytes, at least 1."""
    per_example = len(anatomy.graph.sources) * batch.clean.shape[1] * anatomy.d_model * 4
    return max(1, min(len(batch), MEMORY_LIMIT // per_example))


def _precision(anatomy: Anatomy) -> torch.dtype:
    """Scores are computed in float32, or in float64 for a float64 model."""
    return torch.float64 if anatomy.model.dtype == torch.float64 else torch.float32


# ---------------------------------------------------------------------- one micro-batch


@torch.no_grad()
def _attribute_part(
    anatomy: Anatomy, batch: Batch, ablation: Ablation, means: Writes | None, first: int
) -> Tensor:
    """Sum over the examples of one micro-batch: float64 [source, slot], on the CPU."""
    corrupt = corrupt_writes(anatomy, batch, ablation, means)
    clean, reads, gradients, metric = _clean_run(anatomy, batch)
    if not torch.isfinite(metric).all():
        example = first + int((~torch.isfinite(metric)).nonzero()[0])
        raise UndefinedMetric(
            f"The metric of example {example} is {metric[example - first].item()}: the model's "
            "logits are not finite there."
        )
    graph, dtype = anatomy.graph, _precision(anatomy)
    changed = clean if corrupt is None else clean.minus(corrupt)
    delta = source_outputs(anatomy, changed).to(dtype)
    delta = delta.view(delta.shape[0], -1)
    scores = torch.zeros(graph.exists.shape, dtype=dtype, device=delta.device)
    heads, columns = graph.n_heads, graph.n_heads + 2 * graph.kv_heads
    column = 0
    for layer, block in enumerate(anatomy.blocks):
        reach = 1 + layer * (heads + 1)
        slots = _attention_slot_gradients(anatomy, block, reads[layer], gradients, layer, dtype)
        # few slots times many sources: this order is up to three times faster than its transpose
        scores[:reach, column : column + columns] = (slots.view(columns, -1) @ delta[:reach].T).T
        column += columns
        reach += heads
        scores[:reach, column] = delta[:reach] @ gradients.mlps[layer].to(dtype).reshape(-1)
        column += 1
    scores[:, column] = delta @ gradients.final.to(dtype).reshape(-1)
    return scores.cpu().double()  # MPS has no float64


@dataclass(slots=True, eq=False)
class _Reads:
    """One layer's attention read: its residual input, and the projection outputs by kind."""

    residual: Tensor
    projected: dict[str, Tensor]


@dataclass(slots=True, eq=False)
class _Gradients:
    """d metric / d (q, k, v projection outputs) per layer, and at the reads of MLPs and logits."""

    projections: list[dict[str, Tensor]]
    mlps: list[Tensor]
    final: Tensor


def _clean_run(anatomy: Anatomy, batch: Batch) -> tuple[Writes, list[_Reads], _Gradients, Tensor]:
    """The clean run with autograd from the embeddings on."""
    residuals: list[Tensor] = []
    outputs: list[list[Tensor]] = [[] for _ in anatomy.blocks]
    mlp_reads: list[Tensor] = []
    final: list[Tensor] = []

    def own_read(store: list[Tensor]) -> Callable[[Tensor], Tensor]:
        def alias(x: Tensor) -> Tensor:
            store.append(x.view_as(x))  # a tensor of its own: its gradient is this read's alone
            return store[-1]

        return alias

    before: list[Hook] = [(anatomy.final_norm.module, own_read(final))]
    after: list[Hook] = [(anatomy.embedding, lambda x: x.detach().requires_grad_())]
    for layer, block in enumerate(anatomy.blocks):
        before.append((block.attention_norm.module, lambda x: residuals.append(x.detach())))
        before.append((block.mlp_norm.module, own_read(mlp_reads)))
        for module in _distinct(block):
            after.append((module, outputs[layer].append))
    with frozen(anatomy), torch.enable_grad(), writes(anatomy) as kept:
        with hooked(before=before, after=after):
            hidden = anatomy.hidden(batch.clean)
        metric = logit_difference(anatomy.logits_at(hidden, batch.last), batch)
        wanted = [tensor for layer in outputs for tensor in layer] + mlp_reads + final
        found = list(torch.autograd.grad(metric.sum(), wanted))
    projections, reads = [], []
    for layer, block in enumerate(anatomy.blocks):
        modules = _distinct(block)
        gradients = {m: found.pop(0) for m in modules}
        values = dict(zip(modules, outputs[layer], strict=True))
        parts = {kind: block.projection(kind) for kind in "qkv"}
        projections.append(
            {kind: gradients[p.module][..., p.start : p.stop] for kind, p in parts.items()}
        )
        reads.append(
            _Reads(
                residuals[layer],
                {kind: values[p.module][..., p.start : p.stop] for kind, p in parts.items()},
            )
        )
    return kept, reads, _Gradients(projections, found[:-1], found[-1]), metric.detach()


def _distinct(block: Block) -> list[LinearModule]:
    """The modules that project to q, k and v: one if they are fused, else three."""
    return list(dict.fromkeys((block.q.module, block.k.module, block.v.module)))


@torch.no_grad()
def _attention_slot_gradients(
    anatomy: Anatomy,
    block: Block,
    read: _Reads,
    gradients: _Gradients,
    layer: int,
    dtype: torch.dtype,
) -> Tensor:
    """d metric / d x_v for the q, k and v slots of a layer: [slot, batch * position, d_model].

    With y = norm(x) = gamma * xhat + beta, xhat = (x - mean) / sigma, and projection W, the slot's
    gradient is J^T W g with g the gradient at the projection's output of that slot, and

        J^T h = (gamma * h - mean(gamma * h) - xhat * mean(xhat * gamma * h)) / sigma

    (without the means of x and of gamma * h for RMSNorm). The first two terms are linear in g, so
    gamma, the centring and 1 / sigma are folded into W and g before the product; and xhat . W' g
    needs no product of its own, since xhat W' is the projection's output without its bias.
    """
    d_head, d_model = anatomy.d_head, anatomy.d_model
    norm = block.attention_norm
    xhat, inverse_sigma = norm.standardize(read.residual.to(dtype).reshape(-1, d_model))
    gamma = norm.weight.to(dtype)
    beta = None if norm.bias is None else norm.bias.to(dtype)
    out = xhat.new_empty((anatomy.graph.n_heads + 2 * anatomy.graph.kv_heads, *xhat.shape))
    row = 0
    for kind in "qkv":
        projection = block.projection(kind)
        units = (projection.stop - projection.start) // d_head
        weight = projection.weight.to(dtype)
        gradient = gradients.projections[layer][kind].to(dtype).reshape(-1, units, d_head)
        gradient = gradient * inverse_sigma[:, :, None]
        linear = read.projected[kind].to(dtype).reshape(-1, units * d_head)
        if projection.bias is not None:
            linear = linear - projection.bias
        if beta is not None:
            linear = linear - beta @ weight
        linear = linear.view(-1, units, d_head)
        along = (gradient * linear).sum(dim=-1) / d_model  # mean of xhat * (W' g), [token, unit]
        folded = weight * gamma[:, None]
        if norm.centred:
            folded = folded - folded.mean(dim=0, keepdim=True)
        slots = out[row : row + units]
        torch.bmm(
            gradient.transpose(0, 1),
            folded.view(d_model, units, d_head).permute(1, 2, 0),
            out=slots,
        )
        slots.addcmul_(along.T[:, :, None], xhat[None], value=-1)
        row += units
    return out
