"""Record a series of weights as a run: each member is loaded, measured, written down and let go.

What is recorded of a member is the snapshot of a step of tuning, so that all that plays a run plays
this one. The last member is loaded first, since it decides how edges are scored and what is worth
measuring; the first one is what distances are from.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from ctviz.circuits.selection import check_edges
from ctviz.errors import CtvizError, RunExists, Unreachable
from ctviz.jobs.difference import CLAIMS, difference
from ctviz.jobs.run_log import run_log
from ctviz.models.hub import Borrowed
from ctviz.models.loading import Loaded, load
from ctviz.progress import Cancelled, Phase, Progress, phase, share
from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.changes import changes
from ctviz.runs.config import TuneConfig
from ctviz.runs.difference import write_difference
from ctviz.runs.series import Member, Series
from ctviz.runs.snapshot import Snapshot
from ctviz.runs.status import State
from ctviz.series.recording import Aim, Recording
from ctviz.tuning.about import about_measured

__all__ = ["record"]

log = logging.getLogger(__name__)

LOADING = 0.3  # of the time of a member
Called = Callable[[int, int, str], None]


def record(
    series: Series,
    config: TuneConfig,
    folder: Path,
    *,
    compared: bool = False,
    resume: bool = False,
    progress: Called | None = None,
) -> dict[str, Any]:
    """Record a series into a run directory; returns its outcome in numbers.

    Of ``config`` count the task and how things are measured; model, method and steps are the
    series'. ``compared``: at the end it is measured what the last one does differently from the
    first (`ctviz.jobs.difference`), and kept with the run. With ``resume`` the folder holds a
    recording that did not finish: members that have their snapshot are not measured again. A member
    that cannot be read or is of another kind is named in ``skipped`` and passed over. Raises
    CtvizError if fewer than two can be recorded.
    """
    if resume and open_run(str(folder)).status().state == "finished":
        raise RunExists(f"{folder} is finished: there is nothing to resume.")
    if resume:
        done = [snapshot.step for snapshot in Run(folder).snapshots()]
        writer = RunWriter.resume(folder, done[-1] if done else 0)
    else:
        writer = RunWriter(
            folder, series.settings(config), series=series.to_dict(), compared=compared
        )
    job = _Job(writer, series, progress)
    with run_log(folder / "log.txt") as write_error:
        try:
            with job.listening:
                try:
                    return job.whole()
                except Cancelled:
                    return job.stop()
                finally:
                    job.borrowed.let_all_go()
        except BaseException as error:
            known = isinstance(error, CtvizError)
            said = str(error) if known else f"{type(error).__name__}: {error}"
            with suppress(OSError):
                kind = type(error).__name__ if known else ""
                writer.status("failed", step=job.step, message=said, failure=kind)
            write_error(f"failed at step {job.step}: {said}", None if known else error)
            raise


class _Job:
    """One recording, told to a run directory as it goes."""

    def __init__(self, writer: RunWriter, series: Series, progress: Called | None) -> None:
        self.writer, self.folder, self.config = writer, writer.folder, writer.config
        self.series, self.progress = series, progress
        self.started = time.perf_counter()
        self.state: State = "starting"
        self.message = "loading the last one, which decides how edges are scored"
        self.phase: Phase | None = None
        self.step = 0
        self.earlier = list(Run(self.folder).snapshots())
        about = Run(self.folder).about
        self.prints: dict[str, str] = dict(about.get("fingerprints", {}))  # by step
        self.repeated: dict[str, int] = dict(about.get("repeated", {}))  # step: of which step
        self.skipped: dict[str, str] = dict(about.get("skipped", {}))  # model: why
        self.borrowed = Borrowed(self.folder / "borrowed.json")
        count = len(series.members)
        plan = {"load": 1.0, "first": 2.0, "snapshots": float(count), "last": 1.0}
        self.compared = bool(about.get("compared"))
        if self.compared:
            plan |= {"answers": 2.0, "swaps": 4.0 * CLAIMS}
        self.listening = Progress(self._tell, cancelled=writer.cancelled, plan=plan)

    def whole(self) -> dict[str, Any]:
        """Record every member that is left, and compare the last with the first if that is asked
        for."""
        self._record()
        if self.compared:
            self._compare()
        judged = str(Run(self.folder).about["task"]["judged_by"])
        before, after = (Run(self.folder).about[part][judged] for part in ("before", "after"))
        said = f"{judged} {before:.2f} before, {after:.2f} after, on test examples"
        self._say("finished", said)
        return self._outcome("finished")

    def _compare(self) -> None:
        self.message = "measuring what the last one does differently"
        run = Run(self.folder)
        try:
            write_difference(run, difference(run, device=self.config.device))
        except CtvizError as error:
            self.writer.notice(f"What they do differently could not be measured: {error}")
            log.warning("what differs could not be measured: %s", error)

    def _record(self) -> None:
        config, members = self.config, list(self.series.members)
        log.info("config: %s", json.dumps(config.to_dict()))
        aim = self._aim(members)
        first, recording = self._begin(members, aim)
        known = {snapshot.step for snapshot in self.earlier}
        last: Loaded | None = first
        newest = members[0]
        self.state = "running"
        for at, member in enumerate(members):
            self.message = f"{member.words}, {at + 1} of {len(members)}"
            if member.step in known and 0 < at < len(members) - 1:
                continue
            last = loaded = None  # let go before the next one comes
            with phase("snapshots", at=at, total=len(members), unit="model"):
                with share(0.0, LOADING):
                    loaded = first if at == 0 else self._load(member, recording)
                if loaded is None:
                    continue
                last, newest = loaded, member
                self._print(loaded, member)
                if member.step not in known:
                    with share(LOADING, 1.0):
                        self._take(recording.snapshot(loaded, member.step, first=at == 0), loaded)
                if at:  # the others are compared with the first one's files
                    self.borrowed.let_go(member.model)
            self.step = member.step
            self._say(self.state, self.message)
            if self.progress:
                self.progress(at + 1, len(members), self.message)
        if len(self.earlier) < 2:
            raise CtvizError(
                f"Of this series only {self.earlier[0].step if self.earlier else 'nothing'} could "
                f"be recorded. {' '.join(self.skipped.values())}"
            )
        self.message = "evaluating on the test examples"
        with phase("last"):
            after = recording.grades(last or self._loaded(newest))
        self.writer.describe(first.anatomy.graph, after=after)

    def stop(self) -> dict[str, Any]:
        """It was cancelled, and can be gone on with."""
        self._say("cancelled", f"at step {self.step}")
        return self._outcome("cancelled")

    def _aim(self, members: list[Member]) -> Aim:
        """What the last member that can be read decides."""
        while members:
            try:
                with phase("load"):
                    loaded = self._loaded(members[-1])
                self.borrowed.let_go(members[-1].model)
                self.message = f"reading {self.config.task}, and trying how edges are best scored"
                with phase("first", at=0, total=2):
                    return Aim.of(loaded, self.config)
            except CtvizError as error:
                if len(members) <= 2 or self._fatal(error):
                    raise
                self._skip(members.pop(), error)
        raise AssertionError

    def _begin(self, members: list[Member], aim: Aim) -> tuple[Loaded, Recording]:
        """The first member that can be read, and what it is measured by."""
        while True:
            try:
                loaded = self._loaded(members[0])
                break
            except CtvizError as error:
                if len(members) <= 2 or self._fatal(error):
                    raise
                self._skip(members.pop(0), error)
        check_edges(loaded.anatomy.graph, self.config.edges, hint=f"({loaded.name})")
        self.message = "measuring the first one"
        with phase("first", at=1, total=2):
            recording = Recording(loaded, self.config, aim)
            about = about_measured(
                loaded, self.config, recording.dataset, recording.retention, aim.attribution
            )
            self.writer.describe(loaded.anatomy.graph, **about, **self._of_series())
            if self.writer.before is None:
                before = recording.grades(loaded, first=True)
                self.writer.describe(loaded.anatomy.graph, before=before)
        for note in loaded.notes:
            self.writer.notice(note)
        return loaded, recording

    def _loaded(self, member: Member) -> Loaded:
        config = self.config
        with nullcontext() if self.series.keep_downloads else self.borrowed.bringing(member.model):
            return load(
                member.model,
                tokenizer=self.series.tokenizer or None,
                device=config.device,
                mlp_block=config.mlp_block,
            )

    def _load(self, member: Member, recording: Recording) -> Loaded | None:
        """A member, None if it cannot be read or is of another kind."""
        try:
            loaded = self._loaded(member)
        except CtvizError as error:
            if self._fatal(error):
                raise
            self._skip(member, error)
            return None
        if reason := recording.misfit(loaded):
            self._skip(member, CtvizError(f"{member.model} cannot be in this series: {reason}."))
            return None
        return loaded

    def _fatal(self, error: CtvizError) -> bool:
        """Whether it would be the same for all members, and may be otherwise another time."""
        return self.series.kind == "revisions" and isinstance(error, Unreachable)

    def _skip(self, member: Member, error: CtvizError) -> None:
        self.borrowed.let_go(member.model)
        self.skipped[member.model] = str(error)
        self.writer.notice(f"{member.words} was passed over: {error}")
        log.warning("%s was passed over: %s", member.words, error)

    def _print(self, loaded: Loaded, member: Member) -> None:
        """Say of a member that has the weights of an earlier one that it has."""
        step = str(member.step)
        self.prints[step] = loaded.fingerprint
        same = next(s for s, each in self.prints.items() if each == loaded.fingerprint)
        if same != step:
            self.repeated[step] = int(same)
            other = next(m for m in self.series.members if m.step == int(same))
            self.writer.notice(f"{member.words} has the very same weights as {other.words}.")
        self.writer.describe(loaded.anatomy.graph, **self._of_series())

    def _take(self, snapshot: Snapshot, loaded: Loaded) -> None:
        graph = loaded.anatomy.graph
        snapshot.metrics.update(changes(self.earlier, snapshot, graph))
        self.earlier = [*self.earlier, snapshot]
        self.writer.snapshot(snapshot)
        self.message = f"metric {snapshot.metrics['metric']:+.2f} at step {snapshot.step}"
        log.info("snapshot at step %d: %s", snapshot.step, json.dumps(snapshot.metrics))

    def _of_series(self) -> dict[str, Any]:
        return {
            "series": self.series.to_dict(),
            "repeated": self.repeated,
            "skipped": self.skipped,
            "fingerprints": self.prints,
        }

    def _outcome(self, state: State) -> dict[str, Any]:
        run, config = Run(self.folder), self.config
        return {
            "run": run.id,
            "folder": str(self.folder),
            "state": state,
            "task": config.task,
            "steps": [snapshot.step for snapshot in run.snapshots()],
            "names": {str(each.step): each.name for each in self.series.members if each.name},
            "repeated": {int(step): of for step, of in self.repeated.items()},
            "skipped": self.skipped,
            "before": run.about.get("before"),
            "after": run.about.get("after"),
            "notices": list(open_run(str(self.folder)).status().notices),
            "seconds": round(time.perf_counter() - self.started, 3),
        }

    def _tell(self, progress: Progress) -> None:
        self.phase = progress.phase or self.phase
        self._say(self.state, self.message)

    def _say(self, state: State, message: str) -> None:
        ended = state not in ("starting", "running")
        self.writer.status(
            state,
            step=self.step,
            message=message,
            phase=None if ended else self.phase,
            left=None if ended else self.listening.left,
            measured=self.listening.measured,
        )
