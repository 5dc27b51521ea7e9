"""The process that runs models for a page: it answers as the functions it calls do, and may end."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from ctviz import paths
from ctviz.errors import EngineFailed, MissingModel
from ctviz.inspection.answers import ModelAtStep, PreparedPrompt
from ctviz.inspection.prompt import own_prompt
from ctviz.inspection.reading import read_node, with_answer
from ctviz.runs import open_run
from ctviz.serving.client import Engine
from ctviz.serving.engine import ANSWERS, serve
from ctviz.tuning.stored_weights import model_at
from tests.written_files import jsonl, pairs

SAMPLE = paths.shipped_runs() / "sample-sva-flip"
LIVE, FIRST = (ModelAtStep(str(SAMPLE), step, ()) for step in (60, 0))
TYPED = ("The keys to the cabinet", " are", " is", "")


@contextlib.contextmanager
def stopped(engine: Engine) -> Iterator[Callable[[], None]]:
    """Hold an engine's process so that it cannot answer; what is yielded kills it."""
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    yield lambda: os.kill(pid, signal.SIGKILL)


def running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def test_it_is_not_started_before_it_is_asked():
    made = Engine()
    assert made.pid is None
    made.close()


@pytest.mark.slow
def test_it_answers_as_the_functions_it_calls(engine):
    loaded = model_at(open_run(SAMPLE), 60)
    prompt = with_answer(loaded, own_prompt(loaded, TYPED[0], answer=TYPED[1], foil=TYPED[2]))
    assert engine.ask("prepare_own", LIVE, *TYPED) == PreparedPrompt(
        prompt, " are", " is", likeliest=False
    )
    asked, here = engine.ask("read_node", LIVE, prompt, "a2.h1"), read_node(loaded, prompt, "a2.h1")
    assert asked.whole.value == pytest.approx(here.whole.value, abs=1e-5)
    np.testing.assert_allclose(asked.attention, here.attention, atol=1e-6)
    assert [token for token, _ in asked.promotes] == [token for token, _ in here.promotes]


@pytest.mark.slow
def test_a_probe_is_the_one_that_was_stored_or_refused(engine):
    tokens = next(iter(open_run(SAMPLE).snapshots())).probes[1].tokens
    assert engine.ask("prepare_probe", LIVE, FIRST, 1, tokens).prompt.tokens == tokens
    with pytest.raises(EngineFailed, match="no longer those of this run"):
        engine.ask("prepare_probe", LIVE, FIRST, 0, tokens)


@pytest.mark.slow
def test_examples_that_are_fewer_now_are_refused_in_words(engine):
    with pytest.raises(EngineFailed, match="no longer those of this run"):
        engine.ask("prepare_probe", LIVE, FIRST, 10_000, ("a",))


@pytest.mark.slow
def test_what_it_refuses_is_said_and_it_goes_on(engine):
    engine.ask("load", LIVE)
    pid = engine.pid
    with pytest.raises(EngineFailed, match="it has those of step 0, 30, 60"):
        engine.ask("load", ModelAtStep(str(SAMPLE), 14, ()))
    with pytest.raises(EngineFailed, match="The prompt is empty"):
        engine.ask("prepare_own", LIVE, "", "", "", "")
    with pytest.raises(
        EngineFailed, match=r"^AttributeError: .*[^.]\. The log of the app says more"
    ):
        engine.ask("load", 3)
    engine.ask("load", LIVE)
    assert engine.pid == pid


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Engine]]:
    """Engines of a process that does as it is told instead."""
    made = []

    def tell(code: str) -> Engine:
        def start(_: object, **options: Any) -> subprocess.Popen[bytes]:
            return started([sys.executable, "-c", code], **options)

        monkeypatch.setattr("ctviz.serving.client.subprocess.Popen", start)
        made.append(Engine())
        return made[-1]

    started = subprocess.Popen
    yield tell
    for engine in made:
        engine.close()


