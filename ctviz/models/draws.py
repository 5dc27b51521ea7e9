"""Random numbers of those who draw their own: what is done in between does not change them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["draws_untouched"]


@contextmanager
def draws_untouched() -> Iterator[None]:
    """Give every random state back as it was: Python's, numpy's, and torch's on all devices."""
    plain, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)
