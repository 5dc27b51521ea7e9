"""Tuning, and runs as people meet them: in a notebook a run is its player."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ctviz import paths
from ctviz.api.words import AnyTask, Model, Name, as_task
from ctviz.errors import CtvizError, DamagedRun
from ctviz.files import not_written
from ctviz.runs import directory, writer
from ctviz.runs.causes import Causes, read_causes, write_causes
from ctviz.runs.config import TuneConfig
from ctviz.runs.difference import Difference, read_difference, write_difference
from ctviz.runs.paper import paper_settings
from ctviz.views.view import View

__all__ = ["Run", "Runs", "open_run", "run_folder", "runs", "tune"]

HEIGHT = 860  # pixels of the player in a notebook


@dataclass(frozen=True, repr=False)
class Run(directory.Run):
    """A run on disk, read as it is now. Open with `open_run`.

    ``run.about`` and ``run.config`` say what was run, ``run.snapshots()`` gives scores, circuit and
    redundancy of each step, ``run.metrics()`` the curves, ``run.dynamics()`` how the circuit
    changed. As the last value of a notebook's cell it is the player.
    """

    def frame(self) -> pd.DataFrame:
        """One row a step, as `metrics`: the metric in its own units, faithfulness as a share, KL in
        nats a token, seconds; NaN where nothing was measured.
        """
        return self.metrics()

    def causes(self, *, step: int | None = None, examples: int = 32, share: float = 0.95) -> Causes:
        """Which updates were needed until a step, by default the last whose weights were kept.

        What was measured in this way before is read, else it is measured, which takes minutes on a
        large model, and kept with the run. ``examples``: dev examples on which nodes are chosen,
        and test examples on which that is checked; ``share``: of the gain that the needed nodes
        have to carry. ``found.frame()`` has one row a node, in units of the metric.

        Raises MissingModel if the weights were not kept, OutOfRange, DamagedRun and BadTask.
        """
        from ctviz.jobs.causes import Settings, causes, measured_step

        settings = Settings(examples=examples, share=share)
        at, mine = measured_step(self, step), paths.runs()
        known = read_causes(self, mine).get(at)
        if known is not None and (known.asked, known.share) == (examples, share):
            return known
        found = causes(self, step=at, settings=settings)
        write_causes(self, mine, found)
        return found

    def difference(self) -> Difference:
        """What the last model of a recording does differently from its first; see `ctviz.compare`.

        What was measured before is read, else it is measured and kept with the run. Raises
        CtvizError for a run that is no recording, and DamagedRun if a model is no longer what was
        recorded.
        """
        from ctviz.jobs.difference import difference

        known = read_difference(self)
        if known is None:
            known = difference(self, device=self.config.device)
            write_difference(self, known)
        return known

    def show(
        self, *, step: int | None = None, nodes: tuple[str, ...] = (), edges: int | None = None
    ) -> None:
        """Show the player in a notebook, at the snapshot nearest to a training step.

        ``nodes`` are selected, such as ``("a3.h1",)``; ``edges``: how many of the circuit's edges
        are drawn, None for all. Nothing is loaded from elsewhere. Raises CtvizError outside of a
        notebook, and for a run without snapshots.
        """
        page = _framed(self, View(step=step, nodes=nodes, edges=edges))
        try:
            from IPython import get_ipython
            from IPython.display import HTML, display

            inside = get_ipython() is not None
        except ImportError:
            inside = False
        if not inside:
            raise CtvizError(
                "show() needs a notebook. Elsewhere `ctviz app` shows all runs, and `ctviz export "
                f"{self.id} --html FILE` writes this one as a page that plays by itself."
            )
        display(HTML(page))

    def __repr__(self) -> str:
        try:
            status, config = self.status(), self.config
        except DamagedRun as error:
            return f"<Run {self.id}: damaged: {error}>"
        what = f"{config.model}, {config.task}, {config.method}"
        return f"<Run {self.id}: {status.state}, step {status.step} of {status.steps}; {what}>"

    def _repr_html_(self) -> str | None:
        try:
            return _framed(self, View())
        except CtvizError:  # nothing to play yet, or damaged: the text says which
            return None


@dataclass(frozen=True, slots=True, repr=False)
class Runs:
    """The runs of a folder, newest first; ``damaged``: why others cannot be opened."""

    found: tuple[Run, ...]
    damaged: tuple[DamagedRun, ...]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, at: int) -> Run:
        return self.found[at]

    def frame(self) -> pd.DataFrame:
        """One row a run: run, state, step, steps, model, task, method, folder."""
        rows = []
        for run in self.found:
            status, config = run.status(), run.config
            rows.append(
                {
                    "run": run.id,
                    "state": status.state,
                    "step": status.step,
                    "steps": status.steps,
                    "model": config.model,
                    "task": config.task,
                    "method": config.method,
                    "folder": str(run.folder),
                }
            )
        columns = ["run", "state", "step", "steps", "model", "task", "method", "folder"]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        lines = [repr(run) for run in self.found] + [f"<damaged: {e}>" for e in self.damaged]
        return "\n".join(lines) or "<no runs>"


def open_run(name: Name) -> Run:
    """A run by its id (in ``CTVIZ_RUNS`` or ``./ctviz-runs``, or a sample run) or its folder.

    Raises UnknownName, and DamagedRun for a folder whose ``run.json`` cannot be read.
    """
    return Run(directory.open_run(os.fspath(name), paths.runs(), paths.shipped_runs()).folder)


def runs(folder: Name | None = None) -> Runs:
    """The runs in a folder; None: in ``CTVIZ_RUNS`` or ``./ctviz-runs``, and the sample runs.

    Damaged runs are named, the others open.
    """
    places = (Path(folder).expanduser(),) if folder else (paths.runs(), paths.shipped_runs())
    found = directory.list_runs(*places)
    return Runs(
        tuple(Run(run.folder) for run in found if isinstance(run, directory.Run)),
        tuple(error for error in found if isinstance(error, DamagedRun)),
    )


def tune(
    model: Model,
    task: AnyTask,
    *,
    out: Name | None = None,
    paper: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> Run:
    """Tune a model on a task, recording its circuit as it changes; returns the finished run.

    ``model``: a name, folder or hub id, or what `load` has made of one. It is loaded anew: the
    model in your hands does not change. The tuned weights are in the run's folder.

    ``settings`` are those of `ctviz.runs.config.TuneConfig`: ``method`` ("circuit"), ``steps``
    (60 updates), ``edges`` (60, size of the circuit), ``learning_rate`` (3e-4), ``batch_size`` (16
    examples a step), ``examples`` (32 dev examples that snapshots are computed on), ``seed`` (0),
    ``device`` ("auto") and more. ``paper`` starts from those of the circuit-tuning paper
    for the kind of model (`ctviz.runs.paper`); the run's notices say what is otherwise.

    ``out``: the folder in which the run gets a folder of its own; None: ``CTVIZ_RUNS`` or
    ``./ctviz-runs``. ``progress`` is called with (step, steps, message).

    Raises UnknownName (a setting, choice, task or model), OutOfRange, BadTask, MissingModel,
    UnsupportedModel, DiskFull, and CtvizError for a model that cannot be loaded again by its name.
    What goes wrong while it runs is raised too, and is in the run's status.
    """
    from ctviz.circuits.selection import check_edges
    from ctviz.jobs.tune import tune as tune_into
    from ctviz.models.loading import Loaded, check_stored, load

    if isinstance(model, Loaded):
        check_stored(model)
        model = model.name
    name, wanted = os.fspath(model), as_task(task)
    usual: dict[str, Any] = {}
    if paper:
        steps = settings.get("steps", TuneConfig.__dataclass_fields__["steps"].default)
        usual = paper_settings(name, bias=wanted.grade == "bias", steps=steps)
    config = TuneConfig.from_dict({**usual, **settings, "model": name, "task": wanted.name})
    loaded = load(name, device=config.device, mlp_block=config.mlp_block)
    check_edges(loaded.anatomy.graph, config.edges, hint=f"({loaded.name})")
    folder = run_folder(out, f"{wanted.slug}-{Path(name).name.lower()}-{config.method}")
    tune_into(config, folder, loaded=loaded, progress=progress)
    return Run(folder)


def run_folder(out: Name | None, slug: str) -> Path:
    """A new folder for a run in ``out``, or where runs lie; CtvizError if there can be none."""
    parent = Path(out).expanduser() if out else paths.runs()
    try:
        return writer.new_folder(parent, slug)
    except OSError as error:
        raise error if isinstance(error, CtvizError) else not_written(parent, error) from error


def _framed(run: Run, view: View) -> str:
    """The replay as a part of a page: a frame that holds all of it and may load nothing."""
    from ctviz.export import make_replay

    page = html.escape(make_replay(run, view).decode("utf-8"))
    return (
        f'<iframe title="Player of run {html.escape(run.id)}" sandbox="allow-scripts" '
        f'style="width: 100%; height: {HEIGHT}px; border: 0" srcdoc="{page}"></iframe>'
    )
