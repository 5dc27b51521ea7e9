"""What happened in a run, found in its stored values: each event with its numbers and its noise.

Nothing is an event that stays within the noise:

- A change of an edge's score is one beyond `NOISE_BAND` standard errors of the difference, as
  everywhere (`ctviz.runs.changes`). Where a run kept no standard errors, membership of the circuit
  alone decides, and the sentence says so.
- A curve has no stored error. Its noise is how far a point lies from the straight line between the
  points beside it, as the standard error of one point (`jitter`); a curve of fewer than five points
  has none that could be known, and no events.

Of each kind the `MOST` strongest are kept, and the others counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ctviz.runs.changes import NOISE_BAND, edge_states
from ctviz.runs.config import start_of
from ctviz.views.numbers import number
from ctviz.views.timeline import Timeline

__all__ = ["Event", "Kind", "events", "jitter"]

Kind = Literal["metric", "turnover", "enters", "redundant", "unfaithful", "forgetting"]

MOST = 3  # of a kind
STAYS = 3  # snapshots that a head must have been in, or out, when it is said to stay so
TURNED = 0.5  # share of the circuit's edges that are others
REDUNDANT = 1.0  # share of a head's inputs outside of the circuit
KL = 0.01  # nats a token: a perplexity about 1 % higher
PERPLEXITY = 0.01  # share that it rises by
OTHERS: dict[Kind, tuple[str, str]] = {
    "metric": ("crossing of zero", "crossings of zero"),
    "enters": ("head that enters and stays", "heads that enter and stay"),
    "redundant": ("head that becomes redundant", "heads that become redundant"),
    "unfaithful": ("fall of faithfulness", "falls of faithfulness"),
}
NOT_KEPT = "standard errors were not kept"


@dataclass(frozen=True, slots=True)
class Event:
    """``at``: index of the snapshot; ``text``: what happened, a sentence; ``numbers``: on what that
    stands, with its noise; ``strength``: how it ranks among others of its kind; ``node``: the head
    that it is about, else empty. With ``at`` None it says how many more of the kind there are.
    """

    kind: Kind
    at: int | None
    text: str
    numbers: str = ""
    strength: float = 0.0
    node: str = ""


def events(timeline: Timeline) -> list[Event]:
    """The events of a run in their order, and behind them how many others there are of a kind."""
    if len(timeline.steps) < 2:
        return []
    edges = _Edges(timeline)
    found = [
        *_metric(timeline),
        *_turnover(timeline, edges),
        *_enters(timeline, edges),
        *_redundant(timeline, edges),
        *_unfaithful(timeline),
        *_forgetting(timeline),
    ]
    kept: list[Event] = []
    more: list[Event] = []
    for kind in dict.fromkeys(event.kind for event in found):
        ranked = sorted((e for e in found if e.kind == kind), key=lambda e: -e.strength)
        kept += ranked[:MOST]
        if others := ranked[MOST:]:
            what = OTHERS[kind][len(others) > 1]
            more.append(Event(kind, None, f"and {len(others)} other {what}"))
    return sorted(kept, key=lambda e: (e.at or 0, -e.strength)) + more


def jitter(values: np.ndarray) -> float:
    """Standard error of a curve's point, by how far points lie from the line between the two
    beside them: 1.4826 x median |distance| / sqrt(1.5). NaN of fewer than five finite points."""
    known = values[np.isfinite(values)]
    if len(known) < 5:
        return float("nan")
    away = np.abs(known[1:-1] - (known[:-2] + known[2:]) / 2)
    return float(1.4826 * np.median(away) / np.sqrt(1.5))


class _Edges:
    """The edges that are in the circuit at some snapshot: [T, edge]; errors None if not kept."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline, self.graph = timeline, timeline.graph
        self.rows, self.columns = np.nonzero(timeline.circuit.any(axis=0))
        at = np.s_[:, self.rows, self.columns]
        self.member = timeline.circuit[at]
        self.scores = timeline.scores[at]
        self.errors = None if timeline.errors is None else timeline.errors[at]

    def error(self, t: int) -> np.ndarray | None:
        return None if self.errors is None else self.errors[t]

    def noisy(self, before: int, after: int) -> np.ndarray:
        """bool [edge]: whether the score is known to have changed by no more than the noise."""
        states = edge_states(
            (self.member[before], self.member[after]),
            (self.scores[before], self.scores[after]),
            (self.error(before), self.error(after)),
        )
        return states.noise

    def course(self, edge: int, before: int, after: int) -> str:
        """What an edge's score was and became, with its errors, or that these are not known."""
        name = self.graph.edge_name(int(self.rows[edge]), int(self.columns[edge]))
        said, known = [], True
        for t in (before, after):
            value = number(float(self.scores[t, edge]))
            error = np.nan if self.errors is None else float(self.errors[t, edge])
            known = known and bool(np.isfinite(error))
            value += f" ± {number(error)}" if np.isfinite(error) else ""
            said.append(f"{value} at {_moment(self.timeline, t)}")
        return f"{name} goes from {said[0]} to {said[1]}{'' if known else f'; {NOT_KEPT}'}"


