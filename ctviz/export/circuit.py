"""The circuit of one snapshot as the JSON of EAP-IG and of MIB."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctviz.circuits.eap_json import save_eap_json
from ctviz.circuits.scores import Circuit, Scores
from ctviz.errors import CtvizError, DamagedRun
from ctviz.export.origin import origin
from ctviz.models.stored_config import stored_config
from ctviz.runs import Run
from ctviz.runs.snapshot import nearest_snapshot

__all__ = ["CircuitFile", "circuit_file"]

WIDTHS = ("hidden_size", "n_embd", "d_model")  # the same thing, by family


@dataclass(frozen=True, slots=True)
class CircuitFile:
    """A circuit's JSON, the training step that it is of, and the model's width if it is known.

    ``shared``: whether heads share keys or values. A snapshot knows nothing of single heads, so
    that each is given an equal share of the score of an edge into what they share.
    """

    content: bytes
    step: int
    d_model: int | None
    shared: bool


def circuit_file(
    run: Run, step: int | None = None, *, damaged: list[DamagedRun] | None = None
) -> CircuitFile:
    """Scores and circuit of the snapshot nearest to a step, by default the last.

    The file says on what the snapshot was scored. The width comes from the model's config on this
    machine's disk; EAP-IG's newer reader needs it. Damaged snapshots are left out and put into
    ``damaged``. Raises CtvizError if there is no snapshot, UndefinedMetric for a score that is not
    finite, which the format has no place for.
    """
    snapshots = list(run.snapshots(damaged=damaged))
    graph = run.graph
    if not snapshots or graph is None:
        raise CtvizError(
            f"{run.id} has no snapshot that can be read: there is no circuit to export yet."
        )
    chosen = snapshots[nearest_snapshot([s.step for s in snapshots], step)]
    d_model = _width(run.config.model)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "circuit.json"
        scores, circuit = Scores(graph, chosen.scores), Circuit(graph, chosen.circuit)
        found_on = _found_on(run, chosen.step)
        save_eap_json(file, scores, circuit, d_model=d_model, found_on=found_on)
        shared = graph.kv_heads != graph.n_heads
        return CircuitFile(file.read_bytes(), chosen.step, d_model, shared)


def _found_on(run: Run, step: int) -> dict[str, Any]:
    """What a snapshot was scored on, by the names that discovery gives it."""
    about, config, made = run.about, run.config, origin(run)
    pairs = about.get("pairs", {})
    return {
        "run": run.id,
        "step": step,
        "model": made["model"]["name"],
        "revision": made["model"].get("revision"),
        "task": made["config"]["task"],
        "method": about.get("attribution", {}).get("method", "eap"),
        "metric": about.get("task", {}).get("metric"),
        "ablation": config.ablation,
        "scored_split": config.scored_on,
        "scored_examples": pairs.get("scored", about.get("examples")),
        "seed": config.examples_seed,
        "prompts": pairs.get("prompts", []),
    }


def _width(model: str) -> int | None:
    """The model's width by its config on this machine's disk; None if that is not here."""
    try:
        about = stored_config(model)
    except CtvizError:
        return None
    return next((width for name in WIDTHS if isinstance(width := about.get(name), int)), None)
