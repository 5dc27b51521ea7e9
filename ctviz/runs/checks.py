"""Whether the files of a run hold what is read from them: types, ranges and shapes.

Every check raises DamagedRun naming the file and what is wrong in it, so that damage is found where
a file is read and costs that file alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ctviz.circuits.graph import Graph
from ctviz.errors import DamagedRun
from ctviz.runs.snapshot import Snapshot

__all__ = [
    "check_about",
    "check_probes",
    "check_snapshot",
    "check_status",
    "checked_fields",
    "is_finite",
    "is_step",
]

LARGEST_STEP = 2**53  # whole numbers up to it are exact in a float
SHOWN = 60  # characters of a wrong value


def check_about(file: Path, about: Mapping[str, Any]) -> None:
    """``run.json``: what describes the model and the task, which may be missing until it is loaded.

    They are there as soon as the graph is.
    """
    described = about.get("graph") is not None
    for part, names, more in (
        ("model", ("name",), ("revision", "family")),
        ("task", ("key", "title", "metric"), ("name", "judged_by", "better")),
    ):
        if part not in about and not described:
            continue
        found = _value(file, about, part, _is_object, "an object")
        for name in names:
            _value(file, found, name, _is_text, "a text", within=part)
        for name in more:
            if found.get(name) is not None:
                _value(file, found, name, _is_text, "a text", within=part)
    if about.get("model", {}).get("parameters") is not None:
        _value(file, about["model"], "parameters", is_finite, "a number", within="model")
    if "examples" in about or described:
        _value(file, about, "examples", is_step, "a whole number from 0")
    if described:
        shape = _value(file, about, "graph", _is_object, "an object")
        for name in ("n_layers", "n_heads"):
            _value(file, shape, name, is_step, "a whole number", within="graph")
    for part in ("before", "after"):
        if about.get(part) is not None:
            found = _value(file, about, part, _is_object, "an object")
            for name in found:
                _value(file, found, name, _is_number_or_null, "a number", within=part)


def check_status(file: Path, values: Mapping[str, Any]) -> None:
    """``status.json``, but for the names of its states and for keys that it does not need."""
    for name, right, what in (
        ("state", _is_text, "a text"),
        ("step", is_step, "a whole number from 0"),
        ("steps", is_step, "a whole number from 0"),
        ("rate", _is_rate, "a number or null"),
        ("message", _is_text, "a text"),
        ("failure", _is_text, "a text"),
        ("pid", _is_whole, "a whole number"),
        ("born", is_finite, "a number"),
        ("heartbeat", is_finite, "a number"),
        ("notices", _is_texts, "a list of texts"),
        ("left", _is_rate, "a number or null"),
        ("measured", _is_object, "an object"),
    ):
        if name in values or name in ("state", "step", "steps"):
            _value(file, values, name, right, what)
    if values.get("phase") is not None:
        found = _value(file, values, "phase", _is_object, "an object")
        for name, right, what in (
            ("name", _is_text, "a text"),
            ("unit", _is_text, "a text"),
            ("done", is_finite, "a number"),
            ("total", is_finite, "a number"),
            ("rate", _is_rate, "a number or null"),
            ("left", _is_rate, "a number or null"),
        ):
            _value(file, found, name, right, what, within="phase")
    for name, found in values.get("measured", {}).items():
        _value(file, values["measured"], name, _is_object, "an object", within="measured")
        for key in ("units", "seconds"):
            _value(file, found, key, is_finite, "a number", within=f"measured.{name}")
    if values["state"] in ("starting", "running") and values["step"] > values["steps"]:
        raise DamagedRun(f"{file} is at step {values['step']} of {values['steps']}.")


def check_snapshot(file: Path, snapshot: Snapshot, graph: Graph | None) -> None:
    """A snapshot's step, which is that of its file, its numbers, and the shapes of its arrays."""
    if not is_step(snapshot.step) or f"{snapshot.step:06d}" != file.stem:
        raise DamagedRun(f"{file} says that it is of step {_shown(snapshot.step)}.")
    for name, number in snapshot.metrics.items():
        if not _is_number_or_null(number):
            raise DamagedRun(f"{file} has the metric {name!r} {_shown(number)}, not a number.")
    edges = snapshot.scores.shape if graph is None else graph.exists.shape
    if len(edges) != 2:
        raise DamagedRun(f"{file} has scores of shape {edges}, not [source, slot].")
    nodes = (edges[0] + 1,)  # the sources, then logits
    arrays: list[tuple[str, np.ndarray, tuple[int, ...], str]] = [
        ("scores", snapshot.scores, edges, "f"),
        ("circuit", snapshot.circuit, edges, "b"),
        ("tuned", snapshot.tuned, edges, "b"),
    ]
    if snapshot.error is not None:
        arrays.append(("error", snapshot.error, edges, "f"))
    if snapshot.moved is not None:
        arrays.append(("moved", snapshot.moved, nodes, "f"))
    if snapshot.specific is not None:
        arrays.append(("specific", snapshot.specific, nodes, "f"))
    arrays += [(f"heads.{name}", array, nodes, "f") for name, array in snapshot.heads.items()]
    for name in {"circuit": None, "mass": None, **snapshot.redundancy}:
        if name not in snapshot.redundancy:
            raise DamagedRun(f"{file} has no redundancy.{name}.")
        arrays.append((f"redundancy.{name}", snapshot.redundancy[name], nodes, "f"))
    for at, probe in enumerate(snapshot.probes):
        length = len(probe.tokens)
        heads = probe.attention.shape[:2] if graph is None else (graph.n_layers, graph.n_heads)
        arrays.append((f"probe.{at}.attention", probe.attention, (*heads, length, length), "f"))
        arrays.append((f"probe.{at}.attribution", probe.attribution, nodes, "f"))
        texts = (*probe.tokens, probe.answer, probe.foil, *(token for token, _ in probe.top))
        if not length or not _is_texts(list(texts)):
            raise DamagedRun(f"{file} has a probe whose tokens, answer or foil are not texts.")
    for name, array, shape, kind in arrays:
        if array.shape != shape:
            raise DamagedRun(
                f"{file} has {name} of shape {array.shape}, but it should be {shape} in the graph "
                "of this run."
            )
        if array.dtype.kind != kind:
            raise DamagedRun(f"{file} has {name} of type {array.dtype}.")
    if graph is not None and (snapshot.circuit & ~graph.exists).any():
        raise DamagedRun(f"{file} has edges in its circuit that the graph of this run has not.")


