"""The run directory: one folder a run, self-describing, safe to copy.

::

    run.json           what was run: schema, id, config, model, task, versions, device
    status.json        how far it is: state, step, phase, time left, heartbeat; replaced atomically
    metrics.jsonl      one JSON object a line, appended; every line has a "step"
    snapshots/*.safetensors   one file a snapshot (see `ctviz.runs.snapshot.Snapshot`)
    weights/*.safetensors     what tuning changed in the model, at some of the snapshots
    checkpoint/        what to resume from, or the tuned weights once finished
    log.txt            what the worker said
    cancel             put there to ask the worker to stop
    notes.json         its title, tags and note, and whether it is archived
    borrowed.json      commits that a recording has put into the hub's cache, until it lets them go

A half-written or damaged snapshot or line costs that snapshot or line, not the run; a run whose
``run.json`` cannot be read is damaged. Errors name the file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import psutil

from ctviz.circuits.graph import Graph
from ctviz.errors import CtvizError, DamagedRun, UnknownName
from ctviz.files import numbered, read_json, read_tensors, write_json
from ctviz.progress import Phase
from ctviz.runs.changes import dynamics
from ctviz.runs.checks import (
    check_about,
    check_probes,
    check_snapshot,
    check_status,
    is_finite,
    is_step,
)
from ctviz.runs.config import TuneConfig
from ctviz.runs.monotone import COLUMNS, monotone_edges
from ctviz.runs.snapshot import ProbeReading, Snapshot
from ctviz.runs.status import State, Status, alive

__all__ = ["SCHEMA", "STUDY", "Run", "find_study_run", "list_runs", "open_run", "read_snapshot"]

SCHEMA = 1
STUDY = "study.json"  # in the folder of a study, beside its folder of runs
GUESSING = 300_000  # a perplexity that guessing among the tokens of any vocabulary does not reach


@dataclass(frozen=True)
class Run:
    """A run on disk, read as it is now. Open with `open_run`."""

    folder: Path

    @cached_property
    def id(self) -> str:
        """Name of the folder; of a run of a study ``STUDY/runs/NAME``, the way to it."""
        runs = self.folder.parent
        if runs.name == "runs" and (runs.parent / STUDY).is_file():
            return f"{runs.parent.name}/runs/{self.folder.name}"
        return self.folder.name

    @cached_property
    def about(self) -> dict[str, Any]:
        """``run.json``; raises DamagedRun."""
        about = read_json(self.folder / "run.json")
        if about.get("schema") != SCHEMA:
            raise DamagedRun(
                f"{self.folder / 'run.json'} has schema {about.get('schema')!r}, but this version "
                f"of ctviz reads schema {SCHEMA}."
            )
        check_about(self.folder / "run.json", about)
        before, after = about.get("before") or {}, about.get("after") or {}
        if is_finite(before.get("perplexity")) and before["perplexity"] > GUESSING:
            for grades in (before, after):
                grades.pop("perplexity", None)
        return about

    @cached_property
    def config(self) -> TuneConfig:
        """The settings of the run; raises DamagedRun."""
        file, about = self.folder / "run.json", self.about
        try:
            config = TuneConfig.stored(about["config"])
        except (KeyError, TypeError, AttributeError, CtvizError) as error:
            raise DamagedRun(f"{file} has a bad config: {error}.") from error
        if not isinstance(config.model, str):
            raise DamagedRun(f"{file} has a bad config: its model {config.model!r} is not a text.")
        return config

    @property
    def graph(self) -> Graph | None:
        """The model's graph; None as long as the model is still being loaded."""
        shape = self.about.get("graph")
        if shape is None:
            return None
        try:
            return Graph(**shape)
        except (TypeError, ValueError) as error:
            raise DamagedRun(f"{self.folder / 'run.json'} has a bad graph: {error}.") from error

    def status(self) -> Status:
        """``status.json``; a run whose worker has gone is ``interrupted``. Raises DamagedRun."""
        file = self.folder / "status.json"
        values = read_json(file)
        check_status(file, values)
        try:
            at = values.get("phase")
            more = {"notices": tuple(values.get("notices", ())), "phase": at and Phase(**at)}
            status = Status(**values | more)
        except TypeError as error:
            raise DamagedRun(f"{file} is not a status: {error}.") from error
        if status.state not in get_args(State):
            raise DamagedRun(f"{file} has the unknown state {status.state!r}.")
        if status.live and not alive(status.pid, status.born):
            message = f"the worker ended at step {status.step} without saying so"
            return replace(
                status, state="interrupted", rate=None, message=message, phase=None, left=None
            )
        return status

    def cancel(self) -> None:
        """Ask the worker to stop, which it does within moments."""
        (self.folder / "cancel").touch()

    def announce(self, *, pid: int | None = None) -> None:
        """Say that a process (by default this one) is about to go on with this run."""
        (self.folder / "cancel").unlink(missing_ok=True)
        status, process = self.status(), psutil.Process(pid)
        born, now = process.create_time(), time.time()
        again = replace(
            status,
            state="starting",
            rate=None,
            message="resuming",
            failure="",
            phase=None,
            left=None,
            pid=process.pid,
            born=born,
            heartbeat=now,
        )
        write_json(self.folder / "status.json", asdict(again))

    def metrics(self) -> pd.DataFrame:
        """One row a step, columns as in StepRecord and Snapshot.metrics; NaN where not measured.

        A line that is not whole JSON (the last one of a killed worker) or that names no step is
        left out, and so is a value that is no finite number, and the perplexity of English of a
        model that does not read it, which older versions wrote. Raises DamagedRun if the file
        cannot be read at all.
        """
        rows: dict[int, dict[str, Any]] = {}
        file = self.folder / "metrics.jsonl"
        try:
            text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        except OSError as error:
            raise DamagedRun(f"{file} cannot be read: {error}.") from error
        for line in text.splitlines():
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(values, dict) and is_step(values.get("step")):
                rows.setdefault(values["step"], {}).update(
                    {k: v for k, v in values.items() if v is None or is_finite(v)}
                )
        table = pd.DataFrame([rows[step] for step in sorted(rows)])
        if "perplexity" in table and (table["perplexity"].dropna()[:1] > GUESSING).any():
            return table.drop(columns="perplexity")
        return table

    def dynamics(self) -> pd.DataFrame:
        """How the circuit changed: one row a snapshot, see `ctviz.runs.changes.dynamics`."""
        graph = self.graph
        return pd.DataFrame() if graph is None else dynamics(self.snapshots(), graph)

    def monotone(self) -> pd.DataFrame:
        """Edges that only strengthened or weakened, see `ctviz.runs.monotone.monotone_edges`."""
        graph, kept = self.graph, list(self.snapshots())
        if graph is None:
            return pd.DataFrame(columns=COLUMNS)
        errors = [s.error for s in kept if s.error is not None]
        return monotone_edges(
            [s.scores for s in kept],
            errors if len(errors) == len(kept) else None,
            [s.circuit for s in kept],
            graph,
        )

    def snapshot_files(self) -> list[Path]:
        """Files of the snapshots, in step order."""
        return list(numbered(self.folder / "snapshots").values())

    def weight_files(self) -> list[Path]:
        """Files of the weights that were kept at snapshots, in step order."""
        return list(numbered(self.folder / "weights").values())

    def snapshots(
        self,
        *,
        damaged: list[DamagedRun] | None = None,
        read: Callable[[Path, Graph | None], Snapshot] | None = None,
    ) -> Iterator[Snapshot]:
        """Each snapshot in step order, all with the probes of the first.

        Damaged files are skipped and put into ``damaged``. ``read`` stands in for `read_snapshot`.
        """
        first = None
        for file in self.snapshot_files():
            try:
                snapshot = (read or read_snapshot)(file, self.graph)
                first = first or snapshot
                check_probes(file, snapshot, first)
            except DamagedRun as error:
                if damaged is not None:
                    damaged.append(error)
            else:
                yield snapshot


