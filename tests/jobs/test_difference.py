"""What the second of two models does differently: on a change by hand, of which it is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import ctviz
from ctviz.cli import main
from ctviz.errors import CtvizError, DamagedRun, MissingModel
from ctviz.export.difference import difference_report
from ctviz.files import read_json, write_json
from ctviz.jobs import record as recording
from ctviz.jobs.causes import Settings, causes
from ctviz.jobs.difference import difference
from ctviz.jobs.record import record
from ctviz.models.loading import load
from ctviz.runs import open_run
from ctviz.runs.cause_sentence import share
from ctviz.runs.difference import FILE, Difference, read_difference
from ctviz.runs.series import of_models
from ctviz.tasks import find_task
from ctviz.views.causes import cause_lines
from ctviz.views.difference import claim_sentence, difference_sentences, edge_table, moved_table
from tests.changed_models import FAINT, changed, faint, silence_head, silence_mlp
from tests.short_runs import config as tuning
from tests.short_series import BRIEF, config

N = 24


@torch.no_grad()
def by_hand(*changes) -> np.ndarray:
    """logit(answer) - logit(foil) of the changed model, by transformers alone, float [example]."""
    loaded = changed(*changes)
    found = []
    for example in find_task("sva").examples(2 * N, split="test", seed=0)[:N]:
        pair, encode = example.pair, loaded.tokenizer.encode
        logits = loaded.model(torch.tensor([encode(pair.clean)])).logits[0, -1]
        [answer], [foil] = encode(pair.answer), encode(pair.foil)
        found.append(float(logits[answer] - logits[foil]))
    return np.array(found)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The bundled model beside one with one head and one MLP changed, recorded and measured."""
    root = tmp_path_factory.mktemp("two")
    loaded = changed(silence_head, silence_mlp, faint)
    loaded.model.save_pretrained(root / "other")
    loaded.tokenizer.save_pretrained(root / "other")
    asked = config(task="sva", test_examples=N, edges=60)
    record(of_models(["tiny", str(root / "other")]), asked, root / "r", compared=True)
    run = open_run("r", root)
    found = read_difference(run)
    assert found is not None
    return run, found


def test_metric_and_grade_are_those_of_the_two_models(made):
    run, found = made
    low, high = by_hand(), by_hand(silence_head, silence_mlp, faint)
    assert found.pairs == found.examples == N
    assert found.first_metric == pytest.approx(low.mean(), abs=1e-4)
    assert found.second_metric == pytest.approx(high.mean(), abs=1e-4)
    assert found.gain == pytest.approx((high - low).mean(), abs=1e-4)
    assert found.gain_error == pytest.approx((high - low).std(ddof=1) / N**0.5, rel=1e-3)
    assert found.first_grade == pytest.approx((low > 0).mean())
    assert found.second_grade == pytest.approx((high > 0).mean())
    assert found.only_first == ((low > 0) & (high <= 0)).sum()
    assert found.both == ((low > 0) & (high > 0)).sum()
    assert found.only_second + found.neither + found.only_first + found.both == N
    assert run.about["before"]["accuracy"] == found.first_grade
    assert run.about["after"]["accuracy"] == found.second_grade
    assert (found.first, found.second) == ("tiny", "other")


def test_the_nodes_that_were_changed_are_claimed_and_swapped(made):
    _, found = made
    claims = {each.node: each for each in found.claims}
    assert set(claims) == {"m0", "a0.h3", "m1", "m2", "m3"}  # most edges of these have changed
    low, high = by_hand(), by_hand(silence_head, silence_mlp, faint)
    for node, own, rest in (
        ("m0", silence_mlp, (silence_head, faint)),
        ("a0.h3", silence_head, (silence_mlp, faint)),
    ):
        lost, carried = high - by_hand(*rest), by_hand(own) - low
        assert claims[node].lost == pytest.approx(lost.mean(), abs=1e-4)
        assert claims[node].lost_error == pytest.approx(lost.std(ddof=1) / N**0.5, rel=1e-3)
        assert claims[node].carried == pytest.approx(carried.mean(), abs=1e-4)
    together = high - by_hand(faint)
    assert found.claims_lost == pytest.approx(together.mean(), abs=1e-3)
    assert found.claims_lost_error == pytest.approx(together.std(ddof=1) / N**0.5, rel=1e-2)
    assert abs(found.random_lost) < 1e-3
    assert claims["m0"].matters
    carried = f"It carries {share(claims['m0'].lost / found.gain)} of what sets the two apart."
    assert carried in claim_sentence(found, claims["m0"])
    for each in (*found.claims, *found.random):
        if each.node in FAINT:
            assert abs(each.lost) < 1e-3
    assert {each.node for each in found.random} == FAINT - set(claims)