def _moment(timeline: Timeline, t: int) -> str:
    return timeline.names[t] if timeline.names else f"step {timeline.steps[t]}"


def _on_clock(timeline: Timeline, panel: str, key: str = "") -> np.ndarray | None:
    """The first main curve of a panel, or the one of that key, at each snapshot, NaN without."""
    for curve in timeline.curves:
        if curve.panel == panel and curve.kind == "main" and key in ("", curve.key):
            known = dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
            return np.array([known.get(step, np.nan) for step in timeline.steps], dtype=float)
    return None


def _metric(timeline: Timeline) -> Iterator[Event]:
    """The metric crosses zero: from beyond the noise on one side to beyond it on the other; or it
    begins within the noise of zero and, from a snapshot on, is beyond it for good."""
    values = _on_clock(timeline, "metric")
    if values is None or not np.isfinite(band := NOISE_BAND * jitter(values)):
        return
    known = [t for t in range(len(values)) if np.isfinite(values[t])]
    sides = {t: int(np.sign(values[t])) if abs(values[t]) > band else 0 for t in known}
    noise = f"noise {number(band / NOISE_BAND)}"

    def said(t: int) -> str:
        return f"{number(values[t])} at {_moment(timeline, t)}"

    beyond = [t for t in known if sides[t]]
    for before, after in pairwise(beyond):
        if sides[before] != sides[after]:
            where = "rises above" if sides[after] > 0 else "falls below"
            yield Event(
                "metric",
                after,
                f"The metric {where} zero",
                f"from {said(before)} to {said(after)}; {noise}",
                float(min(abs(values[before]), abs(values[after]))),
            )
    inside = [t for t in known if not sides[t]]
    if not inside or sides[known[0]] or inside[-1] == known[-1]:
        return
    before = inside[-1]
    after = known[known.index(before) + 1]
    if not any(t < before for t in beyond) and after != known[-1]:
        numbers = f"from {said(before)} to {said(after)}; {noise}"
        yield Event("metric", after, "The metric leaves zero", numbers, float(abs(values[after])))


def _turnover(timeline: Timeline, edges: _Edges) -> Iterator[Event]:
    """The first snapshot at which half of the edges in its circuit or the first one are in one of
    them alone, those aside whose score has changed by no more than the noise."""
    first = edges.member[0]
    for t in range(1, len(timeline.steps)):
        either = first | edges.member[t]
        changed = first ^ edges.member[t]
        firm = changed & ~edges.noisy(0, t)
        share = firm.sum() / max(1, either.sum())
        if share >= TURNED:
            loose = int(changed.sum() - firm.sum())
            aside = f"; {loose} more within the noise" if loose else ""
            if edges.errors is None:
                aside = f"; {NOT_KEPT}"
            text = f"Half of the circuit has turned over since {_moment(timeline, 0)}"
            numbers = f"{firm.sum()} of {either.sum()} edges are in only one of the two{aside}"
            yield Event("turnover", t, text, numbers, float(share))
            return


def _heads(timeline: Timeline) -> list[int]:
    return [n for n, name in enumerate(timeline.graph.nodes) if name.startswith("a")]


def _enters(timeline: Timeline, edges: _Edges) -> Iterator[Event]:
    """A head that was outside and is in the circuit, by edges of its own, from a snapshot on, at
    `STAYS` or more of them; its strongest edge has become stronger by more than the noise from the
    last snapshot without it to the last one. Keys and values that heads share are nobody's own."""
    graph, last = timeline.graph, len(timeline.steps) - 1
    alone = graph.feeds.sum(axis=1) == 1
    for head in _heads(timeline):
        own = (edges.rows == head) | (graph.feeds[edges.columns, head] & alone[edges.columns])
        mine = np.flatnonzero(own)
        inside: np.ndarray = np.any(edges.member[:, mine], axis=1)
        since = _since(inside)
        if since is None:
            continue
        best = max(
            (int(e) for e in mine if edges.member[last, e]),
            key=lambda e: abs(edges.scores[last, e]),
        )
        before, after = (abs(float(edges.scores[t, best])) for t in (since - 1, last))
        if after <= before or edges.noisy(since - 1, last)[best]:
            continue
        name = graph.nodes[head]
        yield Event(
            "enters",
            since,
            f"Head {name} enters the circuit and stays",
            edges.course(best, since - 1, last),
            after,
            name,
        )


