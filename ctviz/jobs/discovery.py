"""Finding a circuit, and writing what was found into a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.agreement import Trial, try_methods
from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.attribution.general import general_batch, general_effect
from ctviz.circuits.choices import Attribution, PathEnd
from ctviz.circuits.eap_json import save_eap_json
from ctviz.circuits.redundancy import check_tau, circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, NodeScores, Scores
from ctviz.circuits.selection import SELECTIONS, check_edges
from ctviz.errors import CtvizError, OutOfRange, UndefinedMetric, UnknownName
from ctviz.files import write_bytes, write_json, write_tensors
from ctviz.jobs.question import Question, carried, in_sample, plain
from ctviz.models.loading import Loaded
from ctviz.models.ungrouped import ungrouped
from ctviz.paths import absolute
from ctviz.progress import phase, share
from ctviz.tasks.batch import Batch
from ctviz.tuning.ownership import owned_fraction

__all__ = ["Found", "Search", "discover", "find", "measured", "write_found", "write_scores"]

TRIAL = 0.4  # of the time of discovery, for how edges are best scored
FOUND = (  # of ``about``, what goes with a circuit's file
    "model",
    "revision",
    "task",
    "method",
    "end",
    "metric_name",
    "ablation",
    "scored_split",
    "scored_examples",
    "seed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Question):
    """The question which circuit does a task, and how it is looked for.

    ``method`` scores the edges, None is what `ctviz.attribution.agreement.try_methods` chooses;
    ``end`` is that of eap-ig, see `ctviz.attribution.attribute`. ``select`` chooses the circuit's
    by ``edges`` or by ``threshold`` (see `ctviz.circuits.selection`), ``prune`` drops those on no
    path from input to logits. ``tau``: the share of a node's mass that it needs, for its
    redundancy.
    """

    method: Attribution | None = None
    end: PathEnd = "clean"
    select: str = "top"
    edges: int = 40
    threshold: float = 0.0
    prune: bool = False
    tau: float = 0.9

    def check(self, loaded: Loaded) -> None:
        """Raise UnknownName or OutOfRange for what no circuit of this model can be chosen by."""
        if self.select not in SELECTIONS:
            raise UnknownName("selection", self.select, SELECTIONS)
        if self.select != "threshold":
            check_edges(loaded.anatomy.graph, self.edges, hint=f"({loaded.name})")
        elif not 0 < self.threshold < np.inf:
            hint = "0 itself, which every edge has, is excluded."
            raise OutOfRange("threshold", self.threshold, 0, None, hint=hint)
        check_tau(self.tau)

    def scores(self, loaded: Loaded, batch: Batch) -> tuple[Trial, Scores]:
        """The scores of all edges on some pairs, by the method that is asked for or chosen.

        For the selection ``specific`` they have effects on general text beside them.
        """
        how: dict[str, Any] = {"ablation": self.ablation, "metric": self.metric, "end": self.end}
        with phase("discovery"):
            with share(0.0, TRIAL):
                trial = try_methods(loaded.anatomy, batch, asked=self.method, seed=self.seed, **how)
            with share(TRIAL, 1.0):
                scores = trial.scores
                if scores is None:
                    scores = attribute(loaded.anatomy, batch, method=trial.method, **how)
                if self.select == "specific":
                    general = general_effect(loaded.anatomy, general_batch(loaded))
                    scores = replace(scores, general=general)
                return trial, scores

    def circuit(self, scores: Scores) -> Circuit:
        """The circuit that these scores make."""
        selection = SELECTIONS[self.select]
        amount = self.threshold if selection.amount == "threshold" else self.edges
        return selection.choose(scores, amount, prune=self.prune)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The scores of all edges on a task, and the circuit that was chosen from them.

    ``nodes``: what corrupting each node as a whole does, by the same method. ``about``: what was
    asked and measured, in plain values; ``d_model`` is the model's. ``prompts`` are the
    fingerprints of the pairs that the edges were scored on. ``head_scores`` computes the scores of
    the same model with keys and values of each head, float [source, slot of each head]
    (`ctviz.models.ungrouped`); None where each head has its own.
    """

    scores: Scores
    circuit: Circuit
    nodes: NodeScores
    d_model: int
    about: dict[str, Any]
    prompts: tuple[str, ...] = ()
    head_scores: Callable[[], np.ndarray] | None = field(default=None, repr=False)

    @property
    def found_on(self) -> dict[str, Any]:
        """The model, the task and the examples that the circuit was found on."""
        return {name: self.about[name] for name in FOUND} | {"prompts": list(self.prompts)}

    def frame(self) -> pd.DataFrame:
        """The circuit's edges, largest \\|score\\| first, with the columns of `Scores.frame`."""
        rows, columns = np.nonzero(self.scores.graph.exists)
        table = self.scores.frame()[self.circuit.mask[rows, columns]]
        return table.sort_values("score", key=np.abs, ascending=False, kind="stable")


def discover(
    loaded: Loaded, search: Search, folder: Path, *, eap_json: bool = False
) -> dict[str, Any]:
    """Find the circuit, evaluate it, and write both into a folder; returns the summary.

    ``folder`` gets ``scores.safetensors`` (``values``, ``error``, ``circuit`` and, for the
    selection ``specific``, ``general``, all [source, slot], names in the header), ``scores.json``
    (names, circuit edges, node redundancy, and what is returned), ``circuit.csv`` (its edges with
    scores and standard errors), ``nodes.csv`` (what corrupting each node as a whole does, by the
    same method) and, with ``eap_json``, ``circuit.json`` for EAP-IG and the MIB circuit track.
    """
    found = find(loaded, search)
    write_scores(found, folder, eap_json=eap_json)
    try:
        found = measured(found, loaded, search)
    except UndefinedMetric as error:
        raise UndefinedMetric(f"{error} The scores are kept in {folder}.") from error
    return write_found(found, folder)


