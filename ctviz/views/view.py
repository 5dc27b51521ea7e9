"""What a person sees of a run: the step, the selection, how it is shown. Links are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

__all__ = ["Axis", "Estimator", "Form", "Heat", "Level", "Marks", "Shown", "View"]

Marks = Literal["previous", "start"]
Estimator = Literal["circuit", "mass"]
Heat = Literal["nodes", "qkv", "steps"]
Axis = Literal["auto", "linear", "log", "even"]
Form = Literal["graph", "paths", "matrix"]
Level = Literal["auto", "backbone", "circuit", "model"]
Shown = Literal[
    "redundancy", "effect", "moved", "specific", "updates", "previous", "matching", "copying"
]

LONGEST = 600  # characters of a list in a link that are looked at
MOST_NODES = 64
MOST_LAYERS = 200


@dataclass(frozen=True, slots=True)
class View:
    """A view of one run in the player.

    ``step``: a training step, None for the player's own choice; ``nodes``: the selected nodes, the
    inspected one first; ``edges``: how many edges are shown, None for all of the circuit;
    ``marks``: whether changes are marked against the snapshot shown before or the first;
    ``estimator``: of the redundancy; ``heat``: heatmap of the nodes, of each head's query, key and
    value, or of nodes over steps; ``map``: of what it is, redundancy, direct effect on the answer,
    how far parameters have moved, how specific to the task nodes are, or what each node's update
    carries; ``level``: of detail, the circuit's backbone, all of it, or with it the whole model's
    nodes; ``auto`` takes the backbone of a circuit too large to be read whole; ``form``: whether
    it is drawn as a graph, as its strongest paths, or as a matrix of who writes to whom;
    ``axis``: how training steps are spread, by themselves, their logarithm, or all snapshots
    evenly; ``auto`` takes what suits them; ``probe``: which of the stored sentences is looked at;
    ``open``: the layers whose MLP is drawn as its blocks.
    """

    step: int | None = None
    nodes: tuple[str, ...] = ()
    edges: int | None = None
    marks: Marks = "previous"
    estimator: Estimator = "circuit"
    heat: Heat = "nodes"
    map: Shown = "redundancy"
    level: Level = "auto"
    form: Form = "graph"
    axis: Axis = "auto"
    probe: int = 0
    open: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, as the browser gets and reports it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "nodes": list(self.nodes), "open": list(self.open)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> View:
        """Out of what the browser reported; what is unknown or impossible is at the default."""
        view = cls(
            step=_whole(values.get("step")),
            nodes=tuple(str(node) for node in values.get("nodes") or ())[:MOST_NODES],
            edges=_whole(values.get("edges")),
            probe=_whole(values.get("probe")) or 0,
            open=tuple(sorted(set(_layers(values.get("open"))))),
        )
        for name, allowed in (
            ("marks", Marks),
            ("estimator", Estimator),
            ("heat", Heat),
            ("map", Shown),
            ("axis", Axis),
            ("level", Level),
            ("form", Form),
        ):
            if values.get(name) in get_args(allowed):
                view = replace(view, **{name: values[name]})
        return view

    def to_query(self) -> dict[str, str]:
        """As parameters of a link; what is at its default is left out."""
        query = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default or value is None:
                continue
            if isinstance(value, tuple):
                name = "node" if field.name == "nodes" else field.name
                query[name] = ",".join(map(str, value))
            else:
                query[field.name] = str(value)
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> View:
        """Out of a link's parameters; what is unknown or impossible is left at the default."""
        text = query.get("node", "")[:LONGEST]
        nodes = [node for node in text.split(",") if node]
        layers = query.get("open", "")[:LONGEST].split(",")
        return cls.from_dict({**query, "nodes": nodes, "open": layers})


def _layers(values: Any) -> list[int]:
    """Those of some values that may be layers."""
    found = [_whole(value) for value in list(values or ())[:MOST_LAYERS]]
    return [layer for layer in found if layer is not None]


def _whole(value: Any) -> int | None:
    """A number that is not negative, or None."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < 2**53 else None
