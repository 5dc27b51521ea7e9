"""Runs side by side, small enough to do by hand; then the page, on all kinds of bad input."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from ctviz.circuits.graph import Graph
from ctviz.errors import DamagedRun
from ctviz.runs import Run, RunWriter, open_run
from ctviz.runs.changes import overlap
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot, StepRecord
from ctviz.views import compare, compared
from ctviz.views import compare_figures as figures
from ctviz.views.compared import Side, read_side
from ctviz.views.encoding import unpack_bits, unpack_redundancy, unpack_scores
from tests.opened_pages import open_page, said
from tests.small_graph import GRAPH, circuit, scores

E1, E2, E3, E4 = "input->m0", "m0->logits", "input->a1.h0<q>", "m1->logits"
ONE = {0: {E1: 1.0, E2: -1.0}, 4: {E1: 2.0, E3: 0.5}, 8: {E3: 0.25, E4: 3.0}}
OTHER = {0: {E1: 1.0, E2: -1.0}, 6: {E2: -4.0, E4: 3.0}}


def make_run(
    folder: Path,
    circuits: dict[int, dict[str, float]],
    *,
    graph: Graph = GRAPH,
    metric: str = "logit(a) - logit(b)",
    metrics: dict[str, float] | None = None,
    ended: bool = True,
    **settings,
) -> Run:
    """A stored run whose circuit at each step is the edges given, with these scores."""
    last = max(circuits, default=0)
    settings = {"model": "tiny", "task": "sva-flip", "steps": max(1, last), "edges": 2} | settings
    writer = RunWriter(folder, TuneConfig(**settings))
    before = {"accuracy": 0.25, "retention_kl": 0.0, "perplexity": 40.0, "test_examples": 50}
    after = {"accuracy": 0.75, "retention_kl": 0.5, "perplexity": 50.0, "other_accuracy": 0.9}
    writer.describe(
        graph,
        model={"name": settings["model"], "revision": "x", "parameters": 1000},
        task={
            "key": settings["task"],
            "title": "Disagreement",
            "metric": metric,
            "judged_by": "accuracy",
            "better": "higher",
        },
        examples=8,
        before=before,
        **({"after": after} if ended else {}),
    )
    for step, edges in circuits.items():
        shares = np.full(len(graph.nodes), 0.5 if step else 0.25, dtype=np.float32)
        if step:
            writer.record(StepRecord(step, 1.0, 0, 0.2, 2, 1.0, 1e-4, 16, 0.5))
        writer.snapshot(
            Snapshot(
                step=step,
                scores=scores(graph, **edges).values,
                circuit=circuit(*edges, graph=graph).mask,
                tuned=circuit(graph=graph).mask,
                redundancy={"circuit": shares, "mass": shares},
                metrics={
                    "metric": float(step - 4),
                    "accuracy": step / 10,
                    "retention_kl": step / 100,
                    "perplexity": 40.0 + step,
                    **(metrics or {}),
                },
                probes=(),
                error=np.full(graph.exists.shape, 0.1, dtype=np.float32),
            )
        )
    writer.status("finished" if ended else "cancelled", step=last)
    return open_run(str(folder))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Side, Side]:
    runs = [
        make_run(tmp_path / "one", ONE),
        make_run(tmp_path / "other", OTHER, method="full", seed=3, ended=False),
    ]
    one, other = compared.labels(runs)
    return read_side(runs[0], one), read_side(runs[1], other)


# ---------------------------------------------------------------------- what is compared


@pytest.mark.parametrize("names", [["a"], ["a", "b,c", "d%2Ce", "<b>&x=1", "é"], []])
def test_a_link_brings_back_runs_and_step(names: list[str]) -> None:
    assert compared.asked(compared.link(names, 7)) == (names, 7)
    assert compared.asked(compared.link(names)) == (names, None)


@pytest.mark.parametrize("step", ["", "x", "-1", "1.5", "9" * 40, "²"])
def test_a_step_that_is_none_is_left_out(step: str) -> None:
    assert compared.asked({"against": step}) == (None, None)
    assert compared.asked({"runs": "a,,a,b", "against": step}) == (["a", "b"], None)


def test_the_newest_run_is_compared_with_another_method_on_the_same_task(tmp_path: Path) -> None:
    newest = make_run(tmp_path / "newest", ONE)
    same = make_run(tmp_path / "same", ONE)
    full = make_run(tmp_path / "full", ONE, method="full")
    elsewhere = make_run(tmp_path / "elsewhere", ONE, task="sva")
    empty = make_run(tmp_path / "empty", {})
    choice = compared.default_choice([empty, newest, same, elsewhere, full], ["full"])
    assert choice == ["newest", "full"]
    assert compared.default_choice([newest, elsewhere, same], []) == ["newest", "same"]
    assert compared.default_choice([newest, elsewhere], []) == ["newest"]
    assert compared.default_choice([newest, elsewhere], ["newest"]) == ["elsewhere"]
    assert compared.default_choice([empty], []) == ["empty"]
    assert compared.default_choice([], []) == []


def test_labels_say_as_little_as_tells_runs_apart(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", ONE)
    other = make_run(tmp_path / "other", ONE, seed=1)
    full = make_run(tmp_path / "full", ONE, method="full", edges=3)
    sva = make_run(tmp_path / "sva", ONE, method="lora", task="sva")
    assert compared.labels([one]) == ["circuit-tuning"]
    assert compared.labels([one, full]) == ["A · circuit-tuning", "B · full fine-tuning"]
    assert compared.labels([one, other]) == [
        "A · circuit-tuning, seed 0",
        "B · circuit-tuning, seed 1",
    ]
    assert compared.labels([one, sva]) == ["A · circuit-tuning, sva-flip", "B · LoRA, sva"]
    assert len(set(compared.labels([one, one, other, one]))) == 4  # the letter, if nothing else


# ---------------------------------------------------------------------- one clock


def members(payload: dict, part: dict) -> list[set[str]]:
    """Names of the circuit's edges at each step."""
    shape = len(payload["steps"]), len(payload["edges"])
    names = [
        f"{payload['nodes'][row]['name']}->{payload['slots'][slot]['name']}"
        for row, slot in payload["edges"]
    ]
    return [
        {name for name, inside in zip(names, row, strict=True) if inside}
        for row in unpack_bits(part["member"], *shape)
    ]


