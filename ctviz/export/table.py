"""A run's numbers as tables, for CSV and Parquet."""

from __future__ import annotations

import io
import json
from typing import Any, Literal

import numpy as np
import pandas as pd

from ctviz.circuits.graph import Graph, kind_of, layer_of
from ctviz.errors import CtvizError, DamagedRun
from ctviz.export.origin import origin
from ctviz.runs import Run
from ctviz.runs.changes import dynamics
from ctviz.runs.measured import measured_on
from ctviz.runs.snapshot import Snapshot
from ctviz.runs.trust import measured, overview

__all__ = ["Kind", "table_files", "tables"]

Kind = Literal["csv", "parquet"]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for a formula's start
SHARES = (
    *("faithfulness", "faithfulness_error"),
    *("random_faithfulness", "random_low", "random_high"),
)
DIGITS = 4  # of a share
COLUMNS = {
    "metrics": {
        "step": "training step; 0 is the untuned model",
        "metric": "mean of the task's metric over the dev pairs, higher is better",
        "metric_corrupt": "the same with everything corrupted, over the pairs that judge the "
        "circuit (pairs.judged)",
        "faithfulness": "(m(circuit) - m(empty)) / (m(full) - m(empty)), over these pairs; empty "
        "where it means nothing, as faithfulness_says says then",
        "faithfulness_says": "what can be said of it, in words, as above the graph",
        "faithfulness_error": "its standard error over these pairs",
        "random_faithfulness": "faithfulness of random circuits, mean over draws; their kind and "
        "number are random and draws in config",
        "random_low": "the lowest of them",
        "random_high": "the highest of them",
        "backbone_faithfulness": "faithfulness of its backbone, the fewest edges with half of its "
        "|score|, 20 to 60 of them; measured of circuits of more than 80 edges",
        "backbone_error": "its standard error over these pairs",
        "retention_kl": "KL from the untuned model on neutral text, nats a token",
        "perplexity": "of general English; absent for a model that does not read it",
        "other_accuracy": "mean accuracy on other tasks that the untuned model could do",
        "loss": "training loss of the step",
        "previous_token": "attention one word back on words said twice, most of any head",
        "prefix_matching": "attention to what followed the first time, most of any head",
        "copying": "share of the raise that goes to the word looked at, most of any head",
        "outside_moved": "parts that the step did not own and that moved all the same",
        "trained_fraction": "parameters that the step moved, by all parameters",
        "gradient_norm": "norm of the gradient before it was scaled down",
        "seconds": "time of the step",
    },
    "nodes": {
        "step": "training step of the snapshot",
        "node": "input, a{layer}.h{head}, m{layer} or logits",
        "layer": "its layer; -1 for input, the number of layers for logits",
        "kind": "input, head, mlp or logits",
        "degree": "D, its incoming edges in the full graph",
        "redundancy_circuit": "(D - d) / D with d incoming edges in the circuit",
        "redundancy_mass": "the same with the fewest edges that carry the share tau of its total "
        "|score|; tau is in config",
        "in_circuit": "whether an edge of the circuit begins or arrives there",
    },
    "edges": {
        "step": "training step of the snapshot",
        "edge": "source->slot",
        "source": "the node that writes",
        "slot": "the input that reads: a node, with <q>, <k> or <v> for heads",
        "score": "metric(clean) - metric(this edge alone corrupted), as attribution estimates it; "
        "positive supports the behaviour",
        "error": "standard error of the score over the pairs that it is a mean over",
        "in_circuit": "whether the edge is in the circuit at that step",
    },
    "dynamics": {
        "step": "training step of the snapshot",
        "overlap": "edges in both circuits by edges in either, against the snapshot before",
        "entered": "edges that are in the circuit now and were not",
        "left": "edges that were in the circuit and are not now",
        "strengthened": "edges in both whose |score| grew beyond two standard errors",
        "weakened": "edges in both whose |score| shrank beyond two standard errors",
        "reversed": "edges in both whose score has the other sign, both beyond two standard "
        "errors; they are not among the two before",
        "beyond_noise": "share of all edges whose score changed beyond that",
        "change_depth": "mean depth of the change, 0 the first layer, 1 the logits",
        "*_since_start": "the same against the first snapshot",
        "redundancy_circuit": "mean over the nodes that have any",
        "redundancy_mass": "mean over the nodes that have any",
    },
}


RECORDED = {  # what is otherwise of a recording
    "step": "training step of the model, or its place in the series",
    "retention_kl": "KL from the first model on neutral text, nats a token",
    "other_accuracy": "mean accuracy on other tasks that the model could do",
}


