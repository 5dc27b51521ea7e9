"""Let one slot read another residual stream than the rest of the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook
from ctviz.models.parts import Block, LinearModule, Norm, Projection

__all__ = ["read_hooks"]

Change = Callable[[Tensor], Tensor]


def read_hooks(anatomy: Anatomy, column: int, change: Change) -> tuple[list[Hook], list[Hook]]:
    """Hooks (before, after) that make a slot, the graph's ``column``, read what ``change`` returns.

    ``change`` is called with the residual stream x [example, position, d_model]. A head's slots of
    one layer may read different things through the same norm, so its projection is done apart.
    """
    slot = anatomy.graph.slots[column]
    if slot.kind == "logits":
        return [(anatomy.final_norm.module, change)], []
    block = anatomy.blocks[slot.layer]
    if slot.kind == "mlp":
        return (
            _block_hooks(block, slot.unit, change)
            if block.mlp_parts
            else (_mlp_hooks(block, change), [])
        )
    return _projection_hooks(block, slot.kind, slot.unit, change)


def _projection_hooks(
    block: Block, kind: str, unit: int, change: Change
) -> tuple[list[Hook], list[Hook]]:
    residual: list[Tensor] = []
    projection = block.projection(kind)

    def keep(x: Tensor) -> None:
        residual[:] = [x]

    def project(output: Tensor) -> Tensor:
        x = change(residual[0])
        return _with_unit(projection, unit, output, x, block.attention_norm)

    return [(block.module, keep)], [(projection.module, project)]


def _with_unit(
    projection: Projection, unit: int, output: Tensor, x: Tensor, norm: Norm | None
) -> Tensor:
    """A projection's output with what a unit of it makes of another residual stream x."""
    output = output.clone()
    x = x if norm is None else norm(x)
    tokens = output.view(-1, output.shape[-1])
    projection.put(tokens, None, [unit], projection.of(x.reshape(1, -1, x.shape[-1]), [unit]))
    return output


def _mlp_hooks(block: Block, change: Change) -> list[Hook]:
    """The read is patched behind the norm, since a parallel MLP may share attention's norm."""
    norm = block.mlp_norm
    stream, hooks = _mlp_stream(block)

    def patched(seen: Tensor) -> Tensor:
        x = change(stream[0])
        return (x if norm is None else norm(x)).view_as(seen)

    return [*hooks, (block.mlp_read, patched)]


def _block_hooks(block: Block, unit: int, change: Change) -> tuple[list[Hook], list[Hook]]:
    """Only the neurons of one block of the MLP read something else."""
    stream, hooks = _mlp_stream(block)

    def project(output: Tensor, parts: list[Projection]) -> Tensor:
        x = change(stream[0])
        for part in parts:
            output = _with_unit(part, unit, output, x, block.mlp_norm)
        return output

    of: dict[LinearModule, list[Projection]] = {}
    for part in block.mlp_parts:
        of.setdefault(part.module, []).append(part)
    return hooks, [(module, partial(project, parts=parts)) for module, parts in of.items()]


def _mlp_stream(block: Block) -> tuple[list[Tensor], list[Hook]]:
    """What fills with the residual stream that the MLP reads, and the hooks that fill it."""
    stream: list[Tensor] = []  # what the block reads, then what the MLP's own norm reads
    hooks: list[Hook] = [(block.module, lambda x: stream.__setitem__(slice(None), [x]))]

    def own(x: Tensor) -> None:
        stream[:] = [x.view_as(stream[0])]  # OPT's MLP has no batch dimension

    if block.mlp_norm is None:
        hooks.append((block.mlp_read, own))
    elif not block.shared_norm:
        hooks.append((block.mlp_norm.module, own))
    return stream, hooks
