"""Run circuits: the model with every edge outside a circuit corrupted, several circuits at once.

Each destination slot reads its own residual stream,

    x_v = x_v,corrupt + sum over u in the circuit with an edge to v of (a_u - a_u,corrupt)

with x_v,corrupt that of the corrupted run (`ctviz.interventions.corrupted`) and a_u what source u
writes in this very run. A head's q, k and v slots of one layer therefore read different inputs
through the same norm, and their projections are done head by head. What no path of the circuit
passes does not run at all: its writes are those of the corrupted run, or nobody reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.paths import fed, useful
from ctviz.interventions.corrupted import Corrupted
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.parts import LinearModule, in_out
from ctviz.models.writes import scaled_input_hooks

__all__ = ["metrics_of_circuits"]

TOKENS = 4096  # of all copies of the examples that run together, at most


@torch.no_grad()
def metrics_of_circuits(
    anatomy: Anatomy, part: Corrupted, masks: Sequence[np.ndarray], *, room: int
) -> Tensor:
    """The metric of the examples under each circuit, [circuit, example].

    ``masks``: bool [source, slot], the edges of each circuit. ``room``: bytes that what the sources
    of circuits that run together write may take.
    """
    values = part.empty.repeat(len(masks), 1)
    plans = [_plan(anatomy, mask, counterfactual=part.outputs is not None) for mask in masks]
    precision = torch.promote_types(anatomy.model.dtype, torch.float32)
    token = anatomy.d_model * precision.itemsize * len(part.tokens)
    most = max(1, TOKENS // part.batch.clean.numel())
    waiting = [index for index, plan in enumerate(plans) if plan.edges[:, -1].any()]
    while waiting:
        together: list[int] = []
        taken = 0
        while waiting and len(together) < most:
            taken += token * len(plans[waiting[0]].written)
            if together and taken > room:
                break
            together.append(waiting.pop(0))
        run = _Run(anatomy, part, [plans[index] for index in together])
        values[together] = run.metric()
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What has to run for one circuit.

    ``edges``: bool [source, slot], those that matter; ``written``: sources with such an edge, int
    [n], and ``place`` where each source is among them, int [source]; ``slots``: bool [slot], those
    that are projected.
    """

    edges: np.ndarray
    written: np.ndarray
    place: np.ndarray
    slots: np.ndarray


def _plan(anatomy: Anatomy, mask: np.ndarray, *, counterfactual: bool) -> _Plan:
    """Under counterfactual ablation, what `input` does not reach is as in the corrupt run."""
    graph = anatomy.graph
    together = anatomy.blocks[0].written_together
    alive = useful(graph, mask, together=together)
    if counterfactual:
        alive &= fed(graph, mask, together=together)
    feeding = (graph.feeds & np.append(alive, True)).any(axis=1)
    edges = mask & alive[:, None] & feeding
    written = np.flatnonzero(edges.any(axis=1))
    place = np.zeros(len(graph.sources), dtype=int)
    place[written] = np.arange(len(written))
    slots = edges.any(axis=0) if counterfactual else feeding
    if together and graph.mlp_blocks > 1:  # the norm behind an MLP asks what all blocks write
        for layer in range(graph.n_layers):
            slots[graph.columns(layer)["mlp"]] = slots[graph.columns(layer)["mlp"]].any()
    return _Plan(edges, written, place, slots)


