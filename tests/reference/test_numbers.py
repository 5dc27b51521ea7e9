"""Numbers are those of before: what was made faster still computes the same.

``numbers.json`` is written by ``python -m tests.reference.make``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ctviz.models.known import KNOWN
from tests.reference.make import STORED
from tests.reference.measured import (
    FAMILIES,
    SMOLLM2,
    measure_family,
    measure_smollm2,
    measure_tiny,
)

NUMBERS = json.loads(STORED.read_text(encoding="utf-8"))
# Gemma 2 under zero ablation is as float64 has it: its norms blow up what rounding leaves
TOLERANCE = 1e-4  # of the largest number beside it: float32, in another order of summing
missing = not KNOWN[SMOLLM2].ready and not os.environ.get("CTVIZ_REQUIRE_SMOLLM2")


def differences(now: Any, stored: Any, scale: float, where: str = "") -> Iterator[str]:
    """What is not the same, by its path; numbers side by side are compared on one scale."""
    if isinstance(stored, dict | list):
        names = stored.keys() if isinstance(stored, dict) else range(len(stored))
        there = now.keys() if isinstance(now, dict) else range(len(now))
        if set(names) != set(there):
            yield f"{where}: {sorted(set(names) ^ set(there))} on one side only"
        values = stored.values() if isinstance(stored, dict) else stored
        one_scale = isinstance(stored, list) or where.endswith(" top")
        largest = max((abs(v) for v in values if isinstance(v, int | float)), default=0.0)
        for name in set(names) & set(there):
            own = largest if one_scale else scale
            yield from differences(now[name], stored[name], own, f"{where} {name}")
    elif abs(now - stored) > TOLERANCE * max(scale, abs(stored)):
        yield f"{where}: {now!r}, and was {stored!r}"


def compare(now: Any, name: str) -> None:
    assert list(differences(json.loads(json.dumps(now)), NUMBERS[name], 0.01)) == []


def test_of_the_bundled_model():
    compare(measure_tiny(), "tiny")


@pytest.mark.parametrize("name", FAMILIES)
def test_of_a_random_model(name):
    compare(measure_family(name), name)


@pytest.mark.smollm2
@pytest.mark.skipif(missing, reason=f"needs its weights: `ctviz models fetch {SMOLLM2}` once")
def test_of_a_real_model():
    compare(measure_smollm2(), SMOLLM2)


def test_the_comparison_sees_what_differs():
    stored = {"a": {"some": [1.0, 0.5]}, "b": 2.0}
    assert not list(differences({"a": {"some": [1.00009, 0.50009]}, "b": 2.0001}, stored, 0.0))
    for now in (
        {"a": {"some": [1.0, 0.5002]}, "b": 2.0},
        {"a": {"some": [1.0, 0.5]}, "b": 2.001},
        {"a": {"some": [1.0, 0.5]}},
        {"a": {"some": [1.0]}, "b": 2.0},
    ):
        assert len(list(differences(now, stored, 0.0))) == 1
