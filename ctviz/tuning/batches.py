"""The order in which train examples come."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Batches"]


class Batches:
    """Rows of ``n`` train examples, ``size`` at a time, all in a new order each time around.

    What is left over at the end of a round is not taken.
    """

    def __init__(self, n: int, size: int, *, seed: int) -> None:
        self._n, self._size = n, min(size, n)
        self._generator = torch.Generator().manual_seed(seed)
        self._order: list[int] = []  # what is yet to come in this round

    def draw(self) -> list[int]:
        """The next rows."""
        if len(self._order) < self._size:
            self._order = torch.randperm(self._n, generator=self._generator).tolist()
        rows, self._order = self._order[: self._size], self._order[self._size :]
        return rows

    def state(self) -> dict[str, Tensor]:
        """What decides the rows to come."""
        order = torch.tensor(self._order, dtype=torch.int64)
        return {"generator": self._generator.get_state(), "order": order}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self._generator.set_state(state["generator"].cpu())
        self._order = state["order"].tolist()
