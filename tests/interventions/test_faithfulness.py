"""What is said of a circuit, against values computed by hand, and what bad input is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ctviz.attribution.attribute import attribute, exact_node_scores
from ctviz.circuits.choices import ABLATIONS, ATTRIBUTIONS, METRICS
from ctviz.circuits.graph import Graph
from ctviz.circuits.random_circuits import random_circuit
from ctviz.circuits.redundancy import circuit_redundancy, mass_redundancy
from ctviz.circuits.scores import Circuit, Scores
from ctviz.circuits.selection import prune_dead_ends, top_edges
from ctviz.errors import BadTask, OutOfRange, UndefinedMetric, UnknownName
from ctviz.interventions.audit import audit
from ctviz.interventions.curve import (
    SHARES,
    Curve,
    curve_of_random,
    curve_of_scores,
)
from ctviz.interventions.faithfulness import (
    Evaluation,
    Share,
    metric_of_circuit,
    metric_of_model,
)
from ctviz.models.anatomy import Anatomy
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.tasks import find_task
from ctviz.tasks.batch import IGNORED, Batch, encode
from tests.random_models import VOCABULARY, random_batch, random_model
from tests.small_graph import GRAPH, circuit, scores


@pytest.fixture(scope="module")
def gpt2() -> Anatomy:
    return Anatomy(random_model("gpt2"))


@pytest.fixture(scope="module")
def evaluation(gpt2) -> Evaluation:
    return Evaluation(gpt2, random_batch())


@pytest.fixture(scope="module")
def induction() -> tuple[Anatomy, Batch]:
    """A model of five true edges, on its task."""
    model, tokenizer = KNOWN_ANSWERS["induction"].build()
    pairs = find_task("induction").pairs(12, split="dev")
    return Anatomy(model.eval()), encode(pairs, tokenizer)


def full(graph: Graph) -> Circuit:
    return Circuit(graph, graph.exists.copy())


def empty(graph: Graph) -> Circuit:
    return Circuit(graph, np.zeros_like(graph.exists))


# ---------------------------------------------------------------------- shares


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_all_edges_carry_all_and_none_carry_nothing(gpt2, metric, ablation):
    found = Evaluation(gpt2, random_batch(), ablation=ablation, metric=metric)
    for share, value in (
        (found.faithfulness(full(gpt2.graph)), 1),
        (found.faithfulness(empty(gpt2.graph)), 0),
        (found.completeness(full(gpt2.graph)), 0),
        (found.completeness(empty(gpt2.graph)), 1),
    ):
        assert share.value == pytest.approx(value, abs=1e-9)
        assert share.error == pytest.approx(0, abs=1e-9)


def made_up(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> Share:
    """The share of a run's metrics between two others."""
    ends = SimpleNamespace(full=high, empty=low, span=float(high.mean() - low.mean()))
    return Evaluation.share(ends, values)


def test_a_share_and_its_error_are_those_of_a_ratio_of_means():
    """The delta method: r = a / b has var(r) = (var a - 2 r cov(a, b) + r^2 var b) / (n b^2)."""
    rng = np.random.default_rng(0)
    low, high = rng.normal(-5, 1, 40), rng.normal(6, 2, 40)
    values = low + 0.7 * (high - low) + rng.normal(0, 1, 40)
    found = made_up(values, low, high)
    top, bottom = values - low, high - low
    ratio = top.mean() / bottom.mean()
    (var_top, cov), (_, var_bottom) = np.cov(top, bottom, ddof=1)
    variance = (var_top - 2 * ratio * cov + ratio**2 * var_bottom) / (40 * bottom.mean() ** 2)
    assert found.value == pytest.approx(ratio, rel=1e-12)
    assert found.error == pytest.approx(np.sqrt(variance), rel=1e-9)
    rows = rng.integers(0, 40, (4000, 40))
    resampled = top[rows].mean(axis=1) / bottom[rows].mean(axis=1)
    assert found.error == pytest.approx(resampled.std(), rel=0.1)  # n = 40, first order


