"""Neurons of an MLP, or of a block of it, on the task: when they fire, and what they promote."""

from __future__ import annotations

import torch
from torch import Tensor

from ctviz.circuits.graph import layer_of
from ctviz.errors import UnknownName
from ctviz.inspection.answers import Firing, NeuronOnTask
from ctviz.inspection.lens import extremes, pushed_logits
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import hooked
from ctviz.models.loading import Loaded
from ctviz.tasks.batch import Batch
from ctviz.tasks.token_text import token_text

__all__ = ["neurons_of", "neurons_on_task"]

ROWS = 32  # examples that are run at a time
NEURONS = 64  # at most
FIRINGS = 3
TOKENS = 5  # that a neuron raises, and lowers
CONTEXT = 8  # tokens of a text that are kept


def neurons_of(anatomy: Anatomy, node: str) -> slice:
    """The neurons of an MLP or of one of its blocks."""
    size = anatomy.neurons // anatomy.graph.mlp_blocks
    first = int(node.partition(".b")[2] or 0) * size
    return slice(first, first + size)


@torch.no_grad()
def neurons_on_task(loaded: Loaded, batch: Batch, node: str) -> tuple[NeuronOnTask, ...]:
    """The neurons of an MLP, or of one of its blocks, that write most on a batch's clean prompts.

    At most `NEURONS` of them, those that write most first. Raises UnknownName for a node that is no
    MLP of the model.
    """
    anatomy = loaded.anatomy
    nodes = [name for name in anatomy.graph.sources if name.startswith("m")]
    if node not in nodes:
        raise UnknownName("MLP", node, nodes)
    layer, own = layer_of(node, anatomy.graph.n_layers), neurons_of(anatomy, node)
    activations, texts = _activations(anatomy, batch, layer, own)
    weight = anatomy.blocks[layer].mlp_write_weight[own].float()
    writes = activations.abs().amax(dim=0) * weight.norm(dim=1)
    strongest = writes.topk(min(NEURONS, len(writes))).indices
    where = activations.abs().topk(min(FIRINGS, len(texts)), dim=0).indices
    pushed = pushed_logits(anatomy, weight[strongest])

    def text(ids: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(token_text(loaded.tokenizer, token) for token in ids[-CONTEXT:])

    found = []
    for neuron, logits in zip(strongest.tolist(), pushed, strict=True):
        raises, lowers = extremes(loaded, logits, TOKENS)
        places = where[:, neuron].tolist()
        firings = (Firing(float(activations[at, neuron]), text(texts[at])) for at in places)
        found.append(
            NeuronOnTask(
                index=own.start + neuron,
                writes=float(writes[neuron]),
                firings=tuple(firings),
                raises=tuple(token for token, _ in raises),
                lowers=tuple(token for token, _ in lowers),
            )
        )
    return tuple(found)


def _activations(
    anatomy: Anatomy, batch: Batch, layer: int, own: slice
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Activations float32 [place, neuron], and the token ids up to each place; each text once."""
    values: list[Tensor] = []
    texts: dict[tuple[int, ...], None] = {}
    for part in batch.split(ROWS):
        seen: list[Tensor] = []
        with hooked(before=[(anatomy.blocks[layer].mlp_out, seen.append)]):
            anatomy.hidden(part.clean, part.first)
        read = seen[0].reshape(*part.clean.shape, -1)[..., own].float()
        for row, ids, real in zip(read, part.clean.tolist(), part.real, strict=True):
            places = real.nonzero()[:, 0].tolist()
            for at in places:
                text = tuple(ids[places[0] : at + 1])
                if text not in texts:
                    texts[text] = None
                    values.append(row[at])
    return torch.stack(values), list(texts)