def read_snapshot(file: Path, graph: Graph | None) -> Snapshot:
    """Read one snapshot; raises DamagedRun if it is cut off, incomplete or of another graph."""
    tensors, about = read_tensors(file)
    try:
        probes = tuple(
            ProbeReading(
                tokens=tuple(probe["tokens"]),
                answer=probe["answer"],
                foil=probe["foil"],
                attention=tensors[f"probe.{index}.attention"],
                top=tuple((token, float(p)) for token, p in probe["top"]),
                attribution=tensors[f"probe.{index}.attribution"],
                chances=_pair(probe.get("chances")),
            )
            for index, probe in enumerate(about["probes"])
        )
        snapshot = Snapshot(
            step=about["step"],
            scores=tensors["scores"],
            circuit=tensors["circuit"].astype(bool),
            tuned=tensors["tuned"].astype(bool),
            redundancy=_named(tensors, "redundancy."),
            metrics=dict(about["metrics"].items()),
            probes=probes,
            error=tensors.get("error"),
            moved=tensors.get("moved"),
            specific=tensors.get("specific"),
            heads=_named(tensors, "heads."),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedRun(f"{file} is not a snapshot: {error!r}.") from error
    check_snapshot(file, snapshot, graph)
    return snapshot


def _pair(values: Any) -> tuple[float, float] | None:
    """Two numbers, or None where there are none."""
    if values is None:
        return None
    one, other = values
    return float(one), float(other)


def _named(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Those whose names begin like that, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def open_run(name: str, *folders: Path) -> Run:
    """The run of that id in one of the folders, or at that path; raises UnknownName, DamagedRun."""
    places = [folder / name for folder in folders]
    # the folder of a study's runs may be opened by itself
    places += [
        folder.parent.parent / name for folder in folders if (folder.parent / STUDY).exists()
    ]
    places.append(Path(name).expanduser())
    for place in places:
        if (place / "run.json").is_file():
            run = Run(place)
            run.about  # noqa: B018 - raises if damaged
            return run
    for place in places:
        if place.is_dir() and name not in ("", "."):
            raise DamagedRun(f"{place / 'run.json'} is missing: {place} is not a run.")
    known = [run.id for run in list_runs(*folders) if isinstance(run, Run)]
    raise UnknownName("run", name, known)


def find_study_run(name: str, folder: Path) -> Run | None:
    """The run of a study in a folder, by its id; None if there is none."""
    parts = name.split("/")
    if len(parts) != 3 or parts[1] != "runs" or not {"", ".", ".."}.isdisjoint(parts):
        return None
    try:
        inside = (folder / parts[0] / STUDY).is_file()
        run = Run(folder / name)
        run.config  # noqa: B018 - raises if damaged
        run.status()
    except (OSError, ValueError):  # ValueError: damaged, or a name that no file can have
        return None
    return run if inside else None


def list_runs(*folders: Path) -> list[Run | DamagedRun]:
    """Every run in these folders, newest first, and an error for each damaged one after them."""
    found: list[tuple[str, Run]] = []
    damaged: list[DamagedRun] = []
    for folder in folders:
        for place in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not place.is_dir() or not (
                (place / "run.json").exists() or (place / "snapshots").is_dir()
            ):
                continue
            run = Run(place)
            try:
                run.config  # noqa: B018 - raises if damaged
                run.graph  # noqa: B018
                run.status()
                found.append((str(run.about.get("created", "")), run))
            except DamagedRun as error:
                damaged.append(error)
    return [run for _, run in sorted(found, key=lambda pair: pair[0], reverse=True)] + damaged
