"""Which snapshot is meant by a step, on the table of cases that the browser's rule is held to."""

from __future__ import annotations

import json

import pytest

from ctviz.runs.snapshot import nearest_snapshot
from tests import ROOT

CASES = json.loads((ROOT / "tests" / "player" / "nearest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_the_nearest_snapshot(case):
    assert nearest_snapshot(case["steps"], case["asked"]) == case["nearest"]


def test_without_a_step_it_is_the_last():
    assert nearest_snapshot([0, 10, 20], None) == 2
