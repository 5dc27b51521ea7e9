"""Room for a model, told before it is loaded."""

from __future__ import annotations

import pytest

from ctviz.cli import main
from ctviz.errors import CtvizError
from ctviz.jobs import tune
from ctviz.models import loading, memory
from ctviz.models.known import KNOWN
from ctviz.models.loading import load
from ctviz.models.room import check_room, gigabytes, n_parameters
from ctviz.runs import open_run
from ctviz.runs.least_memory import check_tunable
from tests.short_runs import config

TINY = sum(p.numel() for p in load("tiny").model.parameters())


def test_parameters_are_counted_from_the_headers_of_the_files():
    assert n_parameters(str(KNOWN["tiny"].folder)) == TINY


@pytest.mark.parametrize(
    ("size", "said"), [(12e6, "12 MB"), (2.345e9, "2.3 GB"), (3e9, "3 GB"), (120e9, "120 GB")]
)
def test_bytes_are_said_with_two_digits(size, said):
    assert gigabytes(size) == said


def test_what_fits_is_let_through_and_what_does_not_is_said_with_numbers():
    needed = {"weights": 2 * 10**9, "gradients": 0, "moments": 10**9}
    check_room("It", needed, 3 * 10**9, "Wait.")
    with pytest.raises(CtvizError) as caught:
        check_room("It", needed, 3 * 10**9 - 1, "Wait.")
    assert str(caught.value) == (
        "It needs at least 3 GB of memory (2 GB for weights, 1 GB for moments), and 3 GB are "
        "available, limits of containers and ulimit counted. Wait."
    )


def test_loading_asks_first(monkeypatch):
    monkeypatch.setattr(loading, "free_memory", lambda device: 4 * TINY)
    load("tiny")
    monkeypatch.setattr(loading, "free_memory", lambda device: 4 * TINY - 1)
    with pytest.raises(CtvizError, match=r"Loading tiny needs at least .* for its weights"):
        load("tiny")
    load("tiny", dtype="bfloat16")


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ({"method": "circuit"}, 1),
        ({"method": "lora"}, 1),
        ({"method": "full"}, 4),
        ({"method": "full", "optimizer": "sgd"}, 3),
    ],
)
def test_the_least_that_a_run_takes(changes, times):
    least = times * 4 * TINY
    check_tunable(config(**changes), least)
    with pytest.raises(CtvizError, match="Tuning tiny by"):
        check_tunable(config(**changes), least - 1)


def test_a_run_without_room_fails_before_it_loads_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    monkeypatch.setattr(tune, "load", None)
    with pytest.raises(CtvizError, match="full fine-tuning needs at least"):
        tune.tune(config(method="full"), tmp_path / "r")
    status = open_run("r", tmp_path).status()
    assert status.state == "failed"
    assert "1 MB are available" in status.message
    assert main(["tune", "--method", "full", "--out", str(tmp_path / "none")]) == 1
    assert "Tune a circuit or by LoRA" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
