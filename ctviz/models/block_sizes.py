"""Which blocks of neurons MLPs can be cut into, known from the graph alone, without torch."""

from __future__ import annotations

from dataclasses import replace

from ctviz.circuits.graph import Graph
from ctviz.errors import OutOfRange
from ctviz.models.room import check_room

__all__ = ["cut_graph"]

EDGE = 48  # bytes for each pair of a source and a slot: scores, errors, and what they are made from


def cut_graph(graph: Graph, neurons: int, size: int, available: int) -> Graph:
    """A model's graph with its MLPs of ``neurons`` each cut into blocks of ``size`` neurons.

    ``available``: bytes of memory. Raises OutOfRange for a size that does not divide the neurons,
    and CtvizError if there is no memory for the scores of so many edges.
    """
    if not 1 <= size <= neurons or neurons % size:
        raise OutOfRange("mlp_block", size, 1, neurons, hint=_nearest(size, neurons))
    cut = replace(graph, mlp_blocks=neurons // size)
    sources, slots = len(cut.sources), len(cut.slots)
    check_room(
        f"A graph of {sources:,} sources and {slots:,} slots (mlp_block {size})",
        {"the scores of its edges": EDGE * sources * slots},
        available,
        f"Take larger blocks; {_nearest(4 * size, neurons)}",
    )
    return cut


def _nearest(size: int, neurons: int) -> str:
    """The sizes next to one that divide an MLP's neurons, as a hint."""
    fitting = [n for n in range(1, neurons + 1) if neurons % n == 0]
    below = max((n for n in fitting if n <= size), default=fitting[0])
    above = min((n for n in fitting if n >= size), default=fitting[-1])
    near = " and ".join(f"{n:,}" for n in sorted({below, above}))
    return (
        f"The MLPs of this model have {neurons:,} neurons, which it must divide: the nearest "
        f"{'is' if below == above else 'are'} {near}. 0 leaves MLPs whole."
    )
