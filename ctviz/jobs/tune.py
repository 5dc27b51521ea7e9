"""A whole tuning run, into a run directory."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

from ctviz.circuits.random_circuits import beats_random
from ctviz.circuits.selection import check_edges
from ctviz.errors import CtvizError, RunExists, UndefinedMetric
from ctviz.jobs.outcome import about_run, outcome, stopped, weight_change
from ctviz.jobs.run_log import run_log
from ctviz.models.known import located_model
from ctviz.models.loading import Loaded, check_stored, load, pick_device
from ctviz.models.memory import free_memory, is_out_of_memory
from ctviz.models.untuned import Untuned
from ctviz.progress import Cancelled, Phase, Progress, phase, share, tick
from ctviz.runs import Run, RunWriter, list_runs, open_run
from ctviz.runs.changes import changes
from ctviz.runs.config import TuneConfig
from ctviz.runs.estimate import by_earlier_run, units_of
from ctviz.runs.least_memory import check_tunable
from ctviz.runs.paper import deviations
from ctviz.runs.snapshot import Notice, Snapshot, StepRecord
from ctviz.runs.status import State
from ctviz.runs.weights import latest_checkpoint
from ctviz.tasks import find_task
from ctviz.tuning.baselines import Baselines
from ctviz.tuning.checkpoint import (
    SnapshotWeights,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from ctviz.tuning.loop import BASELINE, Tuning
from ctviz.tuning.lora import merge_for_good

__all__ = ["tune"]

log = logging.getLogger(__name__)

CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints
CHANGE = 0.2  # of the time of the final evaluation, for how far the weights have gone
Called = Callable[[int, int, str], None]


def tune(
    config: TuneConfig,
    folder: Path,
    *,
    loaded: Loaded | None = None,
    progress: Called | None = None,
    resume: bool = False,
    first: Snapshot | None = None,
    keep_model: bool = True,
) -> dict[str, Any]:
    """Run a tuning method into a run directory; returns its outcome in numbers.

    With ``resume`` the folder holds a run of these settings that did not finish: it goes on from
    its last checkpoint, or from the start if it has none yet. ``first`` is the untuned model's
    snapshot by another run that measures the same, ``keep_model`` whether weights stay in the
    folder: those of snapshots (see `TuneConfig.keep_weights`) and the tuned ones at the end.

    ``loaded`` is the config's model, as `load` gives it. Its weights are tuned in place, so that
    afterwards it is another model and says so by its ``revision``; all else of it is as before.
    Raises CtvizError for one that is not the config's model, or no longer: a run has to be able to
    load its model again.

    Whatever goes wrong is written into the run's status before it is raised; snapshots and metrics
    written so far stay readable. ``progress`` is called with (step, steps, message).

    A run that is cancelled (`Run.cancel`), in whatever phase, ends within moments and can be
    resumed from its last step; its outcome says that and nothing of what it came to.
    """
    if loaded is not None:
        _check_given(loaded, config)
    started = time.perf_counter()
    if resume and open_run(str(folder)).status().state == "finished":
        raise RunExists(f"{folder} is finished: there is nothing to resume.")
    checkpoint = latest_checkpoint(folder) if resume else None
    if resume:
        writer = RunWriter.resume(folder, checkpoint[1] if checkpoint else 0)
    else:
        writer = RunWriter(folder, config)
    job = _Job(writer, checkpoint, first, keep_model, progress)
    with run_log(folder / "log.txt") as write_error:
        try:
            with _lent(loaded), job.listening:
                try:
                    tuning = job.set_up(loaded)
                    job.go_on(tuning)
                    return job.finish(tuning, started)
                except Cancelled:
                    return job.stop(started)
        except BaseException as error:
            said, explained = _explanation(error, folder, job.step)
            kind = type(error).__name__ if isinstance(error, CtvizError) else ""
            with suppress(OSError):  # a full disk may not take even this: the run is interrupted
                writer.status("failed", step=job.step, message=said, failure=kind)
            write_error(f"failed at step {job.step}: {said}", None if explained else error)
            if is_out_of_memory(error):
                raise CtvizError(said) from error
            raise


def _check_given(loaded: Loaded, config: TuneConfig) -> None:
    check_stored(loaded)
    if located_model(config.model) != loaded.name:
        raise CtvizError(
            f"The run is to be one of {config.model}, but the model that was given is "
            f"{loaded.name}. Give load({config.model!r}), or none to have it loaded."
        )


@contextmanager
def _lent(loaded: Loaded | None) -> Iterator[None]:
    """Give a model back, tuned or not, without adapters, gradients or frozen parameters."""
    if loaded is None:
        yield
        return
    asked = {name: p.requires_grad for name, p in loaded.model.named_parameters()}
    try:
        yield
    finally:
        merge_for_good(loaded.anatomy)
        for name, parameter in loaded.model.named_parameters():
            parameter.grad = None
            parameter.requires_grad_(asked[name])


class _Job:
    """One run from its settings to its outcome, told to a run directory as it goes."""

    def __init__(
        self,
        writer: RunWriter,
        checkpoint: tuple[Path, int] | None,
        first: Snapshot | None,
        keep_model: bool,
        progress: Called | None,
    ) -> None:
        self.writer, self.folder, self.config = writer, writer.folder, writer.config
        self.checkpoint, self.first = checkpoint, first
        self.keep_model, self.progress = keep_model, progress
        self.step = self.resumed_at = checkpoint[1] if checkpoint else 0
        self.state: State = "starting"
        self.message = f"resumed at step {self.step}" if checkpoint else ""
        self.phase: Phase | None = None  # the last one
        self.grades = writer.before  # of the untuned model
        self.untuned: Untuned | None = None
        self.weights: SnapshotWeights | None = None
        self.earlier: list[Snapshot] = []  # the first snapshot and the last one
        self.begun = self.saved = 0.0  # when, in seconds of time.perf_counter
        self.cost = 0.0  # seconds that the last checkpoint took
        self.tuning: Tuning | None = None  # as soon as it is in the state of the checkpoint
        plan = units_of(self.config) | {"baseline": BASELINE}
        self.listening = Progress(self._tell_status, cancelled=writer.cancelled, plan=plan)
        others = (run for run in list_runs(self.folder.parent) if isinstance(run, Run))
        earlier = by_earlier_run(self.config, others)
        for name, seconds in earlier.seconds.items() if earlier else ():
            self.listening.expect(name, seconds / plan[name])

    def set_up(self, loaded: Loaded | None) -> Tuning:
        """The loop, in the state of the checkpoint if there is one; the run says what it works on.

        Raises OutOfRange if the circuit does not fit into the graph.
        """
        config = self.config
        log.info("config: %s", json.dumps(config.to_dict()))
        config.check_startable()
        self.state, self.message = "starting", f"loading {config.model}"
        if loaded:
            self.listening.done("load", 1)
        if not loaded:
            check_tunable(config, free_memory(pick_device(config.device)))
        loaded = (loaded or load(config.model, device=config.device)).cut_into(config.mlp_block)
        self.untuned = Untuned(loaded)
        for edges in (config.edges, config.edges_end or config.edges):
            check_edges(loaded.anatomy.graph, edges, hint=f"({loaded.name})")
        for note in (*loaded.notes, deviations(config), _at_odds(config)):
            if note:
                self.writer.notice(note)
        self.message = f"reading {config.task}, and trying how edges are best scored"
        attribution = self.writer.attribution if self.checkpoint else None
        baselines = Baselines(loaded, self.untuned)
        tuning = Tuning(
            loaded, config, baselines=baselines, untuned=self.untuned, attribution=attribution
        )
        for reason in tuning.dataset.left_out[:20]:
            log.info("left out: %s", reason)
        if self.keep_model:
            self.weights = SnapshotWeights(tuning, self.folder, self.untuned)
        if self.checkpoint:
            self.message = "measuring the untuned model"
            self.listening.done("discovery", 1)
            load_checkpoint(tuning, self.checkpoint[0])
            self.earlier = list(Run(self.folder).snapshots())
            if self.weights and not tuning.owed:
                self.weights.keep()  # the run may have ended between the checkpoint and this
        self.tuning = tuning
        self._describe(tuning, **about_run(tuning))
        if self.grades:
            self._describe(tuning, before=self.grades)
        return tuning

    def go_on(self, tuning: Tuning) -> None:
        """Take the steps that are left."""
        self.state = "running"
        self.message = self.message if self.checkpoint else "discovering the first circuit"
        self.begun = self.saved = time.perf_counter()
        for event in self._events(tuning):
            if isinstance(event, Notice):
                self.writer.notice(event.text)
                continue  # to what it belongs to
            if isinstance(event, Snapshot):
                self._take(tuning, event)
            else:
                self.writer.record(event)
                self.step = event.step
            self._tell()

    def finish(self, tuning: Tuning, started: float) -> dict[str, Any]:
        """Grade the model on the test split, keep its weights, and say what came of it."""
        self.message = "evaluating on the test examples"
        with phase("final evaluation"):
            with share(0.0, CHANGE):
                moved = self._moved(tuning)
            with share(CHANGE, 1.0):
                after = tuning.test_grades()
        self._describe(tuning, after=after, weight_change=moved)
        if self.keep_model:
            save_checkpoint(tuning, self.folder, finished=True)
        else:
            remove_checkpoints(self.folder)
        result = outcome(self.folder, self.config, "finished", time.perf_counter() - started)
        result["device"] = str(tuning.anatomy.device)
        judged = tuning.dataset.task.judged_by.name
        before, after = result["before"][judged], result["after"][judged]
        message = f"{judged} {before:.2f} before, {after:.2f} after, on test examples"
        self._say("finished", message)
        log.info("finished at step %d", self.step)
        return result

    def stop(self, started: float) -> dict[str, Any]:
        """Keep what it takes to go on, and say where the run was cancelled."""
        during = self.phase.name if self.phase else "its preparation"
        kept = latest_checkpoint(self.folder)
        if self.tuning and self.step and (kept is None or kept[1] != self.step):
            save_checkpoint(self.tuning, self.folder)
        self._say("cancelled", f"at step {self.step}, during {during}")
        log.info("cancelled at step %d, during %s", self.step, during)
        return stopped(self.folder, self.config, self.step, time.perf_counter() - started)

    def _events(self, tuning: Tuning) -> Iterator[StepRecord | Snapshot | Notice]:
        """Those of the loop; the untuned model's snapshot is the given one if there is one."""
        if self.first is None or self.checkpoint:
            return iter(tuning)
        tuning.begun = True
        return chain([self.first], tuning)

    def _take(self, tuning: Tuning, snapshot: Snapshot) -> None:
        """Write a snapshot and what goes with it: grades, now and then a checkpoint, weights."""
        graph, metrics, step = tuning.anatomy.graph, snapshot.metrics, snapshot.step
        metrics.update(changes(self.earlier, snapshot, graph))
        self.earlier = [*self.earlier[:1], snapshot]
        self.writer.snapshot(snapshot)
        if step == 0 and self.config.discovers and (doubt := _no_better(metrics, self.config)):
            self.writer.notice(doubt)
        if self.grades is None:  # nothing has moved yet; a page has something to show by now
            self.message = "measuring the untuned model"
            began = time.perf_counter()
            with phase("baseline", at=1, total=BASELINE):
                self.grades = tuning.untuned_grades()
            if tuning.baselines and not tuning.baselines.known:
                self.listening.expect("final evaluation", time.perf_counter() - began)
            self._describe(tuning, before=self.grades)
        tick()  # each of these files is as large as the model; what lacks is written on resuming
        now = time.perf_counter()
        if step and (now - self.saved) * CHECKPOINT_SHARE >= self.cost:
            save_checkpoint(tuning, self.folder)
            self.saved = time.perf_counter()
            self.cost = self.saved - now
        tick()
        if step and self.weights:
            self.weights.keep()
        self.message = f"metric {metrics['metric']:+.2f} at step {step}"
        log.info("snapshot at step %d: %s", step, json.dumps(metrics))

    def _moved(self, tuning: Tuning) -> list[dict[str, Any]]:
        """How far the weights have gone; nothing, and a notice, if that can no longer be said."""
        assert self.untuned is not None
        try:
            return weight_change(tuning.loaded, self.untuned)
        except CtvizError as error:
            self.writer.notice(str(error))
            return []

    def _tell(self) -> None:
        """How far it is, to whoever called, and to the run's status before long."""
        self.listening.tick()
        if self.progress:
            self.progress(self.step, self.config.steps, self.message)

    def _tell_status(self, progress: Progress) -> None:
        self.phase = progress.phase or self.phase
        self._say(self.state, self.message)

    def _say(self, state: State, message: str) -> None:
        """Write the run's status."""
        done = self.step - self.resumed_at
        rate = done / (time.perf_counter() - self.begun) if done else None
        ended = state not in ("starting", "running")
        self.writer.status(
            state,
            step=self.step,
            rate=rate,
            message=message,
            phase=None if ended else self.phase,
            left=None if ended else self.listening.left,
            measured=self.listening.measured,
        )

    def _describe(self, tuning: Tuning, **about: Any) -> None:
        self.writer.describe(tuning.anatomy.graph, **about)


