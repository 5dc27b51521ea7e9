"""Which updates are enough, which do nothing: the search over sets of nodes, without a model.

What a set carries is asked of the caller, who remembers nothing: the same set may be asked twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache

__all__ = ["largest_prefix", "random_set", "smallest_set"]

TRIES = 80  # sets that are looked at in leaving out what is not needed


def smallest_set(
    sizes: Mapping[str, int],
    rankings: Sequence[Sequence[str]],
    enough: Callable[[Collection[str]], bool],
) -> tuple[str, ...]:
    """A set of nodes that is enough, of as few parameters as a greedy search finds.

    Each ranking names all nodes, best first. Of each the shortest beginning that is enough is found
    by bisection, and of the smallest of these whatever can be left out, in halves, quarters and so
    on down to single nodes. ``enough`` must be true of all nodes together. ``sizes``: parameters.
    """
    enough = _remembering(enough)

    def total(nodes: Iterable[str]) -> int:
        return sum(sizes[node] for node in nodes)

    found: list[Sequence[str]] = []
    for ranking in rankings:
        low, high = 0, len(ranking)  # that many are not enough; that many are
        if enough(()):
            return ()
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(ranking[:middle]) else (middle, high)
        found.append(ranking[:high])
    best = list(min(found, key=total))[::-1]  # what comes last in the ranking may go first
    tries, step = 0, max(1, len(best) // 2)
    while best and tries < TRIES:
        at = 0
        while at < len(best) and tries < TRIES:
            rest = best[:at] + best[at + step :]
            tries += 1
            if enough(rest):
                best = rest
            else:
                at += step
        if step == 1:
            break
        step //= 2
    return tuple(node for node in sizes if node in set(best))


def largest_prefix(
    ranking: Sequence[str], nothing: Callable[[Collection[str]], bool]
) -> tuple[str, ...]:
    """The longest beginning of a ranking that does nothing, by bisection."""
    low, high = 0, len(ranking) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if nothing(ranking[:middle]) else (low, middle)
    return tuple(ranking[:low])


def random_set(sizes: Mapping[str, int], wanted: int, *, seed: int, draw: int) -> tuple[str, ...]:
    """Nodes drawn at random that have as many parameters, as nearly as whole nodes allow."""
    order = list(sizes)
    random.Random(f"causes {seed} {draw}").shuffle(order)
    chosen, size = [], 0
    for node in order:
        if abs(size + sizes[node] - wanted) < abs(size - wanted):
            chosen.append(node)
            size += sizes[node]
    return tuple(chosen)


def _remembering(
    asked: Callable[[Collection[str]], bool],
) -> Callable[[Collection[str]], bool]:
    known = cache(lambda nodes: asked(tuple(nodes)))
    return lambda nodes: known(frozenset(nodes))