def test_a_share_by_hand_and_of_a_single_example():
    low, high = np.array([0.0, 0.0]), np.array([1.0, 3.0])  # mean span 2
    found = made_up(np.array([1.0, 1.0]), low, high)
    assert found.value == 0.5
    assert found.error == pytest.approx(0.25)  # rest = +0.5, -0.5: sd 0.7071 / sqrt 2 / 2
    downwards = made_up(np.array([-1.0, -1.0]), low, -high)
    assert (downwards.value, downwards.error) == (found.value, found.error)
    one = made_up(np.array([1.0]), np.array([0.0]), np.array([4.0]))
    assert one.value == 0.25
    assert np.isnan(one.error)


def test_minimality_is_what_the_circuit_loses_without_the_edge(evaluation):
    graph = evaluation.graph
    whole = top_edges(attribute(evaluation.anatomy, evaluation.batch), 12, prune=True)
    found = evaluation.minimality(whole)
    assert list(found) == whole.edges()
    inside = evaluation.run(whole)
    for name, share in found.items():
        mask = whole.mask.copy()
        mask[graph.edge(name)] = False
        each = inside - evaluation.run(Circuit(graph, mask))
        assert share.value == pytest.approx(each.mean() / evaluation.span, abs=1e-12)
        rest = each - share.value * (evaluation.full - evaluation.empty)
        error = rest.std(ddof=1) / np.sqrt(len(rest)) / abs(evaluation.span)
        assert share.error == pytest.approx(error, abs=1e-12)
    values = [share.value for share in found.values()]
    assert np.ptp(values) > 1e-6  # the edges do differ


def test_random_circuits_are_given_with_mean_and_spread(gpt2, evaluation):
    n = gpt2.graph.n_edges * 3 // 4
    each = [
        evaluation.faithfulness(random_circuit(gpt2.graph, n, seed=(7, 0, draw))).value
        for draw in range(3)
    ]
    assert np.ptp(each) > 1e-3
    circuit = top_edges(attribute(gpt2, evaluation.batch), n)
    found = evaluation.compare(circuit, seed=7, draws=3, kind="uniform")
    assert found.random == pytest.approx(np.mean(each), abs=1e-14)
    assert found.random_spread == pytest.approx(np.std(each, ddof=1), abs=1e-14)
    assert found.random_low == pytest.approx(min(each), abs=1e-14)
    assert found.random_high == pytest.approx(max(each), abs=1e-14)
    assert found.faithfulness == pytest.approx(evaluation.faithfulness(circuit).value, abs=1e-14)
    one = evaluation.compare(circuit, seed=7, draws=1, kind="uniform")
    assert one.random == one.random_low == one.random_high == pytest.approx(each[0], abs=1e-14)
    assert np.isnan(one.random_spread)
    another = evaluation.compare(circuit, seed=7, draws=3, kind="uniform", step=10)
    assert another.random != found.random  # not the same draw at every snapshot of a run
    nothing = Circuit(gpt2.graph, np.zeros_like(gpt2.graph.exists))
    assert evaluation.compare(nothing, seed=0, draws=2).random == 0.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_without_a_difference_there_is_nothing_to_carry(metric, dtype):
    anatomy, batch = Anatomy(random_model("gpt2", dtype=dtype)), random_batch()
    same = replace(batch, corrupt=batch.clean)
    with pytest.raises(UndefinedMetric, match=rf"Faithfulness is undefined.*{metric}"):
        Evaluation(anatomy, same, metric=metric)
    Evaluation(anatomy, same, metric=metric, ablation="zero")  # has nothing to do with the corrupt


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_answer_of_several_tokens_is_read_where_each_is_predicted(gpt2, ablation):
    batch = random_batch(answers=3)
    batch.answer[1, 0] = IGNORED
    metric = "log_probability"
    clean = metric_of_model(gpt2, batch, metric=metric)
    run = metric_of_circuit(gpt2, batch, full(gpt2.graph), ablation=ablation, metric=metric)
    np.testing.assert_allclose(run, clean, rtol=0, atol=1e-5)  # the model's float32 softmax
    ids = torch.ones_like(batch.clean)
    with torch.no_grad():
        log_p = gpt2.model(batch.clean, attention_mask=ids).logits.log_softmax(dim=-1)
    for row, last in enumerate(batch.last.tolist()):
        tokens = [token for token in batch.answer[row].tolist() if token != IGNORED]
        places = range(last + 1 - len(tokens), last + 1)
        total = sum(log_p[row, p, token].item() for p, token in zip(places, tokens, strict=True))
        assert clean[row] == pytest.approx(total, abs=1e-5)


