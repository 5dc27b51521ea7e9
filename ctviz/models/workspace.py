"""Memory that is kept between calls.

Memory that is new to the process can cost more time than what is computed in it: every page of it
has to be found and cleared first. Tuning attributes at each step, each time with the same needs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Workspace"]


class Workspace:
    """Tensors by name, whose contents nobody relies on from one call to the next."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(
        self, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """A contiguous tensor with any contents; the next one of that name shares its memory."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.dtype != dtype or kept.device != device or kept.numel() < size:
            self._kept.pop(name, None)  # first, so that the two are never there together
            self._kept[name] = torch.empty(size, dtype=dtype, device=device)
        return self._kept[name][:size].view(shape)
