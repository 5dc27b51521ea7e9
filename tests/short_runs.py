"""Short tuning runs on the bundled model, with as little measured beside as there can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ctviz.jobs import tune
from ctviz.models.loading import load
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Notice, Snapshot, StepRecord
from ctviz.tuning.loop import Tuning
from ctviz.tuning.retention import Retention

SHORT: dict[str, Any] = {
    "model": "tiny",
    "task": "sva-flip",
    "steps": 4,
    "edges": 30,
    "examples": 4,
    "batch_size": 6,
    "snapshot_every": 2,
}

BRIEF: dict[str, Any] = {
    "train_examples": 32,
    "first_pairs": 12,
    "test_examples": 8,
    "retention_prompts": 3,
    "other_tasks": (),
}
BRIEF_OPTIONS = [f"--set={name}={'' if value == () else value}" for name, value in BRIEF.items()]


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer examples wherever no number is asked for, and no look at general English."""
    for name, value in BRIEF.items():
        monkeypatch.setitem(TuneConfig.__init__.__kwdefaults__, name, value)
    monkeypatch.setattr(Retention, "perplexity", lambda self, thorough=True: 1.0)


def config(**changes: Any) -> TuneConfig:
    return TuneConfig(**{**SHORT, **changes})


def tune_with_weights(folder: Path) -> None:
    """A run with snapshots at steps 0 to 4, and weights of steps 2 and 4."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        tune.tune(config(snapshot_every=1, keep_weights=2, learning_rate=3e-3), folder)


def tuning(**changes: Any) -> Tuning:
    return Tuning(load("tiny"), config(**changes))


def records(events: list[Any]) -> list[StepRecord]:
    return [event for event in events if isinstance(event, StepRecord)]


def snapshots(events: list[Any]) -> list[Snapshot]:
    return [event for event in events if isinstance(event, Snapshot)]


def notices(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def own_file(folder: Path, rows: list[dict[str, str]], name: str = "own.jsonl") -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


THINGS = ("cabinets", "tables", "doors", "boxes", "rooms", "houses", "gardens", "trees")


def told(n: int = 40, *, target: str = " are old") -> list[dict[str, str]]:
    """Prompts of different lengths, with a target of several tokens and no counterfactual."""
    return [
        {
            "prompt": " ".join(
                ["The keys", *["near it"] * (i % 3), f"to the {THINGS[i % 8]}", "x" * i]
            )
            if i % 4
            else f"The {THINGS[i % 8]} {'x' * i}",
            "target": target if i % 2 else " is the door",
        }
        for i in range(n)
    ]