def test_each_run_holds_its_last_snapshot_on_the_clock_of_both(pair: tuple[Side, Side]) -> None:
    payload = compare.pack_pair(*pair)
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert payload["steps"] == [0, 4, 6, 8]
    assert members(payload, payload) == [set(ONE[0]), set(ONE[4]), set(ONE[4]), set(ONE[8])]
    assert members(payload, payload["other"]) == [
        set(OTHER[0]),
        set(OTHER[0]),
        set(OTHER[6]),
        set(OTHER[6]),
    ]
    assert payload["whole"]["union"] == 4
    assert (payload["label"], payload["other"]["label"]) == (
        "A · circuit-tuning",
        "B · full fine-tuning",
    )
    values = unpack_scores({**payload, **payload["other"]})
    assert sorted(np.round(values[2], 3)) == [-4, 0, 0, 3]  # B's scores of edges that only A has
    shares = unpack_redundancy(payload["other"]["redundancy"]["mass"], 4)
    assert shares[:, 1] == pytest.approx([0.25, 0.25, 0.5, 0.5], abs=1e-4)


def test_curves_are_one_a_run_and_stay_on_the_clock(pair: tuple[Side, Side]) -> None:
    curves = compare.pack_pair(*pair)["curves"]
    kl = [curve for curve in curves if curve["panel"] == "retention"]
    assert [(curve["series"], curve["label"]) for curve in kl] == [
        (0, "A · circuit-tuning"),
        (1, "B · full fine-tuning"),
    ]
    assert kl[1]["steps"] == [0, 6]
    assert kl[1]["values"] == pytest.approx([0, 0.06])
    assert len({curve["key"] for curve in curves}) == len(curves)


