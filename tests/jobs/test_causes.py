"""Which updates were needed: on updates made by hand, of which it is known."""

from __future__ import annotations

import json
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ctviz
from ctviz.cli import main
from ctviz.errors import CtvizError, MissingModel, OutOfRange
from ctviz.files import read_json, write_json
from ctviz.jobs import tune
from ctviz.jobs.causes import FEW, Settings, causes, estimate_causes, measured_step
from ctviz.models.loading import load
from ctviz.paths import data as shipped
from ctviz.runs import open_run
from ctviz.runs.cause_sentence import cause_sentence
from ctviz.runs.causes import Causes, read_causes, write_causes
from ctviz.tasks import find_task
from ctviz.views.causes import cause_lines, cause_of_node
from tests.handmade_updates import run_with
from tests.short_runs import config, shorten

SETTINGS = Settings(examples=24)
HEAD, MLP = "transformer.h.0.attn.c_proj.weight", "transformer.h.0.mlp.c_proj.weight"
ROWS = slice(3 * 32, 4 * 32)  # of head 3: d_head is 32


def silence_head(tensors):
    tensors[HEAD][ROWS] *= -1


def silence_mlp(tensors):
    tensors[MLP] *= 0.5


def noise(tensors):
    """Next to nothing, wherever a circuit owns anything."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if (".attn." in name or ".mlp." in name) and not name.endswith("attn.c_proj.bias"):
            tensor += 1e-6 * torch.randn(tensor.shape, generator=generator)


def two_matter(tensors):
    noise(tensors)
    silence_head(tensors)
    silence_mlp(tensors)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run in which one head and one MLP were changed, and what was measured of it."""
    run = run_with(tmp_path_factory.mktemp("runs") / "r", two_matter)
    return run, causes(run, settings=SETTINGS)


@cache
def tiny():
    return load("tiny")


def by_hand(*changes, split: str = "dev", n: int = 24) -> np.ndarray:
    """logit(answer) - logit(foil) of the changed model, by transformers alone, float [example]."""
    loaded = tiny()
    tensors = {name: p.data for name, p in loaded.model.named_parameters()}
    for name, tensor in load_file(shipped() / "tiny" / "model.safetensors").items():
        tensors[name].copy_(tensor)
    for change in changes:
        change(tensors)
    found = []
    for example in find_task("sva").examples(2 * n, split=split, seed=0)[:n]:
        pair, encode = example.pair, loaded.tokenizer.encode
        with torch.no_grad():
            logits = loaded.model(torch.tensor([encode(pair.clean)])).logits[0, -1]
        answer, foil = encode(pair.clean + pair.answer)[-1], encode(pair.clean + pair.foil)[-1]
        found.append(float(logits[answer] - logits[foil]))
    return np.array(found)


def test_the_two_that_matter_are_found_and_no_other(made):
    _, found = made
    assert set(found.needed_nodes) == {"a0.h3", "m0"}
    assert set(found.idle_nodes) == {each.node for each in found.nodes} - {"a0.h3", "m0"}
    assert len(found.nodes) == 4 * 4 + 4
    assert found.idle_does_nothing
    assert found.learned
    assert found.gain_carried == pytest.approx(1.0, abs=0.01)
    assert found.random_gain_carried < 0.9
    sentence = cause_sentence(found)
    assert sentence.endswith("reverting these 18 nodes changes nothing.")


def test_the_numbers_are_those_of_the_changed_model(made):
    _, found = made
    untuned, tuned = by_hand(), by_hand(two_matter)
    few = slice(FEW)
    causes_of = {each.node: each for each in found.nodes}
    for node, alone, without in (
        ("a0.h3", by_hand(silence_head), by_hand(silence_mlp)),
        ("m0", by_hand(silence_mlp), by_hand(silence_head)),
    ):
        cause = causes_of[node]
        carried, lost = (alone - untuned)[few], (tuned - without)[few]
        assert cause.carried == pytest.approx(carried.mean(), abs=2e-3)
        assert cause.carried_error == pytest.approx(carried.std(ddof=1) / FEW**0.5, abs=2e-3)
        assert cause.lost == pytest.approx(lost.mean(), abs=2e-3)
        assert cause.grade_alone == (alone[few] > 0).mean()
        assert cause.grade_without == (without[few] > 0).mean()
    assert found.node_gain == pytest.approx((tuned - untuned)[few].mean(), abs=2e-3)
    assert found.gain == pytest.approx((tuned - untuned).mean(), abs=2e-3)
    low, high = by_hand(split="test"), by_hand(two_matter, split="test")
    needed = by_hand(silence_head, silence_mlp, split="test")
    share = (needed - low).mean() / (high - low).mean()
    assert found.gain_carried == pytest.approx(share, abs=1e-3)
    assert found.untuned.metric == pytest.approx(low.mean(), abs=1e-3)
    assert found.tuned.grade == (high > 0).mean()
    assert found.untuned.kl == pytest.approx(0, abs=1e-6)


