"""Phases and ticks, on a clock that the tests set."""

from __future__ import annotations

import contextlib
import threading

import pytest

from ctviz import progress
from ctviz.progress import Cancelled, Progress, parts, phase, share, tick


class Clock:
    """Stands for `time`: seconds pass when a test says so."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_where_nobody_listens_nothing_happens():
    tick()
    with phase("load") as advance, share(0, 1):
        advance(3)
    assert list(parts([1, 2])) == [1, 2]


def test_a_phase_says_how_far_it_is_how_fast_and_how_long_it_still_takes(clock):
    seen = []
    with Progress(lambda p: seen.append(p.phase), plan={"steps": 4}) as job:
        for step in range(2):
            with phase("steps", at=step, total=4, unit="step"):
                clock.now += 5
        with phase("steps", at=2, total=4, unit="step"):
            clock.now += 1
            assert job.phase == progress.Phase("steps", 2, 4, "step", 0.2, 9.0)
            assert job.left == 9.0
            clock.now += 9  # longer than the others: one whole step is left at least
            assert job.left == 5.0
        assert job.phase is None
        assert job.left == pytest.approx(20 / 3)
        assert job.measured == {"steps": {"units": 3, "seconds": 20}}
    assert seen[0] == progress.Phase("steps", 0, 4, "step", None, None)


def test_parts_are_equal_shares_of_what_is_around_them(clock):
    done = []
    with Progress(lambda p: None) as job, phase("load"):
        with share(0, 0.5):
            for _ in parts("ab"):
                for _ in parts("cde"):
                    done.append(round(12 * job.phase.done))
        done.append(round(12 * job.phase.done))
        for _ in parts("ab"):  # from the start again, but nothing that is done is undone
            done.append(round(12 * job.phase.done))
        clock.now += 6
        assert job.phase.done == 1
    assert done == [0, 1, 2, 3, 4, 5, 6, 6, 6]


def test_the_rest_of_a_phase_is_told_from_what_is_done_of_it(clock):
    with Progress(lambda p: None, plan={"load": 1}) as job, phase("load"):
        for at in parts(range(4)):
            clock.now += 2
            assert job.left == (None if at == 0 else pytest.approx(2 * (at + 1) * (4 - at) / at))


def test_the_whole_job_needs_every_phase(clock):
    with Progress(lambda p: None, plan={"load": 1, "steps": 2, "snapshots": 3}) as job:
        with phase("load"):
            clock.now += 1
        assert job.left is None
        job.expect("steps", 10)
        job.expect("snapshots", 4)
        assert job.left == 32
        job.done("snapshots", 2)
        assert job.left == 24
        with phase("snapshots", at=2, total=3):
            clock.now += 1
        assert job.left == 20


def test_bytes_are_counted_also_by_other_threads(clock):
    with Progress(lambda p: None) as job, phase("fetch", total=1, unit="B") as advance:

        def fetch() -> None:
            for _ in range(3):
                clock.now += 1
                advance(100, total=600)

        thread = threading.Thread(target=fetch)
        thread.start()
        thread.join()
        assert job.phase == progress.Phase("fetch", 300, 600, "B", 100, 3)


def test_a_phase_inside_another_is_a_part_of_it(clock):
    with Progress(lambda p: None) as job, phase("final evaluation"):
        with phase("load"):
            assert job.phase.name == "final evaluation"
        assert job.phase.name == "final evaluation"


def test_reports_and_looks_come_a_few_times_a_second(clock):
    told, looked = [], []
    with Progress(lambda p: told.append(1), cancelled=lambda: bool(looked.append(1))), phase("a"):
        begun = len(told), len(looked)
        for _ in range(1000):
            clock.now += 1 / 1024
            tick()
    assert len(told) - begun[0] == 3
    assert len(looked) - begun[1] == 4


def work(clock: Clock, asked: list[int]) -> None:
    with phase("load"):
        tick()
        asked.append(1)
        tick()  # too soon after the last look
        clock.now += progress.LOOK
        with contextlib.suppress(Exception):
            tick()


def test_a_cancel_acts_at_the_next_look_and_no_handler_of_errors_stops_it(clock):
    asked = []
    with Progress(lambda p: None, cancelled=lambda: bool(asked)) as job:
        with pytest.raises(Cancelled):
            work(clock, asked)
        assert job.phase is None
        asked.clear()
        with phase("load"):  # the listener goes on
            clock.now += 1
    assert job.measured["load"]["units"] == 1


def test_a_job_inside_another_tells_it_and_is_cancelled_with_it(clock):
    outer, inner, asked = [], [], []
    with (
        Progress(lambda p: outer.append(p.phase.name if p.phase else "")) as whole,
        Progress(lambda p: inner.append(1), cancelled=lambda: False),
        phase("steps"),
    ):
        pass
    assert outer == ["steps"]
    assert len(inner) == 1
    assert whole.measured == {}
    asked.append(1)
    with (
        Progress(lambda p: None, cancelled=lambda: bool(asked)),
        Progress(lambda p: None),
        pytest.raises(Cancelled),
        phase("steps"),
    ):
        raise AssertionError("this is not reached")