# ---------------------------------------------------------------------- curves


def curve_of(values: list[float]) -> Curve:
    points = tuple(Share(value, 0.0) for value in values)
    return Curve(tuple(range(len(values))), points)


def test_areas_by_hand():
    always = curve_of([1.0] * len(SHARES))
    assert always.cpr == pytest.approx(0.999)
    assert always.cmd == 0
    line = curve_of(list(SHARES))
    assert line.cpr == pytest.approx((1 - 0.001**2) / 2)
    assert line.cmd == pytest.approx(0.999 - (1 - 0.001**2) / 2)
    above = curve_of([1.5] * len(SHARES))
    assert above.cpr == pytest.approx(1.5 * 0.999)
    assert above.cmd == pytest.approx(0.5 * 0.999)
    below = curve_of([-0.5] * len(SHARES))
    assert below.cpr == pytest.approx(-0.5 * 0.999)
    assert below.cmd == pytest.approx(1.5 * 0.999)
    last = curve_of([0.0] * (len(SHARES) - 1) + [1.0])
    assert last.cpr == pytest.approx(0.25)
    assert last.cmd == pytest.approx(0.999 - 0.25)


class Counted:
    """An evaluation that only counts the edges of the circuits that it is asked about."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.asked: list[int] = []
        self.empty, self.full = np.zeros(2), np.ones(2)

    def share(self, values: np.ndarray) -> Share:
        return Share(float(values.mean()), 0.0)

    def faithfulness(self, circuit: Circuit) -> Share:
        self.asked.append(circuit.n_edges)
        return Share(circuit.n_edges / self.graph.n_edges, 0.0)


def test_sizes_are_cut_off_and_the_ends_need_no_run():
    """Every source feeds every slot here, so that pruning of all large circuits drops nothing."""
    graph = Graph(4, 4)
    values = np.where(graph.exists, np.arange(graph.exists.size).reshape(graph.exists.shape), 0)
    found = Scores(graph, values.astype(np.float32))
    counted = Counted(graph)
    curve = curve_of_scores(counted, found, signed=False)
    sizes = [int(share * graph.n_edges) for share in SHARES]
    assert graph.n_edges == 479
    assert sizes == [0, 0, 2, 4, 9, 23, 47, 95, 239, 479]
    kept = [top_edges(found, size, prune=True).n_edges if size else 0 for size in sizes]
    assert list(curve.edges) == kept
    assert counted.asked == [size for size in kept[:-1] if size]
    assert (curve.values[0], curve.values[-1]) == (0, 1)
    assert list(curve.frame().columns) == ["share", "edges", "faithfulness", "error"]
    assert tuple(curve.frame()["share"]) == SHARES


def test_what_is_pruned_to_nothing_counts_as_empty():
    counted = Counted(GRAPH)
    assert GRAPH.n_edges == 46
    found = scores(**{"input->m0": 3.0, "a0.h0->m1": 2.0, "a0.h1->m1": 1.0})  # 1 % to 5 %: dead
    curve = curve_of_scores(counted, found, signed=False)
    assert curve.edges[:6] == (0,) * 6
    assert curve.values[:6].tolist() == [0] * 6
    assert 0 not in counted.asked


def test_signed_curves_leave_the_negative_edges_to_the_end():
    found = scores(**{"input->m0": 5.0, "m0->logits": 4.0, "input->logits": -9.0})
    for signed, kept in ((False, 3), (True, 2)):
        curve = curve_of_scores(Counted(GRAPH), found, signed=signed)
        assert curve.edges[6] == kept  # int(0.1 * 46) = 4 edges, of which others are dead ends


def test_random_curves_are_those_of_their_seed(evaluation):
    one, again, other = (curve_of_random(evaluation, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    half = prune_dead_ends(random_circuit(evaluation.graph, evaluation.graph.n_edges // 2, seed=0))
    assert one.edges[-2] == half.n_edges
    assert one.points[-2] == evaluation.faithfulness(half)
    assert one.points[-1] == Share(1.0, 0.0)


# ---------------------------------------------------------------------- audits


def test_an_audit_counts_and_tries_each_kind(evaluation, gpt2):
    redundancy = circuit_redundancy(top_edges(attribute(gpt2, evaluation.batch), 12))
    found = audit(evaluation, redundancy, draws=3, seed=5)
    n = gpt2.graph.n_edges
    assert (found.node, found.estimator, found.redundant, found.needed) == (
        None,
        "circuit",
        n - 12,
        12,
    )
    assert [(row.which, row.edges, row.whole, row.draws) for row in found.rows] == [
        ("redundant", n - 12, True, 1),
        ("random", n - 12, False, 3),
        ("redundant", (n - 12) // 2, False, 3),
        ("redundant", 12, False, 3),
        ("needed", 12, True, 1),
        ("random", 12, False, 3),
    ]
    mask = redundancy.needed_edges().mask
    kept = evaluation.run(Circuit(gpt2.graph, mask))
    lost = (evaluation.full - kept).mean() / evaluation.span
    assert found.rows[0].change == pytest.approx(lost, abs=1e-12)
    assert lost == pytest.approx(1 - evaluation.faithfulness(Circuit(gpt2.graph, mask)).value)
    rest = evaluation.run(Circuit(gpt2.graph, gpt2.graph.exists & ~mask))
    needed = evaluation.share(evaluation.empty + evaluation.full - rest)
    assert found.rows[4].change == needed.value
    assert found.rows[4].spread == needed.error
    assert all(row.low <= row.change <= row.high for row in found.rows)
    several = [row for row in found.rows if row.draws > 1]
    assert all(row.low == row.high for row in found.rows if row not in several)
    # twelve edges drawn at random carry nothing at all: what is left of the rest is the same
    assert [row.low < row.high for row in several] == [False, True, True, True]
    assert found.frame().equals(audit(evaluation, redundancy, draws=3, seed=5).frame())
    assert not found.frame().equals(audit(evaluation, redundancy, draws=3, seed=6).frame())


@pytest.mark.slow
def test_redundant_edges_do_nothing_where_that_is_known(induction):
    anatomy, batch = induction
    evaluation = Evaluation(anatomy, batch)
    needed = circuit(*KNOWN_ANSWERS["induction"].true_edges, graph=anatomy.graph)
    for redundancy in (
        circuit_redundancy(needed),
        mass_redundancy(attribute(anatomy, batch), tau=0.999),
    ):
        rows = {row.which: row for row in audit(evaluation, redundancy).rows if row.whole}
        assert abs(rows["redundant"].change) < 1e-3
        assert rows["needed"].change == pytest.approx(1, abs=1e-3)
    for node in ("a1.h2", "logits"):
        rows = {row.which: row for row in audit(evaluation, redundancy, node).rows if row.whole}
        assert abs(rows["redundant"].change) < 1e-3
        assert rows["needed"].change > 0.4
    assert audit(evaluation, circuit_redundancy(needed), "a1.h2").needed == 3


def test_an_audit_of_all_or_nothing_has_only_what_there_is(evaluation):
    nothing_needed = circuit_redundancy(empty(evaluation.graph))
    found = audit(evaluation, nothing_needed, "m0", draws=2)
    assert found.needed == 0
    assert [(row.which, row.whole) for row in found.rows] == [
        ("redundant", True),
        ("random", True),
        ("redundant", False),
    ]
    whole = audit(evaluation, nothing_needed, draws=2).rows[0]
    assert whole.change == pytest.approx(1, abs=1e-9)
    nothing_redundant = audit(evaluation, circuit_redundancy(full(evaluation.graph)), "m0")
    assert nothing_redundant.redundant == 0
    assert nothing_redundant.rows == ()
    assert nothing_redundant.frame().empty


def test_an_audit_says_what_cannot_be_asked(evaluation):
    redundancy = circuit_redundancy(empty(evaluation.graph))
    with pytest.raises(UnknownName, match="no node 'm9'"):
        audit(evaluation, redundancy, "m9")
    with pytest.raises(UndefinedMetric, match="input has no incoming edges"):
        audit(evaluation, redundancy, "input")
    with pytest.raises(OutOfRange, match="draws is 0"):
        audit(evaluation, redundancy, draws=0)


# ---------------------------------------------------------------------- bad input


def test_a_batch_of_other_shape_is_refused():
    batch = random_batch()
    for wrong, says in (
        ({"corrupt": batch.corrupt[:, :-1]}, r"clean is \[5, 7\] and corrupt \[5, 6\]"),
        ({"corrupt": batch.corrupt[1:]}, r"clean is \[5, 7\] and corrupt \[4, 7\]"),
        ({"foil": batch.foil[1:]}, "has 5 examples, but foil has 4"),
        ({"answer": batch.answer[:, 0]}, r"answer is \[5\], but must be \[example, n\]"),
        ({"last": torch.tensor([6, 5, -1, 3, 4])}, "Example 2 is nothing but padding"),
        ({"first": torch.tensor([0, 6, 0, 0, 0])}, "Example 1 is nothing but padding"),
        ({"last": torch.tensor([6, 5, 7, 3, 4])}, "Example 2 ends after the 7 positions"),
    ):
        with pytest.raises(BadTask, match=says):
            replace(batch, **wrong)
    long_answers = {"answer": batch.answer.repeat(1, 5)}
    with pytest.raises(BadTask, match="Example 3 has an answer that is predicted in front of"):
        replace(batch, **long_answers)


def each_way_in(anatomy: Anatomy, batch: Batch) -> list:
    """Every function that runs a model on a batch, micro-batches of two where there are any."""
    calls = [lambda: metric_of_model(anatomy, batch)]
    for ablation in ABLATIONS:
        calls += [
            lambda a=ablation: Evaluation(anatomy, batch, ablation=a),
            lambda a=ablation: metric_of_circuit(anatomy, batch, full(anatomy.graph), ablation=a),
            lambda a=ablation: attribute(anatomy, batch, ablation=a, micro_batch=2),
        ]
    return calls


@pytest.mark.parametrize("token", [-1, VOCABULARY, 10**6])
@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("clean", "prompt"),
        ("corrupt", "corrupt prompt"),
        ("answer", "answer"),
        ("foil", "foil"),
    ],
)
def test_a_token_that_the_model_does_not_have_is_named_with_its_example(gpt2, field, said, token):
    batch = random_batch()
    ids = getattr(batch, field).clone()
    ids.view(5, -1)[3, 0] = token
    wrong = replace(batch, **{field: ids})
    for call in each_way_in(gpt2, wrong):
        with pytest.raises(BadTask, match=rf"The {said} of example 3.*vocabulary is 0 to 96"):
            call()


def test_prompts_that_are_too_long_are_told_by_how_much(gpt2):
    longest = gpt2.model.config.n_positions
    ids = torch.randint(1, VOCABULARY, (3, longest + 3), generator=torch.Generator().manual_seed(0))
    batch = Batch(
        clean=ids,
        corrupt=ids.flip(0),
        last=torch.tensor([5, longest + 2, 9]),
        answer=torch.tensor([[1], [2], [3]]),
        foil=torch.tensor([4, 5, 6]),
    )
    says = rf"Example 1 has {longest + 3} tokens, but the model reads at most {longest}: 3 too many"
    for call in each_way_in(gpt2, batch):
        with pytest.raises(BadTask, match=says):
            call()
    fits = replace(batch, last=torch.tensor([5, longest - 1, 9]))[:]
    for call in each_way_in(gpt2, fits):
        call()


def test_an_answer_that_is_its_own_foil_is_refused_where_they_are_compared(gpt2):
    batch = random_batch()
    foil = batch.foil.clone()
    foil[2] = batch.answer[2, -1]
    wrong = replace(batch, foil=foil)
    for metric in ("logit_difference", "probability_difference"):
        with pytest.raises(BadTask, match="Answer and foil of example 2 are the same"):
            attribute(gpt2, wrong, metric=metric)
    assert attribute(gpt2, wrong, metric="log_probability").values.any()


def test_settings_that_make_no_sense_are_refused(gpt2):
    batch = random_batch()
    for settings, error, says in (
        ({"steps": 0}, OutOfRange, "steps is 0"),
        ({"micro_batch": 0}, OutOfRange, "micro_batch is 0"),
        ({"method": "eap_ig"}, UnknownName, "no method 'eap_ig'. Did you mean 'eap-ig'"),
        ({"metric": "logits"}, UnknownName, "no metric 'logits'.*Known metrics: logit_difference"),
        ({"metric": "kl"}, BadTask, "every score of the method eap would be zero"),
    ):
        with pytest.raises(error, match=says):
            attribute(gpt2, batch, **settings)


def broken(part: str, value: float) -> Anatomy:
    model = random_model("gpt2")
    model.get_submodule(part).weight.data[..., 1] = value
    return Anatomy(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ATTRIBUTIONS)
def test_weights_that_are_no_numbers_are_noticed(method, value):
    anatomy, batch = broken("transformer.ln_f", value), random_batch()
    says = "metric of example 0 is nan: the model's logits are not finite"
    with pytest.raises(UndefinedMetric, match=says):
        attribute(anatomy, batch, method=method, micro_batch=2)
    with pytest.raises(UndefinedMetric, match=says):
        Evaluation(anatomy, batch)
    with pytest.raises(UndefinedMetric, match=says):
        metric_of_circuit(anatomy, batch, full(anatomy.graph))


@pytest.mark.parametrize("method", ["eap", "eap-ig"])
def test_one_example_that_is_no_number_is_named(method):
    """One token's embedding is broken, and only the fourth prompt has that token."""
    model, batch = random_model("gpt2"), random_batch()
    token = int(batch.clean[3, 2])
    rows = (batch.clean == token).any(dim=1) | (batch.corrupt == token).any(dim=1)
    assert rows.tolist() == [False, False, False, True, False]
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())  # not tied
    model.transformer.wte.weight.data[token] = float("nan")
    with pytest.raises(UndefinedMetric, match="example 3 is nan"):
        attribute(Anatomy(model), batch, method=method, micro_batch=2)
    with pytest.raises(UndefinedMetric, match="example 3 is nan"):
        Evaluation(Anatomy(model), batch)


