"""The gradient of the metric at every place where the residual stream is read.

`read_gradients` runs the model once with autograd; `slot_gradients` turns what it kept into
d metric / d x_v for each slot v, with x_v the residual stream as read by v alone.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy, Norm
from ctviz.models.hooks import Hook, hooked
from ctviz.models.writes import Writes, at_tokens, frozen, last_mlp_at, writes
from ctviz.tasks.batch import Batch

__all__ = ["FoldedWeights", "ReadGradients", "SharedRun", "read_gradients", "slot_gradients"]


@dataclass(slots=True, eq=False)
class ReadGradients:
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


@dataclass(slots=True, eq=False)
class SharedRun:
    """One run of the clean prompts that discovery and training both use.

    ``hidden``: its final hidden states, [example, position, d_model], through which gradients of
    the parameters that asked for them can still be taken. They hold only where the metric looks,
    since the last MLP runs nowhere else. None if there was no such run.
    """

    hidden: Tensor | None = None


def read_gradients(
    anatomy: Anatomy,
    batch: Batch,
    metric_of: BatchMetric,
    *,
    first: int = 0,
    embedding: Tensor | None = None,
    shared: SharedRun | None = None,
) -> tuple[Writes, ReadGradients, Tensor]:
    """Run the clean prompts, with another ``embedding`` [example, position, d_model] if given.

    Returns what the sources wrote, the reads from position ``first`` on, and the metric [example].
    The run is kept in ``shared``, for parameters that ask for a gradient now.
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
    tokens = batch.answer_tokens
    lean = last_mlp_at(anatomy, tokens)
    still = frozen(anatomy) if shared is None else nullcontext()
    with still, torch.enable_grad(), lean, writes(anatomy) as kept:
        with hooked(before=before, after=after):
            hidden = anatomy.hidden(batch.clean, batch.first)
        metric = metric_of(hidden)
        wanted = [*projected, *own_reads]
        found = torch.autograd.grad(metric.sum(), wanted, retain_graph=shared is not None)
    if shared is not None:
        shared.hidden = hidden
    shape = batch.clean.shape

    def part(x: Tensor) -> Tensor:
        return x.detach().view(*shape, -1)[:, first:]  # OPT's MLP has no batch dimension

    last_mlp = at_tokens(found[-2], tokens, found[-1].shape)

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

    reads = ReadGradients(
        attention=[part(x) for x in attention],
        mlp=[part(x) for x in mlp],
        projected=by_kind(projected),
        projected_gradients=by_kind(list(found[: len(projected)])),
        mlp_gradients=[part(x) for x in [*found[len(projected) : -2], last_mlp]],
        final_gradient=part(found[-1]),
    )
    return kept, reads, metric.detach()


class FoldedWeights:
    """The q, k and v weights of each layer with what the norm in front of them does folded in.

    They are needed for each part of a batch: with ``keep`` they are made once and kept, else made
    anew each time.
    """

    def __init__(self, anatomy: Anatomy, dtype: torch.dtype, *, keep: bool) -> None:
        self.anatomy, self.dtype, self.keep = anatomy, dtype, keep
        self._known: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}

    def __call__(self, layer: int, kind: str) -> tuple[Tensor, Tensor]:
        """The weight [unit, d_head, d_model], and what the projection adds to it, [unit, d_head].

        With xhat what the norm makes of its input before scale and bias, the projection's output
        is xhat @ weight + the second; the weight is centred for LayerNorm, whose xhat has mean 0.
        """
        if (layer, kind) in self._known:
            return self._known[layer, kind]
        block = self.anatomy.blocks[layer]
        projection, norm = block.projection(kind), block.attention_norm
        weight = projection.weight.to(self.dtype)  # [d_model, unit, d_head]
        added = weight.new_zeros(weight.shape[1:])
        if projection.bias is not None:
            added = added + projection.bias.to(self.dtype)
        if norm is not None and norm.bias is not None:
            added = added + torch.tensordot(norm.bias.to(self.dtype), weight, 1)
        if norm is not None:
            name = f"folded {layer} {kind}" if self.keep else "folded"
            workspace = self.anatomy.workspace
            folded = workspace.take(name, tuple(weight.shape), self.dtype, weight.device)
            scale = weight.new_ones(()) if norm.scale is None else norm.scale.to(self.dtype)
            weight = torch.mul(weight, scale.view(-1, 1, 1), out=folded)
            if norm.centred:
                weight -= weight.mean(dim=0, keepdim=True)
        found = weight.permute(1, 2, 0), added
        if self.keep:
            self._known[layer, kind] = found
        return found


def slot_gradients(
    folded: FoldedWeights,
    columns: slice,
    readings: list[ReadGradients],
    where: tuple[slice, slice],
    out: Tensor,
) -> None:
    """Write the mean over ``readings`` of d metric / d x_v into ``out``, [slot, token, d_model].

    ``columns`` are slots, those of a layer all together or not at all; ``where`` says of which
    examples and positions.
    """
    anatomy = folded.anatomy
    graph = anatomy.graph
    row = 0
    while row < len(out):
        slot = graph.slots[columns.start + row]
        if slot.kind == "q":  # the first of its layer: fill in all q, k and v at once
            width = graph.n_heads + 2 * graph.kv_heads
            _attention_gradients(folded, slot.layer, readings, where, out[row : row + width])
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
    folded: FoldedWeights,
    layer: int,
    readings: list[ReadGradients],
    where: tuple[slice, slice],
    out: Tensor,
) -> None:
    """The sum over readings for all q, k and v slots of a layer.

    With projection W, a slot's gradient is J^T W g, g being the gradient at the projection's output
    of that slot. All but the last term of J^T (see `_through`) is linear in g, so scale, centring
    and 1 / sigma are folded into W and g before the product; and xhat . W' g needs no product of
    its own, since xhat W' is the projection's output without what is added to it.
    """
    dtype, norm = out.dtype, folded.anatomy.blocks[layer].attention_norm
    standardized: list[tuple[Tensor, Tensor]] = []
    if norm is not None:
        flat = [reads.attention[layer][where].to(dtype).flatten(0, 1) for reads in readings]
        standardized = [norm.standardize(x) for x in flat]
    row = 0
    for kind in "qkv":
        weight, added = folded(layer, kind)
        slots = out[row : row + len(weight)]
        for index, reads in enumerate(readings):
            g = reads.projected_gradients[layer][kind][where].to(dtype).flatten(0, 1)
            if norm is not None:
                g = g * standardized[index][1][:, :, None]
            keep = 1 if index else 0
            torch.baddbmm(slots, g.transpose(0, 1), weight, beta=keep, out=slots)
            if norm is not None:
                linear = reads.projected[layer][kind][where].to(dtype).flatten(0, 1) - added
                along = (g * linear).sum(dim=-1) / out.shape[-1]  # mean of xhat * (W' g)
                slots.addcmul_(along.T[:, :, None], standardized[index][0][None], value=-1)
        row += len(weight)
