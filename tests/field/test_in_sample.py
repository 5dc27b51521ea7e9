"""What a circuit was found on goes with it, and a test on the same prompts says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ctviz
from ctviz.circuits.eap_json import load_eap_json, save_eap_json
from ctviz.circuits.graph import Graph
from ctviz.circuits.scores import Circuit, Scores
from ctviz.cli import main
from ctviz.errors import BadCircuitFile
from ctviz.export import circuit_file
from ctviz.jobs.discovery import Search, discover
from ctviz.jobs.evaluate import evaluate
from ctviz.jobs.question import Question
from ctviz.models.loading import Loaded, load
from ctviz.runs import Run
from tests.field.models import llama, tiny_copy
from tests.field.written import PAIRS, as_rows, jsonl_file
from tests.small_runs import write


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load("tiny")


def found(loaded: Loaded, task: str, folder: Path) -> Path:
    folder.mkdir()
    search = Search(task=task, edges=20, examples=6, draws=1, method="eap")
    discover(loaded, search, folder, eap_json=True)
    return folder / "circuit.json"


def asked(loaded: Loaded, task: str, circuit: Path, **how: Any) -> dict[str, Any]:
    return evaluate(loaded, Question(task=task, draws=1, split=None, **how), circuit)


class TestTheSamePrompts:
    def test_are_known_in_a_file_of_another_name(self, tiny, tmp_path):
        one = jsonl_file(tmp_path / "one.jsonl", as_rows())
        circuit = found(tiny, one, tmp_path / "found")
        copy = shutil.copy(one, tmp_path / "copy.jsonl")
        for name in (one, str(copy)):
            result = asked(tiny, name, circuit, examples=12)
            assert (result["in_sample"], result["examples_in_sample"]) == (False, 0)
            result = evaluate(tiny, Question(task=name, split="train", draws=1), circuit)
            assert (result["in_sample"], result["examples_in_sample"]) == (True, 6)
            assert result["examples"] == 12

    def test_are_counted_where_a_file_has_one_split(self, tiny, tmp_path):
        rows = [{**row, "split": "test"} for row in as_rows()]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        folder = tmp_path / "found"
        folder.mkdir()
        result = discover(tiny, Search(task=name, edges=9, draws=1, method="eap"), folder)
        assert (result["split"], result["examples_in_sample"]) == ("test", len(PAIRS))

    def test_a_half_is_called_by_its_name(self, tiny, tmp_path):
        name = jsonl_file(tmp_path / "a.jsonl", as_rows())
        assert Question(task=name, split=None).judged_on == "dev"
        assert Question(task=name, split="test").judged_on == "dev"
        assert Question(task="sva", split=None).judged_on == "test"


def test_a_circuit_of_other_weights_of_that_shape_is_said(tiny, tmp_path, capsys):
    circuit = found(tiny, "sva", tmp_path / "found")
    assert asked(tiny, "sva", circuit, examples=2)["other_model"] is False
    other = load(str(tiny_copy(tmp_path / "other")))
    assert asked(other, "sva", circuit, examples=2)["other_model"] is (
        other.revision != tiny.revision
    )
    content = json.loads(circuit.read_text())
    content["found_on"]["revision"] = "another"
    circuit.write_text(json.dumps(content))
    assert main(["evaluate", str(circuit), "--examples", "2", "--draws", "1"]) == 0
    said = capsys.readouterr().out
    assert "found on 6 train pairs of sva, tiny, by eap" in said
    assert f"its weights were another, and these are {tiny.revision}" in said


def test_a_file_that_does_not_say_is_not_called_out_of_sample(tiny, tmp_path, capsys):
    circuit = found(tiny, "sva", tmp_path / "found")
    content = json.loads(circuit.read_text())
    del content["found_on"]
    circuit.write_text(json.dumps(content))
    result = asked(tiny, "sva", circuit, examples=2)
    assert (result["found_on"], result["in_sample"], result["other_model"]) == (None, None, None)
    assert main(["evaluate", str(circuit), "--examples", "2", "--draws", "1"]) == 0
    assert "the file does not say, so these may be the very pairs" in capsys.readouterr().out


def test_a_file_that_marks_no_edge_is_said(tiny, tmp_path, capsys):
    """EAP-IG writes scores before a circuit is chosen from them."""
    circuit = found(tiny, "sva", tmp_path / "found")
    content = json.loads(circuit.read_text())
    for edge in content["edges"].values():
        edge["in_graph"] = False
    circuit.write_text(json.dumps(content))
    assert main(["evaluate", str(circuit), "--examples", "2", "--draws", "1"]) == 0
    assert "there is no edge in the circuit" in capsys.readouterr().out


class TestExportedSnapshots:
    def test_say_on_what_they_were_scored(self, tmp_path):
        about = {
            "model": {"name": "tiny", "revision": "x"},
            "task": {"key": "sva-flip", "title": "t", "metric": "m"},
            "examples": 3,
            "pairs": {"scored": 2, "judged": 3, "prompts": ["a1", "b2"]},
            "attribution": {"method": "eap-ig"},
        }
        run = write(tmp_path / "one")
        content = json.loads((run.folder / "run.json").read_text())
        (run.folder / "run.json").write_text(json.dumps(content | about))
        made = circuit_file(Run(run.folder))
        (tmp_path / "c.json").write_bytes(made.content)
        found_on = load_eap_json(tmp_path / "c.json").found_on
        assert found_on["prompts"] == ["a1", "b2"]
        said = ("run", "step", "model", "revision", "task", "method")
        assert [found_on[name] for name in said] == ["one", 2, "tiny", "x", "sva-flip", "eap-ig"]
        assert (found_on["scored_split"], found_on["scored_examples"]) == ("train", 2)

    def test_of_an_older_run_say_dev_and_its_own_method(self, tmp_path):
        run = write(tmp_path / "old")
        content = json.loads((run.folder / "run.json").read_text())
        for name in ("draws", "random", "scored_on", "attribution"):
            del content["config"][name]
        (run.folder / "run.json").write_text(json.dumps(content))
        made = json.loads(circuit_file(Run(run.folder)).content)["found_on"]
        assert (made["scored_split"], made["method"], made["prompts"]) == ("dev", "eap", [])


def test_equal_shares_of_a_group_are_called_so(tmp_path):
    graph = Graph(1, 2, 1)
    scores = Scores(graph, graph.exists.astype("float32"))
    circuit = Circuit(graph, graph.exists)
    plain = Graph(1, 2).exists.astype("float32")
    for ungrouped, said in ((None, "equal shares"), (plain, "computed")):
        save_eap_json(tmp_path / "c.json", scores, circuit, ungrouped=ungrouped)
        assert json.loads((tmp_path / "c.json").read_text())["head_scores"] == said
    whole = Graph(1, 2)
    scores = Scores(whole, whole.exists.astype("float32"))
    save_eap_json(tmp_path / "c.json", scores, Circuit(whole, whole.exists))
    assert "head_scores" not in json.loads((tmp_path / "c.json").read_text())


@pytest.mark.parametrize(("layers", "heads"), [(12, 12), (4, 6), (3, 5)])
def test_a_circuit_of_another_shape_is_called_by_its_own(tiny, tmp_path, layers, heads):
    """Not by the key/value heads of the model in use, which the file says nothing of."""
    graph = Graph(layers, heads)
    scores = Scores(graph, graph.exists.astype("float32"))
    save_eap_json(tmp_path / "c.json", scores, Circuit(graph, graph.exists))
    with pytest.raises(BadCircuitFile, match=rf"with {layers} layers of {heads} heads, but tiny"):
        asked(tiny, "sva", tmp_path / "c.json", examples=2)
    grouped = load(str(llama(tmp_path / "llama")))
    with pytest.raises(BadCircuitFile, match=rf"with {layers} layers of {heads} heads, but"):
        asked(grouped, "sva", tmp_path / "c.json", examples=2)


def test_one_line_is_called_in_sample_in_python_too(tmp_path):
    name = jsonl_file(tmp_path / "one.jsonl", as_rows()[:1])
    found = ctviz.discover("tiny", name, edges=9, draws=1, method="eap")
    assert "on 1 dev pair, in sample (random" in repr(found)
    assert "on 1 dev pair, in sample (random" in repr(ctviz.evaluate("tiny", name, found, draws=1))
