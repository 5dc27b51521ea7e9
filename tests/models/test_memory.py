"""How many examples are run at a time, and what happens if they are too many."""

from __future__ import annotations

import pytest
import torch

from ctviz.errors import CtvizError
from ctviz.models.memory import examples_at_a_time, fewer_at_a_time, free_memory, workspace

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("each", "room", "most", "found"),
    [(10, 35, 8, 3), (10, 1000, 8, 8), (10, 9, 8, 1), (10, 10, 0, 1)],
)
def test_as_many_examples_as_there_is_room_for_but_one_at_least(each, room, most, found):
    assert examples_at_a_time(each, room=room, most=most) == found


def test_the_workspace_is_an_eighth_of_what_is_free_and_has_a_limit():
    assert free_memory(CPU) > 0
    assert workspace(CPU, 800) == 100
    assert workspace(CPU, 2**50) == 96 * 2**20


def test_half_as_many_each_time_until_there_is_room():
    tried, told = [], []

    def work(size):
        tried.append(size)
        if size > 2:
            raise torch.OutOfMemoryError
        return f"{size} at a time"

    found = fewer_at_a_time(work, 11, device=CPU, when="step 1", before_again=told.append)
    assert found == "2 at a time"
    assert (tried, told) == ([11, 5, 2], [5, 2])


def test_no_room_for_one_and_other_errors_are_told_apart():
    def too_much(size):
        raise MemoryError

    def wrong(size):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(CtvizError, match=r"cpu does not suffice for one example.*\(step 3\)"):
        fewer_at_a_time(too_much, 4, device=CPU, when="step 3", before_again=lambda size: None)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fewer_at_a_time(wrong, 4, device=CPU, when="step 3", before_again=pytest.fail)
