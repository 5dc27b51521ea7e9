"""The sentence about what a newcomer sees."""

from __future__ import annotations

import dataclasses

from ctviz import paths
from ctviz.bench.synthetic import timeline
from ctviz.runs import open_run
from ctviz.runs.trust import Measured, trust
from ctviz.views.first_sight import first_sight
from ctviz.views.recorded import recorded


def test_it_says_what_the_last_snapshot_holds() -> None:
    run = open_run("sample-tiny-sva", paths.shipped_runs())
    last = list(run.snapshots())[-1]
    share, error = (last.metrics[name] for name in ("faithfulness", "faithfulness_error"))
    made = recorded(run)
    assert made is not None
    said = first_sight(made)
    assert f"{last.circuit.sum()} of 479 edges" in said
    assert f"carry {100 * share:.0f} ± {100 * error:.0f} % of subject-verb agreement" in said


def test_it_claims_no_share_that_means_little() -> None:
    made = timeline("tiny")
    assert "carry" not in first_sight(made)
    few = trust(Measured(0.97, error=0.1, full=4, empty=-6, examples=1))
    assert "carry" not in first_sight(dataclasses.replace(made, trust=(few,) * len(made.steps)))
