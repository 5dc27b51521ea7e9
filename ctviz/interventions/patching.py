"""Let one slot read another residual stream than the rest of the model."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ctviz.models.anatomy import Anatomy, Block
from ctviz.models.hooks import Hook

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
        return _mlp_hooks(block, change), []
    return _projection_hooks(block, slot.kind, slot.unit, change)


def _projection_hooks(
    block: Block, kind: str, unit: int, change: Change
) -> tuple[list[Hook], list[Hook]]:
    residual: list[Tensor] = []
    projection = block.projection(kind)

    def keep(x: Tensor) -> None:
        residual[:] = [x]

    def project(output: Tensor) -> Tensor:
        output = output.clone()
        x = change(residual[0])
        if block.attention_norm is not None:
            x = block.attention_norm(x)
        tokens = output.view(-1, output.shape[-1])
        projection.put(tokens, None, [unit], projection.of(x.reshape(1, -1, x.shape[-1]), [unit]))
        return output

    return [(block.module, keep)], [(projection.module, project)]


def _mlp_hooks(block: Block, change: Change) -> list[Hook]:
    """The read is patched behind the norm, since a parallel MLP may share attention's norm."""
    norm = block.mlp_norm
    stream: list[Tensor] = []  # what the block reads, then what the MLP's own norm reads

    def own(x: Tensor) -> None:
        stream[:] = [x.view_as(stream[0])]  # OPT's MLP has no batch dimension

    def patched(seen: Tensor) -> Tensor:
        x = change(seen if norm is None else stream[0])
        return (x if norm is None else norm(x)).view_as(seen)

    hooks: list[Hook] = [(block.module, lambda x: stream.__setitem__(slice(None), [x]))]
    if norm is not None and not block.shared_norm:
        hooks.append((norm.module, own))
    return [*hooks, (block.mlp_read, patched)]
