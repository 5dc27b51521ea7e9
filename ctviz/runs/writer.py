"""Writing a run directory (see `ctviz.runs.directory`), from the start or from where it stopped."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from ctviz.circuits.graph import Graph
from ctviz.errors import RunExists
from ctviz.files import append_line, write_bytes, write_json, write_tensors
from ctviz.progress import Phase
from ctviz.runs.config import TuneConfig
from ctviz.runs.directory import SCHEMA, open_run
from ctviz.runs.snapshot import Snapshot, StepRecord
from ctviz.runs.status import State, Status

__all__ = ["RunWriter", "new_folder"]


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder ``name-YYYYMMDD-HHMMSS`` that did not exist, with a suffix if need be."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1000):
        folder = parent / f"{name}-{stamp}{f'-{attempt + 1}' if attempt else ''}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise RunExists(f"{parent} already has a thousand folders named {name}-{stamp}.")


class RunWriter:
    """Writes a run directory. One writer a run.

    ``pid`` is the process that will do the work, by default this one. The settings are stored with
    the model's folder and the task's file from the root; a relative one in a run of an earlier
    version is looked for from the current folder. ``about``: what else is known of it already.
    """

    def __init__(
        self, folder: Path, config: TuneConfig, *, pid: int | None = None, **about: Any
    ) -> None:
        if (folder / "run.json").exists():
            raise RunExists(f"{folder} already holds a run. Give another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "snapshots").mkdir(exist_ok=True)
        self.folder, self.config = folder, config.located()
        self._process = psutil.Process(pid)
        self._about: dict[str, Any] = {
            "schema": SCHEMA,
            "id": folder.name,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "config": self.config.to_dict(),
            **about,
        }
        self._names: dict[str, Any] = {}
        self._notices: list[str] = []
        write_json(folder / "run.json", self._about)
        self.status("starting", message="starting the engine")

    @classmethod
    def resume(cls, folder: Path, step: int) -> RunWriter:
        """Go on writing a run from a step on; what was recorded after that step is dropped.

        Also how a worker takes over a run that a page has announced: at step 0.
        """
        run = open_run(str(folder))
        writer = cls.__new__(cls)
        writer.folder, writer.config = folder, run.config
        writer._process = psutil.Process()
        writer._about, writer._names = {**run.about, "config": run.config.to_dict()}, {}
        writer._notices = list(run.status().notices)
        for file in (*run.snapshot_files(), *run.weight_files()):
            if int(file.stem) > step or step == 0:
                file.unlink()
        kept = run.metrics()
        kept = kept[kept["step"] <= step] if step and len(kept) else kept.iloc[:0]
        lines = [
            json.dumps({key: value for key, value in row.items() if pd.notna(value)})
            for row in kept.astype(object).to_dict("records")
        ]
        write_bytes(folder / "metrics.jsonl", "".join(f"{line}\n" for line in lines).encode())
        message = f"resuming at step {step}" if step else "starting the engine"
        writer.status("starting", step=step, message=message)
        return writer

    def describe(self, graph: Graph, **about: Any) -> None:
        """Add what is known once the model is loaded: its graph, revision, versions, device."""
        self._names = {"sources": graph.sources, "slots": graph.slot_names, "nodes": graph.nodes}
        shape = {
            "n_layers": graph.n_layers,
            "n_heads": graph.n_heads,
            "n_kv_heads": graph.kv_heads,
            "parallel": graph.parallel,
            "mlp_blocks": graph.mlp_blocks,
        }
        self._about |= {"graph": shape, **about}
        write_json(self.folder / "run.json", self._about)

    def status(
        self,
        state: State,
        *,
        step: int = 0,
        rate: float | None = None,
        message: str = "",
        failure: str = "",
        phase: Phase | None = None,
        left: float | None = None,
        measured: dict[str, dict[str, float]] | None = None,
    ) -> None:
        """Replace ``status.json``."""
        me = self._process
        now = Status(
            state,
            step,
            self.config.steps,
            rate,
            message,
            me.pid,
            me.create_time(),
            time.time(),
            tuple(self._notices),
            failure,
            phase,
            left,
            measured or {},
        )
        write_json(self.folder / "status.json", asdict(now))

    @property
    def before(self) -> dict[str, float] | None:
        """The untuned model's grades, if an earlier part of the run has measured it."""
        return self._about.get("before")

    @property
    def attribution(self) -> dict[str, Any] | None:
        """How an earlier part of the run scores edges, if it has found that out."""
        return self._about.get("attribution")

    def notice(self, text: str) -> None:
        """Something that a person should see, once; it is in the status from the next one on."""
        if text not in self._notices:
            self._notices.append(text)

    def record(self, record: StepRecord) -> None:
        """Append a training step to ``metrics.jsonl``."""
        self._append(asdict(record))

    def numbers(self, step: int, **values: float) -> None:
        """Append what else is known of a step, such as ``loss``."""
        self._append({"step": step, **values})

    def snapshot(self, snapshot: Snapshot) -> None:
        """Write a snapshot's file, and its metrics to ``metrics.jsonl``."""
        tensors = {
            "scores": snapshot.scores,
            "circuit": snapshot.circuit,
            "tuned": snapshot.tuned,
            **{f"redundancy.{key}": value for key, value in snapshot.redundancy.items()},
        }
        if snapshot.error is not None:
            tensors["error"] = snapshot.error
        if snapshot.moved is not None:
            tensors["moved"] = snapshot.moved
        if snapshot.specific is not None:
            tensors["specific"] = snapshot.specific
        tensors |= {f"heads.{key}": value for key, value in snapshot.heads.items()}
        probes = []
        for index, probe in enumerate(snapshot.probes):
            tensors[f"probe.{index}.attention"] = probe.attention
            tensors[f"probe.{index}.attribution"] = probe.attribution
            kept: dict[str, Any] = {
                "tokens": probe.tokens,
                "answer": probe.answer,
                "foil": probe.foil,
                "top": probe.top,
            }
            if probe.chances is not None:
                kept["chances"] = probe.chances
            probes.append(kept)
        about = {
            "schema": SCHEMA,
            "step": snapshot.step,
            "metrics": snapshot.metrics,
            "probes": probes,
            **self._names,
        }
        file = self.folder / "snapshots" / f"{snapshot.step:06d}.safetensors"
        write_tensors(file, tensors, about)
        self._append({"step": snapshot.step, **snapshot.metrics})

    def cancelled(self) -> bool:
        """Whether somebody asked for the run to stop."""
        return (self.folder / "cancel").exists()

    def _append(self, values: dict[str, Any]) -> None:
        clean = {
            key: (value if not isinstance(value, float) or math.isfinite(value) else None)
            for key, value in values.items()
        }
        append_line(self.folder / "metrics.jsonl", json.dumps(clean))
