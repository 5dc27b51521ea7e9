"""Whether there is room for a model before it is loaded, from the headers of its files alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ctviz.errors import CtvizError
from ctviz.models.weight_files import tensor_heads, weight_files

__all__ = ["check_room", "gigabytes", "n_parameters"]


def n_parameters(where: str) -> int:
    """Numbers in the weights of a folder, or of a hub's model as far as it is here.

    Raises MissingModel as `ctviz.models.weight_files.weight_files` does.
    """
    heads = [head for file in weight_files(where) for head in tensor_heads(file).values()]
    return sum(math.prod(head["shape"]) for head in heads)


def check_room(what: str, needed: Mapping[str, int], available: int, instead: str) -> None:
    """Raise CtvizError if the least that something needs, bytes by what they hold, is not there.

    ``what``: as a sentence begins, such as "Loading tiny"; ``instead``: what else one can do.
    """
    total = sum(needed.values())
    if total <= available:
        return
    each = ", ".join(f"{gigabytes(size)} for {name}" for name, size in needed.items() if size)
    raise CtvizError(
        f"{what} needs at least {gigabytes(total)} of memory ({each}), and {gigabytes(available)} "
        f"are available, limits of containers and ulimit counted. {instead}"
    )


def gigabytes(size: float) -> str:
    """Bytes for people, with two digits."""
    if size >= 99.5e9:
        return f"{size / 1e9:,.0f} GB"
    return f"{float(f'{size / 1e9:.2g}'):g} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
