"""Run a circuit: the model with every edge outside it corrupted, and what that does to the metric.

Each destination slot reads its own residual stream,

    x_v = x - sum over u outside the circuit of (a_u - a_u,corrupt)

with a_u what source u writes in this very run. A head's q, k and v slots of one layer therefore
read different inputs through the same norm, and their projections are done head by head.
Identities that follow, and that the tests hold the code to: the full circuit is the clean run; the
empty circuit under counterfactual ablation is the corrupt run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.choices import Ablation, Metric, RandomKind
from ctviz.circuits.random_circuits import RANDOM
from ctviz.circuits.scores import Circuit
from ctviz.errors import UndefinedMetric
from ctviz.interventions.ablation import corrupt_writes, source_means
from ctviz.interventions.metric import BatchMetric, check_batch, check_metric
from ctviz.interventions.patching import read_hooks
from ctviz.models.anatomy import Anatomy, Block
from ctviz.models.hooks import Hook, hooked
from ctviz.models.memory import PATCHED_RUN, examples_at_a_time
from ctviz.models.writes import Writes, head_outputs, head_write_hooks, source_outputs
from ctviz.progress import parts as in_parts
from ctviz.tasks.batch import Batch

__all__ = [
    "Evaluation",
    "Faithfulness",
    "Part",
    "PatchedRun",
    "Share",
    "corrupted",
    "metric_of_circuit",
    "metric_of_model",
]

SAME = 1e-6  # of the metric's size: what is closer than that to nothing has lost its digits
SAME_KL = 1e-5  # nats: a run in float32 can seem as far as that from itself


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the behaviour, (m - m(empty)) / (m(full) - m(empty)), means over examples.

    ``error`` is its standard error from the examples (as of any ratio of means, to first order);
    NaN for a single example.
    """

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How much of the behaviour a circuit carries, beside random circuits of the same size.

    ``faithfulness``: what the circuit carries with everything outside corrupted, with its standard
    ``error``; ``random``: the same for random circuits, the mean over draws, with their spread
    (sample standard deviation, NaN for a single draw) in ``random_spread`` and their range from
    ``random_low`` to ``random_high``.
    """

    metric_full: float
    metric_empty: float
    metric_circuit: float
    faithfulness: float
    error: float
    random: float
    random_spread: float
    random_low: float
    random_high: float


@torch.no_grad()
def metric_of_model(
    anatomy: Anatomy,
    batch: Batch,
    *,
    metric: Metric = "logit_difference",
    corrupt: bool = False,
) -> np.ndarray:
    """Metric of the model as it is on the clean (or corrupt) prompts: float [example].

    Raises UndefinedMetric, naming the example, if one is not finite.
    """
    check_batch(anatomy, batch, metric)
    values = []
    for part in batch.split(64):
        metric_of = BatchMetric(anatomy, part, metric)
        values.append(
            metric_of(anatomy.hidden(part.corrupt if corrupt else part.clean, part.first))
        )
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
    parts: Sequence[Part] | None = None,
) -> np.ndarray:
    """Metric with every edge outside the circuit corrupted: float [example].

    See `ctviz.interventions.ablation` for what corrupting means; ``parts`` are those of `corrupted`
    if they are at hand. Raises UndefinedMetric, naming the example, if one is not finite.
    """
    values = []
    for part, corrupt, metric_of in parts or corrupted(anatomy, batch, ablation, metric):
        run = PatchedRun(anatomy, part, circuit, corrupt)
        with hooked(before=run.before, after=run.after):
            values.append(metric_of(anatomy.hidden(part.clean, part.first)))
        check_metric(values[-1], sum(map(len, values[:-1])))
    return torch.cat(values).cpu().double().numpy()


@torch.no_grad()
def corrupted(
    anatomy: Anatomy,
    batch: Batch,
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_difference",
) -> Iterator[Part]:
    """A batch in parts that can be patched at once, with what is the same for every circuit."""
    check_batch(anatomy, batch, metric)
    size = _examples_at_a_time(anatomy, batch)
    means = source_means(anatomy, batch, size) if ablation == "mean" else None
    for part in batch.split(size):
        yield Part(
            part,
            corrupt_writes(anatomy, part, ablation, means),
            BatchMetric(anatomy, part, metric),
        )


class Part(NamedTuple):
    """Examples that are patched at once: what sources write when corrupted, None being zero, and
    the metric of a run.
    """

    batch: Batch
    corrupt: Writes | None
    metric_of: BatchMetric


class Evaluation:
    """Circuits of one model on one batch, between everything corrupted and nothing.

    ``full`` and ``empty`` are the metric with nothing and with everything corrupted, float
    [example]. Raises UndefinedMetric if their means are the same, since nothing can then be said of
    what lies between.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        batch: Batch,
        *,
        ablation: Ablation = "counterfactual",
        metric: Metric = "logit_difference",
    ) -> None:
        check_batch(anatomy, batch, metric)
        self.anatomy, self.batch = anatomy, batch
        self.graph, self.ablation, self.metric = anatomy.graph, ablation, metric
        self._parts: list[Part] | None = None
        if _writes_of(anatomy, batch) <= PATCHED_RUN:  # else it is computed again for each circuit
            self._parts = list(corrupted(anatomy, batch, ablation, metric))
        self.full = metric_of_model(anatomy, batch, metric=metric)
        if ablation == "counterfactual" and metric != "kl":  # that is the corrupt run itself
            self.empty = metric_of_model(anatomy, batch, metric=metric, corrupt=True)
        else:
            self.empty = self.run(Circuit(self.graph, np.zeros_like(self.graph.exists)))
        self.span = float(self.full.mean() - self.empty.mean())
        largest = float(np.abs([self.full, self.empty]).max())
        if abs(self.span) <= (SAME_KL if metric == "kl" else SAME * largest):
            raise UndefinedMetric(
                f"Faithfulness is undefined: the metric ({metric}) is {self.full.mean():.6g} on "
                f"the full model and {self.empty.mean():.6g} with everything corrupted "
                f"({ablation}), so there is nothing for a circuit to carry. Use other prompts, "
                "another ablation or another metric."
            )

    def run(self, circuit: Circuit) -> np.ndarray:
        """The metric with everything outside a circuit corrupted, float [example]."""
        return metric_of_circuit(
            self.anatomy,
            self.batch,
            circuit,
            ablation=self.ablation,
            metric=self.metric,
            parts=self._parts,
        )

    def share(self, values: np.ndarray) -> Share:
        """What a run's metric, float [example], is between empty (0) and full (1)."""
        value = float(values.mean() - self.empty.mean()) / self.span
        n = len(values)
        if n < 2:
            return Share(value, float("nan"))
        rest = (values - self.empty) - value * (self.full - self.empty)
        return Share(value, float(rest.std(ddof=1) / np.sqrt(n) / abs(self.span)))

    def faithfulness(self, circuit: Circuit) -> Share:
        """The share of the behaviour that a circuit carries alone."""
        return self.share(self.run(circuit))

    def compare(
        self,
        circuit: Circuit,
        *,
        seed: int,
        draws: int,
        kind: RandomKind = "connected",
        step: int = 0,
    ) -> Faithfulness:
        """The same beside ``draws`` random circuits of its size, drawn from ``seed``.

        ``kind``: see `ctviz.circuits.random_circuits`. Another ``step`` draws other ones.
        """
        inside = self.run(circuit)
        share = self.share(inside)
        others = [0.0] * draws
        if circuit.n_edges:
            others = [
                self.faithfulness(RANDOM[kind](circuit, (seed, step, draw))).value
                for draw in range(draws)
            ]
        return Faithfulness(
            metric_full=float(self.full.mean()),
            metric_empty=float(self.empty.mean()),
            metric_circuit=float(inside.mean()),
            faithfulness=share.value,
            error=share.error,
            random=float(np.mean(others)),
            random_spread=float(np.std(others, ddof=1)) if draws > 1 else float("nan"),
            random_low=min(others),
            random_high=max(others),
        )

    def completeness(self, circuit: Circuit) -> Share:
        """The complement's faithfulness: near 0 if the circuit leaves nothing of the behaviour out.

        After the completeness criterion of Wang et al. 2022, arXiv 2211.00593, with the circuit
        taken out as a whole.
        """
        return self.faithfulness(Circuit(self.graph, self.graph.exists & ~circuit.mask))

    def minimality(self, circuit: Circuit) -> dict[str, Share]:
        """For each edge, the share of the behaviour that the circuit loses without it.

        One run an edge. An edge near 0 could be left out. Wang et al. 2022, arXiv 2211.00593.
        """
        whole = self.run(circuit)
        found = {}
        for row, column in in_parts(np.argwhere(circuit.mask).tolist()):
            mask = circuit.mask.copy()
            mask[row, column] = False
            lost = whole - self.run(Circuit(self.graph, mask))
            found[self.graph.edge_name(row, column)] = self.share(self.empty + lost)
        return found