def check_probes(file: Path, snapshot: Snapshot, first: Snapshot) -> None:
    """Whether a snapshot read the prompts that the run's first one did."""
    asked, known = (
        [(probe.tokens, probe.answer, probe.foil) for probe in each.probes]
        for each in (snapshot, first)
    )
    if asked != known:
        raise DamagedRun(
            f"{file} has other probes than the run's first readable snapshot, of step {first.step}."
        )


def is_step(value: Any) -> bool:
    """A whole number from 0 that could count training steps."""
    return _is_whole(value) and 0 <= value <= LARGEST_STEP


def is_finite(value: Any) -> bool:
    """A number that is neither infinite nor NaN, nor too large for a float."""
    return _is_number(value) and abs(value) <= sys.float_info.max


def checked_fields(of: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass of these values, whose numbers are finite and whose texts are texts.

    Raises ValueError or TypeError for anything else.
    """
    made = of(**values)
    for field in fields(of):
        value, kind = getattr(made, field.name), str(field.type)
        if value is None and "None" in kind:
            continue
        number = kind.split(" ")[0]
        if number in ("int", "float"):
            fits = is_finite(value) and (number == "float" or isinstance(value, int))
        elif number in ("str", "bool"):
            fits = isinstance(value, {"str": str, "bool": bool}[number])
        else:
            continue
        if not fits:
            raise ValueError(f"{field.name} is {value!r}")
    return made


def _value(
    file: Path,
    values: Mapping[str, Any],
    name: str,
    right: Callable[[Any], bool],
    what: str,
    *,
    within: str = "",
) -> Any:
    key = f"{within}.{name}" if within else name
    if name not in values:
        raise DamagedRun(f"{file} has no {key!r}.")
    value = values[name]
    if not right(value):
        raise DamagedRun(f"{file} has {key!r} {_shown(value)}, which should be {what}.")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_number_or_null(value: Any) -> bool:
    """Also NaN and infinity: what was measured of a model that has diverged."""
    return value is None or isinstance(value, float) or is_finite(value)


def _is_rate(value: Any) -> bool:
    return value is None or is_finite(value)
