"""The table of a study's arms as it is read: names of its columns, and cells with their spread."""

from __future__ import annotations

import pandas as pd

__all__ = ["arm_cells", "number"]

HEADINGS = {
    "arm": "arm",
    "rate": "learning rate",
    "seeds": "seeds",
    "grade": "grade",
    "kl": "KL",
    "perplexity": "perplexity",
    "others": "other tasks",
    "trained_fraction": "trained a step",
    "seconds_per_step": "s a step",
    "circuit_overlap": "circuit kept",
    "circuit_overlap_between": "between snapshots",
    "faithfulness": "faithfulness",
}


def arm_cells(means: pd.DataFrame) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Headings by column and a row an arm, of what `ctviz.jobs.study.summary.summarize` made."""
    names = {name: label for name, label in HEADINGS.items() if name in means}
    rows = []
    for row in means.to_dict("records"):
        cells = {}
        for name in names:
            spread = row.get(f"{name}_sd")
            cells[name] = number(row[name])
            if spread is not None and pd.notna(spread):
                cells[name] += f" ± {number(spread)}"
        rows.append(cells)
    return names, rows


def number(value: object) -> str:
    """Three digits of a number, nothing for none."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return str(value)
