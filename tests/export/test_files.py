"""What a run is exported as: replay, pictures, tables, circuit, and the command for it."""

from __future__ import annotations

import base64
import csv
import dataclasses
import errno
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageSequence

from ctviz import paths
from ctviz.circuits.eap_json import load_eap_json
from ctviz.cli import main
from ctviz.errors import CtvizError, UndefinedMetric
from ctviz.export import (
    circuit_file,
    draw_animation,
    draw_picture,
    draw_timeline,
    make_replay,
    table_files,
    tables,
)
from ctviz.export.origin import timeline_of
from ctviz.export.picture import GIF_SIZE, MOST_FRAMES, SIZE, frames
from ctviz.export.scene import THICK, Scene
from ctviz.export.theme import THEMES
from ctviz.files import not_written, write_json
from ctviz.runs import Run, open_run
from ctviz.runs.groups import NodeGroup
from ctviz.views.packing import pack
from ctviz.views.view import Shown, View
from tests.written_runs import write_run

HOSTILE = "</script></title><b>x</b> $\\frac$ 日本\u2028\x00\ud800"  # the last is half a letter


@pytest.fixture(scope="module")
def sample() -> Run:
    return open_run("sample-sva-flip", paths.shipped_runs())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("hostile") / "run"
    run = write_run(folder, "one")
    task = run.about["task"] | {"title": HOSTILE * 200, "metric": HOSTILE}
    (folder / "run.json").write_text(json.dumps(run.about | {"task": task}))
    return Run(folder)


