"""The gradient of the metric at every place where the residual stream is read.

`read_gradients` runs the model once with autograd; `slot_gradients` turns what it kept into
d metric / d x_v for each slot v, with x_v the residual stream as read by v alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy
from ctviz.models.calls import Calls, calls_of
from ctviz.models.hooks import Hook, hooked
from ctviz.models.parts import Norm
from ctviz.models.writes import Writes, at_tokens, frozen, writes
from ctviz.tasks.batch import Batch

__all__ = ["FoldedWeights", "ReadGradients", "SharedRun", "read_gradients", "slot_gradients"]


@dataclass(slots=True, eq=False)
class ReadGradients:
    """What one run read, and d metric / d it; [example, position, ...] from some position on.

    ``attention[l]``, ``mlp[l]``: what attention and the MLP of layer l read, [..., d_model] (no
    ``mlp`` where the MLP has no norm in front);
    ``projected[l]``, ``projected_gradients[l]``: what its q, k and v projections return for each of
    its slots, [..., slot, d_head], and the gradients there; ``mlp_gradients[l]``: the gradient at
    the MLP's input, behind its norm; where MLPs are cut, ``neurons[l]`` is what is projected to the
    neurons of each block, [..., block, width] (see `Block.by_block`), and ``mlp_gradients[l]`` the
    gradient there; ``final_gradient``: at what the final norm reads, [..., d_model].
    """

    attention: list[Tensor]
    mlp: list[Tensor]
    projected: list[Tensor]
    projected_gradients: list[Tensor]
    mlp_gradients: list[Tensor]
    neurons: list[Tensor]
    final_gradient: Tensor


@dataclass(slots=True, eq=False)
class SharedRun:
    """One run of the clean prompts that discovery and training both use.

    ``hidden``: its final hidden states, [example, position, d_model], through which gradients of
    the parameters that asked for them can still be taken. They hold only where the metric looks,
    since the last MLP runs nowhere else. None if there was no such run. ``calls``: what its linear
    modules took in and gave out.
    """

    hidden: Tensor | None = None
    calls: Calls = field(default_factory=dict)


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
    into_mlps: list[Tensor] = []  # what MLPs read or, where they are cut, project to their neurons
    into_final: list[Tensor] = []

    def start(x: Tensor) -> Tensor:
        return (x.detach() if embedding is None else embedding.to(x.dtype)).requires_grad_()

    def own_read(x: Tensor, into: list[Tensor]) -> Tensor:
        into.append(x.view_as(x))  # a tensor of its own: its gradient is this read's alone
        return into[-1]

    before: list[Hook] = [(anatomy.blocks[0].module, start)]
    after: list[Hook] = []
    for block in anatomy.blocks:
        before.append((block.module, lambda x: attention.append(x.detach())))
        if block.mlp_norm is not None:
            stream = block.module if block.shared_norm else block.mlp_norm.module
            before.append((stream, lambda x: mlp.append(x.detach())))
        if block.mlp_parts:
            after += [(module, into_mlps.append) for module in block.mlp_in]
        else:
            before.append((block.mlp_read, partial(own_read, into=into_mlps)))
        after += [(module, projected.append) for module in block.projections]
    before.append((anatomy.final_norm.module, partial(own_read, into=into_final)))
    tokens = batch.answer_tokens
    still = frozen(anatomy) if shared is None else nullcontext()
    with still, torch.enable_grad(), writes(anatomy, read_at=tokens) as kept:
        with ExitStack() as stack:
            stack.enter_context(hooked(before=before, after=after))
            if shared is not None:
                shared.calls = stack.enter_context(calls_of(anatomy))
            hidden = anatomy.hidden(batch.clean, batch.first)
        metric = metric_of(hidden)
        wanted = [*projected, *into_mlps, *into_final]
        found = torch.autograd.grad(metric.sum(), wanted, retain_graph=shared is not None)
    if shared is not None:
        shared.hidden = hidden
    shape, cut = batch.clean.shape, anatomy.graph.mlp_blocks > 1

    def part(x: Tensor) -> Tensor:
        return x.detach().view(*shape, -1)[:, first:]  # OPT's MLP has no batch dimension

    def by_slot(tensors: Sequence[Tensor]) -> list[Tensor]:
        rest = iter(tensors)
        return [
            block.by_slot([part(next(rest)) for _ in block.projections]) for block in anatomy.blocks
        ]

    def by_mlp(tensors: Sequence[Tensor]) -> list[Tensor]:
        each = len(tensors) // len(anatomy.blocks)
        narrow = [at_tokens(x, tokens, torch.Size((*shape, x.shape[-1]))) for x in tensors[-each:]]
        rest = iter([part(x) for x in (*tensors[:-each], *narrow)])
        if not cut:
            return list(rest)
        return [block.by_block([next(rest) for _ in block.mlp_in]) for block in anatomy.blocks]

    reads = ReadGradients(
        attention=[part(x) for x in attention],
        mlp=[part(x) for x in mlp],
        projected=by_slot(projected),
        projected_gradients=by_slot(found[: len(projected)]),
        mlp_gradients=by_mlp(found[len(projected) : -1]),
        neurons=by_mlp(into_mlps) if cut else [],
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
        self._known: dict[int, tuple[Tensor, Tensor]] = {}
        self._to_neurons: dict[int, Tensor] = {}

    def __call__(self, layer: int) -> tuple[Tensor, Tensor]:
        """The weight of each slot [slot, d_head, d_model], and what its projection adds to it,
        [slot, d_head].

        With xhat what the norm makes of its input before scale and bias, the projection's output
        is weight @ xhat + the second; the weight is centred for LayerNorm, whose xhat has mean 0.
        """
        if layer in self._known:
            return self._known[layer]
        block = self.anatomy.blocks[layer]
        norm, kinds = block.attention_norm, [block.projection(kind) for kind in "qkv"]
        weights = [kind.weight.to(self.dtype) for kind in kinds]  # [d_model, unit, d_head]
        slots = sum(weight.shape[1] for weight in weights)
        d_model, _, d_head = weights[0].shape
        size = slots * d_head * d_model
        name = f"folded {layer}" if self.keep else "folded"
        flat = self.anatomy.workspace.take(name, (size,), self.dtype, weights[0].device)
        # in the order in which the model keeps its weights: turning them round takes time
        folded = (
            flat.view(slots, d_head, d_model).permute(2, 0, 1)
            if weights[0].stride(0) == 1
            else flat.view(d_model, slots, d_head)
        )
        scale = None if norm is None or norm.scale is None else norm.scale.to(self.dtype)
        added = folded.new_zeros((slots, d_head))
        row = 0
        for kind, weight in zip(kinds, weights, strict=True):
            rows = slice(row, row + weight.shape[1])
            if scale is None:
                folded[:, rows] = weight
            else:
                torch.mul(weight, scale[:, None, None], out=folded[:, rows])
            if kind.bias is not None:
                added[rows] += kind.bias.to(self.dtype)
            if norm is not None and norm.bias is not None:
                added[rows] += torch.tensordot(norm.bias.to(self.dtype), weight, 1)
            row = rows.stop
        if norm is not None and norm.centred:
            folded -= folded.mean(dim=0, keepdim=True)
        found = folded.permute(1, 2, 0), added
        if self.keep:
            self._known[layer] = found
        return found

    def added_to_neurons(self, layer: int) -> Tensor:
        """What the input projection of a cut MLP, and the norm's shift in front of it, add to what
        it makes of xhat: [block, width]."""
        if layer not in self._to_neurons:
            block = self.anatomy.blocks[layer]
            norm, each = block.mlp_norm, []
            for part in block.mlp_parts:
                added = torch.zeros_like(part.weight[0], dtype=self.dtype)
                if part.bias is not None:
                    added += part.bias
                if norm is not None and norm.bias is not None:
                    added += torch.tensordot(
                        norm.bias.to(self.dtype), part.weight.to(self.dtype), 1
                    )
                each.append(added)
            self._to_neurons[layer] = torch.cat(each, dim=-1)
        return self._to_neurons[layer]


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
        if slot.kind == "mlp" and graph.mlp_blocks > 1:  # and all blocks
            width = graph.mlp_blocks
            _block_gradients(folded, slot.layer, readings, where, out[row : row + width])
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
    and 1 / sigma are folded into W and g, and one product does for the sum over readings; and
    xhat . W' g needs no product of its own, since xhat W' is the projection's output without what
    is added to it.
    """
    weight, added = folded(layer)
    norm = folded.anatomy.blocks[layer].attention_norm
    total, along = _summed(
        norm,
        [reads.projected_gradients[layer][where] for reads in readings],
        [reads.projected[layer][where] for reads in readings],
        [reads.attention[layer][where] for reads in readings],
        added,
    )
    torch.bmm(total.transpose(0, 1), weight, out=out)
    for mean, xhat in along:
        out.addcmul_(mean.T[:, :, None], xhat[None], value=-1)


