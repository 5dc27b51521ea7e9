"""A timeline small enough to do by hand, packed as the browser gets it: ``packed.json``.

``python -m tests.player.packed`` writes the file again after the payload has changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ctviz.views.packing import pack
from ctviz.views.timeline import Curve, Probe, Timeline
from tests.small_graph import GRAPH, circuit, scores

FILE = Path(__file__).parent / "packed.json"
FIRST = {"input->m0": 1.0, "m0->logits": -0.5}
LAST = {"input->m0": 0.25, "m0->logits": -2.0, "m1->logits": 0.125, "input->a1.h0<q>": 0.0625}


def timeline() -> Timeline:
    """Two snapshots, at steps 0 and 10: two edges enter; errors are known of the first alone."""
    values = np.stack([scores(**FIRST).values, scores(**LAST).values])
    inside = np.stack([circuit(*FIRST).mask, circuit(*LAST).mask])
    errors = np.stack([np.full(GRAPH.exists.shape, 0.5), np.full(GRAPH.exists.shape, np.nan)])
    redundancy = np.full((2, len(GRAPH.nodes)), np.nan)
    redundancy[:, GRAPH.node("m0")] = [0.25, 1.0]
    specific = np.full((2, len(GRAPH.nodes)), 0.5)
    specific[:, GRAPH.node("m0")] = [0.25, 0.75]
    specific[:, GRAPH.node("logits")] = np.nan
    matching = np.full((2, len(GRAPH.nodes)), np.nan)
    matching[:, GRAPH.node("a1.h0")] = [0.125, 0.75]
    updated = np.zeros((2, len(GRAPH.nodes)), dtype=bool)
    updated[1, GRAPH.node("m1")] = True
    attention = np.zeros((2, GRAPH.n_layers, GRAPH.n_heads, 2, 2))
    attention[..., 0, 0] = 1.0
    attention[0, ..., 1, :] = [0.2, 0.8]
    attention[1, ..., 1, :] = [0.6, 0.4]
    attribution = np.full((2, len(GRAPH.nodes)), np.nan)
    attribution[:, GRAPH.node("m0")] = [3.0, -1.5]
    return Timeline(
        run="small",
        title="By hand",
        model="none",
        task="none",
        method="circuit",
        metric="logit difference",
        state="finished",
        examples=1,
        source="made up",
        graph=GRAPH,
        n_edges=3,
        steps=[0, 10],
        scores=values,
        circuit=inside,
        updated=updated,
        redundancy={"circuit": redundancy},
        curves=(
            Curve("faithfulness", "circuit", "faithfulness", np.array([0, 10]), np.array([0.5, 9])),
        ),
        probes=(
            Probe(
                label="The key",
                tokens=["The", " key"],
                answer=" is",
                foil=" are",
                predictions=[[(" is", 0.75)], [(" are", 0.5)]],
                attention=attention,
                attribution=attribution,
            ),
        ),
        errors=errors,
        specific=specific,
        heads={"matching": matching},
        quality=np.array([[0.5, 0.1, 0.05, 0.0, 0.2], [9.0, 0.1, 4.0, 0.1, 0.1]]),
    )


def packed() -> dict[str, Any]:
    """Its payload."""
    return pack(timeline())


if __name__ == "__main__":
    FILE.write_text(json.dumps(packed(), indent=1) + "\n", encoding="utf-8")
