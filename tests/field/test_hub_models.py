"""Models of the hub: old names, the usual ones, and what is said where they cannot be had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from ctviz.cli import main
from ctviz.errors import CtvizError, DamagedRun, MissingModel, UnknownName
from ctviz.models.families import FAMILIES
from ctviz.models.fetching import fetch
from ctviz.models.known import KNOWN, located_model, resolve
from ctviz.models.loading import load
from ctviz.pages import session
from ctviz.runs import open_run
from ctviz.tuning.stored_weights import untuned_model
from tests.field.models import TINY, measured, tiny_copy
from tests.opened_pages import open_page, said
from tests.written_runs import write_run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no way to the hub."""
    folder = tmp_path / "hub"
    folder.mkdir()
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


def put_into_the_cache(cache: Path, hub: str) -> Path:
    """The bundled model as a download of a hub id leaves it."""
    place = cache / f"models--{hub.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    shutil.copytree(TINY, snapshot)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    return snapshot


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gpt2", "openai-community/gpt2"),
        ("gpt2-medium", "openai-community/gpt2-medium"),
        ("gpt2-large", "openai-community/gpt2-large"),
        ("gpt2-xl", "openai-community/gpt2-xl"),
        ("distilgpt2", "distilbert/distilgpt2"),
        ("pythia-70m", "EleutherAI/pythia-70m"),
    ],
)
def test_a_name_without_an_owner_is_found(cache, old, new):
    assert resolve(old) == new
    assert located_model(old) == old
    put_into_the_cache(cache, new)
    loaded = load(old)
    assert loaded.revision == COMMIT
    assert measured(loaded) == pytest.approx(measured(load("tiny")), abs=1e-5)


def test_a_download_of_before_the_hub_had_owners(cache):
    put_into_the_cache(cache, "gpt2")
    assert resolve("gpt2") == "gpt2"
    assert KNOWN["gpt2"].stored
    assert load("gpt2").revision == COMMIT
    shutil.rmtree(cache / "models--gpt2")
    put_into_the_cache(cache, "openai-community/gpt2")
    assert resolve("gpt2") == "openai-community/gpt2"


def test_a_folder_of_that_name_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_copy(tmp_path / "gpt2")
    with pytest.raises(CtvizError, match=r"Write ./gpt2 for the folder, openai-community/gpt2"):
        load("gpt2")
    assert load("./gpt2").name == str(tmp_path / "gpt2")


def test_a_mistyped_name_is_still_one():
    with pytest.raises(UnknownName, match="Did you mean 'gpt2'"):
        resolve("gtp2")


def test_the_usual_models_are_listed_with_what_they_need(capsys, cache):
    put_into_the_cache(cache, "openai-community/gpt2")
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["gpt2"]["ready"]
    usual = [name for name, known in KNOWN.items() if known.of_hub]
    assert len(usual) == 10
    for name in usual:
        row = rows[name]
        assert row["family"] in FAMILIES
        assert row["hub"].count("/") == 1
        assert row["ready"] == (name == "gpt2")
        assert min(row["download_mb"], row["memory_gb"]) > 0
        assert row["license"]
        assert row["gated"] == (name in ("llama-3.2-1b", "gemma-2-2b"))
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("llama-3.2-1b"))
    assert "2.5 GB to download, 4.9 GB of memory, Llama 3.2 Community License" in line
    assert "to be accepted at the hub first" in line


def test_a_known_model_is_fetched_into_the_hubs_cache(cache, monkeypatch, capsys):
    asked: list[str] = []

    def stand_in(repo: str, *, allow_patterns: list[str], tqdm_class: type) -> str:
        asked.append(repo)
        assert "*.safetensors" in allow_patterns
        assert not any("bin" in pattern for pattern in allow_patterns)
        return str(put_into_the_cache(cache, repo))

    monkeypatch.setattr("huggingface_hub.snapshot_download", stand_in)
    assert main(["models", "fetch", "qwen2.5-0.5b"]) == 0
    assert asked == ["Qwen/Qwen2.5-0.5B"]
    assert COMMIT in capsys.readouterr().out
    assert KNOWN["qwen2.5-0.5b"].stored
    assert load("qwen2.5-0.5b").revision == COMMIT


def refusing(kind: type[Exception]) -> Any:
    def refuse(*arguments: Any, **options: Any) -> str:
        response = httpx2.Response(403, request=httpx2.Request("GET", "https://huggingface.co"))
        raise kind("403 Client Error.\nAccess is restricted.", response=response)

    return refuse


def test_a_gated_model_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", refusing(GatedRepoError))
    with pytest.raises(
        MissingModel, match=r"Accept it at https://huggingface.co/google/gemma-2-2b"
    ):
        fetch("gemma-2-2b")
    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", refusing(GatedRepoError))
    with pytest.raises(MissingModel, match=r"gated: .*hf auth login.*HF_TOKEN"):
        load("llama-3.2-1b")


def test_a_model_that_is_not_at_the_hub(monkeypatch):
    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", refusing(RepositoryNotFoundError))
    with pytest.raises(MissingModel, match=r"'nobody/nothing' is not at the hub, or it is private"):
        load("nobody/nothing")


@pytest.mark.parametrize("name", ["gpt2", "nobody/nothing"])
def test_without_a_way_to_the_hub_one_sentence_says_so(tmp_path, capsys, name):
    with pytest.raises(MissingModel, match=r"hub \(huggingface.co\) cannot be reached") as caught:
        load(name)
    assert str(caught.value).startswith(f"The model '{resolve(name)}' is not on this machine")
    assert main(["discover", "--model", name, "--out", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err
    assert str(caught.value) in error
    assert "Traceback" not in error


def test_a_fetch_without_a_way_says_the_same(monkeypatch):
    def unreachable(*arguments: Any, **options: Any) -> str:
        raise ConnectionError("no network here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(MissingModel, match="cannot be reached"):
        fetch("pythia-160m")


def test_the_page_offers_them_with_what_they_need(tmp_path, monkeypatch):
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(session, "standby", lambda: SimpleNamespace(warm=lambda: None))
    app = open_page("run", {})
    labels = app.selectbox(key="model").options
    assert "GPT-2 small (12 layers x 12 heads): from the hub" in labels
    app.selectbox(key="model").set_value("gemma-2-2b").run()
    text = said(app)
    assert "10.5 GB to download, 10.5 GB of memory, Gemma Terms of Use" in text
    assert "to be accepted at the hub first" in text
    assert "(https://huggingface.co/google/gemma-2-2b)" in text
    assert not app.button[-1].disabled


def test_a_run_of_before_hub_models_had_a_revision_still_opens(cache, tmp_path):
    put_into_the_cache(cache, "openai-community/gpt2")
    run = write_run(tmp_path / "r", "tiny", model="gpt2")
    file = run.folder / "run.json"
    about = json.loads(file.read_text())
    for revision, opens in (("sha256:e3b0c44298fc1c14", True), (COMMIT, True), ("other", False)):
        file.write_text(json.dumps(about | {"model": {"name": "gpt2", "revision": revision}}))
        again = open_run(str(run.folder))
        if opens:
            assert untuned_model(again).revision == COMMIT
        else:
            with pytest.raises(DamagedRun, match="was tuned from gpt2 at other"):
                untuned_model(again)
