"""What a job that is underway says of itself."""

from __future__ import annotations

import pytest

from ctviz.progress import Phase
from ctviz.runs import Status
from ctviz.views.underway import phase_words, stretches


@pytest.mark.parametrize(
    ("phase", "left", "said"),
    [
        (Phase("load", 0, 1), None, "Loading the model"),
        (Phase("load", 0.41, 1, "", None, 3.21), None, "Loading the model: 41% · 3.2 s left"),
        (
            Phase("fetch", 12.34e6, 269e6, "B", 4.56e6, 56.3),
            None,
            "Fetching the model: 12 of 269 MB · 4.6 MB a second · 56 s left",
        ),
        (
            Phase("steps", 12.4, 40, "step", 0.5, 55.2),
            150.0,
            "Tuning: step 13 of 40 · 2 s a step · 55 s left of it · 2 minutes left in all",
        ),
        (
            Phase("snapshots", 9, 10, "snapshot", 12.34, 0.4),
            0.5,
            "Taking a snapshot: snapshot 10 of 10 · 12 snapshots a second · 1 s left in all",
        ),
    ],
)
def test_a_phase_in_words(phase, left, said):
    assert phase_words(phase, left) == said


def shares(status: Status) -> list[float]:
    return [part.done for part in stretches(status)]


def test_a_run_is_four_stretches():
    measured = {"load": {"units": 1, "seconds": 2.0}, "baseline": {"units": 1, "seconds": 3.0}}
    start = Status("starting", 0, 10, phase=Phase("load", 0.5, 1))
    assert shares(start) == [0.5, 0, 0, 0]
    assert shares(Status("starting", 0, 10)) == [0, 0, 0, 0]
    before = Status("running", 0, 10, phase=Phase("discovery", 0.6, 1), measured=measured)
    assert shares(before) == [1, 0.4, 0, 0]
    tuning = Status("running", 4, 10, phase=Phase("snapshots", 1.5, 5, "snapshot"))
    assert shares(tuning) == [1, 1, 0.4, 0]
    assert [part.now for part in stretches(tuning)] == [False, False, True, False]
    after = Status("running", 10, 10, phase=Phase("final evaluation", 0.25, 1))
    assert shares(after) == [1, 1, 1, 0.25]


def test_swapping_nodes_is_at_the_end_of_a_recording():
    swaps = stretches(Status("running", 9, 9, phase=Phase("swaps", 5, 20, "swap")), recorded=True)
    assert [(part.done, part.now) for part in swaps][2:] == [(1, False), (0.25, True)]


def test_a_resumed_run_has_its_steps_while_it_measures_the_untuned_model_again():
    again = Status("starting", 6, 10, phase=Phase("baseline", 2.25, 3))
    assert shares(again) == [1, 0.75, 0.6, 0]