def script(page: str, kind: str) -> str:
    found = re.search(rf'<script type="{kind}"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found
    return found[1]


# ---------------------------------------------------------------------- replay


def test_the_replay_holds_the_run_and_where_it_came_from(sample):
    page = make_replay(sample, View(step=24, nodes=("a1.h2",))).decode()
    assert len(page) <= 3_000_000
    data = json.loads(script(page, "application/json"))
    assert data["payload"] == pack(timeline_of(sample))
    assert data["first"] == View(step=24, nodes=("a1.h2",)).to_dict()
    assert data["defaults"] == View().to_dict()
    assert data["choices"]["heat"] == ["nodes", "qkv", "steps"]
    assert data["choices"]["map"] == [*get_args(Shown)]
    written = f"run sample-sva-flip of {sample.about['created'][:10]}"
    for words in (written, "tiny (sha256:89bd", "circuit-tuning"):
        assert words in page.split("<footer>")[1].split("</footer>")[0]
    assert "<title>Subject-verb disagreement · sample-sva-flip</title>" in page


def test_every_module_that_a_module_imports_is_in_the_file(sample):
    page = make_replay(sample).decode()
    modules = json.loads(script(page, "importmap"))["imports"]
    assert {f"ctviz/{f.name}" for f in Path("ctviz/player").glob("*.js")} < set(modules)
    code = {
        name: base64.b64decode(url.removeprefix("data:text/javascript;base64,")).decode()
        for name, url in modules.items()
    }
    del code["ctviz/vis-network"]
    code["boot"] = script(page, "module")
    asked = {
        name
        for text in code.values()
        for name in re.findall(
            r"""^(?:import|export)\b[^;"'(=]*\bfrom\s*["'](.+?)["']""", text, re.M
        )
    }
    assert "ctviz/clock.js" in asked
    assert "ctviz/player.js" in asked
    assert asked <= set(modules)


def test_the_replay_asks_nobody_and_forbids_it(sample):
    page = make_replay(sample).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    shell = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\b(src|href)=", shell)


def test_markup_in_names_is_inert(hostile):
    page = make_replay(hostile).decode()
    assert page.count("<b>") == 0
    assert page.count("</script>") == 3
    assert page.count("</title>") == 1
    assert json.loads(script(page, "application/json"))["payload"]["title"] == HOSTILE * 200


def test_no_folder_of_this_machine_leaves_it(tmp_path):
    model, task = tmp_path / "models" / "mine", tmp_path / "tasks" / "verbs.csv"
    run = write_run(
        tmp_path / "r",
        "one",
        model=str(model),
        task=f"{task}?text=clean",
        about={"model": {"name": str(model)}},
    )
    written = [make_replay(run), draw_picture(run, "svg").content]
    written += table_files(run, "csv").values()
    for content in written:
        assert str(tmp_path).encode() not in content
    assert b"verbs.csv" in written[0]
    assert json.loads(written[-1])["config"]["model"] == "mine"


# ---------------------------------------------------------------------- pictures


def test_pictures_are_the_same_each_time_and_of_the_nearest_step(sample):
    png = draw_picture(sample, "png", View(step=25))
    assert png.step == 24
    assert Image.open(io.BytesIO(png.content)).size == SIZE
    assert draw_picture(sample, "png", View(step=25)).content == png.content
    svg = draw_picture(sample, "svg", View(step=24))
    assert svg.content == draw_picture(sample, "svg", View(step=24)).content
    text = svg.content.decode()
    for words in ("step 24 of 60", "40 circuit edges of 479", "since step 22", "Task metric"):
        assert words in text
    assert draw_picture(sample, "svg").step == 60


def test_the_view_decides_what_a_picture_shows(sample):
    plain = draw_picture(sample, "svg", View(step=24)).content
    views = {
        "few": View(step=24, edges=5),
        "selected": View(step=24, nodes=("a1.h2",)),
        "start": View(step=24, marks="start"),
        "mass": View(step=24, estimator="mass"),
        "qkv": View(step=24, heat="qkv"),
        "steps": View(step=24, heat="steps"),
    }
    drawn = {name: draw_picture(sample, "svg", view).content for name, view in views.items()}
    drawn["dark"] = draw_picture(sample, "svg", View(step=24), theme="dark").content
    assert len({plain, *drawn.values()}) == len(drawn) + 1
    assert b"5 strongest of 40 circuit edges" in drawn["few"]
    assert b"since step 0<" in drawn["start"]
    assert b"mass 90 %" in drawn["mass"]


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("one", {}),
        ("noedges", {"snapshots": 2}),
        ("tiny", {"snapshots": 2, "nan": True}),
        ("gqa", {"snapshots": 2}),
        ("deep", {"snapshots": 2}),
    ],
)
def test_a_run_of_any_shape_can_be_taken_home(tmp_path, case, settings):
    run = write_run(tmp_path / "r", case, **settings)
    for view in (View(), View(level="model", heat="steps", estimator="mass"), View(heat="qkv")):
        text = draw_picture(run, "svg", view).content.decode()
        assert ("No edge is in the circuit." in text) == (case == "noedges")
        assert ("60 scores are not numbers" in text) == ("nan" in settings)
    film = draw_animation(run, theme="dark")
    assert film.frames == len(timeline_of(run).steps)
    assert b"NaN" not in make_replay(run).split(b'id="ctviz-replay">')[1]
    assert len(table_files(run, "parquet")) == 5


def test_hostile_words_are_only_words_in_pictures(hostile):
    text = draw_picture(hostile, "svg").content.decode()
    assert "<b>" not in text
    assert "</script>" not in text
    assert "&lt;b&gt;x" in text
    assert "[U+" in text  # what no font has
    assert "…" in text  # and it is cut


@pytest.mark.slow
def test_the_animation_has_a_frame_for_each_snapshot_and_holds_the_last(sample):
    film = draw_animation(sample)
    assert (film.frames, film.snapshots) == (31, 31)
    assert len(film.content) <= 6_000_000
    image = Image.open(io.BytesIO(film.content))
    assert image.size == GIF_SIZE
    durations = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert len(durations) == 31
    assert durations[-1] > 3 * durations[0] > 0
    image.seek(30)
    assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


