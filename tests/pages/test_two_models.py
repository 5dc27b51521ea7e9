"""Compare's part on two models, without a browser."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from ctviz import paths
from ctviz.files import read_json, write_json
from ctviz.jobs.record import record
from ctviz.models.loading import load
from ctviz.pages import session
from ctviz.runs import open_run
from ctviz.runs.series import of_models
from tests.changed_models import changed, silence_mlp
from tests.short_series import config

PAGE = str(paths.pages() / "compare.py")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "other"
    changed(silence_mlp).model.save_pretrained(folder)
    load("tiny").tokenizer.save_pretrained(folder)
    return folder


def page() -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not app.exception
    return app


def test_two_models_are_asked_for_and_handed_to_a_worker(runs, monkeypatch, other):
    asked = []

    def take(series, config, parent, *, compared):
        asked.append((series, config, compared))
        return "mine"

    monkeypatch.setattr(session, "standby", lambda: SimpleNamespace(warm=lambda: None, record=take))
    app = page()
    button = next(each for each in app.button if each.label == "Compare")
    assert button.disabled  # there is no second model yet
    app.text_input(key="two-second").set_value(str(other)).run()
    app.selectbox(key="two-task").set_value("ioi")
    app.number_input(key="two-edges").set_value(30)
    next(each for each in app.button if each.label == "Compare").click().run()
    [(series, config, compared)] = asked
    assert [member.model for member in series.members] == ["tiny", str(other)]
    assert (config.task, config.edges, compared) == ("ioi", 30, True)
    assert app.query_params["runs"] == "mine"


def test_what_is_no_model_is_said_and_nothing_started(runs, monkeypatch):
    def take(*_, **__):
        raise AssertionError("started")

    monkeypatch.setattr(session, "standby", lambda: SimpleNamespace(warm=lambda: None, record=take))
    app = page()
    app.text_input(key="two-second").set_value("tyni").run()
    next(each for each in app.button if each.label == "Compare").click().run()
    assert "no model 'tyni'" in app.error[0].value.replace("\\", "")


def test_what_was_found_is_shown_and_damage_is_named(runs, other):
    record(of_models(["tiny", str(other)]), config(task="sva"), runs / "pair", compared=True)
    app = page()  # the newest run is shown
    assert "What other does differently from tiny" in [each.value for each in app.subheader]
    text = "\n".join(each.value for each in app.markdown).replace("\\", "")
    assert "on 8 test examples the accuracy is" in text
    swaps = next(each.value for each in app.dataframe if "lost" in each.value)
    assert swaps.iloc[0]["node"] == "m0"
    assert "Report" in [each.label for each in app.get("download_button")]
    file = runs / "pair" / "difference.json"
    whole = read_json(file)
    write_json(file, {**whole, "schema": 7})
    warned = " ".join(each.value for each in page().warning).replace("\\", "")
    assert "has schema 7" in warned
    file.unlink()
    said = " ".join(each.value for each in page().info).replace("\\", "")
    assert "ctviz compare --run pair" in said
    assert open_run("pair", runs).status().state == "finished"
