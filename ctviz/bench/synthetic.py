"""Synthetic timelines that look like a run: a heavy-tailed circuit that turns into another one.

They have the size and the spread of real ones, so the player can be measured and tested on them;
no number in them comes from a model, and the page that shows one says that it is synthetic.
"""

from __future__ import annotations

import functools

import numpy as np

from ctviz.circuits.graph import Graph
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.circuits.selection import top_edges
from ctviz.views.timeline import Curve, Probe, Timeline

__all__ = ["CASES", "MEASURED", "timeline"]

CASES = {  # layers, heads, kv heads, snapshots, circuit size, tokens
    "tiny": (4, 8, 8, 61, 60, 9),
    "two": (4, 8, 8, 61, 60, 9),
    "gpt2": (12, 12, 12, 100, 200, 12),
    "big": (12, 12, 12, 100, 500, 12),
    "large": (12, 12, 12, 300, 1000, 12),
    "gqa": (8, 9, 3, 40, 120, 9),
    "deep": (30, 9, 3, 30, 150, 9),
    "blocks": (30, 9, 3, 8, 400, 9),
    "live": (4, 8, 8, 12, 60, 9),
    "livezero": (4, 8, 8, 0, 60, 9),
    "zero": (4, 8, 8, 0, 60, 9),
    "one": (4, 8, 8, 1, 60, 9),
    "noedges": (4, 8, 8, 10, 0, 9),
    "nan": (4, 8, 8, 10, 60, 9),
}
MEASURED = {  # too large for anything but the benchmark: SmolLM2's shape, and that of a model of 1B
    "30x9": (30, 9, 3, 100, 400, 9),
    "16x32": (16, 32, 32, 100, 500, 9),
    "fine": (30, 9, 3, 100, 400, 9),
    "finest": (30, 9, 3, 100, 4000, 9),
}
BLOCKS = dict.fromkeys(("blocks", "fine", "finest"), 24)  # of each MLP
TOKENS = [
    "The",
    " key",
    "s",
    " to",
    " the",
    " old",
    " cabinet",
    " near",
    " them",
    " by",
    " now",
    ".",
]


@functools.lru_cache(maxsize=8)
def timeline(case: str, *, grown: int = 0) -> Timeline:
    """The timeline of a case; ``grown`` adds three snapshots each to a live run."""
    n_layers, n_heads, n_kv, n_snapshots, n_edges, n_tokens = {**CASES, **MEASURED}[case]
    n_snapshots += 3 * grown
    graph = Graph(n_layers, n_heads, n_kv, mlp_blocks=BLOCKS.get(case, 1))
    rng = np.random.default_rng(7)
    shape = graph.exists.shape
    start = _field(rng, graph)
    end = 0.45 * start + _field(rng, graph)
    when = rng.uniform(0.25, 0.75, size=shape)
    moments = np.linspace(0, 1, max(61, n_snapshots))[:n_snapshots]
    noise = np.zeros(shape)
    scores = np.zeros((n_snapshots, *shape), dtype=np.float32)
    circuit = np.zeros((n_snapshots, *shape), dtype=bool)
    error = (0.017 * (np.abs(start) + 0.05) * graph.exists).astype(np.float32)
    updated = []
    redundancy: dict[str, list[np.ndarray]] = {"circuit": [], "mass": []}
    split: dict[str, list[np.ndarray]] = {"circuit": [], "mass": []}
    owners = np.zeros((len(graph.slots), len(graph.nodes)), dtype=bool) | graph.feeds
    for at, moment in enumerate(moments):
        noise = 0.7 * noise + 0.012 * rng.standard_normal(shape)
        share = 1 / (1 + np.exp(-14 * (moment - when)))
        values = ((1 - share) * start + share * end + noise * (np.abs(start) + 0.05)) * graph.exists
        score = Scores(graph, values.astype(np.float32))
        mask = np.zeros(shape, dtype=bool)
        if n_edges:
            mask = top_edges(score, n_edges).mask
        found = {
            "circuit": circuit_redundancy(Circuit(graph, mask)),
            "mass": mass_redundancy(score),
        }
        for key, estimate in found.items():
            defined = n_edges > 0 if key == "circuit" else case != "nan"
            redundancy[key].append(
                estimate.values if defined else np.full(len(graph.nodes), np.nan)
            )
            inputs = estimate.by_input()
            split[key].append(inputs if defined else np.full_like(inputs, np.nan))
        changed = mask.any(axis=0) @ owners
        changed[: len(graph.sources)] |= mask.any(axis=1)
        changed[[0, -1]] = False
        scores[at], circuit[at] = score.values, mask
        updated.append(changed.astype(bool) & (moment > 0))
    n_nodes, n_inputs = len(graph.nodes), n_layers * n_heads
    steps = [10 * i for i in range(n_snapshots)]
    curves = _curves(rng, moments, steps, case)
    lines = {curve.key: curve.values for curve in curves}
    random = lines["random"]
    quality = [lines["faithfulness"], random, np.full(n_snapshots, 0.03), random, random + 0.05]
    return Timeline(
        run=f"synthetic-{case}",
        title="Synthetic run: agreement turned around",
        model="tiny-english (4 layers)" if n_layers == 4 else f"synthetic {n_layers}x{n_heads}",
        task="subject-verb agreement, flipped",
        method="circuit-tuning",
        metric="logit(disagreeing) - logit(agreeing)",
        state="running" if case.startswith("live") else "finished",
        examples=64,
        source="Edge attribution patching, 64 dev pairs, counterfactual.",
        graph=graph,
        n_edges=n_edges,
        steps=steps,
        scores=scores,
        circuit=circuit,
        updated=np.array(updated).reshape(n_snapshots, n_nodes).astype(bool),
        redundancy={k: np.array(v).reshape(n_snapshots, n_nodes) for k, v in redundancy.items()},
        curves=curves,
        probes=_probes(rng, graph, moments, n_tokens),
        errors=np.broadcast_to(error, (n_snapshots, *shape)),
        split={k: np.array(v).reshape(n_snapshots, n_inputs, 3) for k, v in split.items()},
        quality=np.stack(quality, axis=1),
        moved=_moved(np.array(updated).reshape(n_snapshots, n_nodes)),
        specific=_specific(np.array(redundancy["mass"]).reshape(n_snapshots, n_nodes)),
        provenance=dict.fromkeys(
            ("scores", "redundancy", "quality", "probes", "random", "effect", "moved", "specific"),
            "synthetic numbers of no model",
        ),
    )


