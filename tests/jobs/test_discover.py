"""What is asked of a circuit, through the command line in this process: files, text and errors."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from ctviz.circuits.choices import ABLATIONS, ATTRIBUTIONS, METRICS
from ctviz.circuits.eap_json import load_eap_json, save_eap_json
from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit, General, Scores
from ctviz.circuits.selection import SELECTIONS, prune_dead_ends
from ctviz.cli import main
from ctviz.errors import BadCircuitFile, OutOfRange, UnknownName
from ctviz.files import read_tensors
from ctviz.interventions.curve import SHARES
from ctviz.jobs.audit import audit
from ctviz.jobs.curve_figure import draw_curves
from ctviz.jobs.discovery import Search, discover
from ctviz.jobs.evaluate import evaluate
from ctviz.jobs.question import Question
from ctviz.models.families import FAMILIES
from ctviz.models.loading import Loaded, load

FEW = ("--examples", "4")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Iterator[None]:
    """Hand-made models are built here, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTVIZ_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch) -> Path:
    """Each test starts in a folder of its own."""
    monkeypatch.delenv("CTVIZ_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load("tiny", device="cpu")


@pytest.fixture
def ask(capsys):
    """Run a command with --json and give its answer."""

    def run(*arguments: str) -> dict:
        assert main([*arguments, "--json"]) == 0
        return strict(capsys.readouterr().out)

    return run


@pytest.fixture
def text(capsys):
    """Run a command and give what it prints."""

    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    return run


def strict(content: str) -> dict:
    """JSON that is not allowed to have NaN or infinity in it."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(content, parse_constant=refuse)


# ---------------------------------------------------------------------- discover


@pytest.mark.slow
@pytest.mark.parametrize("method", ATTRIBUTIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_discover_with_each_method_and_metric(method, metric, ask, capsys):
    model = ("--model", "induction", "--task", "induction", "--edges", "20")
    setting = (*model, "--method", method, "--metric", metric, *FEW)
    if (method, metric) == ("eap", "kl"):
        assert main(["discover", *setting]) == 1
        assert "Use the method eap-ig or exact" in capsys.readouterr().err
        return
    found = ask("discover", *setting)
    assert (found["method"], found["metric_name"], found["examples"]) == (method, metric, 4)
    assert found["n_circuit_edges"] == 20
    assert found["metric_clean"] > found["metric_corrupt"]
    if method == "exact":
        assert found["faithfulness"] == pytest.approx(1, abs=0.05)
    folder = Path(found["scores"]).parent
    tensors, _ = read_tensors(folder / "scores.safetensors")
    assert tensors["circuit"].sum() == 20
    table = pd.read_csv(folder / "circuit.csv")
    assert len(table) == 20
    assert (np.diff(np.abs(table["score"])) <= 0).all()
    assert table["edge"].tolist()[:5] == [row["edge"] for row in found["strongest"]]
    assert sorted(strict((folder / "scores.json").read_text())["circuit"]) == sorted(table["edge"])


@pytest.mark.slow
@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("prune", [False, True])
def test_discover_with_each_selection(select, prune, ask):
    amount = ("--threshold", "0.5") if select == "threshold" else ("--edges", "12")
    more = ("--prune",) if prune else ()
    found = ask("discover", "--select", select, *amount, *more, *FEW)
    tensors, _ = read_tensors(Path(found["scores"]))
    scores = Scores(Graph(4, 4), tensors["values"])
    assert ("general" in tensors) == (select == "specific")
    if select == "specific":
        nodes = np.zeros(len(scores.graph.sources))
        scores = replace(scores, general=General(tensors["general"], nodes))
    chosen = SELECTIONS[select].choose(scores, 0.5 if select == "threshold" else 12)
    expected = prune_dead_ends(chosen) if prune else chosen
    assert (tensors["circuit"] == expected.mask).all()
    assert found["n_circuit_edges"] == expected.n_edges > 0


@pytest.mark.slow
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_discover_with_each_ablation(ablation, ask, text):
    found = ask("discover", "--ablation", ablation, "--edges", "479", *FEW)
    assert found["ablation"] == ablation
    assert found["faithfulness"] == pytest.approx(1, abs=1e-4)
    assert found["random_faithfulness"] == pytest.approx(1, abs=1e-4)  # there is only one
    assert found["random_spread"] == pytest.approx(0, abs=1e-4)
    assert f"all corrupted ({ablation})" in text("discover", "--ablation", ablation, *FEW)


def test_discover_says_what_its_numbers_are(text):
    said = text("discover", "--edges", "20", *FEW)
    assert "20 of 479 edges of tiny, sva\n" in said
    assert "circuit alone, on 4 dev pairs" in said
    assert "found on 4 train pairs, by eap" in said
    assert "correlation with exactly patching 20 nodes on 4 pairs: eap 0." in said
    assert "metric logit(agreeing verb) - logit(disagreeing verb): +" in said
    assert "5 random connected circuits of its size: " in said
    assert "score ± standard error, in units of the metric" in said
    assert "m3->logits" in said
    metric = text("discover", "--metric", "log_probability", *FEW)
    assert "metric log p(answer), in nats: -" in metric


def test_a_circuit_of_nothing_is_told_as_such(text, ask):
    nothing = ("discover", "--select", "threshold", "--threshold", "99", *FEW)
    said = text(*nothing)
    assert "0 of 479 edges" in said
    assert "nothing: the largest |score| is" in said
    found = ask(*nothing)
    assert (found["n_circuit_edges"], found["strongest"]) == (0, [])
    assert found["faithfulness"] == pytest.approx(0, abs=1e-6)
    assert found["largest_score"] < 99


def test_shares_of_next_to_nothing_are_told_as_such(text):
    said = text("discover", "--task", "echo", "--metric", "log_probability", "--examples", "4")
    assert "clean and corrupt hardly differ here" in said
    assert "hardly differ" not in text("discover", *FEW)


def test_one_pair_has_no_errors_but_an_answer(ask, text):
    found = ask("discover", "--examples", "1")
    assert found["faithfulness_error"] is None
    assert all(row["error"] is None for row in found["strongest"])
    strict(Path(found["scores"]).with_name("scores.json").read_text())
    assert "nan" not in text("discover", "--examples", "1")


# ---------------------------------------------------------------------- evaluate


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sva", "ioi"])
def test_a_file_evaluates_to_what_was_discovered(task, ask, text):
    """On the dev pairs that judged it; test pairs are asked by default, and train pairs said."""
    setting = ("--task", task, "--metric", "probability_difference", *FEW)
    found = ask("discover", "--edges", "25", "--eap-json", *setting)
    file = Path(found["scores"]).with_name("circuit.json")
    assert (found["scored_split"], found["split"]) == ("train", "dev")
    again = ask("evaluate", str(file), "--split", "dev", *setting)
    for key in (
        "faithfulness",
        "faithfulness_error",
        "random_faithfulness",
        "random_spread",
        "metric",
        "metric_clean",
        "metric_corrupt",
        "metric_circuit",
        "n_circuit_edges",
        "n_edges",
    ):
        assert again[key] == pytest.approx(found[key], abs=1e-12), key
    assert "minimality" not in again
    assert again["in_sample"] is False
    other = ask("evaluate", str(file), *setting)
    assert (other["split"], other["in_sample"]) == ("test", False)
    assert other["metric_clean"] != found["metric_clean"]
    assert "in sample" not in text("evaluate", str(file), *setting)
    said = text("evaluate", str(file), "--split", "train", *setting)
    assert "in sample: it was found on these very pairs" in said


def test_a_shared_edge_survives_the_file(tmp_path, tiny):
    """The scores of a model with shared keys and values, as another tool would hold them."""
    graph = Graph(2, 4, 2)
    values = np.where(graph.exists, np.float32(0.5), np.float32(0))
    file = tmp_path / "grouped.json"
    save_eap_json(file, Scores(graph, values), Circuit(graph, graph.exists), d_model=8)
    assert load_eap_json(file).circuit.graph == graph
    with pytest.raises(BadCircuitFile, match=r"2 layers of 4 heads \(2 key/value heads\)"):
        evaluate(tiny, Question(task="sva", examples=2), file)


@pytest.mark.slow
def test_minimality_has_a_row_an_edge(ask, text):
    found = ask("discover", "--edges", "8", "--eap-json", *FEW)
    file = str(Path(found["scores"]).with_name("circuit.json"))
    rows = ask("evaluate", file, "--minimality", *FEW)["minimality"]
    assert len(rows) == 8
    lost = [row["lost"] for row in rows]
    assert lost == sorted(lost)
    assert rows[-1]["edge"] in ("m3->logits", "input->m0")
    said = text("evaluate", file, "--minimality", *FEW)
    assert said.index("what the circuit loses without one edge") < said.index(rows[0]["edge"])
    assert "completeness: all other edges carry" in said
    one = ask("evaluate", file, "--minimality", "--draws", "1", "--examples", "1")
    assert one["completeness_error"] is one["random_spread"] is one["minimality"][0]["error"]


def test_a_circuit_of_another_model_is_refused(tmp_path, capsys):
    graph = Graph(2, 4)
    scores = Scores(graph, np.zeros(graph.exists.shape, np.float32))
    save_eap_json(tmp_path / "other.json", scores, Circuit(graph, graph.exists), d_model=128)
    assert main(["evaluate", "other.json"]) == 1
    said = capsys.readouterr().err
    assert "2 layers of 4 heads, but tiny has 4 layers of 4 heads" in said


# ---------------------------------------------------------------------- curve


@pytest.mark.slow
def test_a_curve_is_a_table_and_a_figure(ask):
    methods = ("--method", "eap", "--method", "eap-ig")
    tasks = ("--task", "sva", "--task", "ioi", "--task", "sva")  # once is enough
    found = ask("curve", *tasks, *methods, "--draws", "2", *FEW)
    folder = Path(found["figure"]).parent
    files = ["curves.csv", "curves.json", "curves.png", "curves.svg"]
    assert sorted(file.name for file in folder.iterdir()) == files
    table = pd.read_csv(folder / "curves.csv")
    rows = table.groupby(["task", "method", "selection", "draw"], sort=False)
    assert len(rows) == 2 * (2 * 2 + 2)
    for (_, _, selection, _), one in rows:
        assert one["share"].tolist() == list(SHARES)
        assert one["edges"].is_monotonic_increasing or selection == "random"
        assert (one["faithfulness"].iloc[-1], one["edges"].iloc[-1]) == (1, 479)
        assert one["faithfulness"].iloc[0] == 0
    for area in found["areas"]:
        mine = table[(table["task"] == area["task"]) & (table["method"] == area["method"])]
        signed = mine[mine["selection"].isin(["signed", "random"])].groupby("draw")
        sized = mine[mine["selection"].isin(["absolute", "random"])].groupby("draw")
        cpr = [np.trapezoid(one["faithfulness"], one["share"]) for _, one in signed]
        cmd = [np.trapezoid(np.abs(1 - one["faithfulness"]), one["share"]) for _, one in sized]
        assert area["cpr"] == pytest.approx(np.mean(cpr), abs=1e-9)
        assert area["cmd"] == pytest.approx(np.mean(cmd), abs=1e-9)
        assert area["examples"] == 4
    assert [(a["task"], a["method"]) for a in found["areas"]] == [
        (task, method) for task in ("sva", "ioi") for method in ("eap", "eap-ig", "random")
    ]
    assert strict((folder / "curves.json").read_text())["areas"] == found["areas"]
    drawing = ElementTree.fromstring((folder / "curves.svg").read_text())
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    picture = matplotlib.image.imread(io.BytesIO((folder / "curves.png").read_bytes()), "png")
    height, width = picture.shape[:2]
    assert 600 < height < width  # two panels side by side
    assert picture[..., :3].min() < 0.5 < picture[..., :3].max()


@pytest.mark.slow
def test_the_same_curve_is_the_same_file(ask):
    one, two = (ask("curve", "--method", "eap", "--draws", "1", *FEW) for _ in range(2))
    assert one["figure"] != two["figure"]
    for name in ("curves.csv", "curves.svg", "curves.png"):
        files = [Path(found["figure"]).with_name(name).read_bytes() for found in (one, two)]
        assert files[0] == files[1], name


@pytest.mark.slow
def test_curves_of_kl_leave_out_the_method_that_finds_nothing(ask):
    found = ask("curve", "--metric", "kl", "--draws", "1", *FEW)
    assert [area["method"] for area in found["areas"]] == ["eap-ig", "random"]


@pytest.mark.slow
def test_a_curve_of_one_pair_is_drawn_without_errors(ask, text):
    ask("curve", "--method", "eap", "--draws", "1", "--examples", "1")
    said = text("curve", "--method", "eap", "--draws", "1", "--examples", "1")
    assert "area under faithfulness" in said
    assert "nan" not in said


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_figure_far_from_zero_and_one_is_drawn(suffix):
    about = {"task": "t", "method": "exact", "draw": 0, "error": 0.1}
    rows = [
        {**about, "selection": selection, "share": share, "faithfulness": 30 * share - 20}
        for selection in ("absolute", "signed")
        for share in SHARES
    ]
    areas = [{"task": "t", "method": "exact", "examples": 3, "cpr": -5.0, "cmd": 12.0}]
    drawn = draw_curves(pd.DataFrame(rows), areas, suffix, title="by hand")
    start = {"svg": b"<?xml", "png": b"\x89PNG"}[suffix]
    assert drawn.startswith(start)


# ---------------------------------------------------------------------- audit


@pytest.mark.slow
def test_audit_in_numbers_and_words(ask, text):
    found = ask("audit", "--draws", "2", *FEW)
    assert found["estimator"] == "mass(0.9)"
    assert found["redundant"] + found["needed"] == 479
    assert found["examples"] == 4
    rows = {row["which"]: row for row in found["rows"] if row["whole"]}
    assert rows["redundant"]["change"] < 0.5 < rows["needed"]["change"]
    said = text("audit", "--draws", "2", *FEW)
    assert f"{found['redundant']} incoming edges redundant, {found['needed']} needed" in said
    assert "share of the behaviour that is lost" in said
    assert f"all {found['needed']} needed" in said
    assert "over 2 draws" in said


@pytest.mark.slow
def test_audit_of_one_node_by_its_circuit(ask, text):
    one = ("--node", "m2", "--estimator", "circuit", "--edges", "30", "--draws", "2")
    found = ask("audit", *one, *FEW)
    assert (found["node"], found["estimator"]) == ("m2", "circuit")
    assert found["redundant"] + found["needed"] == 15
    assert text("audit", *one, *FEW).startswith("m2, circuit: ")
    alone = ask("audit", *one, "--examples", "1")
    whole = [row for row in alone["rows"] if row["whole"]]
    assert whole
    assert all(row["spread"] is None for row in whole)


def test_audit_of_the_known_answer(ask):
    found = ask("audit", "--model", "induction", "--task", "induction", "--node", "a1.h2", *FEW)
    rows = {row["which"]: row["change"] for row in found["rows"] if row["whole"]}
    assert abs(rows["redundant"]) < 1e-3
    assert rows["needed"] == pytest.approx(1, abs=0.01)


# ---------------------------------------------------------------------- listings and errors


def test_the_supported_families_are_listed(ask, text):
    listed = ask("models", "--families")["families"]
    assert [family["model_type"] for family in listed] == list(FAMILIES)
    assert len(listed) == 18
    assert all(family["title"] for family in listed)
    assert text("models", "--families").count("\n") == 18


def test_a_task_is_explained_with_both_prompts(text):
    said = text("tasks", "sva")
    assert said.count("  clean ") == said.count("  corrupt ") == 3


NOT_JSON, NOT_A_FOLDER, UNEQUAL = "not.json", "a-file", "unequal.csv"
BAD = [
    (("discover", "--edges", "0"), "edges is 0, but must be from 1 to 479"),
    (("discover", "--edges", "480"), "edges is 480"),
    (("discover", "--threshold", "-1"), "go together"),
    (("discover", "--select", "threshold"), "go together"),
    (("discover", "--select", "threshold", "--threshold", "-1"), "threshold is -1"),
    (("discover", "--select", "threshold", "--threshold", "nan"), "threshold is nan"),
    (("discover", "--examples", "0"), "examples is 0"),
    (("discover", "--method", "eap", "--metric", "kl"), "Use the method eap-ig or exact"),
    (("discover", "--task", UNEQUAL), "fits this model's tokenizer: clean and corrupt must"),
    (("discover", "--task", "svaa"), "Did you mean 'sva'"),
    (("discover", "--model", "nowhere"), "no model 'nowhere'"),
    (("discover", "--out", NOT_A_FOLDER), "No folder can be made in a-file"),
    (("curve", "--draws", "0"), "draws is 0"),
    (("curve", "--examples", "0"), "examples is 0"),
    (("curve", "--task", "sva", "--task", "iio"), "no task 'iio'"),
    (("curve", "--metric", "kl", "--method", "eap"), "Use the method eap-ig or exact"),
    (("curve", "--out", NOT_A_FOLDER), "No folder can be made in a-file"),
    (("audit", "--tau", "0"), "tau is 0.0, but must be from 0 to 1. 0 itself is excluded"),
    (("audit", "--tau", "1.1"), "tau is 1.1"),
    (("audit", "--tau", "nan"), "tau is nan"),
    (("audit", "--draws", "0"), "draws is 0"),
    (("audit", "--examples", "0"), "examples is 0"),
    (("audit", "--node", "a9.h9"), "no node 'a9.h9'"),
    (("audit", "--node", "input"), "input has no incoming edges"),
    (("audit", "--estimator", "circuit", "--edges", "0"), "edges is 0"),
    (("evaluate", "missing.json"), "missing.json does not exist"),
    (("evaluate", NOT_JSON), "not.json cannot be read as JSON"),
    (("evaluate", "."), "cannot be read as JSON"),
    (("evaluate", "list.json"), "list.json: the file is a list"),
    (("evaluate", "missing.json", "--draws", "0"), "draws is 0"),
    (("tune", "--out", NOT_A_FOLDER), "No folder can be made in a-file"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_bad_input_is_one_line_and_leaves_nothing_behind(arguments, says, empty_folder, capsys):
    pair = "clean,corrupt,answer,foil,split\nThe old keys,The key,are,is,train\n"
    given = {NOT_A_FOLDER: "", NOT_JSON: "{", "list.json": "[]", UNEQUAL: pair}
    for name, content in given.items():
        (empty_folder / name).write_text(content)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    said = err.splitlines()[-1]  # before it there may be progress
    assert said.startswith("ctviz: ")
    assert says in said
    assert sorted(path.name for path in empty_folder.rglob("*")) == sorted(given)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("discover", "--seed", "-1"), "'-1' is not a whole number of 0 or more"),
        (("audit", "--seed", "one"), "'one' is not a whole number of 0 or more"),
        (("discover", "--method", "exakt"), "invalid choice: 'exakt'"),
        (("discover", "--metric", "loss"), "invalid choice: 'loss'"),
        (("discover", "--edges", "many"), "invalid int value: 'many'"),
        (("evaluate",), "CIRCUIT.json"),
        (("discoverr",), "invalid choice: 'discoverr'"),
    ],
)
def test_wrong_usage_is_one_line_after_the_usage(arguments, says, empty_folder, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err.splitlines()[-1]
    assert not list(empty_folder.iterdir())


def test_a_folder_made_for_nothing_goes_and_one_that_was_there_stays(empty_folder):
    (empty_folder / "mine").mkdir()
    (empty_folder / UNEQUAL).write_text(
        "clean,corrupt,answer,foil,split\nThe old keys,The key,are,is,train\n"
    )
    wrong = ("discover", "--task", UNEQUAL)
    assert main([*wrong, "--out", "mine/new/deep"]) == 1
    assert list((empty_folder / "mine").iterdir()) == []


def test_what_a_caller_asks_is_checked_by_name(tiny, tmp_path):
    with pytest.raises(UnknownName, match=r"no selection 'tops'.* Did you mean 'top'"):
        discover(tiny, Search(task="sva", select="tops", examples=2), tmp_path)
    with pytest.raises(UnknownName, match=r"no estimator 'mas'.* Did you mean 'mass'"):
        audit(tiny, Search(task="sva", examples=2), estimator="mas")
    with pytest.raises(OutOfRange, match="draws is -1"):
        Question(task="sva", draws=-1)
    assert not list(tmp_path.iterdir())


def test_how_many_circuits_are_drawn_and_what_a_node_needs_stand_in_the_result(tiny, tmp_path):
    few, many = (
        discover(tiny, Search(task="sva", examples=2, draws=draws, tau=tau), tmp_path)
        for draws, tau in ((1, 1.0), (2, 0.5))
    )
    stored = strict((tmp_path / "scores.json").read_text())
    assert (stored["draws"], stored["tau"]) == (many["draws"], many["tau"]) == (2, 0.5)
    assert few["random_spread"] is None
    assert many["random_spread"] is not None
    assert stored["redundancy"]["mass"]["logits"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "close"), [("bfloat16", 0.1), ("float64", 1e-4)])
def test_a_model_can_be_run_in_another_precision(ask, dtype, close):
    usual = ask("discover", "--examples", "8")
    other = ask("discover", "--examples", "8", "--dtype", dtype)
    assert other["metric_clean"] != usual["metric_clean"]
    assert other["faithfulness"] == pytest.approx(usual["faithfulness"], abs=close)
    assert other["metric_clean"] == pytest.approx(usual["metric_clean"], rel=close)


def test_scores_are_kept_when_faithfulness_is_undefined(capsys, monkeypatch, empty_folder):
    usual = Question.pairs

    def no_difference(*arguments):
        batch, chosen = usual(*arguments)
        return replace(batch, corrupt=batch.clean), chosen

    monkeypatch.setattr(Question, "pairs", no_difference)
    assert main(["discover", "--examples", "4"]) == 1
    said = capsys.readouterr().err
    assert "Faithfulness is undefined" in said
    (folder,) = (empty_folder / "ctviz-runs").iterdir()
    assert folder.name in said
    assert {file.name for file in folder.iterdir()} >= {"scores.safetensors", "nodes.csv"}
