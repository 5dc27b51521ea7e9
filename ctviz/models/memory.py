"""Running out of memory: recognizing it, and saying so."""

from __future__ import annotations

import torch

__all__ = ["is_out_of_memory", "release"]


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


def release() -> None:
    """Give back what torch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
