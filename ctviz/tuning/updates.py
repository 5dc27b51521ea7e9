"""What tuning did to each node's parameters, put into the untuned model or taken out of the tuned.

A node here is what owns units (`ctviz.tuning.ownership`): a head with its slices of W_Q, W_K, W_V
and its rows of the output projection, a whole MLP, a block of neurons. Where heads share keys and
values, these belong to the group (``a0.g1``), which is a node of its own. Whatever moved and
belongs to no node (embeddings, norms, biases that no head owns alone) is one more, `OTHER`.

Everything is copied and nothing is added or subtracted: with all updates in, the model is the tuned
one to the bit, with none the untuned one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ctviz.circuits.graph import layer_of
from ctviz.models.loading import Loaded
from ctviz.runs.causes import OTHER
from ctviz.tuning.ownership import circuit_units
from ctviz.tuning.stored_weights import Weights, put_in

__all__ = ["Update", "Updates"]


class _Piece(NamedTuple):
    """A part of a weight, ``view`` of the model's own, as it was ``before`` and ``after``."""

    tensor: str
    view: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What tuning did to a node: ``size`` parameters of units that moved; ``layer``: -1 for
    `OTHER`."""

    node: str
    layer: int
    size: int
    pieces: tuple[_Piece, ...]


class Updates:
    """The updates of a run at a step, by node in the order of layers, `OTHER` last.

    ``loaded`` must be the untuned model, and is it afterwards; ``tuned`` are the tuned weights.
    Raises DamagedRun as `ctviz.tuning.stored_weights.put_in` does.
    """

    def __init__(self, loaded: Loaded, tuned: Weights) -> None:
        parameters = {name: p.detach() for name, p in loaded.model.named_parameters()}
        names = {id(p): name for name, p in loaded.model.named_parameters()}
        before = {name: p.clone() for name, p in parameters.items()}
        put_in(loaded, tuned)
        found: dict[str, list[_Piece]] = {}
        sizes: dict[str, int] = {}
        inside = dict.fromkeys(parameters, 0)  # how much of each parameter belongs to units
        for unit in circuit_units(loaded.anatomy):
            pieces = []
            for part in unit.parts:
                name = names[id(part.parameter)]
                inside[name] += part.view.numel()
                pieces.append(_piece(name, part.view, before[name][part.index]))
            if any(_moved(piece) for piece in pieces):
                node = unit.name.partition("<")[0]
                found.setdefault(node, []).extend(filter(_moved, pieces))
                sizes[node] = sizes.get(node, 0) + unit.size
        assert all(n in (0, parameters[name].numel()) for name, n in inside.items())
        rest = [
            _piece(name, parameters[name], before[name]) for name, n in inside.items() if n == 0
        ]
        if any(map(_moved, rest)):
            found[OTHER] = list(filter(_moved, rest))
            sizes[OTHER] = sum(piece.view.numel() for piece in found[OTHER])
        self.nodes = {
            node: Update(
                node,
                -1 if node == OTHER else layer_of(node, loaded.anatomy.graph.n_layers),
                sizes[node],
                tuple(_owned(piece) for piece in pieces),
            )
            for node, pieces in found.items()
        }
        self._inside = set(self.nodes)
        self.put(())

    @torch.no_grad()
    def put(self, nodes: Iterable[str]) -> None:
        """Let the model be the untuned one with the updates of exactly these nodes."""
        wanted = set(nodes)
        for node in self._inside ^ wanted:
            for piece in self.nodes[node].pieces:
                piece.view.copy_(piece.after if node in wanted else piece.before)
        self._inside = wanted

    @contextmanager
    def exchanged(self, node: str) -> Iterator[None]:
        """Inside the block one node's update is out if it was in, and in if it was out."""
        former = set(self._inside)
        self.put(former ^ {node})
        try:
            yield
        finally:
            self.put(former)

    def tensors(self, nodes: Iterable[str]) -> list[str]:
        """Names of the model's tensors that the updates of some nodes change."""
        pieces = (piece for node in nodes for piece in self.nodes[node].pieces)
        return sorted({piece.tensor for piece in pieces})


def _piece(name: str, view: Tensor, before: Tensor) -> _Piece:
    return _Piece(name, view, before, view)


def _moved(piece: _Piece) -> bool:
    return not torch.equal(piece.before, piece.after)


def _owned(piece: _Piece) -> _Piece:
    """With copies, so that the whole weights need not be kept."""
    return piece._replace(before=piece.before.clone(), after=piece.after.clone())
