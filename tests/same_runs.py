"""Whether two runs came to the very same."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ctviz.runs import Run
from ctviz.runs.weights import latest_checkpoint


def assert_same(one: Run, other: Run) -> None:
    """Two runs agree in every number but those of the clock."""
    tables = (run.metrics().drop(columns="seconds") for run in (one, other))
    first, second = (table.dropna(axis="columns", how="all") for table in tables)
    # columns come in the order in which a file first names them, and None is not written again
    pd.testing.assert_frame_equal(
        first, second, check_like=True, check_exact=True, check_dtype=False
    )
    pairs = list(zip(one.snapshots(), other.snapshots(), strict=True))
    assert len(pairs) == 3
    for a, b in pairs:
        assert a.step == b.step
        assert a.metrics == b.metrics
        for name in ("scores", "error", "circuit", "tuned", "moved"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        for p, q in zip(a.probes, b.probes, strict=True):
            np.testing.assert_array_equal(p.attention, q.attention)
    for key in ("before", "after", "weight_change", "trainable"):
        assert one.about[key] == other.about[key]
    files = [latest_checkpoint(run.folder)[0] for run in (one, other)]
    assert files[0].read_bytes() == files[1].read_bytes()