def test_many_snapshots_are_thinned_evenly():
    assert frames(3) == [0, 1, 2]
    chosen = frames(300)
    assert len(set(chosen)) == MOST_FRAMES
    assert (chosen[0], chosen[-1]) == (0, 299)
    assert set(np.diff(chosen)) == {3, 4}


def test_what_is_drawn_is_what_the_snapshot_holds(sample):
    timeline = timeline_of(sample)
    scene = Scene(timeline, View(edges=7), 1.6)
    at = timeline.steps.index(24)
    moment = scene.moment(at, None)
    strongest = np.sort(np.abs(timeline.scores[at][timeline.circuit[at]]))[-7:]
    assert np.sort(np.abs(moment.scores)) == pytest.approx(strongest)
    assert set(moment.marks) == {""}
    assert (moment.widths > 0).all()
    assert moment.widths.max() <= THICK

    scene = Scene(timeline, View(), 1.6)
    moment = scene.moment(at, at - 1)
    names = {scene.name(e): mark for e, mark in zip(moment.edges, moment.marks, strict=True)}
    graph = timeline.graph
    now, before = timeline.circuit[at], timeline.circuit[at - 1]
    entered = {graph.edge_name(r, c) for r, c in np.argwhere(now & ~before)}
    left = {graph.edge_name(r, c) for r, c in np.argwhere(before & ~now)}
    assert entered
    assert {n for n, mark in names.items() if mark.startswith("entered")} == entered
    assert {n for n, mark in names.items() if mark.startswith("left")} == left
    assert all(
        (w == 0) == m.startswith("left") for w, m in zip(moment.widths, moment.marks, strict=True)
    )
    for name, mark in names.items():
        row, column = graph.edge(name)
        change = abs(timeline.scores[at, row, column] - timeline.scores[at - 1, row, column])
        band = 2 * np.hypot(*timeline.errors[at - 1 : at + 1, row, column])
        if mark in ("strengthened", "weakened", "reversed", "entered", "left"):
            assert change > band
        else:
            assert change <= band


def test_a_run_without_snapshots_says_so(tmp_path):
    run = write_run(tmp_path / "r", "zero")
    for make in (make_replay, draw_animation, circuit_file):
        with pytest.raises(CtvizError, match="r has no snapshot that can be read"):
            make(run)
    assert len(tables(run)["edges"]) == 0


def test_the_themes_are_those_of_the_page():
    settings = tomllib.loads((paths.app().parent / ".streamlit" / "config.toml").read_text())
    for name in ("light", "dark"):
        mine, theirs = THEMES[name].variables(), settings["theme"][name]
        assert mine["--st-primary-color"] == theirs["primaryColor"]
        if "textColor" in theirs:
            assert mine["--st-text-color"] == theirs["textColor"]


# ---------------------------------------------------------------------- tables and circuit


def test_tables_hold_what_the_snapshots_hold(sample):
    made = tables(sample)
    edges = made["edges"]
    last = list(sample.snapshots())[-1]
    mine = edges[edges["step"] == 60].set_index("edge")
    graph = sample.graph
    for name, row in mine.iterrows():
        at = graph.edge(name)
        assert row["score"] == last.scores[at]
        assert row["error"] == last.error[at]
        assert row["in_circuit"] == last.circuit[at]
        assert (row["source"], row["slot"]) == tuple(name.split("->"))
    assert mine["in_circuit"].sum() == 40
    assert edges.groupby("edge")["in_circuit"].any().all()
    nodes = made["nodes"]
    assert len(nodes) == 31 * len(graph.nodes)
    shares = nodes[nodes["step"] == 60]["redundancy_mass"].to_numpy()
    assert np.array_equal(shares, last.redundancy["mass"], equal_nan=True)
    assert len(made["metrics"]) == 61
    assert len(made["dynamics"]) == 31