def _moved(updated: np.ndarray) -> np.ndarray:
    """bool [T, node] -> float32 [T, node]: a node goes a bit further with each of its updates."""
    moved = 0.002 * np.cumsum(updated, axis=0, dtype=np.float32)
    moved[:, [0, -1]] = np.nan
    return moved


def _specific(redundancy: np.ndarray) -> np.ndarray:
    """float [T, node] -> float32 [T, node]: the fewer inputs a node needs, the more specific."""
    specific: np.ndarray = np.nan_to_num(redundancy, nan=0.5).astype(np.float32)
    specific[:, -1] = np.nan
    return specific


def _field(rng: np.random.Generator, graph: Graph) -> np.ndarray:
    """Heavy-tailed scores: a few sources and a few slots matter much more than the rest."""
    rows = rng.lognormal(0, 1.0, len(graph.sources))[:, None]
    columns = rng.lognormal(0, 0.9, len(graph.slots))[None, :]
    rows[0], columns[0, -1] = 6.0, 12.0  # much is read from the input and written to the logits
    sign = np.where(rng.random(graph.exists.shape) < 0.7, 1.0, -1.0)
    size = rows * columns * rng.lognormal(0, 0.9, graph.exists.shape)
    scores: np.ndarray = graph.exists * sign * size / size.max() * 1.4
    return scores


def _curves(
    rng: np.random.Generator, moments: np.ndarray, steps: list[int], case: str
) -> tuple[Curve, ...]:
    at = np.array(steps, dtype=int)
    share = 1 / (1 + np.exp(-12 * (moments - 0.5)))

    def jitter(size: float) -> np.ndarray:
        return size * rng.standard_normal(len(moments))

    metric = -2.4 + 5.1 * share + jitter(0.08)
    faith = 0.78 + 0.12 * share + jitter(0.015)
    random = 0.11 + jitter(0.02)
    if case == "nan" and len(random):
        metric = np.full(len(moments), np.nan)
        random[3:6] = np.nan
    return (
        Curve("metric", "metric on dev pairs", "metric", at, metric),
        Curve("faithfulness", "circuit", "faithfulness", at, faith),
        Curve("random", "random circuit", "faithfulness", at, random, "reference"),
        Curve("loss", "training loss", "loss", at, 2.6 * np.exp(-4 * moments) + 0.2 + jitter(0.03)),
        Curve("kl", "KL from the untuned model", "retention", at, 0.21 * share**2),
    )


def _probes(
    rng: np.random.Generator, graph: Graph, moments: np.ndarray, n_tokens: int
) -> tuple[Probe, ...]:
    probes = []
    for label in ("The keys to the old cabinet …", "A long <b>second</b> prompt"):
        shape = (graph.n_layers, graph.n_heads, n_tokens, n_tokens)
        first, last = rng.normal(0, 2.2, shape), rng.normal(0, 2.2, shape)
        share = moments[:, None, None, None, None]
        logits = (1 - share) * first + share * last
        logits = np.where(np.tri(n_tokens, dtype=bool), logits, -np.inf)
        attention = np.exp(logits)
        attention /= attention.sum(axis=-1, keepdims=True)
        n_nodes = len(graph.nodes)
        attribution = rng.normal(0, 0.4, n_nodes) + moments[:, None] * rng.normal(0, 0.6, n_nodes)
        attribution[:, -1] = np.nan
        predictions = []
        for moment in moments:
            turn = 1 / (1 + np.exp(-12 * (moment - 0.5)))
            top = [(" are", 0.62 * (1 - turn) + 0.02), (" is", 0.55 * turn + 0.03)]
            top += [(" were", 0.12), (" was", 0.05 + 0.05 * turn), (" have", 0.03)]
            predictions.append(sorted(top, key=lambda pair: -pair[1]))
        tokens = TOKENS[:n_tokens]
        probes.append(Probe(label, tokens, " is", " are", predictions, attention, attribution))
    return tuple(probes)
