"""Settings with which a series is recorded in a moment."""

from __future__ import annotations

from ctviz.runs.config import TuneConfig

BRIEF = {
    "edges": 30,
    "examples": 6,
    "test_examples": 8,
    "retention_prompts": 6,
    "retention_examples": 6,
    "retention_test_examples": 6,
    "other_tasks": ("ioi",),
    "attribution": "eap",
    "draws": 1,
}


def config(**changes: object) -> TuneConfig:
    return TuneConfig.from_dict({"model": "tiny", "task": "sva-flip", **BRIEF, **changes})
