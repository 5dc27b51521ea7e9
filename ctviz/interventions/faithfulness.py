"""What a circuit carries: the metric with every edge outside it corrupted, between all and nothing.

How a circuit is run: `ctviz.interventions.circuit_runs`. Identities that the tests hold the code
to: the full circuit is the clean run; the empty circuit under counterfactual ablation is the
corrupt run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.choices import Ablation, Metric, RandomKind
from ctviz.circuits.random_circuits import RANDOM
from ctviz.circuits.scores import Circuit
from ctviz.errors import UndefinedMetric
from ctviz.interventions.ablation import source_means
from ctviz.interventions.circuit_runs import metrics_of_circuits
from ctviz.interventions.corrupted import Corrupted, corrupted
from ctviz.interventions.metric import BatchMetric, check_batch, check_metric
from ctviz.models.anatomy import Anatomy
from ctviz.models.memory import PATCHED_RUN, examples_at_a_time
from ctviz.progress import parts as in_parts
from ctviz.tasks.batch import Batch

__all__ = [
    "Evaluation",
    "Faithfulness",
    "Share",
    "metric_of_circuit",
    "metric_of_model",
    "share_between",
]

SAME = 1e-6  # of the metric's size: what is closer than that to nothing has lost its digits
TOGETHER = 32  # circuits that are asked about at a time
SAME_KL = 1e-5  # nats: a run in float32 can seem as far as that from itself


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the behaviour, (m - m(empty)) / (m(full) - m(empty)), means over examples.

    ``error`` is its standard error from the examples (as of any ratio of means, to first order);
    NaN for a single example.
    """

    value: float
    error: float


def share_between(values: np.ndarray, empty: np.ndarray, full: np.ndarray) -> Share:
    """What a metric is between two others, 0 at ``empty`` and 1 at ``full``, all float [example].

    The means of the latter two must differ.
    """
    span = float(full.mean() - empty.mean())
    value = float(values.mean() - empty.mean()) / span
    n = len(values)
    if n < 2:
        return Share(value, float("nan"))
    rest = (values - empty) - value * (full - empty)
    return Share(value, float(rest.std(ddof=1) / np.sqrt(n) / abs(span)))


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


def metric_of_circuit(
    anatomy: Anatomy,
    batch: Batch,
    circuit: Circuit,
    *,
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_difference",
) -> np.ndarray:
    """Metric with every edge outside the circuit corrupted: float [example].

    See `ctviz.interventions.ablation` for what corrupting means. Raises UndefinedMetric, naming the
    example, if one is not finite.
    """
    parts = _corrupted_parts(anatomy, batch, ablation, metric)
    values: np.ndarray = _metrics(anatomy, parts, [circuit])[0]
    return values


def _metrics(
    anatomy: Anatomy, parts: Iterable[Corrupted], circuits: Sequence[Circuit]
) -> np.ndarray:
    """The metric under each circuit, float [circuit, example]."""
    masks = [circuit.mask for circuit in circuits]
    values: list[Tensor] = []
    for part in parts:
        values.append(metrics_of_circuits(anatomy, part, masks, room=PATCHED_RUN))
        for each in values[-1]:
            check_metric(each, sum(found.shape[1] for found in values[:-1]))
    found: np.ndarray = torch.cat(values, dim=1).cpu().double().numpy()
    return found


def _corrupted_parts(
    anatomy: Anatomy, batch: Batch, ablation: Ablation, metric: Metric
) -> Iterator[Corrupted]:
    """A batch in parts that can be patched at once, with what is the same for every circuit."""
    check_batch(anatomy, batch, metric)
    size = _examples_at_a_time(anatomy, batch)
    means = source_means(anatomy, batch, size) if ablation == "mean" else None
    for part in batch.split(size):
        yield corrupted(anatomy, part, BatchMetric(anatomy, part, metric), ablation, means)


class Evaluation:
    """Circuits of one model on one batch, between everything corrupted and nothing.

    ``full`` and ``empty`` are the metric with nothing and with everything corrupted, float
    [example]; the former may be known already. Raises UndefinedMetric if their means are the same,
    since nothing can then be said of what lies between.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        batch: Batch,
        *,
        ablation: Ablation = "counterfactual",
        metric: Metric = "logit_difference",
        full: np.ndarray | None = None,
    ) -> None:
        check_batch(anatomy, batch, metric)
        self.anatomy, self.batch = anatomy, batch
        self.graph, self.ablation, self.metric = anatomy.graph, ablation, metric
        self._kept: list[Corrupted] | None = None
        self.full = metric_of_model(anatomy, batch, metric=metric) if full is None else full
        if _kept_of(anatomy, batch) <= PATCHED_RUN:  # else it is computed again each time
            self._kept = list(self._parts())
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

    def _parts(self) -> Iterable[Corrupted]:
        if self._kept is not None:
            return self._kept
        return _corrupted_parts(self.anatomy, self.batch, self.ablation, self.metric)

    def run(self, circuit: Circuit) -> np.ndarray:
        """The metric with everything outside a circuit corrupted, float [example]."""
        values: np.ndarray = self.runs([circuit])[0]
        return values

    def runs(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """The same for several circuits, which run together, float [circuit, example]."""
        return _metrics(self.anatomy, self._parts(), circuits)

    def share(self, values: np.ndarray) -> Share:
        """What a run's metric, float [example], is between empty (0) and full (1)."""
        return share_between(values, self.empty, self.full)

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
        drawn = [
            RANDOM[kind](circuit, (seed, step, draw)) if circuit.n_edges else circuit
            for draw in range(draws)
        ]
        inside, *rest = self.runs([circuit, *drawn])
        share = self.share(inside)
        others = [self.share(values).value for values in rest]
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
        edges = np.argwhere(circuit.mask)
        found = {}
        for start in in_parts(range(0, len(edges), TOGETHER)):
            some = edges[start : start + TOGETHER]
            without = np.repeat(circuit.mask[None], len(some), axis=0)
            without[np.arange(len(some)), some[:, 0], some[:, 1]] = False
            each = self.runs([Circuit(self.graph, mask) for mask in without])
            for (row, column), values in zip(some, each, strict=True):
                share = self.share(self.empty + whole - values)
                found[self.graph.edge_name(row, column)] = share
        return found


def _examples_at_a_time(anatomy: Anatomy, batch: Batch) -> int:
    """How many examples are patched at a time: what all sources write for them is kept."""
    example = len(anatomy.graph.sources) * batch.clean.shape[1] * anatomy.d_model * 4
    return examples_at_a_time(example, room=PATCHED_RUN, most=len(batch))


def _kept_of(anatomy: Anatomy, batch: Batch) -> int:
    """Bytes of what is kept of a corrupted run of the batch."""
    graph = anatomy.graph
    heads, groups = graph.n_heads * anatomy.d_head, graph.kv_heads * anatomy.d_head
    mlp = anatomy.neurons if graph.mlp_blocks > 1 else anatomy.d_model
    layer = 2 * anatomy.d_model + mlp + 2 * heads + 2 * groups  # two streams, the MLP's; z, q; k, v
    return 4 * batch.clean.numel() * (2 * anatomy.d_model + graph.n_layers * layer)