def test_what_does_not_reach_the_metric_is_noticed_too():
    """The logit of a token that nobody asks for: the metric is finite, its gradient is not."""
    model, batch = random_model("gpt2"), random_batch()
    before = metric_of_model(Anatomy(model), batch)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    unused = set(range(VOCABULARY)) - set(batch.answer[:, -1].tolist()) - set(batch.foil.tolist())
    model.lm_head.weight.data[min(unused)] = float("nan")
    anatomy = Anatomy(model)
    np.testing.assert_array_equal(metric_of_model(anatomy, batch), before)
    with pytest.raises(UndefinedMetric, match=r"The score of input->.* on example 0 is not a fin"):
        attribute(anatomy, batch, micro_batch=2)
    with pytest.raises(UndefinedMetric, match="The metric of example 0 is nan"):
        metric_of_model(anatomy, batch, metric="log_probability")


@pytest.mark.parametrize("wrong", ["ablation", "metric"])
def test_an_unknown_ablation_or_metric_is_named_everywhere(wrong):
    anatomy, batch = Anatomy(random_model("gpt2")), random_batch()
    full = Circuit(anatomy.graph, anatomy.graph.exists.copy())
    for ask in (attribute, Evaluation, exact_node_scores):
        with pytest.raises(UnknownName, match=f"no {wrong} 'meen'"):
            ask(anatomy, batch, **{wrong: "meen"})
    with pytest.raises(UnknownName, match=f"no {wrong} 'meen'"):
        metric_of_circuit(anatomy, batch, full, **{wrong: "meen"})


def test_a_prompt_padded_on_the_left_may_be_wider_than_the_model_reads():
    anatomy, batch = Anatomy(random_model("gpt2")), random_batch(examples=2)
    width = anatomy.model.config.n_positions + 3
    wide = torch.ones((2, width), dtype=torch.int64)
    wide[:, -7:] = batch.clean
    corrupt = wide.clone()
    corrupt[:, -7:] = batch.corrupt
    last = torch.full((2,), width - 1) - (6 - batch.last)
    left = replace(batch, clean=wide, corrupt=corrupt, last=last, first=last - batch.last)
    np.testing.assert_allclose(
        attribute(anatomy, left).values, attribute(anatomy, batch).values, rtol=0, atol=1e-11
    )
