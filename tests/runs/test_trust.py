"""What is said of a faithfulness: states and words written down by hand."""

from __future__ import annotations

import math

import pytest

from ctviz.runs.trust import Measured, measured, overview, span, trust

FAR = {"full": 4.0, "empty": -6.0, "largest": 10.0, "examples": 32}
NONE: dict[str, float] = {}

CASES = [
    # faithful, error, random, what else is known -> state, grade, words
    (0.994, 0.003, 0, NONE, "faithful", "good", "faithful: carries 99.4 ± 0.3 % of the behaviour"),
    (0.9, 0.02, 0, NONE, "faithful", "good", "faithful: carries 90 ± 2 % of the behaviour"),
    (1.04, 0.03, 0, NONE, "faithful", "good", "faithful: carries 104 ± 3 % of the behaviour"),
    (0.6, 0.05, 0, NONE, "partly", "fair", "partly faithful: carries 60 ± 5 %"),
    (0.3, 0.05, 0, NONE, "weak", "poor", "weak: carries only 30 ± 5 % of the behaviour"),
    (0.9, math.nan, 0, NONE, "faithful", "good", "faithful: carries 90 % of the behaviour"),
    # above 100 %
    (1.05, 0.02, 0, NONE, "over", "good", "carries 105 ± 2 %, more than the whole model"),
    (1.4, 0.05, 0, NONE, "over", "fair", "carries 140 ± 5 %, more than the whole model"),
    (1.3, 0.2, 0, NONE, "over", "fair", "carries 130 ± 20 %: perhaps more than the whole model"),
    (1.05, math.nan, 0, NONE, "faithful", "good", "faithful: carries 105 % of the behaviour"),
    # no better than random circuits: the best of them decides
    (
        0.9,
        0.01,
        0.2,
        {"highest": 0.89},
        "random",
        "poor",
        "no better than random circuits: carries 90 ± 1 %",
    ),
    (
        0.9,
        0.01,
        0.2,
        {"highest": 0.5},
        "faithful",
        "good",
        "faithful: carries 90 ± 1 % of the behaviour",
    ),
    (
        0.95,
        0.006,
        0.9,
        {"highest": 0.92},
        "random",
        "poor",
        "hardly better than random circuits: carries 95.0 ± 0.6 %",
    ),
    (0.9, 0.01, 0.9, NONE, "random", "poor", "no better than random circuits: carries 90 ± 1 %"),
    (-0.5, 0.05, 0, NONE, "random", "poor", "no better than random circuits: carries −50 ± 5 %"),
    # a behaviour near zero: 0.4 of 10 is, 0.6 is not
    (
        1.15,
        0.1,
        0,
        {"full": 0.4, "empty": 0.0},
        "slight",
        "none",
        "behaviour near zero: carries 115 ± 10 % of very little",
    ),
    (
        1.02,
        0.1,
        0,
        {"full": 0.0, "empty": 0.6},
        "faithful",
        "good",
        "faithful: carries 102 ± 10 % of the behaviour",
    ),
    # too few
    (
        0.97,
        math.nan,
        0,
        {"examples": 1},
        "few",
        "none",
        "carries 97 % on 1 example: too few to say",
    ),
    (
        0.97,
        0.02,
        0,
        {"examples": 7},
        "few",
        "none",
        "carries 97 ± 2 % on 7 examples: too few to say",
    ),
    (
        0.97,
        0.02,
        0,
        {"examples": 8},
        "faithful",
        "good",
        "faithful: carries 97 ± 2 % of the behaviour",
    ),
    # nothing at all: 5.36 ± 29.4
    (
        5.36,
        29.4,
        0,
        {"full": 0.42, "empty": 0.41},
        "undefined",
        "none",
        "faithfulness says nothing at this step",
    ),
    (0.51, 0.47, 0, NONE, "undefined", "none", "faithfulness says nothing at this step"),
    (
        5.36,
        math.nan,
        0,
        {"full": 0.42, "empty": 0.41},
        "undefined",
        "none",
        "faithfulness says nothing at this step",
    ),
    (math.nan, math.nan, 0, NONE, "unmeasured", "none", "faithfulness not measured"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[4]}")
def test_what_is_said(case: tuple) -> None:
    faithful, error, random, more, state, grade, words = case
    known = {**FAR, **more}
    largest = known.pop("largest")
    said = trust(Measured(faithful=faithful, random=random, error=error, **known), largest)
    assert (said.state, said.grade, said.words) == (state, grade, words)
    assert said.defined == (state not in ("undefined", "unmeasured"))


def test_why_nothing_can_be_said() -> None:
    little = trust(Measured(1.15, error=0.1, full=0.1, empty=0.21, examples=32), 13.75).why
    assert "by −0.11, 0.8 % of the largest difference in the run" in little
    assert "less than 0.1 % of the largest" in trust(Measured(1, full=0.001, empty=0), 10).why
    noisy = trust(Measured(0.5, error=0.6, full=4, empty=-6, examples=32), 10).why
    assert "standard error is too large" in noisy
    assert "works against it" in trust(Measured(1.4, error=0.05, full=4, empty=-6), 10).why


def test_the_largest_difference_is_that_of_the_run() -> None:
    rows = [
        {
            "metric_full": -7.0,
            "metric_corrupt": 7.0,
            "faithfulness": 0.9,
            "faithfulness_error": 0.01,
        },
        {"metric": 0.1, "metric_corrupt": 0.2, "faithfulness": 1.1, "faithfulness_error": 0.1},
        {"metric": 0.1},
    ]
    said = overview(measured(rows, 32))
    assert [each.state for each in said] == ["faithful", "slight", "unmeasured"]
    assert [each.state for each in overview(measured(rows[1:2], 32))] == ["faithful"]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.994, 0.003, "99.4 ± 0.3 %"),
        (0.996, 0.02, "99.6 ± 2.0 %"),  # never rounded up to a whole
        (0.125, 0.03, "13 ± 3 %"),  # half is rounded up, as the browser does
        (1.0, 7e-9, "100 ± 0 %"),
        (1 - 1e-9, 7e-9, "100 ± 0 %"),
        (-2e-7, math.nan, "0 %"),  # never "-0"
        (-0.31, 0.04, "−31 ± 4 %"),
        (2.5, math.nan, "250 %"),
    ],
)
def test_a_share_with_its_error(value: float, error: float, text: str) -> None:
    assert span(value, error) == text