def test_curves_in_other_units_are_left_out(tmp_path: Path, pair: tuple[Side, Side]) -> None:
    elsewhere = read_side(make_run(tmp_path / "sva", OTHER, task="sva", metric="other"), "B · x")
    payload = compare.pack_pair(pair[0], elsewhere)
    panels = [(c["panel"], c["series"]) for c in payload["curves"]]
    assert payload["metric"].startswith("of A alone: ")
    assert "A alone" not in compare.pack_pair(*pair)["metric"]
    assert ("metric", 0) in panels
    assert ("retention", 1) in panels
    assert ("grade", 1) in panels  # the share of right answers, of whichever task
    assert not {("metric", 1), ("loss", 1)} & set(panels)


def test_a_step_is_compared_with_the_runs_own_clock(pair: tuple[Side, Side]) -> None:
    payload = compare.pack_steps(pair[0], 4)
    assert payload["steps"] == [0, 4, 8]
    assert members(payload, payload) == [set(ONE[4])] * 3
    assert members(payload, payload["other"]) == [set(ONE[step]) for step in (0, 4, 8)]
    assert (payload["label"], payload["other"]["label"]) == ("step 4", "the step shown")


# ---------------------------------------------------------------------- numbers


def test_overlap_by_hand(pair: tuple[Side, Side]) -> None:
    own = figures.draw_start(pair).data
    assert list(own[0].y) == pytest.approx([1, 1 / 3, 0])
    assert list(own[1].y) == pytest.approx([1, 1 / 3])
    beside = figures.draw_overlap(pair).data
    assert list(beside[0].x) == [0, 4, 6]  # B has nothing after that
    assert list(beside[0].y) == pytest.approx([1, 1 / 3, 0])
    assert beside[0].hovertext[1].startswith("B · full fine-tuning, step 0<br>")
    assert "overlap with A · circuit-tuning at step 4: 0.33" in beside[0].hovertext[1]
    at_six = compare.pairs(pair, 6)
    assert at_six[["A", "B"]].to_numpy().tolist() == [[1, 0], [0, 1]]
    against = figures.draw_start(pair[:1], against=8).data
    assert [line.name for line in against] == ["with step 0", "with step 8"]
    assert list(against[1].y) == pytest.approx([0, 1 / 3, 1])
    none = np.zeros((2, 3, 3), dtype=bool)
    assert overlap(none, none).tolist() == [1, 1]


def test_changes_are_of_the_snapshots_held(pair: tuple[Side, Side]) -> None:
    found = compare.changes(*pair, 6).set_index("edge")
    assert found["state"].to_dict() == {
        E1: "only in A",
        E3: "only in A",
        E2: "only in B",
        E4: "only in B",
    }
    assert found.index[0] == E2
    assert found.loc[E2, "difference"] == -4
    assert found.loc[E2, "error"] == pytest.approx(math.sqrt(0.02))
    steps = compare.changes(pair[0], pair[0], 8, against=4).set_index("edge")
    assert steps["state"].to_dict() == {E1: "only in A", E3: "the same", E4: "only in B"}


def test_what_is_held_at_a_step_is_said(pair: tuple[Side, Side]) -> None:
    one, other = pair
    assert compare.at_steps(one, other, 0) == "B against A at step 0"
    assert compare.at_steps(one, other, 4) == "B at step 0 against A at step 4"
    assert compare.at_steps(one, other, 8) == "B at step 6 (its last) against A at step 8"
    assert compare.at_steps(other, one, 8) == "B at step 8 against A at step 6 (its last)"
    packed = compare.pack_pair(one, other)["other"]
    assert packed["last_step"] == 6
    assert packed["note"].startswith("B's last snapshot is of step 6; after that")
    assert compare.pack_pair(other, one)["other"]["note"].startswith("A's last snapshot is of")
    assert "note" not in compare.pack_pair(one, one)["other"]
    box = " ".join(compared.caveats(pair))
    assert "The runs have different lengths" in box
    assert "A step 8, B step 6." in box
    assert "different lengths" not in " ".join(compared.caveats((one, one)))


