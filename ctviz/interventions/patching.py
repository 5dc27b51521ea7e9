"""Let each slot read a residual stream of its own: hooks on a running model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ctviz.models.anatomy import Anatomy, Block
from ctviz.models.hooks import Hook

__all__ = ["read_hooks"]

Read = Callable[[Tensor, slice], Tensor]


def read_hooks(
    anatomy: Anatomy, read: Read, *, columns: slice | None = None
) -> tuple[list[Hook], list[Hook]]:
    """Hooks (before, after) that make slots read what ``read`` returns.

    ``read(x, columns)`` is called with the residual stream x [example, position, d_model] and the
    columns of slots that stand next to each other, and returns what they read, [slot, example,
    position, d_model]. A head's slots of one layer may read different things through the same norm,
    so their projections are done head by head. ``columns`` limits this to some slots, all of one
    kind and layer; the others read on as usual.
    """
    graph = anatomy.graph
    before: list[Hook] = []
    after: list[Hook] = []
    wanted = columns or slice(0, len(graph.slots))
    column = 0
    for block in anatomy.blocks:
        widths = {"q": graph.n_heads, "k": graph.kv_heads, "v": graph.kv_heads}
        slots: dict[str, slice] = {}
        for kind, width in widths.items():
            start, stop = max(column, wanted.start), min(column + width, wanted.stop)
            if start < stop:
                slots[kind] = slice(start, stop)
            column += width
        if slots:
            hooks = _projection_hooks(block, read, slots, graph.slots[wanted.start].unit)
            before += hooks[0]
            after += hooks[1]
        if wanted.start <= column < wanted.stop:
            before += _mlp_hooks(block, read, column)
        column += 1
    if wanted.start <= column < wanted.stop:
        last = slice(column, column + 1)
        before.append((anatomy.final_norm.module, lambda x: read(x, last)[0]))
    return before, after


def _projection_hooks(
    block: Block, read: Read, slots: dict[str, slice], unit: int
) -> tuple[list[Hook], list[Hook]]:
    residual: list[Tensor] = []

    def keep(x: Tensor) -> None:
        residual[:] = [x]

    def hook(kinds: list[str]) -> Callable[[Tensor], Tensor]:
        def project(output: Tensor) -> Tensor:
            output = output.clone()
            for kind in kinds:
                projection = block.projection(kind)
                x = read(residual[0], slots[kind])
                if block.attention_norm is not None:
                    x = block.attention_norm(x)
                # the slots of a kind are all of its units, or a single one
                units = slice(None) if len(x) == len(projection.slices) else slice(unit, unit + 1)
                # rounded once, as a linear layer does it, also in bfloat16
                precision = torch.promote_types(x.dtype, torch.float32)
                weight = projection.weight[:, units].to(precision)
                value = torch.einsum("ubpd,duh->bpuh", x.to(precision), weight)
                if projection.bias is not None:
                    value = value + projection.bias[units]
                projection.put(output, units, value.to(output.dtype))
            return output

        return project

    after: list[Hook] = []
    for module, names in block.projections.items():
        kinds = [kind for kind in names if kind in slots]
        if kinds:
            after.append((module, hook(kinds)))
    return [(block.module, keep)], after


def _mlp_hooks(block: Block, read: Read, column: int) -> list[Hook]:
    """The read is patched behind the norm, since a parallel MLP may share attention's norm."""
    norm = block.mlp_norm
    stream: list[Tensor] = []  # what the block reads, then what the MLP's own norm reads

    def own(x: Tensor) -> None:
        stream[:] = [x.view_as(stream[0])]  # OPT's MLP has no batch dimension

    def patched(seen: Tensor) -> Tensor:
        x = read(seen if norm is None else stream[0], slice(column, column + 1))[0]
        return (x if norm is None else norm(x)).view_as(seen)

    hooks: list[Hook] = [(block.module, lambda x: stream.__setitem__(slice(None), [x]))]
    if norm is not None and not block.shared_norm:
        hooks.append((norm.module, own))
    return [*hooks, (block.mlp_read, patched)]