class _Run:
    """One pass over copies of the examples, one for each circuit."""

    def __init__(self, anatomy: Anatomy, part: Corrupted, plans: Sequence[_Plan]) -> None:
        self.anatomy, self.part, self.plans = anatomy, part, plans
        self.copies, self.shape = len(plans), part.batch.clean.shape
        self.dtype = anatomy.model.dtype
        self.precision = torch.promote_types(self.dtype, torch.float32)
        shape = (len(part.tokens), anatomy.d_model)
        # what the sources write beyond the corrupted run, [written, token, d_model]
        self.beyond = [
            torch.zeros((len(plan.written), *shape), dtype=self.precision, device=anatomy.device)
            for plan in plans
        ]

    def metric(self) -> Tensor:
        """[circuit, example]."""
        anatomy, first = self.anatomy, self.part.batch.first
        before: list[Hook] = [(anatomy.blocks[0].module, self._embedding)]
        after: list[Hook] = []
        for layer in range(len(anatomy.blocks)):
            mlp = self._blocks if anatomy.graph.mlp_blocks > 1 else self._mlp
            for hooks in (self._attention(layer), mlp(layer)):
                before += hooks[0]
                after += hooks[1]
        before.append((anatomy.final_norm.module, self._final))
        with hooked(before=before, after=after):
            hidden = anatomy.hidden(
                self.part.batch.clean.repeat(self.copies, 1),
                None if first is None else first.repeat(self.copies),
            )
        return self.part.metric_of(hidden).view(self.copies, -1)

    def _read(self, circuit: int, stream: Tensor, columns: np.ndarray) -> Tensor:
        """What some slots of a circuit read where the corrupted run reads ``stream``
        [example, position, d_model]: [slot, token, d_model], in the model's precision.
        """
        plan, base = self.plans[circuit], self.part.at(stream).to(self.precision)
        edges = plan.edges[:, columns]
        rows = np.flatnonzero(edges.any(axis=1))
        if not len(rows):
            return base.to(self.dtype).expand(len(columns), -1, -1)
        weights = torch.from_numpy(edges[rows].T.copy()).to(base.device, self.precision)
        beyond = self.beyond[circuit][torch.from_numpy(plan.place[rows]).to(base.device)]
        moved = (weights @ beyond.flatten(1)).view(len(columns), *base.shape)
        return (moved + base).to(self.dtype)

    def _embedding(self, x: Tensor) -> None:
        written = x[: self.shape[0]].flatten(0, 1)[self.part.tokens].to(self.precision)
        if self.part.writes is not None:
            written = written - self.part.at(self.part.writes.tensors[0])
        for plan, beyond in zip(self.plans, self.beyond, strict=True):
            if plan.edges[0].any():
                beyond[plan.place[0]] = written

    def _final(self, _: Tensor) -> Tensor:
        stream, last = self.part.streams.final[0], np.array([-1])
        out = self.part.whole(stream).repeat(self.copies, 1, 1)
        by_circuit = out.view(self.copies, -1, out.shape[-1])
        for circuit in range(self.copies):
            by_circuit[circuit, self.part.tokens] = self._read(circuit, stream, last)[0]
        return out

    def _attention(self, layer: int) -> tuple[list[Hook], list[Hook]]:
        block, columns = self.anatomy.blocks[layer], self.anatomy.graph.columns(layer)
        reads: dict[tuple[int, str], tuple[np.ndarray, Tensor]] = {}  # by circuit and kind

        def read(_: Tensor) -> None:
            for circuit, plan in enumerate(self.plans):
                wanted = [np.flatnonzero(plan.slots[columns[kind]]) for kind in "qkv"]
                starts = [columns[kind].start for kind in "qkv"]
                at = np.concatenate([s + units for s, units in zip(starts, wanted, strict=True)])
                x = self._read(circuit, self.part.streams.attention[layer], at)
                if block.attention_norm is not None and len(x):
                    x = block.attention_norm(x)
                each = x.split([len(units) for units in wanted])
                for kind, units, own in zip("qkv", wanted, each, strict=True):
                    reads[circuit, kind] = units, own

        def project(module: LinearModule, kinds: list[str], output: Tensor) -> Tensor:
            width, whole = output.shape[-1], self.part.outputs
            if whole is None:
                out = output.new_zeros((self.copies * self.shape[0], self.shape[1], width))
            else:
                out = whole[module].repeat(self.copies, 1, 1)
            by_circuit = out.view(self.copies, -1, width)
            for circuit in range(self.copies):
                for kind in kinds:
                    units, x = reads.pop((circuit, kind))
                    if len(units):
                        values = block.projection(kind).of(x, units)
                        block.projection(kind).put(
                            by_circuit[circuit], self.part.tokens, units, values
                        )
            return out

        before: list[Hook] = [(block.module, read)]
        after: list[Hook] = []
        for module, kinds in block.projections.items():
            before.append((module, _one_token))
            after.append((module, partial(project, module, kinds)))
        norm = block.attention_post_norm
        before += scaled_input_hooks(block.attention_out, norm, partial(self._heads, layer))
        # the model's own residual stream is read nowhere, so it may be given anything
        if norm is None:  # else the norm asks what all heads write together
            before.append((block.attention_out, _one_token))
            shape = (self.copies * self.shape[0], self.shape[1], self.anatomy.d_model)
            after.append((block.attention_out, lambda y: y.new_zeros(shape)))
        return before, after

    def _heads(self, layer: int, z: Tensor) -> None:
        """Keep what the heads write, from the output projection's input."""
        block, heads = self.anatomy.blocks[layer], self.anatomy.graph.n_heads
        row = self.anatomy.graph.rows(layer)["head"].start
        weight = block.write_weight.to(self.precision).unflatten(0, (heads, -1))
        by_circuit = z.view(self.copies, -1, z.shape[-1])
        for plan, beyond, own in zip(self.plans, self.beyond, by_circuit, strict=True):
            wanted = np.flatnonzero(plan.edges[row : row + heads].any(axis=1))
            if not len(wanted):
                continue
            apart = own[self.part.tokens].to(self.precision)
            if self.part.writes is not None:
                apart = apart - self.part.at(self.part.writes.heads[layer])
            units = slice(None) if len(wanted) == heads else torch.from_numpy(wanted)
            each = apart.unflatten(-1, (heads, -1)).transpose(0, 1)[units]
            beyond[plan.place[row + wanted]] = torch.bmm(each, weight[units])

    def _mlp(self, layer: int) -> tuple[list[Hook], list[Hook]]:
        """The MLP runs for the circuits that need it, on the tokens that differ, and the last one
        only where an answer is predicted: nothing but the logits reads it."""
        block, graph, part = self.anatomy.blocks[layer], self.anatomy.graph, self.part
        column, row = graph.columns(layer)["mlp"].start, graph.rows(layer)["mlp"].start
        runs = [circuit for circuit, plan in enumerate(self.plans) if plan.slots[column]]
        tokens = self._mlp_tokens(layer)

        shape: list[torch.Size] = []  # OPT's MLP has no batch dimension

        def read(x: Tensor) -> Tensor:
            shape[:] = [x.shape]
            if not runs:
                return x.reshape(-1, x.shape[-1])[:1]
            stream, slot = part.streams.mlp[layer], np.array([column])
            found = torch.cat([self._read(circuit, stream, slot)[0][tokens] for circuit in runs])
            return found if block.mlp_norm is None else block.mlp_norm(found)

        def write(y: Tensor) -> Tensor:
            if runs:
                for circuit, own in zip(runs, y.view(len(runs), len(tokens), -1), strict=True):
                    written = own.to(self.precision)
                    if part.writes is not None:
                        written = written - part.at(part.writes.mlps[layer])[tokens]
                    self.beyond[circuit][self.plans[circuit].place[row], tokens] = written
            return y.new_zeros(shape[0])

        return [(block.mlp_read, read)], [(block.mlp_write, write)]

    def _mlp_tokens(self, layer: int) -> Tensor:
        """Indices into the part's tokens."""
        part = self.part
        last = layer == len(self.anatomy.blocks) - 1
        return part.ends if last else torch.arange(len(part.tokens), device=part.tokens.device)

    def _blocks(self, layer: int) -> tuple[list[Hook], list[Hook]]:
        """The same for an MLP that is cut: only the neurons of blocks that are needed run.

        Blocks of all circuits stand side by side between the projections, [block, token, neuron],
        since all that the model computes there is computed neuron by neuron.
        """
        block, graph, part = self.anatomy.blocks[layer], self.anatomy.graph, self.part
        columns, rows = graph.columns(layer)["mlp"], graph.rows(layer)["mlp"]
        wanted = [np.flatnonzero(plan.slots[columns]) for plan in self.plans]
        runs = [circuit for circuit, units in enumerate(wanted) if len(units)]
        tokens = self._mlp_tokens(layer)
        shape: list[torch.Size] = []
        reads: list[Tensor] = []
        weight = block.mlp_write_weight.to(self.precision).unflatten(0, (graph.mlp_blocks, -1))

        def read(x: Tensor) -> Tensor:
            shape[:] = [x.shape]
            stream = part.streams.mlp[layer]
            for circuit in runs:
                found = self._read(circuit, stream, columns.start + wanted[circuit])[:, tokens]
                reads.append(found if block.mlp_norm is None else block.mlp_norm(found))
            return x.reshape(-1, x.shape[-1])[:1]

        def project(module: LinearModule, output: Tensor) -> Tensor:
            if not runs:
                return output
            parts = [own for own in block.mlp_parts if own.module is module]
            pairs = list(zip(runs, reads, strict=True))
            return torch.cat(
                [torch.cat([own.of(x, wanted[c]) for c, x in pairs]) for own in parts], dim=-1
            )

        def write(h: Tensor) -> Tensor:
            if not runs:
                return h
            corrupt = None
            if part.writes is not None:
                neurons = part.at(part.writes.mlps[layer])[tokens].to(self.precision)
                corrupt = neurons.unflatten(-1, (graph.mlp_blocks, -1)).transpose(0, 1)
            for circuit, own in zip(runs, h.split([len(wanted[c]) for c in runs]), strict=True):
                own = own.to(self.precision)
                if block.mlp_post_norm is not None:  # all blocks are there
                    together = own.transpose(0, 1).flatten(1) @ in_out(block.mlp_out).to(own.dtype)
                    own = own * block.mlp_post_norm.standardize(together)[1]
                plan = self.plans[circuit]
                units = np.flatnonzero(plan.edges[rows].any(axis=1))
                own = own[np.searchsorted(wanted[circuit], units)]
                if corrupt is not None:
                    own = own - corrupt[units]
                places = torch.from_numpy(plan.place[rows.start + units]).to(h.device)
                self.beyond[circuit][places[:, None], tokens] = torch.bmm(own, weight[units])
            return h.new_zeros((1, in_out(block.mlp_out).shape[0]))

        before: list[Hook] = [(block.mlp_read, read), (block.mlp_out, write)]
        after: list[Hook] = [(module, partial(project, module)) for module in block.mlp_in]
        return before, [*after, (block.mlp_write, lambda y: y.new_zeros(shape[0]))]


def _one_token(x: Tensor) -> Tensor:
    """Of an input [example, position, width] whose output is replaced."""
    return x[:1, :1]