READ = "import os, sys; os.read(0, 9); "


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (READ + "sys.exit(3)", "2 times .* exit code 3; the log of the app says more"),
        (READ + "os._exit(7)", "exit code 7; the log"),
        (READ + "os.kill(os.getpid(), 9)", "exit code -9: perhaps there is too little memory"),
        (READ + "print('cuda is here', flush=True); sys.exit(0)", r"exit code 0\. Reload"),
        (READ + "os.write(1, b'N.'); sys.stdin.buffer.read()", r"exit code 0\. Reload"),
    ],
)
def test_how_it_ended_is_said(told, code, said):
    with pytest.raises(EngineFailed, match=said):
        told(code).ask("load")


def test_one_that_cannot_be_started_is_said(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(EngineFailed, match=r"cannot be started: .*No such file"):
        Engine().ask("load")


def test_what_cannot_be_sent_is_an_answer_too():
    found = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ANSWERS, "load", lambda: threading.Lock())
        serve(io.BytesIO(pickle.dumps(("load", ()))), found)
    done, said = pickle.loads(found.getvalue())
    assert not done
    assert said.startswith("TypeError: cannot pickle")


@pytest.mark.slow
def test_if_it_ends_while_it_is_asked_another_answers(engine):
    engine.ask("load")
    before = engine.pid
    with stopped(engine) as end:
        threading.Timer(0.3, end).start()
        assert engine.ask("prepare_own", LIVE, *TYPED).answer == " are"
    assert engine.pid != before


@pytest.mark.slow
def test_if_it_ended_between_questions_nobody_notices(engine):
    engine.ask("load")
    before = engine.pid
    os.kill(before, signal.SIGKILL)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)  # dead, and still to be noticed
    assert engine.ask("prepare_own", LIVE, *TYPED).answer == " are"
    assert engine.pid != before


@pytest.mark.slow
def test_it_can_be_closed_while_it_is_asked():
    made, failed = Engine(), []
    made.ask("load")

    def ask() -> None:
        with pytest.raises(EngineFailed, match="The app is ending"):
            made.ask("load")
        failed.append(True)

    with stopped(made):
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        made.close()  # returns, though nothing is answered
        for thread in threads:
            thread.join(timeout=30)
    assert failed == [True] * 3
    assert made.pid is None


@pytest.mark.slow
def test_threads_get_their_own_answers(engine):
    texts = [f"The {noun}" for noun in ("key", "keys", "cabinet", "author", "authors", "girl")]
    found: dict[str, PreparedPrompt] = {}

    def ask(text: str) -> None:
        found[text] = engine.ask("prepare_own", LIVE, text, " is", "", "")

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = model_at(open_run(SAMPLE), 60)
    for text in texts:
        assert found[text].prompt == own_prompt(loaded, text, answer=" is")


class Left(BaseException):
    """What ends the script of a page that was left."""


def ask_in_thread(engine: Engine, *question: object, leave: threading.Event) -> dict[str, Any]:
    """Ask as a page does, until it is left; positions, answer and end are put into what is
    returned."""
    seen: dict[str, Any] = {"ahead": []}

    def waiting(ahead: int) -> None:
        seen["ahead"].append(ahead)
        if leave.is_set():
            raise Left

    def ask() -> None:
        try:
            seen["answer"] = engine.ask(*question, keep=True, waiting=waiting)
        except (Left, EngineFailed) as error:
            seen["ended"] = error

    seen["thread"] = threading.Thread(target=ask)
    seen["thread"].start()
    deadline = time.monotonic() + 30
    while not seen["ahead"] and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


