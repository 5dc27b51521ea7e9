"""What the player shows of a run, as arrays: the Timeline with its curves and probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ctviz.circuits.choices import Ablation
from ctviz.circuits.graph import Graph
from ctviz.runs.causes import Causes
from ctviz.runs.groups import NodeGroup
from ctviz.runs.trust import Trust

__all__ = ["Curve", "Probe", "Timeline", "with_gaps"]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line over training steps; ``values`` holds NaN where nothing was measured.

    ``panel`` groups curves on one axis, such as ``metric``, ``faithfulness``, ``loss`` or
    ``retention``. A ``reference`` is what a curve is compared with, such as a random circuit of the
    same size. ``series`` tells the runs of a comparison apart; ``note`` says in a sentence where
    the numbers come from.
    """

    key: str
    label: str
    panel: str
    steps: np.ndarray
    values: np.ndarray
    kind: Literal["main", "reference"] = "main"
    series: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What the model does with one fixed prompt at every snapshot.

    ``predictions[t]``: (token, probability) of the likeliest next tokens. ``attention``: float
    [snapshot, layer, head, query, key], causal. ``attribution``: float [snapshot, node], what a
    node adds directly to logit(answer) - logit(foil); NaN where undefined. ``chances``: float
    [snapshot, 2], the probabilities of answer and foil, NaN where they were not kept; None if they
    were nowhere.
    """

    label: str
    tokens: list[str]
    answer: str
    foil: str
    predictions: list[list[tuple[str, float]]]
    attention: np.ndarray
    attribution: np.ndarray
    chances: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Everything that the player shows of a run.

    ``n_edges`` is the circuit's size; ``steps`` the training step of each of the T snapshots;
    ``scores`` float and ``circuit`` bool [T, source, slot]; ``updated`` bool [T, node], whether the
    step changed parameters that the node owns; ``redundancy`` float [T, node] by estimator
    (``circuit``, ``mass``), NaN where undefined. ``source`` says in a sentence how the scores were
    computed, and ``metric`` names what they are in units of.

    ``errors``: the scores' standard errors, float [T, source, slot]; ``split``: float [T, head, 3]
    by estimator, the redundancy of each head's query, key and value; ``quality``: float [T, 5],
    faithfulness, that of random circuits of the size, the standard error of the first, and the
    lowest and the highest of the random ones; ``alone``: float [T, 2], faithfulness of the
    circuit's backbone and its standard error; ``moved``: float [T, node], how far a node's
    parameters have gone from the untuned ones, as a share of their norm; ``specific``: float
    [T, node], how specific to the task a node is, 0 to 1; each None where it is not known.
    ``trust``: what can be said of the faithfulness of each snapshot; empty if it is not known.
    ``heads``: float [T, node] by name, what heads do on repeated words, NaN for what is no head.
    ``ablation`` says what was corrupted how, ``tau`` which share of its mass a node needs by the
    estimator ``mass``.
    ``groups``: named sets of nodes; ``causes``: which updates were needed, at those steps at which
    it was measured. ``provenance``: sentences that say where numbers come from, by what they are
    (``scores``, ``redundancy``, ``quality``, ``probes``), and which random circuits those are
    (``random``). ``names``: what the snapshots are called where that is not their step.
    """

    run: str
    title: str
    model: str
    task: str
    method: str
    metric: str
    state: str
    examples: int
    source: str
    graph: Graph
    n_edges: int
    steps: list[int]
    scores: np.ndarray
    circuit: np.ndarray
    updated: np.ndarray
    redundancy: dict[str, np.ndarray]
    curves: tuple[Curve, ...] = ()
    probes: tuple[Probe, ...] = ()
    errors: np.ndarray | None = None
    split: dict[str, np.ndarray] | None = None
    quality: np.ndarray | None = None
    alone: np.ndarray | None = None
    trust: tuple[Trust, ...] = ()
    moved: np.ndarray | None = None
    specific: np.ndarray | None = None
    heads: dict[str, np.ndarray] = field(default_factory=dict)
    ablation: Ablation = "counterfactual"
    tau: float = 0.9
    groups: tuple[NodeGroup, ...] = ()
    causes: tuple[Causes, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_snapshots, graph = len(self.steps), self.graph
        matrix = (n_snapshots, len(graph.sources), len(graph.slots))
        vector = (n_snapshots, len(graph.nodes))
        _check("scores", self.scores, matrix)
        _check("circuit", self.circuit, matrix)
        _check("updated", self.updated, vector)
        for key, values in self.redundancy.items():
            _check(f"redundancy {key!r}", values, vector)
        if self.errors is not None:
            _check("errors", self.errors, matrix)
        for key, values in (self.split or {}).items():
            _check(f"split {key!r}", values, (n_snapshots, graph.n_layers * graph.n_heads, 3))
        if self.quality is not None:
            _check("quality", self.quality, (n_snapshots, 5))
        if self.alone is not None:
            _check("alone", self.alone, (n_snapshots, 2))
        if self.trust:
            _check("trust", np.array(self.trust, dtype=object), (n_snapshots,))
        if self.moved is not None:
            _check("moved", self.moved, vector)
        if self.specific is not None:
            _check("specific", self.specific, vector)
        for key, values in self.heads.items():
            _check(f"heads {key!r}", values, vector)
        for probe in self.probes:
            n, label = len(probe.tokens), f"of probe {probe.label!r}"
            heads = (n_snapshots, graph.n_layers, graph.n_heads, n, n)
            _check(f"attention {label}", probe.attention, heads)
            _check(f"attribution {label}", probe.attribution, vector)
            if probe.chances is not None:
                _check(f"chances {label}", probe.chances, (n_snapshots, 2))
            if len(probe.predictions) != n_snapshots:
                raise ValueError(
                    f"predictions {label} are {len(probe.predictions)}, but must have "
                    f"{n_snapshots}, one a snapshot."
                )
        if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps must increase, but are {self.steps}.")

    @property
    def effect(self) -> np.ndarray | None:
        """float [T, node]: what a node adds directly to logit(answer) - logit(foil), mean over the
        probes; None without any."""
        if not self.probes:
            return None
        mean: np.ndarray = np.mean([probe.attribution for probe in self.probes], axis=0)
        return mean

    def on_clock(self, steps: list[int], at: Sequence[int]) -> Timeline:
        """The same run on another clock, without probes: ``steps[i]`` shows its snapshot ``at[i]``.

        Curves stay as they were measured.
        """
        index = np.array(at, dtype=int)
        return replace(
            self,
            steps=steps,
            scores=self.scores[index],
            circuit=self.circuit[index],
            updated=self.updated[index],
            redundancy={key: values[index] for key, values in self.redundancy.items()},
            probes=(),
            errors=None if self.errors is None else self.errors[index],
            split={key: values[index] for key, values in self.split.items()}
            if self.split is not None
            else None,
            quality=None if self.quality is None else self.quality[index],
            alone=None if self.alone is None else self.alone[index],
            trust=tuple(self.trust[i] for i in at) if self.trust else (),
            moved=None if self.moved is None else self.moved[index],
            specific=None if self.specific is None else self.specific[index],
            heads={key: values[index] for key, values in self.heads.items()},
        )


def with_gaps(
    curves: Sequence[Curve], steps: Sequence[int], trust: Sequence[Trust]
) -> tuple[Curve, ...]:
    """The curves, those of faithfulness without the points at which it means nothing."""
    void = [step for step, said in zip(steps, trust, strict=True) if not said.defined]
    return tuple(
        replace(curve, values=np.where(np.isin(curve.steps, void), np.nan, curve.values))
        if curve.panel == "faithfulness"
        else curve
        for curve in curves
    )


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise unless an array has the shape that the graph and the steps ask for."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but must have {shape}.")
