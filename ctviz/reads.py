"""The gradient of the metric at every place where the residual stream is read.

`read_gradients` runs the model once with autograd; `slot_gradients` turns what it kept into
d metric / d x_v for each slot v, with x_v the residual stream as read by v alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ctviz.measure import Measure
from ctviz.models.anatomy import Anatomy, Norm
from ctviz.models.hooks import Hook, hooked
from ctviz.models.writes import Writes, frozen, writes
from ctviz.tasks.batch import Batch

__all__ = ["Reads", "read_gradients", "slot_gradients"]


@dataclass(slots=True, eq=False)
class Reads:
    """What one run read, and d metric / d it; [example, position, ...] from some position on.

    ``attention[l]``, ``mlp[l]``: what attention and the MLP of layer l read, [..., d_model] (no
    ``mlp`` where the MLP has no norm in front);
    ``projected[l]``, ``projected_gradients[l]``: outputs of its q, k and v projections by kind,
    [..., unit, d_head], and their gradients; ``mlp_gradients[l]``: the gradient at the MLP's input,
    behind its norm; ``final_gradient``: at what the final norm reads, [..., d_model].
    """

    attention: list[Tensor]
    mlp: list[Tensor]
    projected: list[dict[str, Tensor]]
    projected_gradients: list[dict[str, Tensor]]
    mlp_gradients: list[Tensor]
    final_gradient: Tensor


def read_gradients(
    anatomy: Anatomy,
    batch: Batch,
    measure: Measure,
    *,
    first: int = 0,
    embedding: Tensor | None = None,
) -> tuple[Writes, Reads, Tensor]:
    """Run the clean prompts, with another ``embedding`` [example, position, d_model] if given.

    Returns what the sources wrote, the reads from position ``first`` on, and the metric [example].
    """
    attention: list[Tensor] = []
    mlp: list[Tensor] = []
    projected: list[Tensor] = []  # outputs of the projection modules, layer by layer
    own_reads: list[Tensor] = []  # of the MLPs, then of the final norm

    def start(x: Tensor) -> Tensor:
        return (x.detach() if embedding is None else embedding.to(x.dtype)).requires_grad_()

    def own_read(x: Tensor) -> Tensor:
        own_reads.append(x.view_as(x))  # a tensor of its own: its gradient is this read's alone
        return own_reads[-1]

    before: list[Hook] = [(anatomy.blocks[0].module, start)]
    after: list[Hook] = []
    for block in anatomy.blocks:
        before.append((block.module, lambda x: attention.append(x.detach())))
        if block.mlp_norm is not None:
            stream = block.module if block.shared_norm else block.mlp_norm.module
            before.append((stream, lambda x: mlp.append(x.detach())))
        before.append((block.mlp_read, own_read))
        after += [(module, projected.append) for module in block.projections]
    before.append((anatomy.final_norm.module, own_read))
    with frozen(anatomy), torch.enable_grad(), writes(anatomy) as kept:
        with hooked(before=before, after=after):
            hidden = anatomy.hidden(batch.clean, batch.first)
        metric = measure(hidden)
        found = torch.autograd.grad(metric.sum(), [*projected, *own_reads])
    shape = batch.clean.shape

    def part(x: Tensor) -> Tensor:
        return x.detach().view(*shape, -1)[:, first:]  # OPT's MLP has no batch dimension

    def by_kind(tensors: list[Tensor]) -> list[dict[str, Tensor]]:
        rest = iter(tensors)
        layers = []
        for block in anatomy.blocks:
            kinds: dict[str, Tensor] = {}
            for names in block.projections.values():
                output = part(next(rest))
                kinds |= {kind: block.projection(kind).take(output) for kind in names}
            layers.append(kinds)
        return layers

    reads = Reads(
        attention=[part(x) for x in attention],
        mlp=[part(x) for x in mlp],
        projected=by_kind(projected),
        projected_gradients=by_kind(list(found[: len(projected)])),
        mlp_gradients=[part(x) for x in found[len(projected) : -1]],
        final_gradient=part(found[-1]),
    )
    return kept, reads, metric.detach()


def slot_gradients(
    anatomy: Anatomy,
    columns: slice,
    readings: list[Reads],
    where: tuple[slice, slice],
    out: Tensor,
) -> None:
    """Write the mean over ``readings`` of d metric / d x_v into ``out``, [slot, token, d_model].

    ``columns`` are slots, those of a layer all together or not at all; ``where`` says of which
    examples and positions.
    """
    graph = anatomy.graph
    row = 0
    while row < len(out):
        slot = graph.slots[columns.start + row]
        if slot.kind == "q":  # the first of its layer: fill in all q, k and v at once
            width = graph.n_heads + 2 * graph.kv_heads
            _attention_gradients(anatomy, slot.layer, readings, where, out[row : row + width])
            row += width
            continue
        norm = None if slot.kind == "logits" else anatomy.blocks[slot.layer].mlp_norm
        out[row] = 0
        for reads in readings:
            own = reads.final_gradient if slot.kind == "logits" else reads.mlp_gradients[slot.layer]
            g = own[where].to(out.dtype)
            if norm is not None:
                g = _through(norm, reads.mlp[slot.layer][where].to(out.dtype), g)
            out[row] += g.flatten(0, 1)
        row += 1
    if len(readings) > 1:
        out /= len(readings)


def _through(norm: Norm, x: Tensor, g: Tensor) -> Tensor:
    """The transposed Jacobian of a norm at x, applied to a gradient: [..., d_model].

    With y = scale * xhat + bias and xhat = (x - mean) / sigma,

        J^T g = (h - mean(h) - xhat * mean(xhat * h)) / sigma,  h = scale * g

    without the means of x and of h for RMSNorm.
    """
    xhat, inverse_sigma = norm.standardize(x)
    h = g if norm.scale is None else g * norm.scale.to(g.dtype)
    if norm.centred:
        h = h - h.mean(dim=-1, keepdim=True)
    return torch.addcmul(h, xhat, (xhat * h).mean(dim=-1, keepdim=True), value=-1) * inverse_sigma


def _attention_gradients(
    anatomy: Anatomy,
    layer: int,
    readings: list[Reads],
    where: tuple[slice, slice],
    out: Tensor,
) -> None:
    """The sum over readings for all q, k and v slots of a layer.

    With projection W, a slot's gradient is J^T W g, g being the gradient at the projection's output
    of that slot. All but the last term of J^T (see `_through`) is linear in g, so scale, centring
    and 1 / sigma are folded into W and g before the product; and xhat . W' g needs no product of
    its own, since xhat W' is the projection's output without its bias.
    """
    d_model, dtype = anatomy.d_model, out.dtype
    block = anatomy.blocks[layer]
    norm = block.attention_norm
    scale = bias = None
    standardized: list[tuple[Tensor, Tensor]] = []
    if norm is not None:
        scale = None if norm.scale is None else norm.scale.to(dtype)
        bias = None if norm.bias is None else norm.bias.to(dtype)
        flat = [reads.attention[layer][where].to(dtype).flatten(0, 1) for reads in readings]
        standardized = [norm.standardize(x) for x in flat]
    row = 0
    for kind in "qkv":
        projection = block.projection(kind)
        weight = projection.weight.to(dtype)  # [d_model, unit, d_head]
        units = weight.shape[1]
        folded = weight if scale is None else weight * scale[:, None, None]
        if norm is not None and norm.centred:
            folded = folded - folded.mean(dim=0, keepdim=True)
        by_unit = folded.permute(1, 2, 0)
        slots = out[row : row + units]
        for index, reads in enumerate(readings):
            g = reads.projected_gradients[layer][kind][where].to(dtype).flatten(0, 1)
            if norm is not None:
                g = g * standardized[index][1][:, :, None]
            keep = 1 if index else 0
            torch.baddbmm(slots, g.transpose(0, 1), by_unit, beta=keep, out=slots)
            if norm is None:
                continue
            linear = reads.projected[layer][kind][where].to(dtype).flatten(0, 1)
            if projection.bias is not None:
                linear = linear - projection.bias.to(dtype)
            if bias is not None:
                linear = linear - torch.tensordot(bias, weight, 1)
            along = (g * linear).sum(dim=-1) / d_model  # mean of xhat * (W' g), [token, unit]
            slots.addcmul_(along.T[:, :, None], standardized[index][0][None], value=-1)
        row += units
