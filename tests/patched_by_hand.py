"""A patched run from its definition: every edge, one circuit, the whole model, nothing left out.

Each slot reads x_v = x - sum over u of outside[u, v] * (a_u - a_u,corrupt). The engine
(`ctviz.interventions.circuit_runs`) runs only what a circuit needs; this runs everything, and takes
edges that are corrupted in part, for derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ctviz.circuits.scores import Circuit
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook
from ctviz.models.parts import Block, LinearModule
from ctviz.models.writes import Writes, scaled_input_hooks, source_outputs, unit_outputs
from ctviz.tasks.batch import Batch

Read = Callable[[Tensor, slice], Tensor]


class PatchedRun:
    """The hooks of one patched forward pass, and the source outputs seen so far in it.

    ``before`` and ``after`` are for `ctviz.models.hooks.hooked`. ``outside`` [source, slot] is how
    much of each edge is corrupted: 1 outside the circuit, 0 in it. ``corrupt``: what the sources
    write instead; None: nothing.
    """

    def __init__(
        self, anatomy: Anatomy, batch: Batch, circuit: Circuit, corrupt: Writes | None
    ) -> None:
        self.anatomy, graph = anatomy, anatomy.graph
        outside = torch.from_numpy(graph.exists & ~circuit.mask)
        self.outside = outside.to(anatomy.device, anatomy.model.dtype)  # [source, slot]
        # difference[u] = a_u - a_u,corrupt, filled as the run writes; starts as -a_u,corrupt
        shape = (len(graph.sources), batch.clean.numel(), anatomy.d_model)
        if corrupt is None:
            self.difference = self.outside.new_zeros(shape)
        else:
            self.difference = source_outputs(anatomy, corrupt).neg_()
            if self.difference.shape != shape:  # means: one token that stands for all
                self.difference = self.difference.expand(shape).clone()
        patched, self.after = read_hooks(anatomy, self._read)
        self.before: list[Hook] = [(anatomy.blocks[0].module, lambda x: self._write(0, x))]
        for layer, block in enumerate(anatomy.blocks):
            rows, norm = graph.rows(layer), block.attention_post_norm
            heads = self._units_writer(rows["head"], block.write_weight)
            self.before += scaled_input_hooks(block.attention_out, norm, heads)
            if graph.mlp_blocks == 1:
                self.after.append((block.mlp_write, self._writer(rows["mlp"].start)))
            else:
                neurons = self._units_writer(rows["mlp"], block.mlp_write_weight)
                self.before += scaled_input_hooks(block.mlp_out, block.mlp_post_norm, neurons)
        self.before += patched

    def _write(self, row: int, output: Tensor) -> None:
        self.difference[row] += output.view(self.difference[row].shape)

    def _writer(self, row: int) -> Callable[[Tensor], None]:
        return lambda output: self._write(row, output)

    def _units_writer(self, rows: slice, weight: Tensor) -> Callable[[Tensor], None]:
        units = rows.stop - rows.start

        def write(z: Tensor) -> None:
            self.difference[rows] += unit_outputs(z.reshape(-1, z.shape[-1]), weight, units)

        return write

    def _read(self, x: Tensor, columns: slice) -> Tensor:
        """The residual stream as read by some slots: [slot, example, position, d_model]."""
        reach = self.anatomy.graph.slots[columns.start].n_sources
        outside = self.outside[:reach, columns]
        removed = outside.T @ self.difference[:reach].reshape(reach, -1)
        return x - removed.view(-1, *x.shape)


def read_hooks(anatomy: Anatomy, read: Read) -> tuple[list[Hook], list[Hook]]:
    """Hooks (before, after) that make slots read what ``read`` returns.

    ``read(x, columns)`` is called with the residual stream x [example, position, d_model] and the
    columns of slots that stand next to each other, and returns what they read, [slot, example,
    position, d_model]. A head's slots of one layer may read different things through the same norm,
    so their projections are done head by head.
    """
    graph = anatomy.graph
    before: list[Hook] = []
    after: list[Hook] = []
    column = 0
    for block in anatomy.blocks:
        widths = {"q": graph.n_heads, "k": graph.kv_heads, "v": graph.kv_heads}
        slots: dict[str, slice] = {}
        for kind, width in widths.items():
            slots[kind] = slice(column, column + width)
            column += width
        hooks = _projection_hooks(block, read, slots)
        before += hooks[0]
        after += hooks[1]
        hooks = _mlp_hooks(block, read, slice(column, column + graph.mlp_blocks))
        before += hooks[0]
        after += hooks[1]
        column += graph.mlp_blocks
    last = slice(column, column + 1)
    before.append((anatomy.final_norm.module, lambda x: read(x, last)[0]))
    return before, after


def _projection_hooks(
    block: Block, read: Read, slots: dict[str, slice]
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
                value = torch.einsum("ubpd,duh->bpuh", x, projection.weight)
                if projection.bias is not None:
                    value = value + projection.bias
                by_slice = output.unflatten(-1, (-1, projection.d_head))
                by_slice[..., list(projection.slices), :] = value
            return output

        return project

    after: list[Hook] = []
    for module, names in block.projections.items():
        kinds = [kind for kind in names if kind in slots]
        if kinds:
            after.append((module, hook(kinds)))
    return [(block.module, keep)], after


def _mlp_hooks(block: Block, read: Read, columns: slice) -> tuple[list[Hook], list[Hook]]:
    """The read is patched behind the norm, since a parallel MLP may share attention's norm.

    Of an MLP that is cut, the neurons of each block are projected from what that block reads.
    """
    norm = block.mlp_norm
    stream: list[Tensor] = []  # what the block reads, then what the MLP's own norm reads

    def own(x: Tensor) -> None:
        stream[:] = [x.view_as(stream[0])]  # OPT's MLP has no batch dimension

    def read_by_all() -> Tensor:
        x = read(stream[0], columns)
        return x if norm is None else norm(x)

    def project(module: LinearModule, output: Tensor) -> Tensor:
        x, blocks = read_by_all(), columns.stop - columns.start
        size = block.mlp_out.weight.numel() // x.shape[-1] // blocks
        weight = module.weight if isinstance(module, Conv1D) else module.weight.T
        each = []
        for start in range(0, weight.shape[1], blocks * size):  # gates, then what they let through
            for n in range(blocks):
                own = slice(start + n * size, start + (n + 1) * size)
                bias = 0.0 if module.bias is None else module.bias[own]
                each.append(x[n] @ weight[:, own] + bias)
        return torch.cat(each, dim=-1).view_as(output)

    hooks: list[Hook] = [(block.module, lambda x: stream.__setitem__(slice(None), [x]))]
    if norm is None:
        hooks.append((block.mlp_read, own))
    elif not block.shared_norm:
        hooks.append((norm.module, own))
    if columns.stop - columns.start == 1:
        return [*hooks, (block.mlp_read, lambda seen: read_by_all()[0].view_as(seen))], []
    return hooks, [(module, partial(project, module)) for module in block.mlp_in]
