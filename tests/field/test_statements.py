"""What pages, files and lessons say of a number is so, in every mode and of older runs too."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ctviz import discover, paths
from ctviz.export import draw_picture
from ctviz.export.table import table_files
from ctviz.jobs import tune
from ctviz.lessons import LESSONS
from ctviz.lessons.facts import Facts
from ctviz.models.loading import load
from ctviz.runs import Run, open_run
from ctviz.runs.config import TuneConfig
from ctviz.tuning.retention import Retention
from ctviz.views.compare import examples_of, table
from ctviz.views.compare_figures import draw_start
from ctviz.views.compared import caveats, read_side
from ctviz.views.recorded import packed, recorded, score_source
from ctviz.views.view import View
from tests.field.written import NOUNS, jsonl_file
from tests.short_runs import config, shorten
from tests.small_runs import write


def changed(run: Run, **changes: Any) -> Run:
    """The same run with other settings in its run.json."""
    file = run.folder / "run.json"
    content = json.loads(file.read_text())
    content["config"] |= changes
    file.write_text(json.dumps(content))
    return Run(run.folder)


def older(run: Run) -> Run:
    """As it was written before circuits were judged on other pairs than they were found on."""
    file = run.folder / "run.json"
    content = json.loads(file.read_text())
    for name in ("draws", "random", "scored_on", "attribution"):
        del content["config"][name]
    file.write_text(json.dumps(content))
    return Run(run.folder)


class TestTheShareOfTheMass:
    def test_is_the_run_s_own_wherever_it_stands(self, tmp_path):
        run = changed(write(tmp_path / "r"), tau=0.5)
        timeline = recorded(run)
        assert packed(timeline)["mass"] == "mass 50 %"
        picture = draw_picture(run, "svg", View(estimator="mass")).content
        assert b"mass 50 %" in picture
        assert b"mass 90 %" not in picture
        about = json.loads(table_files(run, "csv")["about.json"])
        assert "90 %" not in json.dumps(about)
        assert about["config"]["tau"] == 0.5

    def test_of_two_runs_is_said_where_it_differs(self, tmp_path):
        one, other = write(tmp_path / "one"), changed(write(tmp_path / "other"), tau=0.5)
        sides = [read_side(run, f"{k} · x") for k, run in zip("AB", (one, other), strict=True)]
        said = " ".join(caveats(sides))
        assert "Redundancy by mass means another share in each: A mass 90 %, B mass 50 %." in said


class TestComparedRuns:
    def test_say_that_their_edges_were_scored_otherwise(self, tmp_path):
        new, old = write(tmp_path / "new"), older(write(tmp_path / "old"))
        mean = changed(write(tmp_path / "mean"), ablation="mean")
        for other, way in ((mean, "mean ablation"), (older(mean), "mean ablation")):
            sides = [read_side(run, f"{k} · x") for k, run in zip("AB", (new, other), strict=True)]
            said = " ".join(caveats(sides))
            assert "Edges were scored in different ways" in said
            assert way in said
        side = read_side(old, "A · x")
        assert "scored in different ways" not in " ".join(caveats([side, side]))


def test_a_metric_counts_pairs_and_a_grade_examples(tmp_path):
    """Some examples of a file may have no pair."""
    run = write(tmp_path / "r")
    content = json.loads((run.folder / "run.json").read_text())
    content["pairs"] = {"scored": 5, "judged": 1, "dev": 2, "what": "pair"}
    (run.folder / "run.json").write_text(json.dumps(content))
    side = read_side(Run(run.folder), "A · x")
    found = table([side])
    assert examples_of(found, "dev_pairs") == "2 dev pairs"
    assert side.graded == "accuracy (3 dev)"
    hover = " ".join(draw_start([side]).data[0].hovertext)
    assert (
        "edges scored on 5 train pairs, metric on 2 dev pairs, faithfulness on 1 dev pair" in hover
    )


class TestOlderRuns:
    def test_say_one_uniform_random_circuit_and_dev(self, tmp_path):
        run = older(write(tmp_path / "r"))
        one = "1 random circuit of its size, connected or not"
        assert recorded(run).provenance["random"] == one
        assert "on 3 dev examples" in score_source(run.about, run.config)
        assert "integrated" not in score_source(run.about, run.config)

    @pytest.mark.parametrize("key", ["faithfulness", "circuit"])
    def test_lessons_say_which_random_circuits_their_run_has(self, key):
        facts = Facts(open_run(LESSONS[key].run, paths.shipped_runs()))
        text = " ".join(step.text for step in LESSONS[key].steps(facts))
        assert facts.randomly in text

    def test_show_no_perplexity_of_a_text_that_the_model_cannot_read(self, tmp_path):
        run = write(tmp_path / "r")
        lines = [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
        for first, kept in ((651063672.75, False), (45.8, True)):
            lines[0]["perplexity"], lines[-1]["perplexity"] = first, 7e5
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (run.folder / "metrics.jsonl").write_text(text)
            assert ("perplexity" in run.metrics()) is kept
            content = json.loads((run.folder / "run.json").read_text())
            content |= {"before": {"perplexity": first}, "after": {"perplexity": 7e5}}
            (run.folder / "run.json").write_text(json.dumps(content))
            about = Run(run.folder).about
            assert ("perplexity" in about["before"], "perplexity" in about["after"]) == (kept, kept)

    def test_of_the_shipped_ones_too(self):
        assert "perplexity" not in open_run("sample-sva-flip", paths.shipped_runs()).metrics()


def test_a_model_that_guesses_evenly_does_not_read_english(monkeypatch):
    """The hand-made model gives every token the same probability: e to the mean loss is their
    number, up to rounding."""
    loaded = load("induction")
    settings = TuneConfig(model="induction", task="induction", other_tasks=(), retention_prompts=1)
    task = SimpleNamespace(key="induction", rivals=())
    kept = Retention(loaded, task, settings)
    assert kept.perplexity(thorough=False) == pytest.approx(loaded.anatomy.vocabulary, rel=1e-3)
    assert "perplexity" not in kept.measure()


def test_a_task_without_pairs_says_prompts_and_what_its_metric_is(tmp_path, monkeypatch):
    shorten(monkeypatch)
    rows = [
        {"question": f"Has the {noun} {n}?", "answer": f"It has.\n#### {n}"}
        for n in range(4)
        for noun in NOUNS
    ]
    task = jsonl_file(tmp_path / "words.jsonl", rows)
    tune.tune(config(task=task, ablation="mean", steps=1, snapshot_every=1), tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.about["task"]["metric"] == "log p(answer), in nats"
    assert "on 4 train prompts, mean ablation" in score_source(run.about, run.config)
    timeline = recorded(run)
    assert timeline.metric == "log p(answer), in nats"
    notes = {curve.key: curve.note for curve in timeline.curves}
    assert "mean of log p(answer), in nats over 4 dev prompts" in notes["metric"]


def test_a_picture_of_a_discovery_says_which_pairs_scored_it(tmp_path, monkeypatch):
    rows = [
        {"clean": f"The {n}s", "corrupt": f"The {n}", "answer": " are", "foil": " is"}
        | {"split": "test"}
        for n in NOUNS
    ]
    shown = {}
    monkeypatch.setattr(
        "ctviz.api.discovery.draw_timeline",
        lambda timeline, *_, **__: (
            shown.setdefault("is", timeline) and SimpleNamespace(content=b"")
        ),
    )
    found = discover("tiny", jsonl_file(tmp_path / "a.jsonl", rows), edges=9, draws=1, method="eap")
    found._repr_mimebundle_()
    assert "eap on 12 test pairs" in shown["is"].source
    assert shown["is"].provenance["random"] == "1 random connected circuit of its size"
    assert found.about["in_sample"]


@pytest.mark.parametrize("end", ["clean", "corrupt"])
def test_python_offers_both_ends_of_the_path(end):
    found = discover("tiny", "sva", method="eap-ig", end=end, examples=3, draws=1)
    other = discover("tiny", "sva", method="eap-ig", examples=3, draws=1)
    assert found.about["end"] == end
    assert np.array_equal(found.scores.values, other.scores.values) is (end == "clean")


def test_the_folder_of_a_run_is_no_secret(tmp_path):
    """Nothing of this machine goes with an exported table."""
    about = json.loads(table_files(write(tmp_path / "r"), "csv")["about.json"])
    assert str(Path(tmp_path)) not in json.dumps(about)
