"""Studies: what is run, how rates are chosen, what is said, and that nothing is done twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ctviz.cli import main
from ctviz.errors import CtvizError, DamagedRun, OutOfRange, UnknownName
from ctviz.jobs import tune
from ctviz.jobs.study.conduct import conduct, open_study
from ctviz.jobs.study.front import Paid, paid, paid_by_arm, ratio, target_grade
from ctviz.jobs.study.plan import Arm, Study, choose_rate
from ctviz.jobs.study.summary import (
    Spread,
    compare,
    summarize,
    words,
)
from ctviz.runs import open_run
from ctviz.runs.cause_sentence import cause_sentence
from ctviz.runs.causes import read_causes
from ctviz.runs.config import TuneConfig
from ctviz.tuning.loop import Tuning
from tests.short_runs import BRIEF

SETTINGS = {
    **{name: value for name, value in BRIEF.items() if name != "other_tasks"},
    **{"steps": 2, "edges": 30, "examples": 6, "batch_size": 8},
}
SMALL = Study(
    model="tiny",
    task="sva-flip",
    arms=(Arm("circuit", "circuit"), Arm("full", "full")),
    seeds=2,
    rates=(1e-4, 1e-3),
    settings=SETTINGS,
)
TWO = {"arms": SMALL.arms}
NONE = pd.DataFrame()  # no snapshots


def test_each_arm_is_run_at_each_rate_with_each_seed():
    arms = (Arm.parse("full"), Arm.parse("big=lora,lora_rank=4,other_tasks=sva"))
    own = {"lora_rank": 4, "other_tasks": ("sva",)}
    assert arms == (Arm("full", "full"), Arm("big", "lora", own))
    assert Arm.parse("x=full, steps=4 , rates=1e-4/3e-5").rates == (1e-4, 3e-5)
    study = Study(model="tiny", task="ioi", arms=arms, rates=(1e-3, 1e-4), seeds=2)
    own_seeds = Study(
        model="tiny",
        task="ioi",
        arms=(Arm.parse("a=full,seeds=1"), Arm.parse("b=full")),
        rates=(0.1,),
        seeds=2,
    )
    names = ["a-rate0.1-seed0", "b-rate0.1-seed0", "b-rate0.1-seed1"]
    assert [trial.name for trial in own_seeds.trials] == names
    assert Study.from_dict(json.loads(json.dumps(own_seeds.to_dict()))) == own_seeds
    own_rates = Study(model="tiny", task="ioi", arms=(Arm.parse("a=lora,rates=.1/.01"),), seeds=1)
    assert [trial.name for trial in own_rates.trials] == ["a-rate0.01-seed0", "a-rate0.1-seed0"]
    assert Study.from_dict(json.loads(json.dumps(own_rates.to_dict()))) == own_rates
    assert [trial.name for trial in study.trials] == [
        "full-rate0.0001-seed0",
        "full-rate0.001-seed0",
        "big-rate0.001-seed0",
        "big-rate0.01-seed0",
        "full-rate0.0001-seed1",
        "full-rate0.001-seed1",
        "big-rate0.001-seed1",
        "big-rate0.01-seed1",
    ]
    assert study.config(study.trials[2]).lora_rank == 4
    assert study.config(study.trials[0]).lora_rank == 8
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    assert [again.config(t) for t in again.trials] == [study.config(t) for t in study.trials]
    config = SMALL.config(SMALL.trials[0])
    assert (config.steps, config.edges, config.every, config.evaluate) == (2, 30, 1, "kl")
    assert study.config(study.trials[0]).every == 12  # five in 60 steps


def test_a_study_of_before_arms_had_names_opens():
    stored = {**SMALL.to_dict(), "methods": ["circuit", "full"]}
    del stored["arms"]
    assert Study.from_dict(stored) == SMALL


def test_settings_that_come_back_from_json_are_the_same_settings():
    """A study's file has lists where a run's settings have tuples."""
    study = Study(model="tiny", task="sva-flip", settings={"other_tasks": ["ioi"], "steps": 2})
    config = study.config(study.trials[0])
    assert config.other_tasks == ("ioi",)
    assert TuneConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"arms": SMALL.arms * 2}, CtvizError, "give each one once"),
        ({"arms": ()}, CtvizError, "give each one once"),
        ({"arms": (Arm("a", "full", {"steps": 0}),)}, OutOfRange, "steps is 0"),
        ({"arms": (Arm("a", "full", {"learning_rate": 1}),)}, CtvizError, "study's own"),
        ({"seeds": 0}, OutOfRange, "seeds is 0"),
        ({"rates": ()}, CtvizError, "at least one learning rate"),
        ({"rates": (2.0,)}, OutOfRange, "learning_rate is 2"),
        ({"task": "svaa"}, UnknownName, "Did you mean 'sva'"),
        ({"settings": {"seed": 3}}, CtvizError, "seed is the study's own"),
        ({"settings": {"steps": 0}}, OutOfRange, "steps is 0"),
    ],
)
def test_what_cannot_be_run_is_explained_at_once(changes, error, says):
    with pytest.raises(error, match=says):
        Study(**{"model": "tiny", "task": "sva-flip", **changes})


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("fool", UnknownName, "Did you mean 'full'"),
        ("a=fool", UnknownName, "Did you mean 'full'"),
        ("A b=full", CtvizError, "take small letters"),
        ("../x=full", CtvizError, "take small letters"),
        ("a=full,stepz=3", UnknownName, "Did you mean 'steps'"),
        ("a=full,steps=x", CtvizError, "must be a whole number"),
        ("a=full,rates=1e-4/x", CtvizError, "numbers with / between"),
        ("a=full,seeds=x", CtvizError, "not seeds=x"),
        ("a=full,seeds=0", OutOfRange, "seeds of a is 0"),
        ("a=full,rates=0", OutOfRange, "A rate of a is 0"),
    ],
)
def test_an_arm_that_cannot_be_is_explained(text, error, says):
    with pytest.raises(error, match=says):
        Arm.parse(text)


def tried(*rows: tuple[float, float | None, float]) -> list[dict]:
    return [
        {"rate": rate, "dev_after": after, "dev_kl": kl, "dev_examples": 100}
        for rate, after, kl in rows
    ]


def test_the_rate_is_the_gentlest_within_one_standard_error_of_the_best():
    # one standard error of 0.80 on 100 examples is 0.04
    rows = tried((1e-5, 0.70, 0.01), (1e-4, 0.77, 0.1), (1e-3, 0.80, 2.0))
    assert choose_rate(rows, better="higher") == 1e-4
    assert choose_rate(rows[::2], better="higher") == 1e-3
    lower = tried((1e-5, 0.30, 0.01), (1e-4, 0.10, 0.1), (1e-3, 0.09, 2.0))
    assert choose_rate(lower, better="lower") == 1e-4
    failed = [{**rows[2], "dev_after": None, "dev_kl": math.nan}]
    assert choose_rate(rows[:2] + failed, better="higher") == 1e-4
    with pytest.raises(CtvizError, match="try smaller ones"):
        choose_rate(failed, better="higher")
    # with another seed, the gentler rate is the better one in the mean
    seeds = rows[1:] + tried((1e-4, 0.81, 0.1), (1e-3, 0.70, 2.0))
    assert choose_rate(seeds, better="higher") == 1e-4
    assert choose_rate([*rows, {**failed[0], "rate": 1e-4}], better="higher") == 1e-3


# ---------------------------------------------------------------------- at equal grade


def course(arm: str, rate: float, seed: int, *points: tuple[float, float]) -> list[dict]:
    """Grades and KLs at steps 0, 4, 8, ..."""
    start = {"arm": arm, "rate": rate, "seed": seed}
    return [
        {**start, "step": 4 * at, "grade": grade, "kl": kl} for at, (grade, kl) in enumerate(points)
    ]


def test_what_a_run_pays_is_read_between_its_snapshots():
    run = pd.DataFrame(course("a", 1e-4, 0, (0.2, 0.0), (0.4, 0.01), (0.8, 0.05), (0.6, 0.09)))
    assert paid(run, 0.8, "higher") == pytest.approx(0.05)
    assert paid(run, 0.5, "higher") == pytest.approx(0.02)  # a quarter of the way from 0.4 to 0.8
    assert paid(run, 0.81, "higher") == math.inf
    falling = run.assign(grade=1 - run["grade"])
    assert paid(falling, 0.5, "lower") == pytest.approx(0.02)


def fronts() -> pd.DataFrame:
    """Two arms, two rates, three seeds: at grade 0.9 they pay 0.1 and 0.2 with a little spread."""
    rows = []
    for seed, times in enumerate((0.9, 1.0, 1.1)):
        for rate, more in ((1e-4, 1.0), (1e-3, 3.0)):
            rows += course("circuit", rate, seed, (0.0, 0.0), (0.9, 0.1 * times * more), (1.0, 1.0))
            rows += course("random", rate, seed, (0.0, 0.0), (0.9, 0.2 * more), (0.95, 1.0))
    return pd.DataFrame(rows)


def test_arms_are_compared_at_nine_tenths_of_the_best_gain():
    steps = fronts()
    assert target_grade(steps, "higher") == pytest.approx((0.0, 1.0, 0.9))
    study = Study(
        model="tiny",
        task="sva-flip",
        arms=(Arm("circuit", "circuit"), Arm("random", "random")),
        rates=(1e-4, 1e-3),
    )
    found = paid_by_arm(study, steps, 0.9, "higher")
    assert found["circuit"].kl == pytest.approx({0: 0.09, 1: 0.1, 2: 0.11})
    assert set(found["circuit"].rates.values()) == {1e-4}
    assert found["circuit"].edge == "lowest"
    times = ratio(found["circuit"], found["random"])
    # the mean of ln 0.45, ln 0.5 and ln 0.55, and 4.303 standard errors of it on either side
    assert times.value == pytest.approx(0.49833, abs=1e-5)
    assert (times.low, times.high) == pytest.approx((0.38834, 0.63946), abs=1e-4)
    assert times.certain
    said = " ".join(words(study, results([0.6], [0.9], kl=(0.1, 0.4)), steps))
    assert "0.900 on dev examples: 90 % of the way from the untuned model's 0.000 to 1.000" in said
    assert "Circuit-tuning reached it at 0.100 nats a token" in said
    assert "beyond which it may be less" in said
    assert (
        "Circuit-tuning forgets 0.50 (0.39 to 0.64) times as much as random parts to reach it "
        "(95 % interval over 3 seeds; less)." in said
    )


def test_a_rate_is_chosen_on_the_other_seeds():
    """With seed 0 the higher rate is cheap by luck; the other two seeds say otherwise."""
    rows = []
    for seed, kls in enumerate(((0.2, 0.01), (0.2, 0.5), (0.2, 0.5))):
        for rate, kl in zip((1e-4, 1e-3), kls, strict=True):
            rows += course("full", rate, seed, (0.0, 0.0), (1.0, kl))
    study = Study(model="tiny", task="sva-flip", arms=(Arm("full", "full"),), rates=(1e-4, 1e-3))
    found = paid_by_arm(study, pd.DataFrame(rows), 1.0, "higher")["full"]
    assert found.rates[0] == 1e-4
    assert found.kl[0] == pytest.approx(0.2)


def test_seeds_that_do_not_get_there_are_counted():
    short = Paid({0: 0.1, 1: math.inf}, {0: 1e-4, 1: 1e-4}, "")
    other = Paid({0: 0.2, 1: 0.2}, {0: 1e-4, 1: 1e-4}, "")
    assert short.reached == [0]
    assert ratio(short, other).n == 1
    assert str(ratio(short, other)) == "0.50"
    assert not ratio(short, other).certain
    assert ratio(Paid({0: math.inf}, {0: 1e-4}, ""), other) is None


# ---------------------------------------------------------------------- what is said


def results(circuit: list[float], full: list[float], *, kl: tuple[float, float]) -> pd.DataFrame:
    rows = []
    for method, scores, moved in (("circuit", circuit, kl[0]), ("full", full, kl[1])):
        for seed, value in enumerate(scores):
            rows.append(
                {
                    "arm": method,
                    "rate": 1e-4,
                    "seed": seed,
                    "state": "finished",
                    "chosen": True,
                    "accuracy_before": 0.5,
                    "accuracy_after": value,
                    "retention_kl_after": moved + 0.001 * seed,
                    "perplexity_after": 30.0 + seed,
                }
            )
    return pd.DataFrame(rows)


def test_differences_are_paired_by_seed_and_weighed_by_their_spread():
    table = results([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], kl=(0.1, 0.4))
    found = compare(table, "circuit", "full", "accuracy_after")
    assert found.mean == pytest.approx(0.1)
    assert found.deviation == pytest.approx(0, abs=1e-9)
    assert found.certain
    assert Spread.of([0.1, -0.1, 0.05]).certain is False
    assert Spread.of([0.3]).certain is False
    assert compare(table, "circuit", "lora", "accuracy_after") is None


def test_the_summary_says_who_wins_and_who_loses():
    study = Study(model="tiny", task="sva-flip", **TWO, seeds=3)
    table = results([0.6, 0.61, 0.62], [0.9, 0.91, 0.92], kl=(0.1, 0.4))
    said = " ".join(words(study, table, NONE))
    assert "Circuit-tuning took accuracy on test examples from 0.500 to 0.610" in said
    assert "beside full fine-tuning, at the end: worse on the task (accuracy) by 0.3" in said
    assert "better in distance from the untuned model (KL) by 0.3" in said
    assert "no difference that the seeds let one see in perplexity" in said
    one = Study(model="tiny", task="sva-flip", **TWO, seeds=1)
    said = " ".join(words(one, results([0.6], [0.9], kl=(0.1, 0.4)), NONE))
    assert "one seed, so nothing is known of its spread" in said
    assert "behind on the task (accuracy) by 0.3, with one seed, which may be chance" in said
    table = results([0.6], [0.9], kl=(0.1, 0.4)).assign(test_examples_before=100.0)
    last = words(one, table, NONE)[-1]
    assert "share of 100 test examples has a standard error of up to 0.05" in last


def test_other_tasks_that_changed_are_named():
    """On 64 examples two standard errors of 0.9 to 0.6 are 0.14, of 0.5 to 0.4 they are 0.17."""
    study = Study(model="tiny", task="sva-flip", **TWO, seeds=2)
    before = {"other.ioi_before": 0.9, "other.sva_before": 0.5}
    after = {"other.ioi_after": [0.5, 0.7, 0.9, 0.9], "other.sva_after": 0.4}
    table = results([0.6, 0.6], [0.6, 0.6], kl=(0.1, 0.1)).assign(**before, **after)
    said = [each for each in words(study, table, NONE) if "other tasks by more" in each]
    assert said == [
        "Circuit-tuning changed other tasks by more than two standard errors (64 examples each): "
        "ioi from 0.90 to 0.60."
    ]


def test_for_bias_less_is_better():
    study = Study(model="tiny", task="gender", **TWO, seeds=3)
    table = results([0.1, 0.11, 0.12], [0.3, 0.31, 0.32], kl=(0.1, 0.4)).rename(
        columns={"accuracy_before": "bias_before", "accuracy_after": "bias_after"}
    )
    said = " ".join(words(study, table, NONE))
    assert "(better than before)" in said
    assert "better on the task (bias) by 0.2" in said


def test_runs_that_failed_or_were_not_chosen_do_not_count():
    study = Study(model="tiny", task="sva-flip", **TWO, seeds=3)
    table = results([0.6, 0.61, 0.62], [0.9, 0.91, 0.92], kl=(0.1, 0.4))
    table.loc[table["arm"] == "full", "state"] = "failed"
    table.loc[0, "chosen"] = False
    means = summarize(study, table).set_index("arm")
    assert list(means.index) == ["circuit"]
    assert means.loc["circuit", "seeds"] == 2
    assert means.loc["circuit", "grade"] == pytest.approx(0.615)
    assert "Full fine-tuning led to no finished run" in " ".join(words(study, table, NONE))


# ---------------------------------------------------------------------- a small one, for real


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("study")
    return folder, conduct(SMALL, folder)


@pytest.mark.slow
def test_a_study_leaves_runs_results_figures_and_a_report(done):
    folder, result = done
    table = pd.read_csv(folder / "results.csv")
    assert len(table) == 2 * 2 * 2
    assert set(table["state"]) == {"finished"}
    assert table["chosen"].sum() == 4
    figures = [
        f"{name}.{kind}" for name in ("front", "tradeoff", "layers") for kind in ("svg", "png")
    ]
    for name in (*figures, "summary.txt", "steps.csv"):
        assert (folder / name).stat().st_size > 100
    page = (folder / "report.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    for sentence in result["summary"]:
        assert sentence.split(":")[0].replace("&", "&amp;") in page
    assert {row["arm"] for row in result["arms"]} == {"circuit", "full"}
    run = open_run("circuit-rate0.001-seed0", folder / "runs")
    assert [s.step for s in run.snapshots()] == [0, 1, 2]
    assert not list((run.folder / "checkpoint").glob("*"))


@pytest.mark.slow
def test_numbers_in_the_results_are_those_of_the_runs(done):
    folder, _ = done
    table = pd.read_csv(folder / "results.csv").set_index(["arm", "rate", "seed"])
    run = open_run("full-rate0.001-seed0", folder / "runs")
    row = table.loc[("full", 1e-3, 0)]
    assert row["accuracy_after"] == pytest.approx(run.about["after"]["accuracy"])
    assert row["retention_kl_after"] == pytest.approx(run.about["after"]["retention_kl"], rel=1e-4)
    assert row["trained_fraction"] == 1.0
    before = {name: table[f"{name}_before"].nunique() for name in ("accuracy", "retention_kl")}
    assert before == {"accuracy": 1, "retention_kl": 1}
    assert "perplexity_before" not in table  # the bundled model has not seen that English


@pytest.mark.slow
def test_a_study_that_is_done_runs_nothing_again(done, monkeypatch):
    folder, result = done
    monkeypatch.setattr(tune, "tune", lambda *_, **__: pytest.fail("a run was done again"))
    assert open_study(folder) == SMALL
    assert conduct(open_study(folder), folder)["summary"] == result["summary"]


@pytest.mark.slow
def test_a_study_says_which_updates_were_needed_and_keeps_no_weights(tmp_path):
    settings = {**SETTINGS, "steps": 4, "mlp_block": 128}
    arms = (Arm("circuit", "circuit"), Arm("full", "full"))
    study = Study(
        model="tiny",
        task="sva-flip",
        arms=arms,
        seeds=1,
        rates=(1e-3,),
        settings=settings,
        causes=True,
    )
    said = conduct(study, tmp_path)["summary"][-1]
    run = open_run("circuit-rate0.001-seed0", tmp_path / "runs")
    found = read_causes(run, tmp_path)[4]
    assert said == f"Of the updates by circuit-tuning: {cause_sentence(found)}"
    assert 0 < found.updated_fraction <= float(run.metrics()["trained_fraction"].sum())
    assert not list(tmp_path.rglob("weights/*.safetensors"))
    assert conduct(study, tmp_path)["summary"][-1] == said


@pytest.mark.slow
def test_an_interrupted_study_goes_on(tmp_path, done, monkeypatch, capsys):
    usual, calls = Tuning.gradients, []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == 4:  # in the second run, after one step
            raise KeyboardInterrupt
        return usual(self, *arguments)

    monkeypatch.setattr(Tuning, "gradients", stop)
    with pytest.raises(KeyboardInterrupt):
        conduct(SMALL, tmp_path)
    assert not (tmp_path / "report.html").exists()
    monkeypatch.setattr(Tuning, "gradients", usual)
    (tmp_path / "runs" / "full-rate0.0001-seed0").mkdir()  # as left by a kill before run.json
    assert main(["study", "--resume", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    _, whole = done
    assert report["summary"] == whole["summary"]


@pytest.mark.slow
def test_a_rate_at_which_everything_diverges_is_passed_over(tmp_path, monkeypatch):
    usual = Tuning.gradients

    def gradients(self, *arguments):
        loss = usual(self, *arguments)
        return math.nan if self.config.learning_rate == 1e-3 else loss

    monkeypatch.setattr(Tuning, "gradients", gradients)
    study = Study(
        model="tiny",
        task="sva-flip",
        arms=(Arm("full", "full"),),
        seeds=1,
        rates=(1e-4, 1e-3),
        settings=SETTINGS,
    )
    result = conduct(study, tmp_path)
    table = pd.read_csv(tmp_path / "results.csv").set_index("rate")
    assert table["state"].to_dict() == {1e-4: "finished", 1e-3: "failed"}
    assert result["arms"][0]["rate"] == 1e-4
    failed = open_run("full-rate0.001-seed0", tmp_path / "runs")
    assert failed.status().failure == "Diverged"
    ended = failed.status().heartbeat
    conduct(study, tmp_path)  # what diverged is not tried again
    assert failed.status().heartbeat == ended
    with pytest.raises(CtvizError, match="other settings"):
        conduct(replace(study, settings={**SETTINGS, "steps": 3}), tmp_path)


def test_a_folder_that_is_no_study_is_named(tmp_path, capsys):
    assert main(["study", "--resume", str(tmp_path)]) == 1
    assert "study.json is missing" in capsys.readouterr().err
    (tmp_path / "study.json").write_text('{"model": "tiny"}')
    with pytest.raises(DamagedRun, match="is not a study"):
        open_study(tmp_path)
    assert main(["study", "--rates", "1e-4;1e-3"]) == 1
    assert "with commas between" in capsys.readouterr().err