def test_csv_and_parquet_say_the_same(sample):
    as_csv, as_parquet = table_files(sample, "csv"), table_files(sample, "parquet")
    assert sorted(as_csv) == ["about.json", *(f"{n}.csv" for n in sorted(tables(sample)))]
    for name in ("metrics", "nodes", "edges", "dynamics"):
        one = pd.read_csv(io.BytesIO(as_csv[f"{name}.csv"]))
        other = pd.read_parquet(io.BytesIO(as_parquet[f"{name}.parquet"]))
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-6)
    about = json.loads(as_csv["about.json"])
    assert about["run"] == "sample-sva-flip"
    assert about["versions"]["torch"]
    for name, table in tables(sample).items():
        said = about["tables"][name]
        assert said["rows"] == len(table)
        assert list(said["columns"]) == list(table.columns)
    assert about["tables"]["edges"]["columns"]["error"] == (
        "standard error of the score over the pairs that it is a mean over"
    )
    assert all(about["tables"]["dynamics"]["columns"].values())


def test_no_cell_of_a_csv_is_a_formula(tmp_path, monkeypatch):
    run = write_run(tmp_path / "r", "one")
    cells = {"step": 5, "note": "=1+1", "@x": "+2", "other": "-3", "fine": "a-b", "loss": -0.5}
    monkeypatch.setattr(Run, "metrics", lambda run: pd.DataFrame([cells]))
    rows = list(csv.DictReader(io.StringIO(table_files(run, "csv")["metrics.csv"].decode())))
    row = next(row for row in rows if row["step"] == "5")
    assert row["note"] == "'=1+1"
    assert row["'@x"] == "'+2"
    assert row["other"] == "'-3"
    assert row["fine"] == "a-b"
    assert float(row["loss"]) == -0.5


def test_the_circuit_is_that_of_the_nearest_snapshot(sample, tmp_path):
    made = circuit_file(sample, 25)
    assert (made.step, made.d_model) == (24, 128)
    (tmp_path / "c.json").write_bytes(made.content)
    read = load_eap_json(tmp_path / "c.json")
    scores, circuit = read.scores, read.circuit
    stored = next(s for s in sample.snapshots() if s.step == 24)
    assert np.array_equal(scores.values, stored.scores)
    assert np.array_equal(circuit.mask, stored.circuit)
    assert circuit_file(sample).step == 60


def test_a_circuit_needs_scores_that_are_numbers(tmp_path):
    run = write_run(tmp_path / "r", "one", nan=True)
    with pytest.raises(UndefinedMetric, match="not a finite number"):
        circuit_file(run)


def test_a_circuit_of_a_model_that_is_not_here_has_no_width(tmp_path):
    run = write_run(tmp_path / "r", "one", model=str(tmp_path / "gone"))
    made = circuit_file(run)
    assert made.d_model is None
    assert "d_model" not in json.loads(made.content)["cfg"]


