"""What runs and lengths of time are called."""

from __future__ import annotations

import pytest

from ctviz import paths
from ctviz.runs import open_run
from ctviz.runs.series import model_of
from ctviz.views.naming import duration, run_name
from ctviz.views.recorded import recorded


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.52, "0.52 s"),
        (37.4, "37 s"),
        (99.4, "99 s"),
        (99.6, "2 minutes"),
        (5900, "98 minutes"),
        (30_000, "8.3 hours"),
    ],
)
def test_a_length_of_time_has_as_many_digits_as_an_estimate(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_checkpoints_in_one_folder_are_called_by_it() -> None:
    run = open_run("sample-two-layer", paths.shipped_runs())
    assert run_name(run) == "induction on two-layer, recorded weights"
    timeline = recorded(run)
    assert timeline is not None
    assert timeline.model == "two-layer"
    apart = [{"model": "/a/checkpoint-1"}, {"model": "/b/checkpoint-2"}]
    assert model_of({"series": {"kind": "checkpoints", "members": apart}}, "/a") == "/a"
    named = [{"model": "/a/one"}, {"model": "/a/two"}]
    assert model_of({"series": {"kind": "models", "members": named}}, "/a/one") == "/a/one"
    assert model_of({}, "tiny") == "tiny"