def _block_gradients(
    folded: FoldedWeights,
    layer: int,
    readings: list[ReadGradients],
    where: tuple[slice, slice],
    out: Tensor,
) -> None:
    """The same for all blocks of a layer's MLP, each with its rows of the input projections.

    Their weights are many, so the norm's scale is not folded into them but applied to the product.
    """
    block, start = folded.anatomy.blocks[layer], 0
    norm = block.mlp_norm
    total, along = _summed(
        norm,
        [reads.mlp_gradients[layer][where] for reads in readings],
        [reads.neurons[layer][where] for reads in readings],
        [reads.mlp[layer][where] for reads in readings] if norm is not None else [],
        folded.added_to_neurons(layer),
    )
    by_block = total.transpose(0, 1)
    for part in block.mlp_parts:
        g = by_block[..., start : start + part.d_head]
        weight = part.weight.permute(1, 2, 0).to(out.dtype)
        torch.baddbmm(out, g, weight, beta=1 if start else 0, out=out)
        start += part.d_head
    if norm is not None and norm.scale is not None:
        out *= norm.scale.to(out.dtype)
    if norm is not None and norm.centred:
        out -= out.mean(dim=-1, keepdim=True)
    for mean, xhat in along:
        out.addcmul_(mean.T[:, :, None], xhat[None], value=-1)


def _summed(
    norm: Norm | None,
    gradients: Sequence[Tensor],
    outputs: Sequence[Tensor],
    streams: Sequence[Tensor],
    added: Tensor,
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Gradients at a projection's outputs, over sigma and summed over readings: [token, slot,
    width], and of each reading the mean over d_model of xhat * (W' g), [token, slot], and xhat.

    ``outputs``: what was projected, ``streams``: what the norm in front of it read; in ``added``
    is what the outputs are beyond W xhat.
    """
    total: Tensor | None = None
    along: list[tuple[Tensor, Tensor]] = []
    for at, gradient in enumerate(gradients):
        g = gradient.to(added.dtype).flatten(0, 1)
        if norm is not None:
            xhat, inverse_sigma = norm.standardize(streams[at].to(added.dtype).flatten(0, 1))
            g = g * inverse_sigma[:, :, None]
            linear = outputs[at].to(added.dtype).flatten(0, 1) - added
            along.append(((g * linear).sum(dim=-1) / xhat.shape[-1], xhat))
        total = g if total is None else total + g
    assert total is not None
    return total, along
