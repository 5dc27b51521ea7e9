"""The corrupted run: what every circuit's run starts from.

A slot none of whose edges are in a circuit reads the residual stream of this run, and one with some
of them that stream plus what their sources write beyond it. Under counterfactual ablation it is the
model's run on the corrupt prompts; else no run is needed, since what sources write is given, and
the streams are what is written in front of them added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ctviz.circuits.choices import ABLATIONS, Ablation
from ctviz.errors import UnknownName
from ctviz.interventions.metric import BatchMetric
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.parts import LinearModule
from ctviz.models.writes import Writes, writes
from ctviz.tasks.batch import Batch

__all__ = ["Corrupted", "corrupted"]


@dataclass(slots=True, eq=False)
class Streams:
    """The residual stream where it is read, [example, position, d_model], or [1, 1, d_model] if it
    is the same everywhere.

    ``attention[l]``, ``mlp[l]``: by attention and the MLP of layer l, in front of their norms;
    ``final``: by the final norm.
    """

    attention: list[Tensor]
    mlp: list[Tensor]
    final: list[Tensor]

    @classmethod
    def hooks(cls, anatomy: Anatomy) -> tuple[Streams, list[Hook]]:
        """Streams that fill while the model runs under these hooks (before)."""
        kept = cls([], [], [])
        before: list[Hook] = []
        for block in anatomy.blocks:
            before.append((block.module, kept.attention.append))
            module = block.mlp_read if block.mlp_norm is None else block.mlp_norm.module
            before.append((block.module if block.shared_norm else module, kept.mlp.append))
        before.append((anatomy.final_norm.module, kept.final.append))
        return kept, before


class Corrupted:
    """The corrupted run of some examples that are patched at once.

    ``batch``: the examples; ``writes``: what sources write, None being zero; ``streams``;
    ``outputs``: of the q, k and v projection modules [example, position, out], None where there is
    no run on corrupt prompts; ``metric_of``: reads the metric off final hidden states.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        batch: Batch,
        metric_of: BatchMetric,
        written: Writes | None,
        streams: Streams,
        outputs: dict[LinearModule, Tensor] | None,
    ) -> None:
        self.anatomy, self.batch, self.metric_of = anatomy, batch, metric_of
        self.writes, self.streams, self.outputs = written, streams, outputs

    @cached_property
    def tokens(self) -> Tensor:
        """int64 [token]: the places in example * position where a circuit's run may differ.

        Before the first position at which a prompt and its counterfactual differ, nothing does.
        """
        place = self.batch.real
        if self.outputs is not None:
            place = place & ((self.batch.clean != self.batch.corrupt).cumsum(dim=1) > 0)
        return place.flatten().nonzero()[:, 0]

    @cached_property
    def ends(self) -> Tensor:
        """int64 [n]: those of ``tokens`` where an answer is predicted, as indices into them."""
        return torch.isin(self.tokens, self.batch.answer_tokens).nonzero()[:, 0]

    @cached_property
    def empty(self) -> Tensor:
        """The metric with everything corrupted, [example]."""
        norm = self.anatomy.final_norm
        return self.metric_of(norm(self.whole(self.streams.final[0])))

    def whole(self, stream: Tensor) -> Tensor:
        """[example, position, d] or, the same for all of them, [1, 1, d] -> the former, in the
        model's precision."""
        shape = (*self.batch.clean.shape, stream.shape[-1])
        return stream.to(self.anatomy.model.dtype).expand(shape)

    def at(self, stream: Tensor) -> Tensor:
        """[example, position, d] or, the same for all of them, [1, 1, d] -> [token, d]."""
        shape = (*self.batch.clean.shape, stream.shape[-1])
        return stream.expand(shape).flatten(0, 1)[self.tokens]


@torch.no_grad()
def corrupted(
    anatomy: Anatomy,
    batch: Batch,
    metric_of: BatchMetric,
    ablation: Ablation,
    means: Writes | None = None,
) -> Corrupted:
    """Run a batch corrupted; ``means`` are those of `ctviz.interventions.ablation.source_means`.

    Raises UnknownName for an ablation that there is not.
    """
    if ablation not in ABLATIONS:
        raise UnknownName("ablation", ablation, ABLATIONS)
    if ablation == "counterfactual":
        streams, before = Streams.hooks(anatomy)
        projected: dict[LinearModule, Tensor] = {}
        after: list[Hook] = [
            (module, lambda y, m=module: projected.__setitem__(m, y))  # type: ignore[misc]
            for block in anatomy.blocks
            for module in block.projections
        ]
        read_at = batch.answer_tokens  # after the hooks, which see what it cuts
        with hooked(before=before, after=after), writes(anatomy, read_at=read_at) as found:
            anatomy.hidden(batch.corrupt, batch.first)
        _shape(streams, batch)
        return Corrupted(anatomy, batch, metric_of, found, streams, projected)
    written = means if ablation == "mean" else None
    return Corrupted(anatomy, batch, metric_of, written, _added_up(anatomy, written), None)


def _shape(streams: Streams, batch: Batch) -> None:
    """Give back the batch dimension that OPT's MLP drops."""
    streams.mlp = [x.view(*batch.clean.shape, -1) for x in streams.mlp]


def _added_up(anatomy: Anatomy, written: Writes | None) -> Streams:
    """The streams where sources write this, or nothing: these writes and the biases that are of
    no source."""
    precision = torch.promote_types(anatomy.model.dtype, torch.float32)
    total = torch.zeros((1, 1, anatomy.d_model), dtype=precision, device=anatomy.device)
    if written is not None:
        total = total + written.tensors[0]
    streams = Streams([], [], [])
    for layer, block in enumerate(anatomy.blocks):
        streams.attention.append(total)
        before = total
        if block.attention_out.bias is not None:
            total = total + block.attention_out.bias
        if written is not None:
            z = written.heads[layer]
            total = total + z @ block.write_weight.to(z.dtype)
        streams.mlp.append(before if anatomy.graph.parallel else total)
        if block.mlp_parts and block.mlp_out.bias is not None:
            total = total + block.mlp_out.bias
        if written is not None:
            own = written.mlps[layer]
            total = total + (own @ block.mlp_write_weight.to(own.dtype) if block.mlp_parts else own)
    streams.final.append(total)
    return streams