# ---------------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_writes_everything_at_once(tmp_path, capsys):
    places_asked = {
        "html": "a/r.html",
        "png": "p.png",
        "svg": "p.svg",
        "gif": "a.gif",
        "circuit": "c.json",
        "csv": "csv",
        "parquet": "parquet",
    }
    flags = [part for kind, name in places_asked.items() for part in (f"--{kind}", tmp_path / name)]
    command = ["export", "sample-sva-flip", *map(str, flags), "--step", "25", "--node", "a1.h2"]
    assert main([*command, "--edges", "9", "--theme", "dark", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in result["files"]} == set(places_asked)
    for row in result["files"]:
        assert Path(row["path"]).stat().st_size == row["bytes"] > 0
    assert {row["kind"]: row["step"] for row in result["files"] if "step" in row} == {
        "png": 24,
        "svg": 24,
        "circuit": 24,
    }
    assert result["notes"] == ["Step 25 has no snapshot; the nearest is step 24."]
    assert b"9 strongest of 40" in (tmp_path / "p.svg").read_bytes()
    assert sorted(f.name for f in (tmp_path / "csv").iterdir()) == [
        "about.json",
        "dynamics.csv",
        "edges.csv",
        "metrics.csv",
        "nodes.csv",
    ]


def test_nothing_is_overwritten_and_nothing_half_done(tmp_path, capsys):
    (tmp_path / "mine.svg").write_text("kept")
    new, mine = str(tmp_path / "new.svg"), str(tmp_path / "mine.svg")
    assert main(["export", "sample-sva-flip", "--html", new, "--svg", mine]) == 1
    assert "mine.svg is there already. Name another file." in capsys.readouterr().err
    assert not Path(new).exists()
    assert main(["export", "sample-sva-flip", "--svg", new, "--csv", str(tmp_path)]) == 1
    assert "is not an empty folder" in capsys.readouterr().err
    assert main(["export", "sample-sva-flip", "--svg", new, "--html", new]) == 1
    assert "both name" in capsys.readouterr().err
    assert main(["export", "sample-sva-flip", "--svg", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == ["mine.svg"]
    assert (tmp_path / "mine.svg").read_text() == "kept"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--html", "out/metrics.csv", "--csv", "out"], "lie one in the other"),
        (["--html", "both", "--csv", "both/sub"], "lie one in the other"),
        (["--png", "d.png", "--svg", "../{here}/d.png"], "--png and --svg both name"),
        (["--png", "d.png", "--svg", "link/d.png"], "--png and --svg both name"),
        (["--csv", "out", "--parquet", "link/out/p"], "lie one in the other"),
        (["--svg", "new/a.svg", "--model", "m"], "has kept no weights"),
        (["--svg", "new/a.svg", "--png", "file/p.png"], "Choose another place."),
        (["--svg", "new/a.svg", "--csv", "file/folder"], "Choose another place."),
        (["--svg", "new/a.svg", "--png", f"{'x' * 300}.png"], "File name too long. Choose another"),
        (["--svg", "new/a.svg", "--png", f"{'x' * 245}.png"], "File name too long. Choose another"),
        (["--svg", "new/a.svg", "--png", ""], "--png is empty: name a file."),
        (["--csv", ""], "--csv is empty: name a folder."),
        (["--svg", "new/a.svg", "--png", "~nobody-of-that-name/p.png"], "Write the path out"),
        (["--svg", "new/a.svg", "--png", "circle/p.png"], "circle"),
    ],
)
def test_places_are_looked_at_before_anything_is_written(
    tmp_path, capsys, monkeypatch, options, said
):
    run = write_run(tmp_path / "r", "tiny")
    work = tmp_path / "work"
    work.mkdir()
    (work / "file").write_text("kept")
    (work / "link").symlink_to(work)
    (work / "circle").symlink_to(work / "circle")
    monkeypatch.chdir(work)
    options = [option.replace("{here}", work.name) for option in options]
    assert main(["export", str(run.folder), *options]) == 1
    assert said in capsys.readouterr().err
    assert sorted(f.name for f in work.iterdir()) == ["circle", "file", "link"]
    assert (work / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room on the disk"),
        (errno.EDQUOT, "Make room on the disk"),
        (errno.EACCES, "Permission denied. Choose another place."),
        (errno.ENOENT, "No such file or directory. Choose another place."),
    ],
)
def test_the_advice_fits_the_reason(number, advice):
    said = str(not_written(Path("x"), OSError(number, os.strerror(number))))
    assert said.startswith("x could not be written: ")
    assert advice in said