def test_nodes_whose_weights_are_the_same_are_told_apart(made):
    run, found = made
    assert found.unmoved
    assert not ({"m0", "a0.h3"} | FAINT) & set(found.unmoved)
    written, head = 512 * 128 + 128, 32 * 128  # what MLPs write by, and what one head does
    assert found.differing == 4 * (written + head)
    text = " ".join(difference_sentences(run, found))
    assert "do otherwise although their parameters are the same" in text
    moved = moved_table(run, found).set_index("node")["moved"]
    assert set(moved.index[:2]) == {"a0.h3", "m0"}
    mlp = load("tiny").model.transformer.h[0].mlp
    sizes = [float(w.detach().norm()) for w in (mlp.c_proj.weight, mlp.c_fc.weight)]
    assert moved["m0"] == pytest.approx(0.5 * sizes[0] / np.hypot(*sizes), rel=0.02)


def test_how_much_a_node_differs_is_the_sum_over_its_edges_beyond_noise(made):
    run, found = made
    first, second = run.snapshots()
    graph, size = run.graph, 0.0
    for row, source in enumerate(graph.sources):
        for column, slot in enumerate(graph.slots):
            if "m0" not in (source, slot.name):
                continue
            apart = abs(float(second.scores[row, column]) - float(first.scores[row, column]))
            error = np.hypot(first.error[row, column], second.error[row, column])
            inside = first.circuit[row, column] or second.circuit[row, column]
            size += apart if inside and apart > 2 * error else 0.0
    [claim] = [each for each in found.claims if each.node == "m0"]
    assert claim.change == pytest.approx(size, rel=1e-5)
    table = edge_table(run, found, most=None)
    noise = list(table["state"] == "noise")
    assert noise == sorted(noise)
    assert len(table) == (first.circuit | second.circuit).sum()


def test_the_report_holds_what_was_found_and_needs_nothing_else(made):
    run, found = made
    page = difference_report(run, found)
    assert page.count("<svg") == 3
    assert not re.search(r"(src|href)=.http|@import|url\(http", page)
    text = re.sub(r"<[^>]+>", "", page).replace("&#x27;", "'")
    for said in (
        *difference_sentences(run, found),
        *(claim_sentence(found, c) for c in found.claims),
    ):
        assert said.replace(">", "&gt;") in text
    assert found.answers[0].prompt in text


def test_what_was_measured_is_read_again_and_damage_is_named(made, tmp_path):
    run, found = made
    assert Difference.of_plain(json.loads(json.dumps(found.plain()))) == found
    file = run.folder / FILE
    whole = read_json(file)
    for damaged, says in (
        ({**whole, "schema": 9}, "has schema 9"),
        ({**whole, "fingerprints": {}}, "is of other weights"),
        ({**whole, "difference": {**whole["difference"], "gain": "x"}}, "gain is 'x'"),
        ({**whole, "difference": {**whole["difference"], "claims": [{}]}}, "no measurement"),
        ({"schema": 1}, "is of other weights"),
    ):
        problems: list[str] = []
        write_json(file, damaged)
        assert read_difference(run, problems) is None
        assert says in problems[0]
        assert "ctviz compare --run r" in problems[0]
    write_json(file, whole)


