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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctviz.ablation import corrupt_writes, source_means
from ctviz.circuit import Scores
from ctviz.config import Ablation
from ctviz.errors import OutOfRange, UndefinedMetric
from ctviz.graph import Graph
from ctviz.models.anatomy import Anatomy, Block, LinearModule
from ctviz.models.hooks import Hook, hooked
from ctviz.models.writes import Writes, frozen, source_outputs, writes
from ctviz.tasks.batch import Batch
from ctviz.tasks.metrics import logit_difference

__all__ = ["attribute"]

GROUP = 48  # columns of the score matrix that are computed at once, at least
WORKSPACE = 96 * 2**20  # bytes for source outputs and slot gradients of some tokens at a time
TOKENS = 8192  # tokens of one micro-batch, at most


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
    time (by default as many as make a few thousand tokens); the result does not depend on it.

    Units: those of the metric. Positive: the edge supports the behaviour. Raises UndefinedMetric
    if the metric or a score is not finite, naming the example or the edge.
    """
    size = micro_batch or max(1, TOKENS // batch.clean.shape[1])
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
    clean, run, metric = _run_clean(anatomy, batch)
    if not torch.isfinite(metric).all():
        example = first + int((~torch.isfinite(metric)).nonzero()[0])
        raise UndefinedMetric(
            f"The metric of example {example} is {metric[example - first].item()}: the model's "
            "logits are not finite there."
        )
    delta = clean if corrupt is None else clean.minus(corrupt)
    return _scores(anatomy, delta.per_token(), run)


def _scores(anatomy: Anatomy, delta: Writes, run: _CleanRun) -> Tensor:
    """Steps 3 and 4, for as many tokens at a time as fit into the workspace.

    Large tensors made anew for each layer would cost more time than what is computed in them.
    """
    graph, dtype = anatomy.graph, _precision(anatomy)
    groups = list(_groups(graph))
    widest = max(group.stop - group.start for group in groups)
    n_tokens, d_model = delta.tensors[0].shape
    per_token = (len(graph.sources) + widest) * d_model * dtype.itemsize
    size = min(n_tokens, max(1, WORKSPACE // per_token))
    device = anatomy.device
    sources = torch.empty(len(graph.sources) * size * d_model, dtype=dtype, device=device)
    gradients = torch.empty(widest * size * d_model, dtype=dtype, device=device)
    scores = torch.zeros(graph.exists.shape, dtype=dtype, device=device)
    for start in range(0, n_tokens, size):
        tokens = slice(start, min(start + size, n_tokens))
        count = tokens.stop - start
        a = sources[: len(graph.sources) * count * d_model].view(-1, count, d_model)
        source_outputs(anatomy, delta, tokens=tokens, out=a)
        for columns in groups:
            width = columns.stop - columns.start
            g = gradients[: width * count * d_model].view(width, count, d_model)
            _slot_gradients(anatomy, columns, run, tokens, g)
            reach = graph.slots[columns.stop - 1].n_sources
            scores[:reach, columns] += a[:reach].flatten(1) @ g.flatten(1).T
    return scores.cpu().double()  # MPS has no float64


def _groups(graph: Graph) -> Iterator[slice]:
    """Columns in groups of whole layers, each of at least GROUP columns if there are so many.

    Narrow matrix products are slow. A group reaches as many sources as its last slot, for its
    earlier slots too many: what is computed for edges that do not exist is dropped.
    """
    start = 0
    for column, slot in enumerate(graph.slots):
        if slot.kind == "mlp" and column + 1 - start >= GROUP:
            yield slice(start, column + 1)
            start = column + 1
    yield slice(start, len(graph.slots))


@dataclass(slots=True, eq=False)
class _CleanRun:
    """What steps 3 and 4 need of the clean run; one row a token.

    ``residuals[l]``: what attention of layer l reads, [token, d_model]; ``projected[l]`` and
    ``projected_gradients[l]``: outputs of its q, k and v projections by kind, [token, heads *
    d_head], and d metric / d these; ``mlp_gradients[l]``, ``final_gradient``: d metric / d what the
    MLPs and the final norm read, [token, d_model].
    """

    residuals: list[Tensor]
    projected: list[dict[str, Tensor]]
    projected_gradients: list[dict[str, Tensor]]
    mlp_gradients: list[Tensor]
    final_gradient: Tensor


def _run_clean(anatomy: Anatomy, batch: Batch) -> tuple[Writes, _CleanRun, Tensor]:
    """Step 2, with autograd from the embeddings on; also returns the metric, [example]."""
    residuals: list[Tensor] = []
    outputs: list[Tensor] = []  # of the projection modules, layer by layer
    own_reads: list[Tensor] = []  # of the MLPs, then the final norm

    def own_read(x: Tensor) -> Tensor:
        own_reads.append(x.view_as(x))  # a tensor of its own: its gradient is this read's alone
        return own_reads[-1]

    before: list[Hook] = [(anatomy.final_norm.module, own_read)]
    after: list[Hook] = [(anatomy.embedding, lambda x: x.detach().requires_grad_())]
    for block in anatomy.blocks:
        before.append((block.attention_norm.module, lambda x: residuals.append(x.detach())))
        before.append((block.mlp_norm.module, own_read))
        after += [(module, outputs.append) for module in _distinct(block)]
    with frozen(anatomy), torch.enable_grad(), writes(anatomy) as kept:
        with hooked(before=before, after=after):
            hidden = anatomy.hidden(batch.clean)
        metric = logit_difference(anatomy.logits_at(hidden, batch.last), batch)
        found = torch.autograd.grad(metric.sum(), [*outputs, *own_reads])
    gradients = [gradient.flatten(0, 1) for gradient in found]
    values = [output.detach().flatten(0, 1) for output in outputs]
    projected: list[dict[str, Tensor]] = []
    projected_gradients: list[dict[str, Tensor]] = []
    first = 0
    for block in anatomy.blocks:
        modules = _distinct(block)
        for store, tensors in ((projected, values), (projected_gradients, gradients)):
            by_module = dict(zip(modules, tensors[first : first + len(modules)], strict=True))
            parts = {kind: block.projection(kind) for kind in "qkv"}
            store.append({k: by_module[p.module][:, p.start : p.stop] for k, p in parts.items()})
        first += len(modules)
    run = _CleanRun(
        residuals=[x.flatten(0, 1) for x in residuals],
        projected=projected,
        projected_gradients=projected_gradients,
        mlp_gradients=gradients[first:-1],
        final_gradient=gradients[-1],
    )
    return kept, run, metric.detach()


def _distinct(block: Block) -> list[LinearModule]:
    """The modules that project to q, k and v: one if they are fused, else three."""
    return list(dict.fromkeys((block.q.module, block.k.module, block.v.module)))


def _slot_gradients(
    anatomy: Anatomy, columns: slice, run: _CleanRun, tokens: slice, out: Tensor
) -> None:
    """Write d metric / d x_v of some slots and tokens into ``out``, [slot, token, d_model]."""
    graph = anatomy.graph
    width = graph.n_heads + 2 * graph.kv_heads
    row = 0
    while row < len(out):
        slot = graph.slots[columns.start + row]
        if slot.kind == "q":  # the first of its layer: fill in all q, k and v at once
            _attention_slot_gradients(anatomy, slot.layer, run, tokens, out[row : row + width])
            row += width
        else:
            own = run.final_gradient if slot.kind == "logits" else run.mlp_gradients[slot.layer]
            out[row] = own[tokens]
            row += 1


def _attention_slot_gradients(
    anatomy: Anatomy, layer: int, run: _CleanRun, tokens: slice, out: Tensor
) -> None:
    """The same for all q, k and v slots of a layer.

    With y = norm(x) = gamma * xhat + beta, xhat = (x - mean) / sigma, and projection W, the slot's
    gradient is J^T W g with g the gradient at the projection's output of that slot, and

        J^T h = (gamma * h - mean(gamma * h) - xhat * mean(xhat * gamma * h)) / sigma

    (without the means of x and of gamma * h for RMSNorm). The first two terms are linear in g, so
    gamma, the centring and 1 / sigma are folded into W and g before the product; and xhat . W' g
    needs no product of its own, since xhat W' is the projection's output without its bias.
    """
    d_head, d_model, dtype = anatomy.d_head, anatomy.d_model, out.dtype
    block = anatomy.blocks[layer]
    norm = block.attention_norm
    xhat, inverse_sigma = norm.standardize(run.residuals[layer][tokens].to(dtype))
    gamma = norm.weight.to(dtype)
    beta = None if norm.bias is None else norm.bias.to(dtype)
    row = 0
    for kind in "qkv":
        projection = block.projection(kind)
        units = (projection.stop - projection.start) // d_head
        weight = projection.weight.to(dtype)
        gradient = run.projected_gradients[layer][kind][tokens].to(dtype) * inverse_sigma
        gradient = gradient.view(-1, units, d_head)
        linear = run.projected[layer][kind][tokens].to(dtype)
        if projection.bias is not None:
            linear = linear - projection.bias.to(dtype)
        if beta is not None:
            linear = linear - beta @ weight
        linear = linear.reshape(-1, units, d_head)
        along = (gradient * linear).sum(dim=-1) / d_model  # mean of xhat * (W' g), [token, unit]
        folded = weight * gamma[:, None]
        if norm.centred:
            folded = folded - folded.mean(dim=0, keepdim=True)
        slots = out[row : row + units]
        by_unit = folded.view(d_model, units, d_head).permute(1, 2, 0)
        torch.bmm(gradient.transpose(0, 1), by_unit, out=slots)
        slots.addcmul_(along.T[:, :, None], xhat[None], value=-1)
        row += units
