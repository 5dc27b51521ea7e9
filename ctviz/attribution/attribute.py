"""Edge attribution patching: a score for every edge of the graph, for about one training step.

The score of an edge u -> v estimates metric(clean) - metric(u -> v alone corrupted) to first order
(Syed et al. 2023, arXiv 2310.10348; sign as in DESIGN):

    score(u -> v) = sum over positions of (a_u,clean - a_u,corrupt) . d metric / d x_v

with x_v the residual stream as read by v alone. In four steps:

1. run the corrupt prompts and keep what each source writes;
2. run the clean prompts with autograd started at the embeddings (no parameter needs a gradient),
   keep what each source writes and differentiate the metric at the q/k/v projections, at what the
   MLPs' norms give them and at the final norm's read (`ctviz.attribution.gradients`);
3. per layer, carry these gradients back through each head's slice of the projection and through
   the norm, which gives d metric / d x_v of every slot: one linear layer of work;
4. the scores of all edges into a layer are then one matrix product an example,
   [sources, positions * d_model] x [positions * d_model, slots]. Their mean is the score, their
   spread its standard error.

With integrated gradients over inputs (``eap-ig``; Hanna et al. 2024, arXiv 2403.17806) the gradient
of step 2 is the mean over m runs whose embeddings lie between the corrupt and the clean prompt's in
equal steps: z_corrupt + k/m (z_clean - z_corrupt). The paper's sum has k = 1..m, so that the clean
run is among them (``end`` clean, the default); the code that its authors keep today has k = 0..m-1,
with the corrupt run instead (``end`` corrupt).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ctviz.attribution.exact import exact_edges, exact_nodes
from ctviz.attribution.gradients import (
    FoldedWeights,
    ReadGradients,
    SharedRun,
    read_gradients,
    slot_gradients,
)
from ctviz.attribution.plan import Plan, column_groups, plan, product_width
from ctviz.attribution.running_stats import RunningStats
from ctviz.circuits.choices import (
    ATTRIBUTIONS,
    PATH_ENDS,
    Ablation,
    Attribution,
    Metric,
    PathEnd,
)
from ctviz.circuits.scores import NodeScores, Scores
from ctviz.errors import BadTask, OutOfRange, UndefinedMetric, UnknownName
from ctviz.interventions.ablation import corrupt_writes, source_means
from ctviz.interventions.metric import BatchMetric, check_batch, check_metric
from ctviz.models.anatomy import Anatomy
from ctviz.models.writes import Writes, source_outputs
from ctviz.progress import parts, tick
from ctviz.tasks.batch import Batch

__all__ = ["attribute", "exact_node_scores"]

PIECE = 16  # positions in one matrix product, at most

log = logging.getLogger(__name__)


def attribute(
    anatomy: Anatomy,
    batch: Batch,
    *,
    method: Attribution = "eap",
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_difference",
    steps: int = 5,
    end: PathEnd = "clean",
    micro_batch: int | None = None,
    shared: SharedRun | None = None,
) -> Scores:
    """Score every edge on a batch, as the mean over examples, with its standard error.

    ``method``: ``eap`` (first order), ``eap-ig`` (its gradient averaged over ``steps`` runs between
    the corrupt and the clean input; the one at ``end`` is among them) or ``exact`` (each edge
    really corrupted, one by one; for small models). ``ablation``: what corrupting means, see
    `ctviz.interventions.ablation`. ``metric``: see `ctviz.interventions.metric.BatchMetric`.
    ``micro_batch``: examples that are run at a time, by default as many as
    `ctviz.attribution.plan.plan` finds room for; the result does not depend on it. ``shared`` keeps
    the clean run for a caller who goes on to train on it; only for ``eap`` on a batch that is run
    at once.

    Units: those of the metric. Positive: the edge supports the behaviour. Raises UndefinedMetric if
    the metric or a score is not finite, naming the example, and BadTask for ``eap`` with ``kl``,
    whose gradient vanishes at the clean run.
    """
    if method not in ATTRIBUTIONS:
        raise UnknownName("method", method, ATTRIBUTIONS)
    if method == "eap" and metric == "kl":
        raise BadTask(
            "The KL divergence from the clean run has its minimum there, so its gradient and every "
            "score of the method eap would be zero. Use the method eap-ig or exact, or another "
            "metric."
        )
    if not 1 <= steps <= 1000:
        raise OutOfRange("steps", steps, 1, 1000)
    if micro_batch is not None and micro_batch < 1:
        raise OutOfRange("micro_batch", micro_batch, 1, None)
    check_batch(anatomy, batch, metric)
    if end not in PATH_ENDS:
        raise UnknownName("end", end, PATH_ENDS)
    runs = steps if method == "eap-ig" else 1
    last = end if method == "eap-ig" else "clean"
    how = plan(anatomy, batch, runs=runs, micro_batch=micro_batch)
    log.info("%s of %d examples: %s", method, len(batch), how)
    means = source_means(anatomy, batch, how.examples) if ablation == "mean" else None
    exists = torch.tensor(anatomy.graph.exists, device=anatomy.device)
    edges, nodes = RunningStats(exists.shape), RunningStats(exists.shape[:1])
    for part in parts(list(batch.split(how.examples))):
        corrupt = corrupt_writes(anatomy, part, ablation, means)
        metric_of = BatchMetric(anatomy, part, metric)
        if method == "exact":
            found = exact_edges(anatomy, part, corrupt, metric_of)
            check_metric(found.clean, edges.count)
            each: Iterable[Tensor] = [found.scores]
        else:
            first = part.changed_from if ablation == "counterfactual" else 0
            whole = shared if runs == 1 and len(part) == len(batch) else None
            each = _first_order(
                anatomy, part, corrupt, metric_of, runs, last, how, first, edges.count, whole
            )
        for scores in each:
            scores *= exists
            _check_scores(anatomy, scores, edges.count)
            edges.add(scores)
            nodes.add(scores.sum(dim=2))
    precision = _precision(anatomy)
    return Scores(
        anatomy.graph,
        edges.mean.to(precision).numpy(),
        error=edges.standard_error.to(precision).numpy(),
        node_error=nodes.standard_error.to(precision).numpy(),
        examples=edges.count,
    )


def exact_node_scores(
    anatomy: Anatomy,
    batch: Batch,
    *,
    ablation: Ablation = "counterfactual",
    metric: Metric = "logit_difference",
    rows: np.ndarray | None = None,
) -> NodeScores:
    """Score every source by really corrupting its output for all its readers at once.

    What `Scores.nodes` estimates to first order. With ``rows``, int [n], these sources only; the
    others are NaN. Units and errors as for `attribute`.
    """
    check_batch(anatomy, batch, metric)
    how = plan(anatomy, batch, runs=1)
    means = source_means(anatomy, batch, how.examples) if ablation == "mean" else None
    nodes = RunningStats((len(anatomy.graph.sources),))
    for part in batch.split(how.examples):
        corrupt = corrupt_writes(anatomy, part, ablation, means)
        found = exact_nodes(anatomy, part, corrupt, BatchMetric(anatomy, part, metric), rows)
        check_metric(found.clean, nodes.count)
        nodes.add(found.scores)
    return NodeScores(
        anatomy.graph, nodes.mean.numpy(), nodes.standard_error.numpy(), examples=nodes.count
    )


def _precision(anatomy: Anatomy) -> torch.dtype:
    """Scores are computed in float32, or in float64 for a float64 model."""
    return torch.float64 if anatomy.model.dtype == torch.float64 else torch.float32


def _check_scores(anatomy: Anatomy, scores: Tensor, done: int) -> None:
    if not torch.isfinite(scores).all():
        example, row, column = (~torch.isfinite(scores)).nonzero()[0].tolist()
        raise UndefinedMetric(
            f"The score of {anatomy.graph.edge_name(row, column)} on example {done + example} is "
            "not a finite number: the model's weights or activations contain NaN or infinity."
        )


# ---------------------------------------------------------------------- eap and eap-ig


@torch.no_grad()
def _first_order(
    anatomy: Anatomy,
    batch: Batch,
    corrupt: Writes | None,
    metric_of: BatchMetric,
    runs: int,
    end: PathEnd,
    how: Plan,
    first: int,
    done: int,
    shared: SharedRun | None,
) -> Iterator[Tensor]:
    """Scores of one micro-batch, [example, source, slot] for some examples at a time.

    Before position ``first`` clean and corrupt prompts are the same, and so is what they write.
    ``done`` examples came before these.
    """
    clean, reads, metric = read_gradients(anatomy, batch, metric_of, first=first, shared=shared)
    check_metric(metric, done)
    readings = [reads] if end == "clean" else []
    for run in range(0 if end == "corrupt" else 1, runs):
        start = clean.tensors[0]
        goal = torch.zeros_like(start) if corrupt is None else corrupt.tensors[0]
        between = goal + (start - goal) * (run / runs)
        _, reads, metric = read_gradients(anatomy, batch, metric_of, first=first, embedding=between)
        check_metric(metric, done)
        readings.append(reads)
    delta = clean if corrupt is None else clean.minus(corrupt)
    yield from _scores(anatomy, delta.map(lambda x: x[:, first:]), readings, how)


def _scores(
    anatomy: Anatomy, delta: Writes, readings: list[ReadGradients], how: Plan
) -> Iterator[Tensor]:
    """Steps 3 and 4, for as many examples and positions at a time as the plan says.

    Large tensors made anew for each layer would cost more time than what is computed in them.
    """
    graph, dtype, device = anatomy.graph, _precision(anatomy), anatomy.device
    folded = FoldedWeights(anatomy, dtype, keep=how.folded)
    n_sources, widest = len(graph.sources), max(map(product_width, column_groups(graph)))
    examples, positions, d_model = delta.tensors[0].shape
    most = min(how.scored, examples) * min(how.positions, positions) * d_model
    sources = anatomy.workspace.take("sources", (n_sources * most,), dtype, device)
    gradients = anatomy.workspace.take("gradients", (widest * most,), dtype, device)
    for first in range(0, examples, how.scored):
        rows = slice(first, min(first + how.scored, examples))
        n = rows.stop - rows.start
        each = torch.zeros((n, *graph.exists.shape), dtype=dtype, device=device)
        for start in range(0, positions, how.positions):
            where = (rows, slice(start, min(start + how.positions, positions)))
            size = n * (where[1].stop - start) * d_model
            count = where[1].stop - start
            # several products of a few positions keep all cores busy, one of many does not
            pieces = count // max(d for d in range(1, PIECE + 1) if count % d == 0)
            a = sources[: n_sources * size].view(n_sources, -1, d_model)
            source_outputs(anatomy, delta.map(lambda x, w=where: x[w]), out=a)  # type: ignore[misc]
            for columns in column_groups(graph):
                tick()
                width, full = columns.stop - columns.start, product_width(columns)
                g = gradients[: full * size].view(full, -1, d_model)
                slot_gradients(folded, columns, readings, where, g[:width])
                g[width:] = 0
                reach = graph.slots[columns.stop - 1].n_sources
                by_slot = g.view(full, n * pieces, -1).transpose(0, 1)
                by_source = a[:reach].view(reach, n * pieces, -1).permute(1, 2, 0)
                # the few slots first: a product of few columns is slower than one of few rows
                found = torch.bmm(by_slot, by_source).view(n, pieces, full, reach)
                each[:, :reach, columns] += found.sum(dim=1)[:, :width].transpose(1, 2)
        yield each