def test_a_model_beside_itself_differs_in_nothing(tmp_path):
    asked = config(task="gender", test_examples=6)
    record(of_models(["tiny", "tiny"]), asked, tmp_path / "same", compared=True)
    run = open_run("same", tmp_path)
    found = read_difference(run)
    assert (found.gain, found.differing, found.kl, found.claims) == (0, 0, 0, ())
    assert found.only_first is None  # an answer of this task is not right or wrong
    assert not found.differs
    said = difference_sentences(run, found)
    assert "tiny and tiny have the very same weights." in said
    assert "nothing to check" in difference_report(run, found)


def test_which_differences_were_needed_is_measured_of_a_recording(made):
    run, _ = made
    found = causes(run, settings=Settings(examples=N))
    assert found.step == 1
    assert set(found.needed_nodes) == {"a0.h3", "m0"}
    assert {each.node for each in found.nodes} == {"a0.h3", "m0"} | FAINT
    gain = by_hand(silence_head, silence_mlp, faint) - by_hand()
    assert found.test_gain == pytest.approx(gain.mean(), abs=1e-4)
    text = "\n".join(cause_lines(found, recorded=True))
    assert "tuned" not in text
    assert "\nthe first " in text
    assert "\nstep 1 " in text
    with pytest.raises(MissingModel, match="nearest is step 1 of 1"):
        causes(run, step=0)


def test_runs_that_are_no_recordings_and_models_that_are_gone(made, tmp_path):
    from ctviz.jobs.tune import tune

    tune(tuning(steps=2), tmp_path / "tuned")
    with pytest.raises(CtvizError, match="was tuned by ctviz"):
        difference(open_run("tuned", tmp_path))
    run, _ = made
    other = Path(run.about["series"]["members"][1]["model"])
    kept = (other / "model.safetensors").read_bytes()
    changed(silence_head).model.save_pretrained(other)
    with pytest.raises(DamagedRun, match="has other weights than when"):
        difference(run)
    (other / "model.safetensors").write_bytes(kept)


def test_the_command_compares_two_models_and_goes_on(tmp_path, capsys, monkeypatch, made):
    _, found = made
    other = made[0].about["series"]["members"][1]["model"]
    brief = [f"--set={k}={','.join(v) if isinstance(v, tuple) else v}" for k, v in BRIEF.items()]
    asked = ["compare", "tiny", other, "--task", "sva", "--out", str(tmp_path), *brief, "--json"]

    def fails(*_, **__):
        raise CtvizError("no such luck")

    with monkeypatch.context() as patched:
        patched.setattr(recording, "difference", fails)
        assert main(asked) == 1
    assert "could not be measured: no such luck" in capsys.readouterr().err
    [run] = tmp_path.iterdir()
    assert open_run(run.name, tmp_path).status().state == "finished"
    assert main(["compare", "--run", run.name, "--out", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["run"] == run.name
    assert {each["node"] for each in result["claims"]} >= {"m0"}
    assert Path(result["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert result["second_metric"] == pytest.approx(found.second_metric, abs=1.5)  # 8 of the 24


def test_python_compares_and_reads_it_again(tmp_path, made, monkeypatch):
    run, found = made
    other = run.about["series"]["members"][1]["model"]
    mine = ctviz.compare("tiny", other, "sva", out=tmp_path, **{**BRIEF, "edges": 60})
    assert {each.node for each in mine.difference().claims} >= {"m0"}
    with monkeypatch.context() as patched:
        patched.setattr("ctviz.jobs.difference.difference", None)
        assert ctviz.open_run(str(run.folder)).difference() == found
    (mine.folder / FILE).unlink()
    assert mine.difference().second_metric == read_difference(mine).second_metric


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["tiny"], "Two models are compared, and 1 is given"),
        (["tiny", "tiny", "--run", "x"], "and not both"),
        (["tiny", "tyni"], "no model 'tyni'"),
    ],
)
def test_what_cannot_be_compared_is_explained(asked, says, capsys, tmp_path):
    assert main(["compare", *asked, "--out", str(tmp_path)]) == 1
    assert says in capsys.readouterr().err