def tables(run: Run, *, damaged: list[DamagedRun] | None = None) -> dict[str, pd.DataFrame]:
    """The tables metrics, nodes, edges and dynamics; NaN where nothing was measured.

    ``edges`` is long: a row for each snapshot and each edge that is in the circuit at some
    snapshot. Damaged snapshots are left out and put into ``damaged``. Raises CtvizError if the run
    ended before its model was loaded.
    """
    graph = run.graph
    if graph is None:
        raise CtvizError(
            f"{run.id} has no numbers yet: its model has not been loaded. `ctviz show` says how "
            "far it is."
        )
    snapshots = list(run.snapshots(damaged=damaged))
    return {
        "metrics": _metrics(run, snapshots),
        "nodes": _nodes(snapshots, graph),
        "edges": _edges(snapshots, graph),
        "dynamics": dynamics(snapshots, graph),
    }


def table_files(
    run: Run, kind: Kind, *, damaged: list[DamagedRun] | None = None
) -> dict[str, bytes]:
    """The tables as files by their names, and ``about.json`` with origin and columns.

    In CSV, a text cell that a spreadsheet would take for a formula begins with an apostrophe.
    Raises CtvizError as `tables` does.
    """
    made = tables(run, damaged=damaged)
    files = {f"{name}.{kind}": _file(table, kind) for name, table in made.items()}
    about: dict[str, Any] = {**origin(run), "format": kind, "tables": {}}
    for name, table in made.items():
        known = COLUMNS[name]
        if run.config.method == "recorded":
            known = {column: RECORDED.get(column, text) for column, text in known.items()}
        about["tables"][name] = {
            "rows": len(table),
            "columns": {str(column): _meaning(str(column), known) for column in table.columns},
        }
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    return files | {"about.json": text.encode("utf-8", "replace")}


def _metrics(run: Run, snapshots: list[Snapshot]) -> pd.DataFrame:
    """What each step measured; shares that mean nothing are left out, and what can be said of the
    others stands beside them."""
    found = run.metrics()
    if "faithfulness" not in found:
        return found
    judging = measured_on(run.about, run.config).judging
    said = overview(measured((s.metrics for s in snapshots), judging))
    words = {s.step: each.words for s, each in zip(snapshots, said, strict=True)}
    void = [s.step for s, each in zip(snapshots, said, strict=True) if not each.defined]
    shares = [name for name in SHARES if name in found]
    found[shares] = found[shares].round(DIGITS) + 0.0  # never -0
    found.loc[found["step"].isin(void), shares] = np.nan
    found.insert(
        found.columns.get_loc("faithfulness") + 1, "faithfulness_says", found["step"].map(words)
    )
    return found


def _nodes(snapshots: list[Snapshot], graph: Graph) -> pd.DataFrame:
    parts = []
    for snapshot in snapshots:
        inside = snapshot.circuit.any(axis=0) @ graph.feeds
        inside[: len(graph.sources)] |= snapshot.circuit.any(axis=1)
        parts.append(
            pd.DataFrame(
                {
                    "step": snapshot.step,
                    "node": graph.nodes,
                    "layer": [layer_of(node, graph.n_layers) for node in graph.nodes],
                    "kind": [kind_of(node) for node in graph.nodes],
                    "degree": graph.degrees,
                    **{f"redundancy_{key}": v for key, v in snapshot.redundancy.items()},
                    "in_circuit": inside,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else _empty("nodes")


def _edges(snapshots: list[Snapshot], graph: Graph) -> pd.DataFrame:
    if not snapshots:
        return _empty("edges")
    rows, columns = np.nonzero(np.any([s.circuit for s in snapshots], axis=0))
    names = {
        "edge": [graph.edge_name(r, c) for r, c in zip(rows, columns, strict=True)],
        "source": [graph.sources[r] for r in rows],
        "slot": [graph.slots[c].name for c in columns],
    }
    parts = [
        pd.DataFrame(
            {
                "step": snapshot.step,
                **names,
                "score": snapshot.scores[rows, columns],
                "error": np.nan if snapshot.error is None else snapshot.error[rows, columns],
                "in_circuit": snapshot.circuit[rows, columns],
            }
        )
        for snapshot in snapshots
    ]
    return pd.concat(parts, ignore_index=True)


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS[name]))


def _meaning(column: str, known: dict[str, str]) -> str:
    """What a column holds, in words; empty for one that says it itself."""
    if column.endswith("_since_start"):
        meaning = known.get(column.removesuffix("_since_start"), "")
        return meaning.replace("the snapshot before", "the first snapshot")
    if column.startswith("other."):
        return "accuracy on that other task"
    return known.get(column, "")


def _file(table: pd.DataFrame, kind: Kind) -> bytes:
    if kind == "parquet":
        kept = io.BytesIO()
        table.to_parquet(kept, engine="pyarrow", index=False)
        return kept.getvalue()
    safe = table.rename(columns=lambda name: _plain(str(name)))
    for at, kept_type in enumerate(safe.dtypes):
        if not pd.api.types.is_numeric_dtype(kept_type):
            safe.isetitem(at, safe.iloc[:, at].map(_plain))
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text.encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet runs."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
