"""What the page Inspect draws, and the page itself without a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ctviz import paths
from ctviz.circuits.graph import Graph
from ctviz.pages import questions
from ctviz.runs import open_run
from ctviz.runs.snapshot import Snapshot
from ctviz.serving.client import Engine
from ctviz.views.inspection import (
    WINDOW,
    attention_change,
    attention_map,
    attribution_bars,
    compared,
    edge_tables,
    inspectable,
    nearest_node,
    nearest_steps,
    neuron_table,
    node_title,
    predictions,
    promoted,
    redundancy_curves,
    visible,
)
from tests.opened_pages import open_page, page_file, said
from tests.short_runs import tune_with_weights
from tests.written_runs import write_run

GRAPH = Graph(2, 4, 2)


def snapshot(step: int, **edges: float) -> Snapshot:
    """Scores by edge; what is named is in the circuit."""
    scores = np.zeros(GRAPH.exists.shape, dtype=np.float32)
    circuit = np.zeros(GRAPH.exists.shape, dtype=bool)
    for name, value in edges.items():
        scores[GRAPH.edge(name)] = value
        circuit[GRAPH.edge(name)] = True
    return Snapshot(step, scores, circuit, circuit, {}, {}, ())


# ---------------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("a1.h2", "a1.h2"),
        ("m1", "m1"),
        ("a9.h99", "a1.h3"),
        ("m999999", "m1"),
        ("a0.h7", "a0.h3"),
        ("input", ""),
        ("logits", ""),
        ("a1.g0", ""),
        ("<script>", ""),
        ("a1.h" + "9" * 300, ""),
        ("", ""),
    ],
)
def test_a_node_that_is_gone_is_the_nearest_there_is(asked, found):
    assert nearest_node(GRAPH, asked) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [("m1.b2", "m1.b2"), ("m1", "m1.b0"), ("m9.b7", "m1.b2"), ("a0.h1", "a0.h1")],
)
def test_of_a_cut_mlp_the_nearest_block_is_found(asked, found):
    assert nearest_node(Graph(2, 4, mlp_blocks=3), asked) == found
    assert nearest_node(GRAPH, "m1.b2") == "m1"


def test_nodes_and_steps_are_named():
    assert inspectable(GRAPH)[:5] == ["a0.h0", "a0.h1", "a0.h2", "a0.h3", "m0"]
    assert len(inspectable(GRAPH)) == 10
    assert node_title("a1.h3") == "a1.h3 · layer 1, head 3"
    assert node_title("m0") == "m0 · layer 0, MLP"
    assert node_title("m0.b3") == "m0.b3 · layer 0, MLP, block 3"
    assert node_title("") == "The whole model"
    assert nearest_steps([0, 4, 8], 4) == [4]
    assert nearest_steps([0, 4, 8], 5) == [4, 8]
    assert nearest_steps([0, 4, 8], 9) == [8]


def test_tokens_can_be_seen_and_are_never_markup():
    assert visible(" are") == " are"
    assert visible("\n\t") == "↵⇥"
    assert visible("  ") == "␣␣"
    assert visible("\x00\x1b\x7f") == "␀␛␡"
    assert visible("x" * 50) == "x" * 13 + "…"
    assert visible("") == "(nothing)"
    assert compared(" are", " is") == "logit(are) − logit(is)"
    assert compared(" are", "") == "logit(are) − the mean over all tokens"
    figure = attention_map(["<b>x</b>", "a&b"], np.eye(2))
    assert list(figure.layout.xaxis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "a&amp;b"]
    assert "<b>" not in figure.data[0].customdata[0][0]


# ---------------------------------------------------------------------- figures


def test_an_attention_map_shows_what_looks_at_what():
    pattern = np.array([[1, 0, 0], [0.25, 0.75, 0], [0.1, 0.2, 0.7]])
    figure = attention_map(["The", " keys", " are"], pattern)
    z = figure.data[0].z
    assert z[2][1] == 0.2
    assert np.isnan(z[0][1])  # nothing ahead is seen
    assert figure.data[0].customdata[2][1] == "are looks at keys"
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 1)
    assert figure.layout.yaxis.autorange == "reversed"
    change = attention_change(["The", " keys", " are"], -pattern)
    assert change.data[0].z[2][2] == -0.7
    assert (change.data[0].zmin, change.data[0].zmax) == (-1, 1)


def test_a_long_prompt_is_shown_in_a_window():
    count = 100
    tokens = [f"t{i}" for i in range(count)]
    pattern = np.tril(np.arange(count * count).reshape(count, count))
    figure = attention_map(tokens, pattern, first=60)
    assert len(figure.data[0].z) == WINDOW
    assert figure.layout.xaxis.ticktext[0] == "t60"
    assert figure.data[0].z[5][3] == pattern[65, 63]
    assert len(attention_map(tokens, pattern, first=90).data[0].z) == 10


def test_redundancy_has_both_estimators_and_marks_the_step():
    values = {"circuit": [0.5, 0.75], "mass": [1.0, float("nan")]}
    figure = redundancy_curves([0, 2], values, 2, tau=0.9)
    assert [line.name for line in figure.data] == ["circuit", "mass 90 %"]
    assert list(figure.data[0].y) == [0.5, 0.75]
    assert figure.layout.shapes[0].x0 == 2
    assert figure.layout.annotations[0].text == "step 2"


def test_the_largest_attributions_are_drawn_and_the_chosen_node_among_them():
    graph = Graph(4, 4)
    now = np.linspace(0.1, 1, len(graph.nodes))
    then = -now / 2
    now[-1] = then[-1] = np.nan
    figure = attribution_bars(graph, then, now, 6, "a0.h0")
    assert [bar.name for bar in figure.data] == ["step 6", "step 0"]
    assert len(figure.data[0].x) == 12
    assert figure.data[0].x[0] == "m3"
    assert figure.data[0].x[-1] == "<b>a0.h0</b>"
    assert figure.data[0].y[0] == now[graph.node("m3")]
    assert figure.data[1].y[0] == then[graph.node("m3")]
    assert "logits" not in figure.data[0].x
    assert [bar.name for bar in attribution_bars(graph, now, now, 0).data] == ["step 0"]


# ---------------------------------------------------------------------- tables


def test_edges_into_and_out_of_a_head_at_both_steps():
    then = snapshot(0, **{"input->a1.h2<q>": 1.0, "m0->a1.g1<k>": -3.0, "a1.h2->logits": 0.5})
    now = snapshot(4, **{"input->a1.h2<q>": 0.25, "a1.h2->m1": 2.0, "a0.h0->a1.h3<q>": 9.0})
    into, out = edge_tables(GRAPH, "a1.h2", then, now)
    assert into["edge"].tolist() == ["m0->a1.g1<k>", "input->a1.h2<q>"]  # the shared key counts
    assert into["step 0"].tolist() == [-3, 1]
    assert into["step 4"].tolist() == [0, 0.25]
    assert into["change"].tolist() == [3, -0.75]
    assert into["in the circuit"].tolist() == ["at step 0", "at both"]
    assert out["edge"].tolist() == ["a1.h2->m1", "a1.h2->logits"]
    assert out["in the circuit"].tolist() == ["at step 4", "at step 0"]
    into, out = edge_tables(GRAPH, "a1.h2", then, then)
    assert list(into.columns) == ["edge", "step 0"]
    into, out = edge_tables(GRAPH, "m0", then, now, count=1)
    assert into.empty
    assert out["edge"].tolist() == ["m0->a1.g1<k>"]


def test_tables_of_tokens():
    table = predictions({"step 4": [(" are", 0.75), ("\n", 0.125)], "step 0": [(" is", 0.5)]})
    assert table.index.tolist() == [1, 2]
    assert table["step 4"].tolist() == [" are", "↵"]
    assert table["p, step 0"].dropna().tolist() == [0.5]
    both = promoted([(" a", 2.0)], [(" b", -1.0)])
    assert both.to_dict("records") == [{"promotes": " a", "+": 2.0, "suppresses": " b", "-": -1.0}]
    neuron = SimpleNamespace(
        index=7, attribution=0.5, activation=-2.0, promotes=((" x", 1.0), ("\t", 0.5))
    )
    assert neuron_table([neuron]).to_dict("records") == [
        {"neuron": 7, "effect": 0.5, "activation": -2.0, "promotes": "x, ⇥"}
    ]
    assert neuron_table([]).empty


# ---------------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    tune_with_weights(folder / "r")
    return folder


@pytest.fixture
def runs(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(recorded, tmp_path / "runs")
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def open_inspect(**query: str) -> AppTest:
    return open_page("inspect", query)


def sections(app: AppTest) -> list[str]:
    return [m.value.removeprefix("#### ") for m in app.markdown if m.value.startswith("#### ")]


LIVE_HEAD = [
    "Attention",
    "Direct effect on the prediction",
    "Switched off",
    "What it promotes and suppresses",
    "Strongest edges in the circuit",
    "Redundancy over the run",
]


def linked(app: AppTest) -> list[str]:
    """The sections that the row at the top leads to."""
    row = next(m.value for m in app.markdown if "On this page" in m.value)
    found = re.findall(r"\[([^\[\]]+)\]\(#([^)]+)\)", row)
    assert all(anchor == title.lower().replace(" ", "-") for title, anchor in found)
    return [title for title, _ in found]


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.replace("−", "-").split(" → ")]


@pytest.mark.slow
def test_a_head_is_read_live_where_its_weights_are(runs):
    app = open_inspect(run="r", step="2", node="a2.h1")
    assert sections(app) == linked(app) == LIVE_HEAD
    assert "Computed now with the weights of step 2 and step 0." in said(app)
    stored = list(open_run("r", runs).snapshots())
    index = stored[0].probes[0].attribution.shape[0]
    assert index == 22
    node = open_run("r", runs).graph.node("a2.h1")
    now, then = (float(stored[at].probes[0].attribution[node]) for at in (2, 0))
    shown = [metric.value for metric in app.metric[:3]]
    assert shown == [signed(now), signed(then), signed(now - then)]
    before, after = numbers(app.metric[4].value)  # on the task's dev examples
    assert before == pytest.approx(stored[2].metrics["metric"], abs=0.01)
    assert before != after


def test_an_mlp_shows_its_neurons_and_no_attention(runs):
    app = open_inspect(run="r", step="4", node="m3")
    first = ["Its strongest neurons", "When its neurons fire"]
    assert sections(app) == linked(app) == [*first, *LIVE_HEAD[1:]]
    tables = [d.value for d in app.dataframe if "neuron" in d.value and "effect" in d.value]
    firing = [d.value for d in app.dataframe if "neuron" in d.value and "effect" not in d.value]
    assert (len(tables), len(firing)) == (2, 2)  # at the step and at the start
    assert (tables[0]["effect"].abs().diff().dropna() <= 1e-6).all()


def test_a_step_without_weights_shows_what_was_stored_and_the_way_to_others(runs):
    app = open_inspect(run="r", step="3", node="a2.h1")
    assert sections(app) == linked(app) == [*LIVE_HEAD[:2], *LIVE_HEAD[4:]]
    assert "The weights of step 3 were not kept" in said(app)
    assert "The nearest with weights: step 2 and step 4." in said(app)
    assert "Stored at the snapshots of step 3 and step 0." in said(app)
    probe = list(open_run("r", runs).snapshots())[3].probes[0]
    node = open_run("r", runs).graph.node("a2.h1")
    assert app.metric[0].value == signed(float(probe.attribution[node]))
    app.button(key="inspect-go-4").click().run()
    assert app.query_params["step"] == "4"
    assert app.query_params["node"] == "a2.h1"
    assert sections(app) == LIVE_HEAD


def test_the_model_is_shown_beside_the_untuned_one(runs):
    app = open_inspect(run="r", step="4")
    assert sections(app) == ["Likeliest next tokens"]
    table = app.dataframe[0].value
    assert list(table.columns) == ["step 4", "p, step 4", "step 0", "p, step 0"]
    stored = list(open_run("r", runs).snapshots())
    for column, at in (("step 4", 4), ("step 0", 0)):
        top = stored[at].probes[0].top
        assert table[column].tolist()[: len(top)] == [token for token, _ in top]
        assert table[f"p, {column}"].tolist()[0] == pytest.approx(top[0][1], abs=1e-3)
    app.select_slider(key="inspect-step").set_value(0).run()
    assert list(app.dataframe[0].value.columns) == ["step 0", "p, step 0"]
    assert app.query_params["step"] == "0"


def type_prompt(app: AppTest, text: str, answer: str = "", foil: str = "") -> AppTest:
    app.text_area[0].set_value(text)
    app.text_input[0].set_value(answer)
    app.text_input[1].set_value(foil)
    app.button[0].click().run()
    assert not app.exception
    return app


@pytest.mark.slow
def test_a_prompt_of_ones_own_is_read_and_not_lost(runs):
    app = open_inspect(run="r", step="4", node="a1.h0")
    app.selectbox(key="inspect-prompt").set_value(-1).run()
    assert "Type a prompt" in said(app)
    type_prompt(app, "The keys to the cabinet", " are", " is")
    assert sections(app) == LIVE_HEAD
    assert "On logit(are) − logit(is)" in said(app)
    assert app.radio(key="inspect-off").options == ["zero", "its mean over the task's prompts"]
    assert "with the space in front" not in said(app)
    type_prompt(app, "The keys to the cabinet", "are", "is")
    assert "On logit(are)" in said(app)
    assert "The answer is read as ' are', with the space in front." in said(app)
    type_prompt(app, "The keys to the cabinet ", "are")
    assert "End the prompt without a space, and begin the answer with it." in said(app)
    type_prompt(app, "The keys")
    assert "the likeliest token at step 4" in said(app)
    app.select_slider(key="inspect-step").set_value(3).run()
    assert "needs the model at this step" in said(app)
    app.select_slider(key="inspect-step").set_value(2).run()
    assert app.text_area[0].value == "The keys"
    assert sections(app) == LIVE_HEAD


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "answer", "foil", "expected"),
    [
        ("x" * 10_000, "", "", "but the model reads at most 64: "),
        ("The keys", "", " is", "a foil but no answer"),
        ("The keys", " is", " is", "answer and foil are the same"),
        ("   ", "", "", "logit("),
        ("<b>\x00\x07 $a$ `b` [c](http://d)", "", "", "logit("),
    ],
)
def test_whatever_is_typed_is_text(runs, text, answer, foil, expected):
    app = open_inspect(run="r", step="4", node="m1")
    app.selectbox(key="inspect-prompt").set_value(-1).run()
    type_prompt(app, text, answer, foil)
    assert expected in said(app)
    assert app.text_area[0].value == text


def test_switching_off_can_be_chosen(runs):
    app = open_inspect(run="r", step="4", node="m2")
    shown = {}
    for ablation in ("zero", "mean", "counterfactual"):
        app.radio(key="inspect-off").set_value(ablation).run()
        assert not app.exception
        shown[ablation] = [m.value for m in app.metric[3:]]
    assert len(set(map(tuple, shown.values()))) == 3
    assert len({m.split(" → ")[0] for m in (row[0] for row in shown.values())}) == 1


@pytest.mark.slow
def test_links_to_what_is_gone_open_the_nearest_and_say_so(runs):
    app = open_inspect(run="r", step="99", node="a9.h9")
    assert "no snapshot at step 99; this is step 4" in said(app)
    assert "“a9.h9” is no head or MLP of this model; this is a3.h3" in said(app)
    app = open_inspect(run="<b>gone", step="3", node="m1")
    assert "There is no run “<b>gone” here" in said(app)
    app = open_inspect(run="r", step="-1", node="logits")
    assert "this is the whole model" in said(app)


def test_the_address_is_filled_in_and_follows(runs):
    app = open_inspect(step="2", node="m0")
    assert app.session_state["inspected"] == {"run": "r", "step": "2", "node": "m0"}
    app.selectbox(key="inspect-node").set_value("a0.h1").run()
    assert app.query_params["node"] == "a0.h1"
    app.selectbox(key="inspect-run").set_value("sample-sva-flip").run()
    assert app.query_params["run"] == "sample-sva-flip"
    assert "node" not in app.query_params  # which belonged to the other run
    assert app.selectbox(key="inspect-node").value == ""


def test_the_watched_run_is_what_is_inspected(runs):
    app = open_page("inspect", {}, watched="r")
    assert app.session_state["inspected"]["run"] == "r"
    assert app.selectbox(key="inspect-run").value == "r"


def test_a_sample_whose_weights_do_not_ship_says_so_without_alarm():
    app = open_page("inspect", {"run": "sample-tiny-sva", "step": "6000", "node": "m3"})
    assert not app.warning
    assert any("not on this machine, so this is what was stored" in i.value for i in app.info)


@pytest.mark.slow
def test_a_model_that_is_not_here_leaves_what_was_stored(runs, monkeypatch, tmp_path):
    write_run(runs / "elsewhere", "one", model="smollm2-135m")
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path / "empty"))
    elsewhere = Engine()  # in this environment
    monkeypatch.setattr(questions, "engine", lambda: elsewhere)
    app = open_inspect(run="elsewhere", step="0")
    elsewhere.close()
    assert "The model could not be run" in said(app)
    assert "ctviz models fetch smollm2-135m" in said(app)


@pytest.mark.slow
@pytest.mark.parametrize("case", [{"snapshots": 1}, {"nan": True}])
def test_a_run_with_one_snapshot_or_without_a_number_opens(runs, case):
    run = write_run(runs / "odd", "one", **case)
    node = inspectable(run.graph)[0]
    for query in ({"node": node}, {}):
        app = open_inspect(run="odd", **query)
        assert app.selectbox(key="inspect-run").value == "odd"


def test_a_run_without_a_snapshot_says_what_to_do(runs):
    write_run(runs / "none", "one", snapshots=0)
    assert "no snapshot yet" in said(open_inspect(run="none"))


def test_without_any_run_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))
    monkeypatch.setattr(paths, "shipped_runs", lambda: tmp_path / "runs")
    assert "Make one on the page **Run**" in said(open_inspect())


def test_where_no_model_can_be_run_what_was_stored_is_shown(runs, monkeypatch):
    gone = Engine()
    gone.close()
    monkeypatch.setattr(questions, "engine", lambda: gone)
    app = open_inspect(run="r", step="4", node="a1.h0")
    assert "The model could not be run, so this is what was stored: The app is ending" in said(app)
    assert sections(app) == [*LIVE_HEAD[:2], *LIVE_HEAD[4:]]
    monkeypatch.undo()
    monkeypatch.setenv("CTVIZ_RUNS", str(runs))
    app.run()  # the failure was not kept
    assert sections(app) == LIVE_HEAD


def test_other_settings_or_examples_are_asked_about_anew(runs, tmp_path):
    run = open_run("r", runs)
    first = questions.model_at_step(run, 0)
    assert questions.model_at_step(open_run("r", runs), 0) == first
    about = json.loads((run.folder / "run.json").read_text())
    file = tmp_path / "own.csv"
    file.write_text("clean,corrupt,answer,foil\n")
    for changed in ({"examples": 9}, {"task": str(file)}):
        about["config"] |= changed
        (run.folder / "run.json").write_text(json.dumps(about))
        now = questions.model_at_step(open_run("r", runs), 0)
        assert now != first
        first = now
    os.utime(file, ns=(0, 0))
    assert questions.model_at_step(open_run("r", runs), 0) != first


@pytest.mark.parametrize("mapping", ["", "?clean=before&foil=not"])
def test_an_edited_file_is_asked_about_anew_whatever_its_columns_are_called(
    runs, tmp_path, mapping
):
    run, file = open_run("r", runs), tmp_path / "own.csv"
    file.write_text("clean,corrupt,answer,foil\n")
    about = json.loads((run.folder / "run.json").read_text())
    about["config"]["task"] = f"{file}{mapping}"
    (run.folder / "run.json").write_text(json.dumps(about))
    seen = [questions.model_at_step(open_run("r", runs), 0)]
    for change in (
        lambda: os.utime(file, ns=(0, 0)),
        lambda: (file.write_text("clean,corrupt,answer,foil\n,,,\n"), os.utime(file, ns=(0, 0))),
        file.unlink,
    ):
        change()
        seen.append(questions.model_at_step(open_run("r", runs), 0))
    assert len(set(seen)) == 4


def test_a_changed_model_folder_is_asked_about_anew(runs, tmp_path):
    run, folder = open_run("r", runs), tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    about = json.loads((run.folder / "run.json").read_text())
    about["config"]["model"] = str(folder)
    (run.folder / "run.json").write_text(json.dumps(about))
    first = questions.model_at_step(open_run("r", runs), 0)
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert questions.model_at_step(open_run("r", runs), 0) != first


@pytest.mark.slow
def test_a_page_that_reads_a_model_does_not_import_torch(runs):
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({page_file("inspect")!r}, default_timeout=120)
app.query_params |= {{"run": "r", "step": "2", "node": "a2.h1"}}
app.run()
assert not app.exception
assert "#### What it promotes and suppresses" in [m.value for m in app.markdown]
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
