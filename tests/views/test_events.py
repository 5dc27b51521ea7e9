"""Events on runs that are made by hand, whose right answers are written out beside them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ctviz import paths
from ctviz.circuits.graph import Graph
from ctviz.runs import open_run
from ctviz.views.events import MOST, Event, events, jitter
from ctviz.views.packing import pack
from ctviz.views.recorded import recorded
from ctviz.views.timeline import Curve, Timeline
from tests.small_graph import GRAPH, circuit, scores

ALWAYS = "input->m0", "m0->m1", "m1->logits"
READS = "m0->a1.h0<q>"
WRITES = "a1.h0->m1"


def run(
    inside: list[tuple[str, ...]],
    values: list[dict[str, float]] | None = None,
    *,
    error: float | None = 0.01,
    method: str = "circuit",
    curves: dict[str, tuple[str, list[float]]] | None = None,
    quality: list[list[float]] | None = None,
    graph: Graph = GRAPH,
) -> Timeline:
    """A run of one snapshot every ten steps: its circuits, and the scores of some edges."""
    count = len(inside)
    steps = [10 * t for t in range(count)]
    masks = np.stack([circuit(*edges, graph=graph).mask for edges in inside])
    given = values or [{}] * count
    shape = (count, len(graph.nodes))
    redundancy = np.full(shape, np.nan)
    for node in range(1, len(graph.nodes)):
        reads = masks[:, :, graph.feeds[:, node]].sum(axis=(1, 2))
        redundancy[:, node] = 1 - reads / graph.degrees[node]
    return Timeline(
        run="small",
        title="By hand",
        model="none",
        task="none",
        method=method,
        metric="logit difference",
        state="finished",
        examples=1,
        source="made up",
        graph=graph,
        n_edges=3,
        steps=steps,
        scores=np.stack([scores(graph, **each).values for each in given]),
        circuit=masks,
        updated=np.zeros(shape, dtype=bool),
        redundancy={"circuit": redundancy},
        curves=tuple(
            Curve(key, key, panel, np.array(steps), np.array(points))
            for key, (panel, points) in (curves or {}).items()
        ),
        errors=None if error is None else np.full((count, *graph.exists.shape), error),
        quality=None if quality is None else np.array(quality, dtype=float),
    )


def metric(*values: float) -> list[Event]:
    return events(run([ALWAYS] * len(values), curves={"metric": ("metric", list(values))}))


def test_noise_of_a_curve_is_how_far_points_lie_from_the_line_beside_them() -> None:
    # distances from the middle of both neighbours: 0.5, 0.5, 1: the median is 0.5
    assert jitter(np.array([0.0, 1.0, 1.0, 2.0, 1.0])) == pytest.approx(1.4826 * 0.5 / 1.5**0.5)
    assert jitter(np.array([0.0, np.nan, 1.0, 2.0, 3.0, 4.0])) == pytest.approx(0)
    assert np.isnan(jitter(np.array([0.0, 1.0, np.nan, 1.0, 2.0])))  # four points are too few
    draw = np.random.default_rng(0).normal(0, 0.25, 4000)
    assert jitter(draw + np.linspace(0, 50, 4000)) == pytest.approx(0.25, rel=0.05)


def test_the_metric_crosses_zero_where_it_comes_out_of_the_noise() -> None:
    # distances 0, 0, 0.2, 0.2, 0.1, 0.1, 0: median 0.1, so twice the noise is 0.242
    (found,) = metric(-3, -2, -1, 0, 0.6, 0.8, 0.8, 1, 1.2)
    assert (found.kind, found.at, found.text) == ("metric", 4, "The metric rises above zero")
    assert found.numbers == "from −1.00 at step 20 to 0.600 at step 40; noise 0.121"
    (found,) = metric(3, 2, 1, 0.5, -1, -2, -3)
    assert (found.at, found.text) == (4, "The metric falls below zero")


def test_a_metric_that_trembles_around_zero_crosses_nothing() -> None:
    assert metric(0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1) == []
    assert metric(-1, 2, -1) == []  # of three points the noise is not known


def test_a_metric_that_begins_at_zero_leaves_it() -> None:
    # distances 0.02, 0.02, 0.045, 0.45, 0, 0, 0: median 0.02
    (found,) = metric(0.01, -0.01, 0.01, -0.01, 0.06, 1.03, 2, 2.97, 3.94)
    assert (found.at, found.text) == (4, "The metric leaves zero")
    assert found.numbers == "from −0.010 at step 30 to 0.060 at step 40; noise 0.024"


def test_half_of_the_circuit_has_turned_over_beyond_the_noise() -> None:
    other = "input->m0", "m0->logits", "a0.h0->m1"
    moved = {"m0->m1": 1.0, "m1->logits": 1.0}, {"m0->logits": 1.0, "a0.h0->m1": 1.0}
    (found,) = events(run([ALWAYS, ALWAYS, other, other], [moved[0], moved[0], moved[1], moved[1]]))
    assert (found.kind, found.at) == ("turnover", 2)
    assert found.text == "Half of the circuit has turned over since step 0"
    assert found.numbers == "4 of 5 edges are in only one of the two"
    # The very same circuits, but two of the four edges have hardly moved: 2 of 5 are not half.
    loose = {"m0->m1": 1.0}, {"m0->logits": 1.0}
    assert events(run([ALWAYS, other], list(loose))) == []
    (found,) = events(run([ALWAYS, other], list(loose), error=None))
    assert found.numbers.endswith(
        "of 5 edges are in only one of the two; standard errors were not kept"
    )


def test_a_head_enters_and_stays() -> None:
    inside = [ALWAYS] * 2 + [(*ALWAYS, READS, WRITES)] * 3
    values = [{WRITES: 0.02}] * 2 + [{READS: 0.3, WRITES: 0.5}, {}, {READS: 0.25, WRITES: -0.75}]
    (found,) = (e for e in events(run(inside, values)) if e.kind == "enters")
    assert (found.at, found.node) == (2, "a1.h0")
    assert found.text == "Head a1.h0 enters the circuit and stays"
    assert found.numbers == (
        "a1.h0->m1 goes from 0.020 ± 0.010 at step 10 to −0.750 ± 0.010 at step 40"
    )


@pytest.mark.parametrize(
    ("inside", "values"),
    [
        ([(*ALWAYS, READS, WRITES)] * 5, {}),  # always in it
        ([ALWAYS] * 3 + [(*ALWAYS, READS, WRITES)] * 2, {WRITES: 1.0}),  # not for long
        (
            [ALWAYS, ALWAYS, *[(*ALWAYS, READS, WRITES)] * 3, ALWAYS],
            {WRITES: 1.0},
        ),  # not to the end
        ([ALWAYS] * 2 + [(*ALWAYS, READS, WRITES)] * 3, {WRITES: 0.02}),  # within the noise
        ([ALWAYS] * 2 + [(*ALWAYS, READS, WRITES)] * 3, {WRITES: 0.0}),  # others became weaker
    ],
)
def test_a_head_that_does_not_is_not_said_to(
    inside: list[tuple[str, ...]], values: dict[str, float]
) -> None:
    count = len(inside)
    found = events(run(inside, [{}] * (count - 1) + [values]))
    assert [e for e in found if e.kind == "enters"] == []


def test_a_head_becomes_redundant() -> None:
    inside = [(*ALWAYS, READS, WRITES)] * 3 + [ALWAYS] * 3
    values = [{READS: 0.5}] * 3 + [{READS: 0.2}] * 3
    (found,) = (e for e in events(run(inside, values)) if e.kind == "redundant")
    assert (found.at, found.node) == (3, "a1.h0")
    assert found.numbers == (
        "none of its inputs is in the circuit; "
        "m0->a1.h0<q> goes from 0.500 ± 0.010 at step 20 to 0.200 ± 0.010 at step 50"
    )
    # it did not weaken: others overtook it
    assert not [e for e in events(run(inside, [{READS: 0.5}] * 6)) if e.kind == "redundant"]
    assert not [
        e for e in events(run(inside[1:], values[1:])) if e.kind == "redundant"
    ]  # needed at two snapshots alone


def test_heads_that_share_their_keys_become_redundant_together() -> None:
    graph = Graph(2, 4, 2)
    shared = "m0->a1.g1<k>"
    inside = [(*ALWAYS, shared)] * 3 + [ALWAYS] * 3
    values = [{shared: 0.5}] * 3 + [{}] * 3
    found = [e for e in events(run(inside, values, graph=graph)) if e.kind == "redundant"]
    assert [e.text for e in found] == ["Heads a1.h2 and a1.h3 become redundant and stay so"]
    assert found[0].numbers.startswith("none of their inputs is in the circuit; m0->a1.g1<k> goes")
    assert found[0].node == "a1.h2"


def test_faithfulness_falls_to_that_of_random_circuits() -> None:
    #         faithfulness, random mean, error, lowest and highest random
    quality = [
        [0.9, 0.1, 0.02, 0.0, 0.3],
        [0.2, 0.1, 5.0, 0.0, 0.3],  # too uncertain to say so
        [0.25, 0.1, 0.05, 0.0, 0.3],
        [0.2, 0.1, 0.05, 0.0, 0.3],  # it is there already
    ]
    (found,) = events(run([ALWAYS] * 4, quality=quality))
    assert (found.kind, found.at) == ("unfaithful", 2)
    assert found.numbers == (
        "from 0.900 ± 0.020 at step 0 to 0.250 ± 0.050 at step 20; random 0.100, 0 to 0.300"
    )
    unknown = [[0.9, 0.1, np.nan, np.nan, np.nan], [0.0, 0.1, np.nan, np.nan, np.nan]]
    assert events(run([ALWAYS] * 2, quality=unknown)) == []
    never = [[0.2, 0.1, 0.05, 0.0, 0.3], [0.1, 0.1, 0.05, 0.0, 0.3]]
    assert events(run([ALWAYS] * 2, quality=never)) == []


def test_forgetting_starts_where_it_stays_above_noise_and_bar() -> None:
    rising = {"kl": ("retention", [0.0, 0.02, 0.004, 0.02, 0.036, 0.052])}
    # distances from the line: 0.018, 0.016, 0, 0; the median is 0.008
    (found,) = events(run([ALWAYS] * 6, curves=rising))
    assert (found.kind, found.at, found.text) == ("forgetting", 4, "Forgetting starts")
    noise = 1.4826 * 0.008 / 1.5**0.5
    assert found.numbers == (
        "KL from the untuned model 0.036, 0 at step 0; from here on above it by more than "
        f"{2 * 2**0.5 * noise:.3f}, noise {noise:.4f}"
    )
    assert events(run([ALWAYS] * 6, curves=rising, method="recorded")) == []
    little = {"kl": ("retention", [0.0, 0.001, 0.002, 0.003, 0.004, 0.005])}
    assert events(run([ALWAYS] * 6, curves=little)) == []
    english = {"perplexity": ("perplexity", [100.0, 100.5, 101.0, 101.5, 102.0, 102.5])}
    (found,) = events(run([ALWAYS] * 6, curves=english))
    assert found.at == 3
    assert "perplexity on English text 102, 100 at step 0" in found.numbers


def test_many_of_a_kind_are_cut_to_the_strongest_and_counted() -> None:
    heads = ["a0.h0", "a0.h1", "a1.h0", "a1.h1"]
    extra = tuple(f"{head}->logits" for head in heads)
    values = {
        f"{head}->logits": size for head, size in zip(heads, (0.2, 0.5, 0.3, 0.4), strict=True)
    }
    found = events(run([ALWAYS] + [(*ALWAYS, *extra)] * 3, [{}] + [values] * 3))
    entering = [e for e in found if e.kind == "enters"]
    assert [e.node for e in entering if e.at == 1] == ["a0.h1", "a1.h1", "a1.h0"]
    assert len(entering) == MOST + 1
    assert entering[-1] == Event("enters", None, "and 1 other head that enters and stays")
    assert found[-1] is entering[-1]


def test_the_sample_says_what_its_lesson_says() -> None:
    timeline = recorded(open_run(str(paths.shipped_runs() / "sample-sva-flip")))
    assert timeline is not None
    found = {event.kind: event for event in events(timeline)}
    steps = timeline.steps
    assert found["metric"].text == "The metric rises above zero"
    curve = next(c for c in timeline.curves if c.key == "metric")
    assert curve.values[steps.index(12)] < 0 < curve.values[found["metric"].at]
    first, then = timeline.circuit[0], timeline.circuit[found["turnover"].at]
    assert (first & then).sum() / (first | then).sum() <= 0.5
    packed = pack(timeline)["events"]
    assert [each["at"] for each in packed] == sorted(each["at"] for each in packed)
    beside = pack(timeline, beside=dataclasses.replace(timeline, probes=()))
    assert beside["events"] == []
