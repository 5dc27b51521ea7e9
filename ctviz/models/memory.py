"""How much memory there is, how many examples go into it at a time, and what if it runs out.

What is kept of an example differs: attribution keeps a run for its backward pass, a patched run
what every source writes. Each says how many bytes that is; what they may take is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

from ctviz.errors import CtvizError
from ctviz.models.limits import available_memory

__all__ = [
    "PATCHED_RUN",
    "examples_at_a_time",
    "fewer_at_a_time",
    "free_memory",
    "is_out_of_memory",
    "memory_to_plan_with",
    "planned_with",
    "workspace",
]

PATCHED_RUN = 768 * 2**20  # bytes that what the sources of one micro-batch write may take
WORKSPACE = {"cpu": 96 * 2**20, "cuda": 2**31, "mps": 2**29}  # bytes, at most
_planned: ContextVar[int | None] = ContextVar("planned", default=None)
T = TypeVar("T")


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device: of the memory of this process, for CPU and MPS."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()


@contextmanager
def planned_with(free: int) -> Iterator[None]:
    """Let all that is planned inside the block take it that so many bytes are free: what is run at
    a time, and with it the last digits of a result, does not depend on what else is running."""
    token = _planned.set(free)
    try:
        yield
    finally:
        _planned.reset(token)


def memory_to_plan_with(device: torch.device) -> int:
    """Bytes: what `planned_with` says, else what is free."""
    planned = _planned.get()
    return free_memory(device) if planned is None else planned


def workspace(device: torch.device, free: int) -> int:
    """Bytes that a computation may take for what it keeps beside its runs: an eighth of the memory
    to plan with, and no more than WORKSPACE."""
    return min(WORKSPACE.get(device.type, 2**26), free // 8)


def examples_at_a_time(each: int, *, room: int, most: int) -> int:
    """How many examples of ``each`` bytes go into ``room`` bytes: from 1 to ``most``."""
    return max(1, min(most, room // each))


def fewer_at_a_time(
    work: Callable[[int], T],
    size: int,
    *,
    device: torch.device,
    when: str,
    before_again: Callable[[int], None],
) -> T:
    """Do something for ``size`` examples at a time, for half as many each time memory runs out.

    ``before_again`` is told the new number and lets go of what the last try has left. Raises
    CtvizError, which says of which device and ``when``, if there is no room even for one example.
    """
    while True:
        try:
            return work(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise CtvizError(
                    f"The memory of {device} does not suffice for one example at a time ({when}). "
                    "Take shorter examples or a smaller model."
                ) from error
        size //= 2
        before_again(size)
        _release()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in said
        or "allocate memory" in said
        or "not enough memory" in said
        or "status_alloc_failed" in said  # of cuBLAS and cuDNN
    )


def _release() -> None:
    """Give back what torch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
