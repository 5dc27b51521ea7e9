"""What runs and lengths of time are called."""

from __future__ import annotations

import pytest

from ctviz.views.naming import duration


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