@pytest.mark.slow
def test_a_question_that_is_withdrawn_does_not_keep_the_others_waiting(engine):
    engine.ask("load")
    before, first, second = engine.pid, threading.Event(), threading.Event()
    with stopped(engine):  # it would never answer
        one = ask_in_thread(engine, "prepare_own", LIVE, "One", " is", "", "", leave=first)
        two = ask_in_thread(engine, "prepare_own", LIVE, "Two", " is", "", "", leave=second)
        three = ask_in_thread(engine, "prepare_own", LIVE, "Three", " is", "", "", leave=first)
        assert (one["ahead"][0], two["ahead"][0], three["ahead"][0]) == (0, 1, 2)
        first.set()
        for each in (one, two, three):
            each["thread"].join(timeout=60)
    assert isinstance(one["ended"], Left)
    assert isinstance(three["ended"], Left)
    assert two["answer"].answer == " is"
    assert two["ahead"][-1] == 0  # it was told that it came first
    assert engine.pid != before
    assert not engine.kept("prepare_own", LIVE, "One", " is", "", "")
    assert not engine.kept("prepare_own", LIVE, "Three", " is", "", "")


@pytest.mark.slow
def test_who_comes_back_in_time_finds_the_question_going_on(engine):
    """A page that is drawn anew leaves its question and asks it again."""
    engine.ask("load")
    before, leave = engine.pid, threading.Event()
    question = ("prepare_own", LIVE, "Back again", " is", "", "")
    with stopped(engine):
        gone = ask_in_thread(engine, *question, leave=leave)
        leave.set()
        gone["thread"].join(timeout=30)
        back = ask_in_thread(engine, *question, leave=threading.Event())
        other = ask_in_thread(engine, *question, leave=threading.Event())
        time.sleep(2.5)  # longer than the grace
        assert engine.pid == before
        os.kill(before, signal.SIGCONT)
        for each in (back, other):
            each["thread"].join(timeout=30)
    assert back["answer"] == other["answer"]
    assert other["ahead"][0] == 0  # the same question is no other one
    assert engine.pid == before


@pytest.mark.slow
def test_what_was_answered_is_answered_again_without_the_process(engine):
    question = ("prepare_own", LIVE, "Once", " is", "", "")
    assert not engine.kept(*question)
    answer = engine.ask(*question, keep=True)
    assert engine.kept(*question)
    with stopped(engine) as end:
        assert engine.ask(*question, keep=True) == answer
        end()
    with pytest.raises(EngineFailed, match="The prompt is empty"):
        engine.ask("prepare_own", LIVE, "", "", "", "", keep=True)
    assert not engine.kept("prepare_own", LIVE, "", "", "", "")  # a failure is not


@pytest.mark.slow
def test_it_ends_when_the_page_does():
    page = (
        "from ctviz.serving.client import Engine; import os, sys; engine = Engine(); "
        "engine.ask('load'); print(engine.pid, flush=True); sys.stdin.read(); os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", page], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert running(pid)
        process.communicate()
    deadline = time.monotonic() + 30
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(pid)


@pytest.mark.slow
def test_a_check_is_answered_without_torch_in_the_page(tmp_path):
    """The page has the report and what it mends, and no tokenizer."""
    rows = [*pairs(12), {"clean": "One key", "corrupt": "One", "answer": "is", "foil": "are"}]
    file = jsonl(tmp_path / "a.jsonl", rows)
    code = (
        "import sys; from pathlib import Path; from ctviz.serving.client import Engine\n"
        "engine = Engine(); report = engine.ask('check_file', sys.argv[1], 'tiny')\n"
        "print(len(report.problems), report.good, *report.previews[0].answer, sep=',')\n"
        "print(report.write_fixed(Path(sys.argv[2]), {'drop'}))\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules]); engine.close()"
    )
    arguments = [sys.executable, "-c", code, file, str(tmp_path / "b.jsonl")]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:3] == ["1,12, are", "12", "[]"]


def test_a_model_that_is_not_here_is_named_by_the_check(tmp_path):
    file = jsonl(tmp_path / "a.jsonl", pairs(3))
    with pytest.raises(MissingModel, match="nobody/nothing is not on this machine"):
        ANSWERS["check_file"](file, "nobody/nothing")
