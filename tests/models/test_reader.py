"""What a model reads, without its weights."""

from __future__ import annotations

import json
import shutil

import pytest

from ctviz import paths
from ctviz.errors import MissingModel, UnknownName
from ctviz.models.known import KNOWN
from ctviz.models.loading import load
from ctviz.models.reader import open_reader


@pytest.mark.parametrize("name", ["tiny", "induction"])
def test_it_is_what_the_loaded_model_reads(name):
    reader, loaded = open_reader(name), load(name)
    assert reader.longest == loaded.anatomy.context
    assert reader.vocabulary == loaded.anatomy.vocabulary
    text = "The keys to the cabinet are 1234 \u201cquotes\u201d"
    assert reader.tokenizer(text)["input_ids"] == loaded.tokenizer(text)["input_ids"]


def test_models_that_are_not_here(tmp_path, monkeypatch):
    with pytest.raises(MissingModel, match="tokenizer of nobody/nothing is not on this"):
        open_reader("nobody/nothing")
    with pytest.raises(UnknownName):
        open_reader("tinny")
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path))
    for known in KNOWN.values():
        if known.hub:
            with pytest.raises(MissingModel, match=f"ctviz models fetch {known.key}"):
                open_reader(known.key)


def test_the_weights_are_not_needed(tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(paths.data() / "tiny", folder)
    (folder / "model.safetensors").unlink()
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"n_positions": 12}))
    assert open_reader(str(folder)).longest == 12
