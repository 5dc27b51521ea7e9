"""What the edges of an untuned model do for text in general, measured once and remembered."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ctviz.attribution.general import general_batch, general_effect
from ctviz.circuits.scores import General
from ctviz.models.loading import Loaded
from ctviz.tuning.baselines import Baselines, key_of

__all__ = ["untuned_general"]


def untuned_general(loaded: Loaded, baselines: Baselines | None) -> General:
    """`ctviz.attribution.general.general_effect` of a model that is the untuned one now.

    Raises what that and `ctviz.attribution.general.general_batch` raise.
    """
    anatomy, batch = loaded.anatomy, general_batch(loaded)
    exists = anatomy.graph.exists

    def measure() -> dict[str, Any]:
        found = general_effect(anatomy, batch)
        return {"edges": _text(found.edges[exists]), "nodes": _text(found.nodes)}

    if baselines is None:
        return general_effect(anatomy, batch)
    key = {
        "texts": key_of([batch.clean, batch.last, batch.answer]),
        "mlp_block": anatomy.mlp_block,
    }
    known = baselines.remembered("general", key, measure)
    edges = np.zeros(exists.shape, dtype=np.float32)
    edges[exists] = _numbers(known["edges"])
    return General(edges, _numbers(known["nodes"]))


def _text(values: np.ndarray) -> str:
    """Float32 as they lie in memory, for JSON: half a million numbers."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
