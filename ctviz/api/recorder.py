"""Record a training while it runs: as a callback of transformers' Trainer, or in one's own loop.

::

    Trainer(..., callbacks=[ctviz.Recorder("sva", every=50)])

    with ctviz.Recorder("sva", tokenizer=tokenizer) as recorder:
        for step, batch in enumerate(batches, 1):
            ...
            recorder.snapshot(model, step, loss=float(loss))
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, TrainerCallback

from ctviz import paths
from ctviz.api.run import Run
from ctviz.circuits.selection import check_edges
from ctviz.errors import CtvizError
from ctviz.models.loading import Loaded, load
from ctviz.models.places import place_of
from ctviz.runs import RunWriter
from ctviz.runs.changes import changes
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot
from ctviz.runs.writer import new_folder
from ctviz.series.recording import Aim, Recording
from ctviz.series.replica import Replica, untouched
from ctviz.tasks import find_task
from ctviz.tuning.about import about_measured

__all__ = ["Recorder"]

log = logging.getLogger(__name__)

SHARE = 0.05  # of the training's time that recording takes, if no interval is asked for
UNKNOWN = 10**9  # steps of a loop that does not say how many it takes


class Recorder(TrainerCallback):
    """Records the circuits of a model while something else trains it.

    ``task``: a task's name or a file of examples. ``every``: steps between snapshots; None takes
    them as often as they cost at most `SHARE` of the time, the first and the last one in any case.
    ``tokenizer``: the model's, or its name; None takes that of the Trainer, or of the model's name.
    ``out``: the folder in which the run gets a folder of its own. ``settings`` are those of
    `ctviz.runs.config.TuneConfig` that say what is measured, such as ``edges`` or ``examples``.

    The training is not touched: what is looked at is a copy of the model, which takes the memory of
    a second one, and random states are given back. What goes wrong is a warning and a notice in the
    run. Under DDP the first process records. ``run``: the run, once it has begun; ``share``: of the
    time since then, what recording has taken. Raises what a wrong task or setting raises, at once.
    """

    def __init__(
        self,
        task: str | os.PathLike[str],
        *,
        every: int | None = None,
        tokenizer: PreTrainedTokenizerBase | str | None = None,
        out: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        self.task, self.every, self.tokenizer = find_task(os.fspath(task)), every, tokenizer
        if every is not None and every < 1:
            raise CtvizError(f"every is {every}, but must be 1 step or more, or None.")
        self.parent = Path(out).expanduser() if out else paths.runs()
        self.settings = settings
        self._asked("tiny").check_startable()
        self._steps = UNKNOWN
        self.run: Run | None = None
        self.seconds = 0.0  # that recording has taken
        self._began = self._since = time.perf_counter()
        self._cost = 0.0  # seconds of the last snapshot
        self._off = False  # recording was given up
        self._writer: RunWriter | None = None
        self._replica: Replica | None = None
        self._loaded: Loaded | None = None
        self._recording: Recording | None = None
        self._earlier: list[Snapshot] = []
        self._step = 0

    @property
    def share(self) -> float:
        """Of the time since it began, the share that recording has taken."""
        return self.seconds / max(1e-9, time.perf_counter() - self._began)

    # ------------------------------------------------------------------ a loop of one's own

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close("" if kind is None else f"the training ended with {kind.__name__}")

    def snapshot(self, model: nn.Module, step: int, *, loss: float | None = None) -> bool:
        """Look at the model after a step, if it is time to; returns whether it was. ``loss``: of
        the training, kept at every step that is told."""
        if self._off or not _first_process():
            return False
        if loss is not None and self._writer is not None:
            self._try(lambda: self._tell_loss(step, loss))
        due = self._due(step)
        if due:
            self._try(lambda: self._take(model, step))
        return due

    def close(self, why: str = "") -> None:
        """The training is over, ``why`` if it did not end by itself."""
        if self._writer is None or self._off:
            return
        self._off = True
        writer = self._writer
        if self._recording is None or self._loaded is None or why:
            self._status("interrupted" if not why else "failed", why or "it had not begun")
            return

        def end() -> None:
            assert self._recording is not None
            assert self._loaded is not None
            after = self._recording.grades(self._loaded)
            self._describe(after=after)
            self._status("finished", f"recording took {self.share:.1%} of the time")

        with untouched():
            try:
                end()
            except Exception as error:
                writer.notice(f"The last grades are not known: {error}")
                self._status("finished", "")

    # ------------------------------------------------------------------ transformers' Trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The model before the first step, or from where a training goes on."""
        if self.tokenizer is None:
            self.tokenizer = more.get("processing_class") or more.get("tokenizer")
        self._steps = max(1, state.max_steps)
        self.snapshot(more["model"], state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The model after a step."""
        self.snapshot(more["model"], state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The Trainer's own loss."""
        loss = (more.get("logs") or {}).get("loss")
        if loss is not None and self._writer is not None and not self._off:
            self._try(lambda: self._tell_loss(state.global_step, float(loss)))

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The model after the last step."""
        if _first_process() and not self._off and self._step != state.global_step:
            self._try(lambda: self._take(more["model"], state.global_step))
        self.close()

    # ------------------------------------------------------------------ recording

    def _due(self, step: int) -> bool:
        if self._writer is None:
            return True
        if step <= self._step:
            return False
        if self.every is not None:
            return step % self.every == 0
        return self._cost <= SHARE * (time.perf_counter() - self._since)

    def _try(self, work: Callable[[], None]) -> None:
        """Do something beside the training, which goes on whatever comes of it."""
        began = time.perf_counter()
        try:
            with untouched():
                work()
        except Exception as error:
            said = f"Nothing was recorded at this point: {error}"
            log.warning("%s", said, exc_info=not isinstance(error, CtvizError))
            if self._recording is None:
                self._off = True  # it would be the same at the next step
            if self._writer is not None:
                self._writer.notice(said)
                try:
                    self._status("failed" if self._off else "running", said)
                except Exception:
                    self._off = True  # not even that can be written
        finally:
            now = time.perf_counter()
            self._cost, self._since = now - began, now
            self.seconds += now - began

    def _take(self, model: nn.Module, step: int) -> None:
        if self._replica is None:
            self._begin(model, step)
        else:
            self._replica.update(model)
        assert self._recording is not None
        assert self._loaded is not None
        assert self._writer is not None
        first = not self._earlier
        snapshot = self._recording.snapshot(self._loaded, step, first=first)
        graph = self._loaded.anatomy.graph
        snapshot.metrics.update(changes(self._earlier, snapshot, graph))
        self._earlier = [*self._earlier[:1], snapshot]
        self._writer.snapshot(snapshot)
        self._step = step
        self._describe(recorder={"seconds": round(self.seconds, 3), "share": round(self.share, 4)})
        self._status("running", f"metric {snapshot.metrics['metric']:+.2f} at step {step}")

    def _begin(self, model: nn.Module, step: int) -> None:
        self._began = time.perf_counter()
        self._replica = Replica(model)
        name = self._replica.model.name_or_path or type(self._replica.model).__name__
        config = self._config(name, max(1, self._steps, step))
        slug = f"{self.task.slug}-{Path(name).name.lower()}-recorded"
        self._writer = RunWriter(new_folder(self.parent, slug), config)
        self.run = Run(self._writer.folder)
        tokenizer = self.tokenizer or place_of(name).tokenizer
        self._loaded = load(self._replica.model, tokenizer=tokenizer, mlp_block=config.mlp_block)
        check_edges(self._loaded.anatomy.graph, config.edges, hint=f"({name})")
        aim = Aim.of(self._loaded, config)
        self._recording = Recording(self._loaded, config, aim)
        about = about_measured(
            self._loaded,
            config,
            self._recording.dataset,
            self._recording.retention,
            aim.attribution,
        )
        self._describe(**about)
        self._describe(before=self._recording.grades(self._loaded, first=True))

    def _config(self, model: str, steps: int) -> TuneConfig:
        asked = self._asked(model)
        return replace(
            asked, method="recorded", steps=steps, train_examples=asked.examples, snapshot_every=0
        )

    def _asked(self, model: str) -> TuneConfig:
        return TuneConfig.from_dict({**self.settings, "model": model, "task": self.task.name})

    def _tell_loss(self, step: int, loss: float) -> None:
        assert self._writer is not None
        self._writer.numbers(step, loss=loss)

    def _describe(self, **about: Any) -> None:
        assert self._writer is not None
        assert self._loaded is not None
        self._writer.describe(self._loaded.anatomy.graph, **about)

    def _status(self, state: Any, message: str) -> None:
        assert self._writer is not None
        self._writer.status(state, step=self._step, message=message)


def _first_process() -> bool:
    distributed = torch.distributed
    on = distributed.is_available() and distributed.is_initialized()
    return not on or distributed.get_rank() == 0
