"""Mean and standard error of many numbers over examples, streamed."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["RunningStats"]


class RunningStats:
    """Mean and spread over examples that arrive in parts, in float64 on the CPU.

    Parts are merged as in Chan, Golub and LeVeque 1979, so that neither the order nor the size of
    the parts changes the result beyond rounding.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self._squares = torch.zeros(shape, dtype=torch.float64)  # of deviations from the mean

    def add(self, values: Tensor) -> None:
        """Take in [example, ...]."""
        n = len(values)
        mean = values.mean(dim=0)
        squares = (values - mean).square_().sum(dim=0).cpu().double()  # MPS has no float64
        mean = mean.cpu().double()
        total = self.count + n
        apart = mean - self.mean
        self._squares += squares + apart.square() * (self.count * n / total)
        self.mean += apart * (n / total)
        self.count = total

    @property
    def standard_error(self) -> Tensor:
        """Sample standard deviation over examples / sqrt(examples); NaN for a single example."""
        if self.count < 2:
            return torch.full_like(self.mean, torch.nan)
        return (self._squares / (self.count - 1) / self.count).sqrt()