def test_a_step_that_is_not_there_is_said_for_replay_and_animation(tmp_path, capsys):
    run = write_run(tmp_path / "r", "tiny", snapshots=3)
    command = ["export", str(run.folder), "--step", "999999"]
    assert main([*command, "--html", str(tmp_path / "r.html")]) == 0
    said = capsys.readouterr().out
    assert "Step 999999 has no snapshot; the nearest is step 20." in said
    assert main([*command, "--gif", str(tmp_path / "a.gif")]) == 0
    assert "a.gif shows every step, so --step makes no difference to it." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Nothing was asked for. Give at least one of --html, --gif"),
        (["--changed", "--svg", "x"], "there is no --model"),
        (["--svg", "x", "--node", "a9.h0"], "There is no node 'a9.h0'"),
        (["--svg", "x", "--edges", "0"], "--edges is 0, but must be at least 1"),
    ],
)
def test_the_command_explains_what_it_cannot_do(tmp_path, capsys, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "sample-sva-flip", *options]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_snapshot_is_named_and_the_others_are_exported(tmp_path, capsys):
    run = write_run(tmp_path / "r", "tiny", snapshots=4)
    file = run.snapshot_files()[2]
    file.write_bytes(file.read_bytes()[:500])
    asked = ["--svg", str(tmp_path / "p.svg"), "--csv", str(tmp_path / "csv")]
    assert main(["export", str(run.folder), *asked, "--step", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["notes"]) == 2
    assert result["notes"][0] == "Step 20 has no snapshot; the nearest is step 10."
    assert "000020.safetensors cannot be read" in result["notes"][1]


def test_a_thinned_animation_says_so(tmp_path, capsys, monkeypatch):
    from ctviz.export import picture

    monkeypatch.setattr(picture, "MOST_FRAMES", 3)
    run = write_run(tmp_path / "r", "tiny", snapshots=7)
    assert main(["export", str(run.folder), "--gif", str(tmp_path / "a.gif")]) == 0
    assert "a.gif shows 3 of 7 snapshots, evenly spread." in capsys.readouterr().out
    assert Image.open(io.BytesIO((tmp_path / "a.gif").read_bytes())).n_frames == 3


def test_a_replay_carries_the_notice_of_the_library_that_it_draws_with(sample):
    page = make_replay(sample).decode()
    modules = json.loads(script(page, "importmap"))["imports"]
    code = base64.b64decode(modules["ctviz/vis-network"].partition(",")[2]).decode()
    holders = re.findall(r"\(c\) .*", code[:1000], re.IGNORECASE)
    assert len(holders) == 2
    notice = page.partition("<!--")[2].partition("-->")[0]
    for holder in holders:
        assert holder in notice
    assert "The above copyright notice and this permission notice shall be included" in notice


def test_named_groups_go_along(tmp_path):
    run = write_run(tmp_path / "r", "one")
    groups = [{"name": "<i>readers</i>", "nodes": ["a0.h1", "m1"]}]
    write_json(run.folder / "groups.json", {"groups": groups})
    data = json.loads(script(make_replay(run).decode(), "application/json"))
    assert data["payload"]["groups"] == groups


@pytest.mark.parametrize(
    ("module", "unloaded"),
    [("ctviz.export", ("torch", "streamlit")), ("ctviz.pages.keep", ("torch", "matplotlib"))],
)
def test_what_a_page_loads_stays_light(module, unloaded):
    code = f"import {module}, sys; print([m for m in {unloaded!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_pictures_and_tables_show_what_the_page_says_of_faithfulness(sample):
    """At step 32 the sample's faithfulness is 5.36 ± 29.4 of nearly nothing."""
    text = draw_picture(sample, "svg", View(step=32)).content.decode()
    assert "faithfulness says nothing at this step" in text
    assert "–  circuit" in text
    assert "5.36" not in text
    text = draw_picture(sample, "svg", View(step=60)).content.decode()
    assert "faithful: carries 97 ± 2 % of the behaviour" in text
    assert "0  random circuit" in text
    assert "e−" not in text
    text = draw_picture(sample, "svg", View(step=20, edges=9)).content.decode()
    assert "behaviour near zero: carries 115 ± 11 % of very little" in text
    assert "all 40 edges: faithful" in draw_picture(sample, "svg", View(edges=9)).content.decode()

    metrics = tables(sample)["metrics"].set_index("step")
    shares = ["faithfulness", "faithfulness_error", "random_faithfulness"]
    assert metrics.loc[32, shares].isna().all()
    assert metrics.loc[60, "random_faithfulness"] == 0
    assert metrics.loc[60, "faithfulness"] == 0.9658
    assert metrics.loc[32, "faithfulness_says"] == "faithfulness says nothing at this step"
    assert metrics.loc[60, "faithfulness_says"] == "faithful: carries 97 ± 2 % of the behaviour"
    assert pd.isna(metrics.loc[31, "faithfulness_says"])  # no snapshot


def test_gaps_are_those_of_the_page(sample):
    timeline = timeline_of(sample)
    for curve in timeline.curves:
        void = curve.steps[~np.isfinite(curve.values)].tolist()
        assert void == ([32] if curve.panel == "faithfulness" else [])
    packed = {curve["key"]: curve for curve in pack(timeline)["curves"]}
    at = packed["faithfulness"]["steps"].index(32)
    assert (
        packed["faithfulness"]["values"][at] is packed["random_faithfulness"]["values"][at] is None
    )


SQUARES = """
import sys, warnings
from pathlib import Path
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from ctviz.export import draw_picture
from ctviz.export.sheet import clean, families
from ctviz.runs import Run

folder = Path(sys.argv[1])
build, pen = FontBuilder(1000, isTTF=True), TTGlyphPen(None)
pen.moveTo((0, 0)), pen.lineTo((0, 800)), pen.lineTo((800, 800)), pen.closePath()
square, empty = pen.glyph(), TTGlyphPen(None).glyph()
build.setupGlyphOrder([".notdef", "one", "two"])
build.setupCharacterMap({ord("中"): "one", ord("文"): "two"})
build.setupGlyf({".notdef": empty, "one": square, "two": square})
build.setupHorizontalMetrics({".notdef": (500, 0), "one": (1000, 0), "two": (1000, 0)})
build.setupHorizontalHeader(ascent=800, descent=-200)
build.setupNameTable({"familyName": "Squares CJK", "styleName": "Regular"})
build.setupOS2(sTypoAscender=800, usWeightClass=400)
build.setupPost()
build.save(folder / "squares.ttf")
fontManager.ttflist = [f for f in fontManager.ttflist if f.name == "DejaVu Sans"]
fontManager.addfont(str(folder / "squares.ttf"))
warnings.simplefilter("error")  # matplotlib warns of a sign that a font lacks
draw_picture(Run(folder / "r"), "png")
svg = draw_picture(Run(folder / "r"), "svg").content.decode()
print(families("a中"), clean("鱻"), "中文 and [U+9C7B]" in svg, "Squares CJK" in svg)
"""


def test_a_sign_is_drawn_in_a_font_that_has_it_or_its_number_is_said(tmp_path: Path) -> None:
    """On a machine with a font of two Chinese signs, as squares."""
    write_run(tmp_path / "r", "tiny", about={"task": {"title": "中文 and 鱻"}})
    done = subprocess.run(
        [sys.executable, "-c", SQUARES, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert done.stdout.split("\n")[0] == "['DejaVu Sans', 'Squares CJK'] [U+9C7B] True True"


def test_a_named_group_is_drawn_as_one_node(sample):
    timeline = timeline_of(sample)
    members = ("a2.h0", "a2.h1")
    plain = draw_timeline(timeline, "svg", View(step=60), origin="made up").content.decode()
    assert "the pair" not in plain
    grouped = dataclasses.replace(timeline, groups=(NodeGroup("the pair", members),))
    assert "the pair" in draw_timeline(grouped, "svg", View(step=60), origin="x").content.decode()
    scene = Scene(grouped, View(step=60), 1.3)
    (group,) = scene.groups
    assert [scene.nodes[n]["name"] for n in group["members"]] == list(members)
    ends = [scene.nodes[scene.rows[edge]]["name"] for edge in range(len(scene.rows))]
    for edge, source in enumerate(ends):
        if source in members and scene.placed[edge]:  # it begins at the group
            assert scene.curves[edge][0][1] == pytest.approx(group["y"] - 13)
    one = Scene(dataclasses.replace(timeline, groups=(NodeGroup("one", ("a2.h0",)),)), View(), 1.3)
    assert one.groups == []
