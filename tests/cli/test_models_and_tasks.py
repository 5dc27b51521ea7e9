"""``ctviz models`` and ``ctviz tasks``."""

from __future__ import annotations

import json

from ctviz.cli import main
from ctviz.tasks import TASKS


def test_tasks_are_listed_and_explained(capsys):
    assert main(["tasks", "--json"]) == 0
    names = [task["name"] for task in json.loads(capsys.readouterr().out)["tasks"]]
    assert names == list(TASKS)
    assert main(["tasks", "sva"]) == 0
    assert "examples:" in capsys.readouterr().out


def test_models_are_listed(capsys):
    assert main(["models", "--json"]) == 0
    models = {m["name"]: m for m in json.loads(capsys.readouterr().out)["models"]}
    assert models["tiny"]["ready"]
    assert models["induction"]["ready"]