def _at_odds(config: TuneConfig) -> str:
    """That a term of the loss works against what the task is judged by, or ""."""
    judged = find_task(config.task).judged_by
    if not config.debias or judged.better == "lower":
        return ""
    return (
        f"debias {config.debias:g} pulls the logits of answer and foil together, and {config.task} "
        f"is judged by {judged.name.replace('_', ' ')}, which wants them apart."
    )


def _no_better(metrics: dict[str, float], config: TuneConfig) -> str:
    """That the circuit to be tuned is no better than a random one, or ""."""
    if "random_high" not in metrics:
        return ""
    share, error = metrics["faithfulness"], metrics["faithfulness_error"]
    if beats_random(share, error, metrics["random_high"]):
        return ""
    return (
        f"The circuit that is about to be tuned carries {share:.2f} of the "
        f"behaviour under {config.ablation} ablation, and random circuits of its size "
        f"{metrics['random_low']:.2f} to {metrics['random_high']:.2f}: it may not be what does the "
        "task. More edges, more examples or another ablation may find a better one."
    )


def _explanation(error: BaseException, folder: Path, step: int) -> tuple[str, bool]:
    """What a person should read of an error, and whether that explains it without a traceback."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped from the keyboard", False
    if is_out_of_memory(error):
        first = str(error).partition(". ")[0]
        return (
            f"The memory does not suffice (after step {step}): {first}. Take shorter or fewer "
            "examples, a smaller model or another method."
        ), True
    if not isinstance(error, CtvizError):
        return f"{type(error).__name__}: {error}", False
    return f"{error}{_what_is_left(folder) if isinstance(error, UndefinedMetric) else ''}", True


def _what_is_left(folder: Path) -> str:
    kept = latest_checkpoint(folder)
    if kept is None:
        return " There is no checkpoint: it happened before the first snapshot after the start."
    return f" The last good weights are those of step {kept[1]}, in {kept[0].name}."
