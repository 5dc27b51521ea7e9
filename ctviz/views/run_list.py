"""The list of all runs: what is said of each in a line, and which of them a search finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ctviz.runs import Run
from ctviz.runs.checks import is_finite
from ctviz.runs.config import METHOD_NAMES
from ctviz.runs.notes import RunNotes
from ctviz.runs.series import model_of
from ctviz.views.naming import run_name, task_name

__all__ = ["OUTCOMES", "SINCE", "ListedRun", "found", "listed", "table"]

OUTCOMES = {
    "starting": "under way",
    "running": "under way",
    "finished": "finished",
    "cancelled": "cancelled",
    "failed": "failed",
    "interrupted": "interrupted",
}
SINCE = {"any time": None, "last 24 hours": 1, "last 7 days": 7, "last 30 days": 30}  # days


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in the list; ``made``: when it was begun, "" if that is not known.

    ``before`` and ``after``: the task's grade on test examples, called ``grade``; None where it was
    not measured.
    """

    id: str
    name: str
    model: str
    task: str
    method: str
    outcome: str
    made: str
    step: int
    steps: int
    grade: str
    before: float | None
    after: float | None
    notes: RunNotes
    sample: bool

    def says(self, word: str) -> bool:
        """Whether a word occurs in anything that is said of the run."""
        said = (self.id, self.name, self.model, self.task, self.method, self.outcome, self.made)
        return word.lower() in " ".join((*said, *self.notes.tags, self.notes.note)).lower()


def listed(
    runs: Iterable[Run], samples: Iterable[str], notes: Mapping[str, RunNotes]
) -> list[ListedRun]:
    """Each run as it is now; ``samples``: ids of those that ship; ``notes`` by id."""
    shipped = set(samples)
    return [_listed(run, run.id in shipped, notes.get(run.id, RunNotes())) for run in runs]


def _listed(run: Run, sample: bool, notes: RunNotes) -> ListedRun:
    status, about = run.status(), run.about
    grade = str(about.get("task", {}).get("judged_by", "accuracy"))
    graded: list[Any] = [(about.get(key) or {}).get(grade) for key in ("before", "after")]
    before, after = (float(value) if is_finite(value) else None for value in graded)
    return ListedRun(
        id=run.id,
        name=notes.title or run_name(run),
        model=Path(model_of(about, run.config.model)).name,
        task=task_name(run),
        method=METHOD_NAMES[run.config.method],
        outcome=OUTCOMES[status.state],
        made=str(about.get("created", ""))[:16].replace("T", " "),
        step=status.step,
        steps=status.steps,
        grade=grade.replace("_", " "),
        before=before,
        after=after,
        notes=notes,
        sample=sample,
    )


def found(
    rows: Iterable[ListedRun],
    *,
    text: str = "",
    chosen: Mapping[str, Iterable[str]] | None = None,
    days: int | None = None,
    now: datetime | None = None,
    archived: bool = False,
) -> list[ListedRun]:
    """The rows in which all words of a text occur and that the filters leave.

    ``chosen``: by ``model``, ``task``, ``method`` or ``outcome`` the values that are wanted, none
    for any. ``days``: how old a run may be, counted back from ``now``. ``archived``: whether those
    that were put away are shown.
    """
    wanted = {key: set(values) for key, values in (chosen or {}).items() if values}
    since = None if days is None else (now or datetime.now()) - timedelta(days=days)
    earliest = "" if since is None else f"{since:%Y-%m-%d %H:%M}"
    return [
        row
        for row in rows
        if (archived or not row.notes.archived)
        and all(row.says(word) for word in text.split())
        and all(getattr(row, key) in values for key, values in wanted.items())
        and row.made >= earliest
    ]


def table(rows: Iterable[ListedRun]) -> pd.DataFrame:
    """What the page shows of them, a row each."""
    return pd.DataFrame(
        [
            {
                "name": row.name,
                "model": row.model,
                "task": row.task,
                "method": row.method,
                "outcome": f"{row.outcome}, archived" if row.notes.archived else row.outcome,
                "made": "ships with ctviz" if row.sample else row.made,
                "steps": f"{row.step} of {row.steps}" if row.step != row.steps else str(row.steps),
                "grade": row.grade,
                "before": row.before,
                "after": row.after,
                "tags": list(row.notes.tags),
                "note": row.notes.note,
            }
            for row in rows
        ]
    )