def _redundant(timeline: Timeline, edges: _Edges) -> Iterator[Event]:
    """A head whose redundancy by the circuit reaches `REDUNDANT` and stays there, at `STAYS` or
    more snapshots, after as many at which it was below; the strongest of the inputs that it had at
    the last of these has become weaker by more than the noise at the last snapshot. Heads that
    share that input, of keys and values that they share, are one event."""
    shares, last = timeline.redundancy.get("circuit"), len(timeline.steps) - 1
    if shares is None:
        return
    found: dict[tuple[int, int], list[str]] = {}
    for head in _heads(timeline):
        gone: np.ndarray = shares[:, head] >= REDUNDANT
        since = _since(gone)
        if since is None or since < STAYS or gone[since - STAYS : since].any():
            continue
        reads = timeline.graph.feeds[edges.columns, head] & edges.member[since - 1]
        mine = np.flatnonzero(reads)
        if not mine.size:
            continue
        best = max(map(int, mine), key=lambda e: abs(edges.scores[since - 1, e]))
        before, after = (abs(float(edges.scores[t, best])) for t in (since - 1, last))
        if after >= before or edges.noisy(since - 1, last)[best]:
            continue
        found.setdefault((since, best), []).append(timeline.graph.nodes[head])
    for (begin, best), names in found.items():
        first, *others = names
        text = f"Head {first} becomes redundant and stays so"
        if others:
            text = f"Heads {', '.join(names[:-1])} and {names[-1]} become redundant and stay so"
        reading = f"none of {'their' if others else 'its'} inputs is in the circuit"
        numbers = f"{reading}; {edges.course(best, begin - 1, last)}"
        strength = abs(float(edges.scores[begin - 1, best]))
        yield Event("redundant", begin, text, numbers, strength, first)


def _since(holds: np.ndarray) -> int | None:
    """From which snapshot on something holds that did not at the one before, to the last one and at
    `STAYS` or more; else None."""
    misses = np.flatnonzero(~holds)
    if not misses.size or len(holds) - 1 - misses[-1] < STAYS:
        return None
    return int(misses[-1]) + 1


def _unfaithful(timeline: Timeline) -> Iterator[Event]:
    """Faithfulness that was above every random circuit beyond its noise, and is no longer above the
    best of them, after a fall beyond the noise of both values. Without errors there is no event."""
    if timeline.quality is None:
        return
    above: int | None = None
    for t, (value, mean, error, low, high) in enumerate(timeline.quality):
        if not np.isfinite([value, mean, error]).all():
            continue
        best = high if np.isfinite(high) else mean
        if value - NOISE_BAND * error > best:
            above = t
            continue
        if above is None or value > best:
            continue
        was, was_error = timeline.quality[above][[0, 2]]
        fall = was - value
        if fall <= NOISE_BAND * np.hypot(was_error, error):
            continue
        span = f", {number(low)} to {number(high)}" if np.isfinite(high) and high > low else ""
        numbers = (
            f"from {number(was)} ± {number(was_error)} at {_moment(timeline, above)} to "
            f"{number(value)} ± {number(error)} at {_moment(timeline, t)}; "
            f"random {number(mean)}{span}"
        )
        text = "Faithfulness falls to that of random circuits"
        yield Event("unfaithful", t, text, numbers, float(fall))
        above = None


def _forgetting(timeline: Timeline) -> Iterator[Event]:
    """From a snapshot on the KL divergence or the perplexity stays above the first value by more
    than the noise of two points, and by no less than `KL` or that share (`PERPLEXITY`) of it.
    Of a recording, whose first model need not know anything, nothing is said."""
    if timeline.method == "recorded":
        return
    curves: Sequence[tuple[str, str, str]] = (
        ("retention", "", f"KL from {start_of(timeline.method)}"),
        ("perplexity", "perplexity", "perplexity on English text"),
    )
    for panel, key, label in curves:
        values = _on_clock(timeline, panel, key)
        if values is None or not np.isfinite(noise := jitter(values)):
            continue
        known = np.flatnonzero(np.isfinite(values))
        first = values[known[0]]
        least = KL if panel == "retention" else PERPLEXITY * abs(first)
        bar = max(least, NOISE_BAND * np.sqrt(2) * noise)
        below = known[values[known] - first <= bar]
        if below[-1] == known[-1]:
            continue
        t = int(known[np.flatnonzero(known == below[-1])[0] + 1])
        numbers = (
            f"{label} {number(values[t])}, "
            f"{number(first)} at {_moment(timeline, int(known[0]))}; "
            f"from here on above it by more than {number(bar)}, noise {number(noise)}"
        )
        most = float((values[known].max() - first) / bar)
        yield Event("forgetting", t, "Forgetting starts", numbers, most)