def test_scores_say_on_how_many_examples_they_are(pair: tuple[Side, Side]) -> None:
    curves = compare.pack_pair(*pair)["curves"]
    assert [curve["label"] for curve in curves if curve["panel"] == "grade"] == [
        "A · accuracy (8 dev)",
        "B · accuracy (8 dev)",
    ]
    found = compare.table(pair)
    assert compare.examples_of(found, "test_examples") == "50 test examples"
    assert compare.examples_of(found, "dev_pairs") == "8 dev pairs"
    assert (
        compare.examples_of(found.assign(test_examples=[50, 100]), "test_examples")
        == "test examples"
    )
    assert (
        compare.examples_of(found.assign(test_examples=math.nan), "test_examples")
        == "test examples"
    )
    figure = figures.draw_tradeoff(pair, "grade", "step")
    assert figure.layout.annotations[0].text == "accuracy (8 dev) (higher is better)"


def test_the_table_says_what_was_measured_and_leaves_out_what_was_not(
    pair: tuple[Side, Side],
) -> None:
    one, other = compare.table(pair).to_dict("records")
    assert (one["metric_before"], one["metric_after"]) == (-4, 4)
    assert (one["grade"], one["grade_before"], one["grade_after"]) == ("accuracy", 0.25, 0.75)
    assert one["perplexity_change"] == pytest.approx(0.25)
    assert one["trained_parameters"] == pytest.approx(200)
    assert one["seconds"] == pytest.approx(1.0)
    assert one["overlap_with_start"] == 0
    assert math.isnan(one["others_before"])
    assert (other["state"], other["seed"], other["method"]) == ("cancelled", 3, "full")
    assert math.isnan(other["grade_after"])
    assert math.isnan(other["kl"])


def test_tables_travel_as_csv_and_parquet(pair: tuple[Side, Side]) -> None:
    for frame in (compare.table(pair), compare.changes(*pair, 4)):
        csv = pd.read_csv(io.BytesIO(compare.as_csv(frame)))
        parquet = pd.read_parquet(io.BytesIO(compare.as_parquet(frame)))
        pd.testing.assert_frame_equal(parquet, frame)
        pd.testing.assert_frame_equal(csv, frame, check_dtype=False)


# ---------------------------------------------------------------------- figures


def test_the_tradeoff_is_a_path_over_snapshots(pair: tuple[Side, Side]) -> None:
    one, other = figures.draw_tradeoff(pair, "grade", "retention_kl").data
    assert list(one.x) == pytest.approx([0, 0.04, 0.08])
    assert list(one.y) == pytest.approx([0, 0.4, 0.8])
    assert list(one.text) == ["step 0", "", "step 8"]
    assert one.marker.size[0] < one.marker.size[-1]
    for words in ("step 6", "full fine-tuning", "seed 3", "8 dev examples", "run other"):
        assert words in other.hovertext[-1]
    logarithmic = figures.draw_tradeoff(pair, "metric", "retention_kl", log=True).data
    assert list(logarithmic[0].text) == ["step 4", "step 8"]


def test_different_metrics_get_different_panels(tmp_path: Path, pair: tuple[Side, Side]) -> None:
    elsewhere = read_side(make_run(tmp_path / "sva", OTHER, task="sva", metric="m"), "C · sva")
    figure = figures.draw_tradeoff((*pair, elsewhere), "metric", "retention_kl")
    assert [line.yaxis for line in figure.data] == ["y", "y", "y2"]
    assert "have an axis" not in " ".join(compared.caveats(pair))
    assert "each task has an axis of its own" in " ".join(compared.caveats((*pair, elsewhere)))