def find(loaded: Loaded, search: Search) -> Found:
    """Score every edge on one split's pairs and choose the circuit."""
    started = time.perf_counter()
    graph = loaded.anatomy.graph
    search.check(loaded)  # all that can be is said before anything is computed
    batch, chosen = search.pairs(loaded, search.found_on)
    trial, scores = search.scores(loaded, batch)
    scored = time.perf_counter() - started
    circuit = search.circuit(scores)
    nodes = scores.nodes()
    if trial.method == "exact":
        nodes = exact_node_scores(
            loaded.anatomy, batch, ablation=search.ablation, metric=search.metric
        )
    about = {
        **search.about(loaded, examples=0),
        "method": trial.method,
        "end": search.end if trial.method == "eap-ig" else None,
        "agreement": trial.about(),
        "scored_split": search.found_on,
        "scored_examples": len(batch),
        "select": search.select,
        "tau": search.tau,
        "examples_dropped": len(chosen.dropped),
        "first_dropped": chosen.first_dropped,
        "n_edges": graph.n_edges,
        "n_circuit_edges": circuit.n_edges,
        "mlp_block": loaded.anatomy.mlp_block,
        "owned_fraction": owned_fraction(loaded.anatomy, circuit),
        "largest_score": float(np.abs(scores.values).max()),
        "device": str(loaded.anatomy.device),
        "seconds_scores": round(scored, 4),
        "seconds": round(time.perf_counter() - started, 4),
    }
    grouped = graph.kv_heads != graph.n_heads
    each = partial(_head_scores, loaded, search, batch, about) if grouped else None
    prompts = tuple(pair.fingerprint for pair in chosen.pairs)
    return Found(scores, circuit, nodes, loaded.anatomy.d_model, about, prompts, each)


def _head_scores(
    loaded: Loaded, search: Search, batch: Batch, about: Mapping[str, Any]
) -> np.ndarray:
    """The scores of a model with shared keys and values, head by head.

    Raises CtvizError if the model is no longer the one that was asked.
    """
    if loaded.revision != about["revision"]:
        raise CtvizError(
            f"{loaded.name} has changed since its circuit was found, so its scores head by head "
            "can no longer be computed. Discover again."
        )
    found = attribute(
        ungrouped(loaded.anatomy),
        batch,
        method=about["method"],
        ablation=search.ablation,
        metric=search.metric,
        end=search.end,
    )
    return found.values


def measured(found: Found, loaded: Loaded, search: Search) -> Found:
    """The same with the circuit's faithfulness on other pairs in ``about``, beside random ones.

    Raises UndefinedMetric where clean and corrupt do not differ.
    """
    started, about = time.perf_counter(), found.about
    batch, chosen = search.pairs(loaded, search.judged_on)
    with phase("evaluation"):
        carries = search.compared(search.evaluation(loaded, batch), found.circuit)
    same = search.judged_on == search.found_on
    more = {
        "examples": len(batch),
        **in_sample(chosen, found.prompts),
        "examples_dropped": about["examples_dropped"] + (0 if same else len(chosen.dropped)),
        "first_dropped": about["first_dropped"] or chosen.first_dropped,
        "seconds": round(about["seconds"] + time.perf_counter() - started, 4),
    }
    return replace(found, about=about | carried(carries) | more)


def write_scores(found: Found, folder: Path, *, eap_json: bool = False) -> None:
    """``scores.safetensors``, ``circuit.csv``, ``nodes.csv``, and ``circuit.json`` if asked for."""
    scores, circuit, graph = found.scores, found.circuit, found.scores.graph
    tensors = {"values": scores.values, "circuit": circuit.mask}
    if scores.error is not None:
        tensors["error"] = scores.error
    if scores.general is not None:
        tensors["general"] = scores.general.edges
    names = {"sources": graph.sources, "slots": graph.slot_names}
    write_tensors(folder / "scores.safetensors", tensors, names)
    write_bytes(folder / "circuit.csv", found.frame().to_csv(index=False).encode())
    write_bytes(folder / "nodes.csv", found.nodes.frame().to_csv(index=False).encode())
    if eap_json:
        save_eap_json(
            folder / "circuit.json",
            scores,
            circuit,
            d_model=found.d_model,
            found_on=found.found_on,
            ungrouped=found.head_scores() if found.head_scores else None,
        )


def write_found(found: Found, folder: Path) -> dict[str, Any]:
    """``scores.json``, beside what `write_scores` has written; returns the summary."""
    graph = found.scores.graph
    result = found.about | {"scores": str(absolute(folder / "scores.safetensors"))}
    tau = found.about["tau"]
    redundancy = {
        each.estimator: {
            node: plain(round(float(value), 6))
            for node, value in zip(graph.nodes, each.values, strict=True)
        }
        for each in (
            circuit_redundancy(found.circuit),
            mass_redundancy(found.scores, tau=tau),
        )
    }
    names = {"sources": graph.sources, "slots": graph.slot_names}
    details = {"circuit": found.circuit.edges(), "redundancy": redundancy}
    write_json(folder / "scores.json", result | names | details)
    strongest = found.frame().head(5).to_dict("records")
    return result | {"strongest": [{k: plain(v) for k, v in row.items()} for row in strongest]}
