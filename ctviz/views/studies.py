"""Studies on disk, as far as they have come: what was found, tables, figures, and their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from ctviz.errors import CtvizError, DamagedRun
from ctviz.files import read_json
from ctviz.jobs.study.cells import arm_cells
from ctviz.jobs.study.plan import Study
from ctviz.runs.directory import STUDY
from ctviz.tasks import find_task

__all__ = ["FIGURES", "StudyHere", "arms_table", "list_studies", "runs_table", "studies_table"]

FIGURES = {
    "front": "Grade on dev examples over the distance from the untuned model, along the steps of "
    "training: a line for each arm and learning rate, means over seeds. Arms are compared where "
    "they cross the dashed line; further left is better.",
    "tradeoff": "Grade over what else changed. Large marks: means over the seeds of the chosen "
    "learning rate, with standard deviations; hollow marks on a line: the rates that were tried; "
    "cross: the untuned model.",
    "layers": "Where the weights changed: norm of the change by norm of the untuned weights, "
    "means over seeds.",
}


@dataclass(frozen=True, slots=True, eq=False)
class StudyHere:
    """A study in a folder; ``done``: how many of its runs are; ``summary``, ``arms`` and
    ``figures`` are empty until its report was written."""

    folder: Path
    study: Study
    made: str
    results: pd.DataFrame
    summary: tuple[str, ...]
    arms: pd.DataFrame
    figures: dict[str, Path]

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def name(self) -> str:
        """Task and model, and when it was made: others may have the same."""
        model = Path(self.study.model).name
        return f"{find_task(self.study.task).slug} on {model} · {self.made}"

    @property
    def progress(self) -> str:
        """How many runs of how many are done."""
        done, planned = len(self.results), len(self.study.trials)
        return str(planned) if done == planned else f"{done} of {planned}"

    def run(self, arm: str, rate: float, seed: int) -> str:
        """Id of one of its runs."""
        trials = self.study.trials
        found = (t for t in trials if t.arm.name == arm and t.seed == seed)
        near = min(found, key=lambda trial: abs(trial.rate - rate))
        return f"{self.id}/runs/{near.name}"


def list_studies(folder: Path) -> tuple[list[StudyHere], list[DamagedRun]]:
    """The studies in a folder, newest first, and what is wrong with those that cannot be read."""
    here: list[StudyHere] = []
    damaged: list[DamagedRun] = []
    for file in sorted(folder.glob(f"*/{STUDY}")) if folder.is_dir() else ():
        try:
            here.append(_read(file))
        except DamagedRun as error:
            damaged.append(error)
    return sorted(here, key=lambda each: each.made, reverse=True), damaged


def _read(file: Path) -> StudyHere:
    folder = file.parent
    values = read_json(file)
    try:
        study = Study.from_dict(values)
        text = folder / "summary.txt"
        said = text.read_text(encoding="utf-8").splitlines() if text.is_file() else []
        results = _table(folder / "results.csv")
        if len(results):
            results[["arm", "rate", "seed"]]
        made = datetime.fromtimestamp(file.stat().st_mtime)
        return StudyHere(
            folder=folder,
            study=study,
            made=f"{made:%Y-%m-%d %H:%M}",
            results=results,
            summary=tuple(said),
            arms=_table(folder / "arms.csv"),
            figures={
                name: place for name in FIGURES if (place := folder / f"{name}.svg").is_file()
            },
        )
    except (CtvizError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DamagedRun):
            raise
        raise DamagedRun(f"{folder} is no study that can be read: {error}") from error


def _table(file: Path) -> pd.DataFrame:
    return pd.read_csv(file) if file.is_file() and file.stat().st_size > 1 else pd.DataFrame()


def studies_table(studies: Iterable[StudyHere]) -> pd.DataFrame:
    """A row a study."""
    return pd.DataFrame(
        [
            {
                "task": each.study.task,
                "model": Path(each.study.model).name,
                "arms": [arm.name for arm in each.study.arms],
                "seeds": each.study.seeds,
                "runs": each.progress,
                "made": each.made,
                "found": each.summary[0] if each.summary else "",
            }
            for each in studies
        ]
    )


def arms_table(studies: Sequence[StudyHere]) -> pd.DataFrame:
    """A row an arm as in the report, of several studies with the study's name in front."""
    rows = []
    for each in studies:
        names, cells = arm_cells(each.arms)
        ahead = {"study": each.name} if len(studies) > 1 else {}
        rows += [{**ahead, **{names[key]: text for key, text in row.items()}} for row in cells]
    return pd.DataFrame(rows).fillna("")


def runs_table(study: StudyHere) -> pd.DataFrame:
    """A row a run that is done: arm, rate, seed, how it ended, and what it did on dev examples."""
    shown = ["arm", "rate", "seed", "state", "dev_after", "dev_kl", "chosen"]
    table = study.results.reindex(columns=shown)
    return table.rename(columns={"dev_after": "grade (dev)", "dev_kl": "KL (dev)"})
