"""Run directories written without a model: synthetic ones of every shape, with any title."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ctviz.bench.synthetic import timeline
from ctviz.runs import Run, RunWriter
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import ProbeReading, Snapshot


def write_run(
    folder: Path,
    case: str,
    *,
    snapshots: int | None = None,
    nan: bool = False,
    about: dict[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """The synthetic timeline of a case as a finished run; ``nan``: no score is a number."""
    made = timeline(case)
    count = len(made.steps) if snapshots is None else snapshots
    chosen = {"model": "tiny", "task": "sva-flip", "steps": 600, "edges": 60, **settings}
    writer = RunWriter(folder, TuneConfig(**chosen))
    known = {
        "model": {"name": chosen["model"], "revision": "sha256:0", "family": "gpt2"},
        "task": {
            "key": chosen["task"],
            "name": chosen["task"],
            "title": made.title,
            "metric": made.metric,
            "judged_by": "accuracy",
        },
        "examples": made.examples,
    }
    for key, value in (about or {}).items():
        known[key] = {**known[key], **value}
    writer.describe(made.graph, **known)
    for at in range(count):
        values = {c.key: float(c.values[at]) for c in made.curves if math.isfinite(c.values[at])}
        scores = made.scores[at].astype(np.float32)
        writer.snapshot(
            Snapshot(
                step=made.steps[at],
                scores=np.full_like(scores, np.nan) if nan else scores,
                circuit=made.circuit[at],
                tuned=made.circuit[at],
                redundancy={k: v[at].astype(np.float32) for k, v in made.redundancy.items()},
                metrics=values,
                probes=tuple(
                    ProbeReading(
                        tokens=tuple(probe.tokens),
                        answer=probe.answer,
                        foil=probe.foil,
                        attention=probe.attention[at].astype(np.float16),
                        top=tuple(probe.predictions[at]),
                        attribution=probe.attribution[at].astype(np.float32),
                    )
                    for probe in made.probes
                ),
                error=None if nan else np.abs(scores) / 20,
            )
        )
    writer.status("finished", step=made.steps[count - 1] if count else 0)
    return Run(folder)
