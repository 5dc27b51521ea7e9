"""Study folders written without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ctviz.files import write_json
from ctviz.jobs.study.plan import Arm, Study
from tests.written_runs import write_run

__all__ = ["STUDY", "write_study"]

STUDY = Study(
    model="tiny",
    task="sva-flip",
    arms=(Arm("circuit", "circuit"), Arm("full", "full")),
    seeds=1,
    rates=(1e-4, 1e-3),
)


def write_study(folder: Path, *, done: int = 4, study: Study = STUDY, **row: Any) -> None:
    """A study, as many of whose runs are ``done``; its report once all are. ``row``: of results."""
    folder.mkdir(parents=True)
    trials = study.trials
    rows = []
    for trial in trials[:done]:
        write_run(folder / "runs" / trial.name, "tiny", method=trial.arm.method)
        known = {"arm": trial.arm.name, "rate": trial.rate, "seed": trial.seed}
        rows.append({**known, "state": "finished", "dev_after": 0.5, "chosen": False, **row})
    write_json(folder / "study.json", study.to_dict())
    if rows:
        pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    if done == len(trials):
        means = {"arm": ["circuit", "full"], "rate": [1e-4, 1e-3], "grade": [0.25, 0.5]}
        spread = {"grade_sd": [0.125, float("nan")], "kl": [1e-3, 2.0]}
        pd.DataFrame({**means, **spread}).to_csv(folder / "arms.csv", index=False)
        (folder / "summary.txt").write_text("Found *this*.\nAnd that.\n", encoding="utf-8")
        drawn = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="50"><path/></svg>'
        (folder / "front.svg").write_text(drawn, encoding="utf-8")
