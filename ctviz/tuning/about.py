"""What a run says of the model that it measures, and of what it is measured on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import safetensors
import torch
import transformers

import ctviz
from ctviz.circuits.choices import METRIC_WORDS
from ctviz.models.loading import Loaded
from ctviz.runs.config import TuneConfig
from ctviz.tuning.dataset import Dataset
from ctviz.tuning.retention import Retention

__all__ = ["about_measured"]


def about_measured(
    loaded: Loaded,
    config: TuneConfig,
    data: Dataset,
    retention: Retention,
    attribution: Mapping[str, Any],
) -> dict[str, Any]:
    """What ``run.json`` says of a model, and of what is measured of it."""
    task, quick = data.task, config.evaluate == "quick"
    return {
        "model": {
            "name": loaded.name,
            "family": loaded.anatomy.family,
            "revision": loaded.revision,
            "notes": list(loaded.notes),
            "parameters": sum(p.numel() for p in loaded.model.parameters()),
        },
        "task": {
            "key": task.key,
            "name": task.name,
            "title": task.title,
            "metric": METRIC_WORDS.get(data.metric, task.metric),
            "judged_by": task.judged_by.name,
            "better": task.judged_by.better,
            "source": task.source.text,
        },
        "examples": len(data.graded),
        "pairs": {
            "scored": len(data.score_pairs),
            "judged": len(data.judged_pairs),
            "dev": len(data.dev_pairs),
            "neutral": retention.quick_prompts if quick else config.retention_prompts,
            "what": "pair" if data.paired else "prompt",
            "prompts": list(data.scored),
        },
        "left_out": len(data.left_out),
        "attribution": dict(attribution),
        "device": str(loaded.anatomy.device),
        "versions": {
            "ctviz": ctviz.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
    }
