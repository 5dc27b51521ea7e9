"""Run a circuit: the model with every edge outside it corrupted, and what that does to the metric.

Each destination slot reads its own residual stream,

    x_v = x - sum over u outside the circuit of (a_u - a_u,corrupt)

with a_u what source u writes in this very run. A head's q, k and v slots of one layer therefore
read different inputs through the same norm, and their projections are done head by head.
Identities that follow, and that the tests hold the code to: the full circuit is the clean run; the
empty circuit under counterfactual ablation is the corrupt run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctviz.ablation import corrupt_writes, source_means
from ctviz.circuit import Circuit, random_circuit
from ctviz.config import Ablation, Metric
from ctviz.errors import UndefinedMetric
from ctviz.measure import Measure, check_metric
from ctviz.models.anatomy import Anatomy, Block
from ctviz.models.hooks import Hook, hooked
from ctviz.models.writes import Writes, head_outputs, head_write_hooks, source_outputs
from ctviz.patching import read_hooks
from ctviz.tasks.batch import Batch

__all__ = ["Faithfulness", "faithfulness", "metric_of_circuit", "metric_of_model"]


MEMORY_LIMIT = 768 * 2**20  # bytes that the source outputs of one micro-batch may take


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How much of the behaviour a circuit carries, beside random circuits of the same size.

    ``faithfulness`` = (m(circuit) - m(empty)) / (m(full) - m(empty)), means over examples, where
    everything outside is corrupted; ``random`` is the same for a random circuit (mean over draws).
    """

    metric_full: float
    metric_empty: float
    metric_circuit: float
    faithfulness: float
    random: float


@torch.no_grad()
def metric_of_model(
    anatomy: Anatomy,
    batch: Batch,
    *,
    metric: Metric = "logit_difference",
    corrupt: bool = False,
) -> np.ndarray:
    """Metric of the model as it is on the clean (or corrupt) prompts: float [example]."""
    values = []
    for part in batch.split(64):
        measure = Measure(anatomy, part, metric)
        values.append(measure(anatomy.hidden(part.corrupt if corrupt else part.clean, part.first)))
        check_metric(values[-1], 64 * (len(values) - 1))
    return torch.cat(values).cpu().double().numpy()


@torch.no_grad()
def metric_of_circuit(
    anatomy: Anatomy,
    batch: Batch,
    circuit: Circuit,
    *,
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_difference",
) -> np.ndarray:
    """Metric with every edge outside the circuit corrupted: float [example].

    See `ctviz.ablation` for what corrupting means.
    """
    size = affordable_examples(anatomy, batch)
    means = source_means(anatomy, batch, size) if ablation == "mean" else None
    values = []
    for part in batch.split(size):
        run = _PatchedRun(anatomy, part, circuit, corrupt_writes(anatomy, part, ablation, means))
        measure = Measure(anatomy, part, metric)
        with hooked(before=run.before, after=run.after):
            values.append(measure(anatomy.hidden(part.clean, part.first)))
        check_metric(values[-1], size * (len(values) - 1))
    return torch.cat(values).cpu().double().numpy()


def faithfulness(
    anatomy: Anatomy,
    batch: Batch,
    circuit: Circuit,
    *,
    ablation: Ablation = "counterfactual",
    seed: int = 0,
    draws: int = 1,
) -> Faithfulness:
    """Faithfulness of a circuit and of ``draws`` random ones of the same size, drawn from ``seed``.

    Raises UndefinedMetric if the metric of the full and of the empty circuit are the same, since
    nothing can then be said of what lies between.
    """

    def run(which: Circuit) -> float:
        return float(metric_of_circuit(anatomy, batch, which, ablation=ablation).mean())

    graph = anatomy.graph
    full = float(metric_of_model(anatomy, batch).mean())
    if ablation == "counterfactual":  # the empty circuit is then the corrupt run itself
        empty = float(metric_of_model(anatomy, batch, corrupt=True).mean())
    else:
        empty = run(Circuit(graph, np.zeros_like(graph.exists)))
    span = full - empty
    if not np.isfinite(span) or abs(span) < 1e-9:
        raise UndefinedMetric(
            f"Faithfulness is undefined: the metric is {full:.6g} on the full model and "
            f"{empty:.6g} with everything corrupted. Use other prompts or another ablation."
        )
    inside = run(circuit)
    if circuit.n_edges:
        others = [run(random_circuit(graph, circuit.n_edges, seed=seed + i)) for i in range(draws)]
    else:
        others = [empty]
    return Faithfulness(
        metric_full=full,
        metric_empty=empty,
        metric_circuit=inside,
        faithfulness=(inside - empty) / span,
        random=(float(np.mean(others)) - empty) / span,
    )


def affordable_examples(anatomy: Anatomy, batch: Batch) -> int:
    """Examples whose source outputs fit into MEMORY_LIMIT bytes, at least 1."""
    per_example = len(anatomy.graph.sources) * batch.clean.shape[1] * anatomy.d_model * 4
    return max(1, min(len(batch), MEMORY_LIMIT // per_example))


class _PatchedRun:
    """The hooks of one patched forward pass, and the source outputs seen so far in it."""

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
            row = 1 + layer * (graph.n_heads + 1)
            self.before += head_write_hooks(block, self._heads_writer(row, block))
            self.after.append((block.mlp_write, self._writer(row + graph.n_heads)))
        self.before += patched

    def _write(self, row: int, output: Tensor) -> None:
        self.difference[row] += output.view(self.difference[row].shape)

    def _writer(self, row: int) -> Callable[[Tensor], None]:
        return lambda output: self._write(row, output)

    def _heads_writer(self, row: int, block: Block) -> Callable[[Tensor], None]:
        heads = self.anatomy.graph.n_heads

        def write(z: Tensor) -> None:
            self.difference[row : row + heads] += head_outputs(z.flatten(0, 1), block, heads)

        return write

    def _read(self, x: Tensor, columns: slice) -> Tensor:
        """The residual stream as read by some slots: [slot, example, position, d_model]."""
        reach = self.anatomy.graph.slots[columns.start].n_sources
        outside = self.outside[:reach, columns]
        removed = outside.T @ self.difference[:reach].reshape(reach, -1)
        return x - removed.view(-1, *x.shape)
