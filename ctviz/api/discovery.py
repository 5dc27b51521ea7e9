"""Discovery and evaluation of circuits as small results: tables, and in a notebook a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz import __version__
from ctviz.api.words import AnyTask, Model, Name, as_task, loaded
from ctviz.circuits.choices import Ablation, Attribution, Metric, PathEnd, RandomKind
from ctviz.circuits.random_circuits import RANDOM_NAMES
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, specific_share
from ctviz.errors import RunExists
from ctviz.export import draw_timeline
from ctviz.files import not_written
from ctviz.jobs.discovery import Found, Search, find, measured, write_found, write_scores
from ctviz.jobs.evaluate import evaluate as evaluate_circuit
from ctviz.jobs.question import Question
from ctviz.runs.trust import Measured, overview
from ctviz.tasks import Split, find_task
from ctviz.tasks.files.rows import counted
from ctviz.views.timeline import Curve, Timeline, with_gaps

__all__ = ["Discovery", "Evaluated", "discover", "evaluate"]

WIDE = 960  # pixels of a picture in a notebook


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Discovery(Found):
    """The circuit of a task: all edges' ``scores``, the ``circuit``, scores of whole ``nodes``.

    ``about`` says in plain values what was asked and measured. As the last value of a notebook's
    cell it is a picture.
    """

    @property
    def faithfulness(self) -> float:
        """Share of the behaviour that the circuit carries alone, over the pairs of
        ``about["split"]``, dev unless there are none: 1 is all."""
        return float(self.about["faithfulness"])

    @property
    def random_faithfulness(self) -> float:
        """The same of random circuits of that size, mean over draws."""
        return float(self.about["random_faithfulness"])

    def save(self, folder: Name, *, eap_json: bool = False) -> Path:
        """Write what `ctviz discover` writes into a folder; returns the folder.

        ``eap_json`` adds ``circuit.json``, which `evaluate`, EAP-IG and the MIB circuit track read.
        Raises RunExists if the folder holds a discovery already, and DiskFull.
        """
        place = Path(folder).expanduser()
        if (place / "scores.json").exists():
            raise RunExists(f"{place} already holds a discovery. Give another folder.")
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_written(place, error) from error
        write_scores(self, place, eap_json=eap_json)
        write_found(self, place)
        return place

    def __repr__(self) -> str:
        about = self.about
        return (
            f"<Discovery: {self.circuit.n_edges:,} of {about['n_edges']:,} edges of "
            f"{about['model']}, {about['task']}, {about['method']}; faithfulness "
            f"{self.faithfulness:z.3f} on {_pairs(about)} (random {self.random_faithfulness:z.3f})>"
        )

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        picture = draw_timeline(_still(self), "png", origin=_origin(self))
        data = {"text/plain": repr(self), "image/png": picture.content}
        return data, {"image/png": {"width": WIDE}}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluated:
    """What a circuit carries of a behaviour, and what everything outside of it carries.

    ``about`` says in plain values what was asked and measured.
    """

    about: dict[str, Any]

    @property
    def faithfulness(self) -> float:
        """Share of the behaviour that the circuit carries alone: 1 is all of it."""
        return float(self.about["faithfulness"])

    @property
    def completeness(self) -> float:
        """Share that all other edges carry: 0 if nothing of the behaviour was left out."""
        return float(self.about["completeness"])

    def frame(self) -> pd.DataFrame:
        """One row a measure: what, edge, share (of the behaviour), error.

        ``what`` is faithfulness, random (mean over random circuits of the size, its error their
        standard deviation), completeness, and with ``minimality`` lost, one row an edge: what the
        circuit loses without it. Other errors are standard errors over the pairs, or NaN.
        """
        about = self.about
        rows = [
            ("faithfulness", "", about["faithfulness"], about["faithfulness_error"]),
            ("random", "", about["random_faithfulness"], about["random_spread"]),
            ("completeness", "", about["completeness"], about["completeness_error"]),
        ]
        for row in about.get("minimality", ()):
            rows.append(("lost", row["edge"], row["lost"], row["error"]))
        table = pd.DataFrame(rows, columns=["what", "edge", "share", "error"])
        return table.astype({"share": float, "error": float})

    def __repr__(self) -> str:
        about = self.about
        return (
            f"<Evaluated: {about['n_circuit_edges']:,} of {about['n_edges']:,} edges of "
            f"{about['model']}, {about['task']}; faithfulness {self.faithfulness:z.3f} on "
            f"{_pairs(about)} (random {about['random_faithfulness']:z.3f}), completeness "
            f"{self.completeness:z.3f}>"
        )


def discover(
    model: Model,
    task: AnyTask,
    *,
    edges: int = 40,
    select: str = "top",
    threshold: float = 0.0,
    prune: bool = False,
    method: Attribution | None = None,
    end: PathEnd = "clean",
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 64,
    seed: int = 0,
    draws: int = 5,
    random: RandomKind = "connected",
) -> Discovery:
    """Score every edge of a model on a task and find its circuit; nothing is written.

    ``model``: a name, folder or hub id, or what `load` returned. ``edges``: size of the circuit,
    those of largest \\|score\\| (``select`` "top"), grown back from the logits ("greedy") or of
    largest \\|score\\| times the sums of \\|score\\| at both nodes ("nodes") or beside the edge's
    effect on general text ("specific", see `ctviz.circuits.selection.specific_edges`);
    ``threshold``: the smallest \\|score\\|, in units of the metric (``select`` "threshold");
    ``prune`` drops edges on no path from input to logits. ``method``: "eap" estimates scores to
    first order, "eap-ig" along a path of inputs, "exact" corrupts each edge; None takes eap where
    it agrees with exactly patching twenty nodes, else eap-ig (``about["agreement"]``). ``end``:
    which end of eap-ig's path is among its inputs, "clean" as in the paper or "corrupt" as in the
    code of EAP-IG.
    ``examples``: train pairs that the edges are scored on, and as many dev pairs that the circuit
    is judged on; ``draws``: random circuits of the size to compare with, of a kind (``random``:
    "connected", "degrees" or "uniform", see `ctviz.circuits.random_circuits`).

    A score is metric(clean) - metric(that edge alone corrupted), float32 [source, slot], mean over
    the pairs: positive where the edge supports the behaviour.

    Raises UnknownName, OutOfRange, BadTask (no pair that this model's tokenizer can take),
    UndefinedMetric (clean and corrupt do not differ) and what `load` and `task` raise.
    """
    given = loaded(model)
    search = Search(
        task=as_task(task).name,
        edges=edges,
        select=select,
        threshold=threshold,
        prune=prune,
        method=method,
        end=end,
        metric=metric,
        ablation=ablation,
        examples=examples,
        seed=seed,
        draws=draws,
        random=random,
    )
    found = measured(find(given, search), given, search)
    return Discovery(**{field.name: getattr(found, field.name) for field in fields(found)})


def evaluate(
    model: Model,
    task: AnyTask,
    circuit: Circuit | Found | Name,
    *,
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 64,
    seed: int = 0,
    split: Split | None = None,
    draws: int = 5,
    random: RandomKind = "connected",
    minimality: bool = False,
) -> Evaluated:
    """Run a circuit alone, all outside of it corrupted, and everything but the circuit.

    ``circuit``: one that `discover` found, a `Circuit` (bool [source, slot]), or a file in EAP-IG's
    JSON. ``examples``: pairs of ``split``; None: test pairs, since `discover` scores edges on
    train pairs and judges the circuit on dev pairs. ``draws``: random circuits of the size to
    compare with, of a kind (``random``: "connected", "degrees" or "uniform").
    ``minimality`` also measures what is lost without each edge; a run for each.

    Raises BadCircuitFile (a file that cannot be read, a circuit of a model of another shape),
    OutOfRange, UndefinedMetric (clean and corrupt do not differ) and what `load` and `task` raise.
    """
    if not isinstance(circuit, Found | Circuit):
        circuit = Path(circuit).expanduser()
    question = Question(
        task=as_task(task).name,
        metric=metric,
        ablation=ablation,
        examples=examples,
        seed=seed,
        split=split,
        draws=draws,
        random=random,
    )
    return Evaluated(evaluate_circuit(loaded(model), question, circuit, minimality=minimality))


def _pairs(about: Mapping[str, Any]) -> str:
    """What a circuit is judged on."""
    pairs = counted(about["examples"], f"{about['split']} pair")
    return f"{pairs}, in sample" if about["in_sample"] else pairs


def _origin(found: Found) -> str:
    about = found.about
    return f"{about['model']} ({about['revision']}) · {about['task']} · ctviz {__version__}"


def _still(found: Found) -> Timeline:
    """A discovery as a timeline of one snapshot."""
    about, graph = found.about, found.scores.graph
    estimates = {
        "circuit": circuit_redundancy(found.circuit),
        "mass": mass_redundancy(found.scores, tau=about["tau"]),
    }
    error = found.scores.error
    random = RANDOM_NAMES[about["random"]][about["draws"] == 1]
    faithful = [about["faithfulness"], about["random_faithfulness"], about["faithfulness_error"]]
    low, high = about["random_range"]
    found_here = Measured(
        faithful=about["faithfulness"],
        random=about["random_faithfulness"],
        error=about["faithfulness_error"],
        lowest=low,
        highest=high,
        full=about["metric_clean"],
        empty=about["metric_corrupt"],
        examples=about["examples"],
    )
    said = tuple(overview([found_here]))
    start = np.zeros(1, dtype=int)
    curves = (
        Curve("metric", "metric", "metric", start, np.array([about["metric_clean"]])),
        Curve("faithfulness", "circuit", "faithfulness", start, np.array(faithful[:1])),
        Curve(
            "random", "random circuit", "faithfulness", start, np.array(faithful[1:2]), "reference"
        ),
    )
    return Timeline(
        run="",
        title=find_task(about["task"]).title,
        model=Path(about["model"]).name,
        task=Path(about["task"]).name,
        method=about["method"],
        metric=about["metric"],
        state="finished",
        examples=about["examples"],
        source=f"{about['method']} on {about['scored_examples']} {about['scored_split']} pairs, "
        f"{about['ablation']} ablation, seed {about['seed']}",
        graph=graph,
        n_edges=found.circuit.n_edges,
        steps=[0],
        scores=found.scores.values[None],
        circuit=found.circuit.mask[None],
        updated=np.zeros((1, len(graph.nodes)), dtype=bool),
        redundancy={name: each.values[None] for name, each in estimates.items()},
        curves=with_gaps(curves, [0], said),
        errors=None if error is None else error[None],
        split={name: each.by_input()[None] for name, each in estimates.items()},
        quality=np.array([[*faithful, low, high]], dtype=float),
        trust=said,
        specific=None if found.scores.general is None else specific_share(found.scores)[None],
        ablation=about["ablation"],
        tau=about["tau"],
        provenance={"random": f"{about['draws']} {random}"},
    )