def test_text_of_a_run_is_not_markup_in_a_figure(tmp_path: Path) -> None:
    run = make_run(tmp_path / "x", ONE, metric="<b>logit</b>")
    side = read_side(run, "A · <a href='x'>run</a>")
    figure = figures.draw_tradeoff([side], "metric", "step")
    assert figure.layout.annotations[0].text.startswith("&lt;b&gt;logit")
    assert figure.data[0].name.startswith("A · &lt;a href")
    assert "<a" not in figure.data[0].hovertext[0]


def test_numbers_that_were_not_measured_are_not_drawn(tmp_path: Path) -> None:
    nothing = {"metric": math.nan, "accuracy": math.nan, "retention_kl": math.nan}
    side = read_side(make_run(tmp_path / "nan", ONE, metrics=nothing), "nan")
    figure = figures.draw_tradeoff([side], "metric", "retention_kl")
    assert not figure.data
    assert figure.layout.annotations[-1].text == "not measured"
    assert math.isnan(compare.table([side])["metric_after"].iloc[0])
    payload = compare.pack_steps(side, 0)
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


def test_models_of_other_shape_have_no_common_edges(
    tmp_path: Path, pair: tuple[Side, Side]
) -> None:
    wide = make_run(tmp_path / "wide", ONE, graph=Graph(3, 2))
    side = read_side(wide, "C · wide")
    assert not compared.alike(pair[0], side)
    assert compare.pairs((*pair, side), 0)["C"].isna().tolist() == [True, True, False]
    assert len(figures.draw_overlap((*pair, side)).data) == 1
    assert "no edge-level comparison" in " ".join(compared.caveats((*pair, side)))


def test_runs_with_other_blocks_are_compared_at_the_level_of_whole_mlps(
    tmp_path: Path, pair: tuple[Side, Side]
) -> None:
    """Beside ONE: blocks that add up to E1 and E2 at step 0 and have one edge more, E3."""
    cut = {
        0: {"input->m0.b0": 0.25, "input->m0.b1": 0.5, "m0.b1->logits": -3.0, E3: 1.0},
        4: {"input->m0.b0": 1.0},
    }
    run = make_run(tmp_path / "cut", cut, graph=Graph(2, 2, mlp_blocks=2), mlp_block=256)
    assert compared.labels([pair[0].run, run]) == [
        "A · circuit-tuning, whole MLPs",
        "B · circuit-tuning, blocks of 256",
    ]
    whole, side = pair[0], read_side(run, "B · cut")
    assert compared.alike(whole, side)
    assert "blocks of neurons put together to whole MLPs" in " ".join(
        compared.caveats((whole, side))
    )
    found = compare.changes(whole, side, 0).set_index("edge")
    assert found["before"].to_dict() == {E1: 1.0, E2: -1.0, E3: 0.0}
    assert found["after"].to_dict() == {E1: 0.75, E2: -3.0, E3: 1.0}
    assert found["state"].to_dict() == {E1: "weaker in B", E2: "stronger in B", E3: "only in B"}
    assert found["error"].isna().to_dict() == {E1: True, E2: True, E3: False}
    assert found.loc[E3, "error"] == pytest.approx(math.sqrt(0.1**2 + 0.1**2))
    assert compare.pairs((whole, side), 0)["B"].tolist() == pytest.approx([2 / 3, 1.0])
    payload = compare.pack_pair(whole, side)
    assert payload["shape"]["blocks"] == 1
    assert members(payload, payload["other"])[0] == {E1, E2, E3}
    assert members(payload, payload)[0] == {E1, E2}
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert list(figures.draw_overlap((whole, side)).data[0].y) == pytest.approx([2 / 3, 1 / 2])
    # the redundancy of m0: of input, a0.h0 and a0.h1 one edge is needed, however it is cut
    shares = unpack_redundancy(payload["other"]["redundancy"]["circuit"], len(payload["steps"]))
    at = [node["name"] for node in payload["nodes"]].index("m0")
    assert shares[0, at] == pytest.approx(2 / 3, abs=1e-4)
    # backwards, and both cut, but differently
    assert compare.pack_pair(side, whole)["shape"]["blocks"] == 1
    finer = make_run(
        tmp_path / "finer", {0: {"m0.b3->logits": 1.0}}, graph=Graph(2, 2, mlp_blocks=4)
    )
    assert compare.pairs((side, read_side(finer, "C · finer")), 0)["C"][0] == pytest.approx(1 / 3)
    # alike as they are
    assert compare.pack_pair(side, side)["shape"]["blocks"] == 2