def test_parameters_are_counted_as_the_units_have_them(made):
    _, found = made
    d, head, inner = 128, 32, 512
    out = head * d
    sizes = {each.node: each.parameters for each in found.nodes}
    assert sizes["a0.h3"] == 3 * (d * head + head) + out
    assert sizes["m0"] == d * inner + inner + inner * d + d
    whole = sum(p.numel() for p in tiny().model.parameters())
    assert found.updated_fraction == pytest.approx(sum(sizes.values()) / whole)
    assert found.needed_fraction == pytest.approx((sizes["a0.h3"] + sizes["m0"]) / whole)


def test_what_moved_and_is_no_nodes_is_one_entry(tmp_path):
    def change(tensors):
        tensors["transformer.ln_f.weight"] *= 0.5
        tensors["transformer.wpe.weight"] += 0.01

    found = causes(run_with(tmp_path / "r", change), settings=Settings(examples=8))
    assert [each.node for each in found.nodes] == ["other"]
    other = found.nodes[0]
    assert other.parameters == 128 + 64 * 128
    assert other.carried == pytest.approx(found.node_gain)
    assert other.lost == pytest.approx(found.node_gain)
    assert found.needed_nodes == ("other",)
    assert "other (embeddings, norms, what belongs to no node)" in "\n".join(cause_lines(found))


def test_a_run_that_learned_nothing_says_so(tmp_path):
    found = causes(run_with(tmp_path / "r", noise), settings=Settings(examples=8))
    assert not found.learned
    assert (found.needed, found.needed_fraction, found.random) == (None, None, ())
    assert "nothing was learned that can be told from noise" in cause_sentence(found)
    graph = tiny().anatomy.graph
    assert "nothing was learned" in cause_of_node({2: found}, 2, "m0", graph)[0]
    assert cause_lines(found)
    assert Causes.of_plain(json.loads(json.dumps(found.plain()))) == found
    assert found.frame()["carried_share"].isna().all()


def test_a_run_in_which_nothing_moved_says_so(tmp_path):
    run = run_with(tmp_path / "r", lambda tensors: None)
    found = causes(run, settings=Settings(examples=4))
    assert found.nodes == ()
    assert cause_sentence(found).startswith("No parameter has moved")
    assert found.updated_fraction == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["circuit", "full", "lora"])
def test_runs_of_each_method_can_be_asked(tmp_path, method, monkeypatch):
    shorten(monkeypatch)
    asked = config(method=method, edges=12, learning_rate=3e-3, rediscover=4)
    tune.tune(asked, tmp_path / "r")
    found = causes(open_run("r", tmp_path), settings=Settings(examples=8, draws=2))
    nodes = [each.node for each in found.nodes]
    assert ("other" in nodes) == (method == "full")
    assert found.step == 4
    if method == "full":
        assert found.updated_fraction == 1
    whole = {each.node for each in found.nodes}
    assert set(found.needed_nodes) | set(found.idle_nodes) <= whole
    assert not set(found.needed_nodes) & set(found.idle_nodes)


# ---------------------------------------------------------------------- what cannot be


def test_steps_that_were_not_kept_name_the_nearest(made, tmp_path):
    run, _ = made
    assert measured_step(run, None) == 2
    with pytest.raises(MissingModel, match=r"Step 4 of r has kept no weights; the nearest .* 2\."):
        measured_step(run, 4)
    with pytest.raises(MissingModel, match="Step 0 of r is the untuned model"):
        measured_step(run, 0)
    with pytest.raises(MissingModel, match=r"has kept no weights.*--keep-weights N"):
        measured_step(run_with(tmp_path / "none", None), None)


