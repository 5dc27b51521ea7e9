"""The process that runs models for a page: it answers as the functions it calls do, and may end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ctviz import places
from ctviz.errors import EngineFailed
from ctviz.inspection.client import Engine
from ctviz.inspection.prompt import own_prompt
from ctviz.inspection.reading import aimed, read_node
from ctviz.inspection.readings import Aimed, Live
from ctviz.inspection.weights import model_at
from ctviz.runs import open_run
from tests.conftest import stopped

SAMPLE = places.assets() / "runs" / "sample-sva-flip"
LIVE, FIRST = (Live(str(SAMPLE), step, ()) for step in (60, 0))
TYPED = ("The keys to the cabinet", " are", " is")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def test_it_is_not_started_before_it_is_asked():
    made = Engine()
    assert made.pid is None
    made.close()


def test_it_answers_as_the_functions_it_calls(engine):
    loaded = model_at(open_run(SAMPLE), 60)
    prompt = aimed(loaded, own_prompt(loaded, TYPED[0], answer=TYPED[1], foil=TYPED[2]))
    assert engine.ask("aim_own", LIVE, *TYPED) == Aimed(prompt, " are", " is", likeliest=False)
    asked, here = engine.ask("read_node", LIVE, prompt, "a2.h1"), read_node(loaded, prompt, "a2.h1")
    assert asked.whole.value == pytest.approx(here.whole.value, abs=1e-5)
    np.testing.assert_allclose(asked.attention, here.attention, atol=1e-6)
    assert [token for token, _ in asked.promotes] == [token for token, _ in here.promotes]


def test_a_probe_is_the_one_that_was_stored_or_refused(engine):
    tokens = next(iter(open_run(SAMPLE).snapshots())).probes[1].tokens
    assert engine.ask("aim_probe", LIVE, FIRST, 1, tokens).prompt.tokens == tokens
    with pytest.raises(EngineFailed, match="no longer those of this run"):
        engine.ask("aim_probe", LIVE, FIRST, 0, tokens)


def test_what_it_refuses_is_said_and_it_goes_on(engine):
    engine.ask("load", LIVE)
    pid = engine.pid
    with pytest.raises(EngineFailed, match="it has those of step 0, 30, 60"):
        engine.ask("load", Live(str(SAMPLE), 14, ()))
    with pytest.raises(EngineFailed, match="The prompt is empty"):
        engine.ask("aim_own", LIVE, "", "", "")
    with pytest.raises(EngineFailed, match=r"AttributeError: .*what the model was asked: load"):
        engine.ask("load", 3)
    engine.ask("load", LIVE)
    assert engine.pid == pid


def test_if_it_ends_the_question_fails_and_the_next_is_answered(engine):
    engine.ask("load")
    with stopped(engine) as end:
        threading.Timer(0.3, end).start()
        with pytest.raises(EngineFailed, match=r"exit code -9, perhaps for want of memory"):
            engine.ask("aim_own", LIVE, *TYPED)
    assert engine.ask("aim_own", LIVE, *TYPED).answer == " are"


def test_if_it_ended_between_questions_nobody_notices(engine):
    engine.ask("load")
    before = engine.pid
    os.kill(before, signal.SIGKILL)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)  # dead, and still to be noticed
    assert engine.ask("aim_own", LIVE, *TYPED).answer == " are"
    assert engine.pid != before


def test_threads_get_their_own_answers(engine):
    texts = [f"The {noun}" for noun in ("key", "keys", "cabinet", "author", "authors", "girl")]
    found: dict[str, Aimed] = {}

    def ask(text: str) -> None:
        found[text] = engine.ask("aim_own", LIVE, text, " is", "")

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = model_at(open_run(SAMPLE), 60)
    for text in texts:
        assert found[text].prompt == own_prompt(loaded, text, answer=" is")


def test_it_ends_when_the_page_does():
    made = Engine()
    made.ask("load")
    process = made._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    made.close()
