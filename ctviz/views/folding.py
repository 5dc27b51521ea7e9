"""A run with blocks of neurons as the player shows it beside one that has others, or whole MLPs."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ctviz.circuits.folding import Fold
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.runs.groups import NodeGroup
from ctviz.views.timeline import Timeline

__all__ = ["FOLDED", "folded"]

FOLDED = "blocks of neurons put together to whole MLPs"
KEPT = 12  # timelines


@lru_cache(maxsize=KEPT)
def folded(timeline: Timeline) -> Timeline:
    """The same run at the level of whole MLPs; itself if its MLPs are whole.

    Scores of blocks are added up, an edge is in the circuit if any of its blocks' is, and
    redundancy follows from these. Standard errors of edges from or into an MLP are not known, nor
    how far a whole MLP has moved, so these are NaN. Curves and quality stay those of the circuit
    of blocks, as measured; what the backbone carries alone and which updates were needed was
    asked of blocks and is left out.
    """
    if timeline.graph.mlp_blocks == 1:
        return timeline
    fold, graph = Fold(timeline.graph), timeline.graph.whole
    scores = np.stack([fold.added(each) for each in timeline.scores])
    circuit = fold.any_edge(timeline.circuit)
    found = [
        (
            circuit_redundancy(Circuit(graph, mask)),
            mass_redundancy(Scores(graph, np.nan_to_num(values)), tau=timeline.tau),
        )
        for mask, values in zip(circuit, scores, strict=True)
    ]
    names = ("circuit", "mass")
    return replace(
        timeline,
        graph=graph,
        scores=scores,
        circuit=circuit,
        updated=fold.any_node(timeline.updated),
        redundancy={
            name: np.stack([each[at].values for each in found]).astype(np.float32)
            for at, name in enumerate(names)
        },
        split={
            name: np.stack([each[at].by_input() for each in found]).astype(np.float32)
            for at, name in enumerate(names)
        },
        errors=None if timeline.errors is None else fold.unsplit_edges(timeline.errors),
        moved=None if timeline.moved is None else fold.unsplit(timeline.moved),
        probes=tuple(
            replace(probe, attribution=fold.total(probe.attribution)) for probe in timeline.probes
        ),
        groups=tuple(
            NodeGroup(group.name, tuple(dict.fromkeys(fold.node(name) for name in group.nodes)))
            for group in timeline.groups
        ),
        alone=None,
        causes=(),
        provenance={
            key: f"{text}; {FOLDED}" if key in ("scores", "redundancy", "effect") else text
            for key, text in timeline.provenance.items()
        },
    )