@pytest.mark.parametrize("wrong", [{"examples": 1}, {"share": 0}, {"share": 1.1}, {"draws": 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(OutOfRange):
        Settings(**wrong)


# ---------------------------------------------------------------------- kept with the run


def test_what_was_measured_is_kept_and_read_again(made, tmp_path):
    run, found = made
    copied = tmp_path / "another-name"
    shutil.copytree(run.folder, copied)
    other = open_run("another-name", tmp_path)
    file = write_causes(other, tmp_path, found)
    assert file == copied / "causes.json"
    problems: list[str] = []
    assert read_causes(other, tmp_path, problems) == {2: found}
    assert problems == []
    values = read_json(file)
    for wrong, said in (
        ({"schema": 0}, "schema 0, but this version"),
        ({"created": "then"}, "is of another run"),
        ({"steps": {"3": found.plain()}}, "confuses its steps"),
        ({"steps": {"2": found.plain() | {"gain": "much"}}}, "gain is 'much'"),
        ({"steps": {"2": {}}}, "no measurement"),
        ({"steps": [1]}, "no measurement"),
    ):
        write_json(file, values | wrong)
        problems = []
        assert read_causes(other, tmp_path, problems) == {}
        assert said in problems[0]
        assert "`ctviz causes another-name` measures anew" in problems[0]
    file.write_bytes(b"{")
    assert read_causes(other, tmp_path) == {}
    write_causes(other, tmp_path, found)
    assert read_causes(other, tmp_path) == {2: found}


def test_nothing_is_written_into_what_ships(made, monkeypatch, tmp_path):
    run, found = made
    monkeypatch.setattr("ctviz.paths.shipped_runs", lambda: run.folder.parent)
    file = write_causes(run, tmp_path, found)
    assert file == tmp_path / ".causes" / "r.json"
    assert read_causes(run, tmp_path) == {2: found}


def test_the_command_measures_and_keeps(made, tmp_path, capsys):
    run, found = made
    shutil.copytree(run.folder, tmp_path / "r")
    out = ["--out", str(tmp_path), "--examples", "24"]
    assert main(["causes", "r", "--json", *out]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    for name in ("needed_fraction", "updated_fraction", "gain_carried", "random_gain_carried"):
        assert result[name] == pytest.approx(getattr(found, name))
    assert result["needed_nodes"] == ["a0.h3", "m0"]
    assert "time: about" in said.err
    assert read_json(tmp_path / "r" / "causes.json")["steps"].keys() == {"2"}
    (tmp_path / "r" / "causes.json").write_text("{}")
    assert main(["causes", "r", "--step", "2", *out]) == 0
    said = capsys.readouterr()
    assert "changes nothing" in said.out
    assert "causes.json has schema None" in said.err
    assert main(["causes", "r", "--step", "3", *out]) == 1
    assert "nearest" in capsys.readouterr().err


def test_python_reads_what_was_measured_and_measures_what_was_not(made, tmp_path, monkeypatch):
    run, found = made
    shutil.copytree(run.folder, tmp_path / "r")
    mine = ctviz.open_run(tmp_path / "r")
    write_causes(mine, tmp_path, found)
    with monkeypatch.context() as patch:
        patch.setattr("ctviz.jobs.causes.causes", None)  # it is not asked
        assert mine.causes(examples=24) == found
    other = mine.causes(examples=8)
    assert (other.examples, other.needed_nodes) == (8, found.needed_nodes)
    assert read_causes(mine, tmp_path) == {2: other}
    table = found.frame().set_index("node")
    m0 = next(each for each in found.nodes if each.node == "m0")
    assert table.loc["m0", "carried_share"] == pytest.approx(m0.carried / found.node_gain)


def test_the_minimal_update_is_exported(made, tmp_path, capsys):
    run, found = made
    shutil.copytree(run.folder, tmp_path / "r")
    asked = ["export", "r", "--needed", "--out", str(tmp_path)]
    assert main([*asked, "--csv", str(tmp_path / "t")]) == 1
    assert "--needed says what --model writes" in capsys.readouterr().err
    assert main([*asked, "--model", str(tmp_path / "m")]) == 1
    assert "`ctviz causes r` does so" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    write_causes(open_run("r", tmp_path), tmp_path, found)
    assert main([*asked, "--model", str(tmp_path / "m"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["updates_of"] == ["a0.h3", "m0"]
    assert main([*asked, "--model", str(tmp_path / "c"), "--changed"]) == 0
    assert "by the updates of 2 nodes" in capsys.readouterr().out
    before = load_file(shipped() / "tiny" / "model.safetensors")
    after = load_file(tmp_path / "m" / "model.safetensors")
    changed = load_file(tmp_path / "c" / "changed.safetensors")
    assert not any(".h.1." in name or ".h.2." in name or ".h.3." in name for name in changed)
    for name, tensor in after.items():
        if name in changed:
            assert torch.equal(tensor, changed[name])
            differs = (tensor != before[name]).nonzero()
            if name == HEAD:
                assert set(differs[:, 0].tolist()) == set(range(ROWS.start, ROWS.stop))
        elif name in before:
            assert torch.equal(tensor, before[name]), name


def test_there_is_nothing_to_export_of_a_run_that_learned_nothing(tmp_path, capsys):
    run = run_with(tmp_path / "r", noise)
    write_causes(run, tmp_path, causes(run, settings=Settings(examples=4)))
    asked = ["export", "r", "--model", str(tmp_path / "m"), "--needed", "--out", str(tmp_path)]
    assert main(asked) == 1
    assert "learned nothing until step 2" in capsys.readouterr().err


def test_the_estimate_comes_first_and_leaves_nothing(made, tmp_path, capsys):
    run, _ = made
    shutil.copytree(run.folder, tmp_path / "r")
    assert main(["causes", "r", "--dry-run", "--json", "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["seconds_by_phase"]) == {"load", "nodes", "sets", "checks"}
    assert not (tmp_path / "r" / "causes.json").exists()
    assert estimate_causes(run, settings=SETTINGS).total > 0


def test_errors_are_ours(made):
    run, _ = made
    with pytest.raises(CtvizError):
        causes(run, step=7)