def test_circuits_of_other_sizes_are_said_to_overlap_no_more_than_that(tmp_path: Path) -> None:
    sides = [
        read_side(make_run(tmp_path / "a", {0: {E1: 1.0}}), "A · a"),
        read_side(make_run(tmp_path / "b", {0: {E1: 1.0, E2: 1.0, E3: 1.0, E4: 1.0}}), "B · b"),
    ]
    assert "overlap by no more than 0.25" in " ".join(compared.caveats(sides))


# ---------------------------------------------------------------------- damage


def test_a_damaged_snapshot_is_left_out_and_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", ONE)
    run.snapshot_files()[1].write_bytes(b"no")
    damaged: list[DamagedRun] = []
    side = read_side(run, "one", damaged=damaged)
    assert side.timeline is not None
    assert side.timeline.steps == [0, 8]
    assert "000004.safetensors" in str(damaged[0])


def test_a_run_that_does_not_say_what_it_is_cannot_be_compared(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", ONE)
    file = run.folder / "run.json"
    about = json.loads(file.read_text())
    del about["task"]
    file.write_text(json.dumps(about))
    with pytest.raises(DamagedRun, match="has no 'task'"):
        read_side(open_run(str(run.folder)), "one")


# ---------------------------------------------------------------------- the page


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    monkeypatch.setenv("CTVIZ_RUNS", str(folder))
    return folder


def open_compare(**query: str) -> AppTest:
    return open_page("compare", query)


def test_with_only_the_samples_two_steps_of_one_are_compared(runs: Path) -> None:
    app = open_compare()
    assert app.multiselect[0].value == ["sample-sva-flip"]
    assert app.select_slider[0].value == 0
    assert app.session_state["compared"] == {"runs": "sample-sva-flip"}
    assert "make a run on the page" in said(app)
    assert "step 60 against step 0" in said(app)
    app.select_slider[0].set_value(10).run()
    assert app.query_params["against"] == "10"
    assert "step 60 against step 10" in said(app)


def test_runs_are_compared_in_the_order_of_the_address(runs: Path) -> None:
    make_run(runs / "one", ONE)
    make_run(runs / "other", OTHER, method="full")
    make_run(runs / "third", OTHER, method="lora")
    app = open_compare(runs="other,one,third", step="6")
    assert app.multiselect[0].value == ["other", "one", "third"]
    assert [app.selectbox(key=f"compare-{side}").value for side in "ab"] == ["other", "one"]
    assert "B at step 4 against A at step 6: 2 only in B, 2 only in A" in said(app)
    assert "Node colours and the inspector's numbers are A's; the heatmap shows B − A." in said(app)
    assert "All pairs, at step 6" in said(app)
    app.selectbox(key="compare-a").set_value("third").run()
    assert app.query_params["runs"] == "third,one,other"
    assert [app.selectbox(key=f"compare-{side}").value for side in "ab"] == ["third", "one"]
    app.selectbox(key="compare-a").set_value("one").run()  # B becomes A: they change places
    assert app.query_params["runs"] == "one,third,other"
    app.multiselect[0].set_value(["one"]).run()
    assert app.query_params["runs"] == "one"
    assert app.select_slider[0].options == ["0", "4", "8"]
    app.multiselect[0].set_value([]).run()
    assert "Choose a run" in said(app)


@pytest.mark.parametrize("chosen", ["grade", "metric"])
def test_what_is_drawn_can_be_chosen(runs: Path, chosen: str) -> None:
    make_run(runs / "one", ONE)
    app = open_compare(runs="one")
    app.selectbox(key="compare-up").set_value(chosen).run()
    app.selectbox(key="compare-across").set_value("step").run()
    app.toggle[0].set_value(True).run()
    assert not app.exception
    assert len(app.dataframe) == 2


def test_runs_that_are_gone_are_named_and_the_others_compared(runs: Path) -> None:
    make_run(runs / "one", ONE)
    make_run(runs / "other", OTHER, method="full")
    app = open_compare(runs="one,<b>gone</b>,other")
    assert "“<b>gone</b>” cannot be opened here; the others are compared" in said(app)
    assert app.multiselect[0].value == ["one", "other"]
    app = open_compare(runs="nothing", against="4")
    assert "“nothing” cannot be opened here; another one is shown" in said(app)
    assert len(app.multiselect[0].value) == 2


def test_a_link_to_a_step_that_is_gone_shows_the_nearest_and_says_so(runs: Path) -> None:
    make_run(runs / "one", ONE)
    app = open_compare(runs="one", against="3", step="7")
    assert "no snapshot of step 3; the nearest one is of step 4" in said(app)
    assert "no snapshot of step 7; the nearest one is of step 8" in said(app)
    assert app.select_slider[0].value == 4


def test_more_than_six_runs_are_cut_to_six(runs: Path) -> None:
    for at in range(7):
        make_run(runs / f"run{at}", OTHER, seed=at)
    app = open_compare(runs=",".join(f"run{at}" for at in range(7)))
    assert "names 7 runs; the first 6 are compared" in said(app)
    assert len(app.multiselect[0].value) == 6


@pytest.mark.slow
def test_other_graphs_single_snapshots_and_none_are_explained(runs: Path) -> None:
    make_run(runs / "one", ONE)
    make_run(runs / "wide", OTHER, graph=Graph(3, 2), method="full")
    make_run(runs / "single", {0: ONE[0]})
    make_run(runs / "empty", {}, ended=False)
    make_run(runs / "odd", ONE, metrics={"metric": math.nan}, seed=2)
    make_run(runs / "edgeless", {0: {}, 2: {}}, seed=5)
    assert "no edge-level comparison" in said(open_compare(runs="one,wide"))
    assert "one snapshot, of step 0, so there is nothing to compare" in said(
        open_compare(runs="single")
    )
    app = open_compare(runs="empty,one")
    assert "has no snapshot, so there is nothing of it to draw" in said(app)
    assert len(app.select_slider) == 1  # what is left is one run
    assert len(app.dataframe[-1].value) == 2
    assert "has no snapshot" in said(open_compare(runs="empty"))
    open_compare(runs="one,odd,edgeless,single,wide,empty")


def test_damaged_runs_and_snapshots_are_named(runs: Path) -> None:
    run = make_run(runs / "one", ONE)
    run.snapshot_files()[1].write_bytes(b"no")
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text("{")
    bad = make_run(runs / "bad", OTHER)
    about = json.loads((bad.folder / "run.json").read_text())
    (bad.folder / "run.json").write_text(json.dumps({**about, "task": {}}))
    app = open_compare(runs="one,broken,bad")
    text = said(app)
    assert "“broken”, “bad” cannot be opened here" in text
    assert "broken/run.json cannot be read" in text
    assert "000004.safetensors" in text
    assert "bad/run.json has no 'task.key'" in text
    assert app.select_slider[0].options == ["0", "8"]