def _examples_at_a_time(anatomy: Anatomy, batch: Batch) -> int:
    """How many examples are patched at a time: what all sources write for them is kept."""
    example = len(anatomy.graph.sources) * batch.clean.shape[1] * anatomy.d_model * 4
    return examples_at_a_time(example, room=PATCHED_RUN, most=len(batch))


def _writes_of(anatomy: Anatomy, batch: Batch) -> int:
    """Bytes of what a run of the batch writes, before heads are told apart."""
    layers = anatomy.graph.n_layers
    heads = anatomy.graph.n_heads * anatomy.d_head
    return 4 * batch.clean.numel() * (anatomy.d_model * (1 + layers) + heads * layers)


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
        # differences of many sources are summed: in float32 also where the model runs in bfloat16
        precision = torch.promote_types(anatomy.model.dtype, torch.float32)
        self.outside = outside.to(anatomy.device, precision)  # [source, slot]
        # difference[u] = a_u - a_u,corrupt, filled as the run writes; starts as -a_u,corrupt
        shape = (len(graph.sources), batch.clean.numel(), anatomy.d_model)
        if corrupt is None:
            self.difference = self.outside.new_zeros(shape)
        else:
            kept = corrupt.map(lambda written: written.to(precision))
            self.difference = source_outputs(anatomy, kept).neg_()
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
            flat = z.flatten(0, 1).to(self.difference.dtype)
            self.difference[row : row + heads] += head_outputs(flat, block, heads)

        return write

    def _read(self, x: Tensor, columns: slice) -> Tensor:
        """The residual stream as read by some slots: [slot, example, position, d_model]."""
        reach = self.anatomy.graph.slots[columns.start].n_sources
        outside = self.outside[:reach, columns]
        removed = outside.T @ self.difference[:reach].reshape(reach, -1)
        return (x - removed.view(-1, *x.shape)).to(x.dtype)
