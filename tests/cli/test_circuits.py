"""``ctviz discover``, from an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.commands import ctviz


@pytest.mark.slow
def test_discover_prints_one_json_object_and_writes_scores(tmp_path):
    done = ctviz(
        "discover", "--model", "tiny", "--task", "sva", "--edges", "40", "--json", cwd=tmp_path
    )
    result = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert result["n_edges"] == 479
    assert result["n_circuit_edges"] == 40
    assert result["metric_clean"] > 2 > -2 > result["metric_corrupt"]
    assert result["faithfulness"] > 0.5 > abs(result["random_faithfulness"])
    assert result["seconds"] > 0
    with safe_open(result["scores"], framework="numpy") as file:
        values = file.get_tensor("values")
        sources = json.loads(file.metadata()["sources"])
        slots = json.loads(file.metadata()["slots"])
    assert values.shape == (len(sources), len(slots)) == (21, 53)
    beside = json.loads(Path(result["scores"]).with_suffix(".json").read_text())
    assert beside["sources"] == sources
    assert len(beside["circuit"]) == 40
    assert beside["redundancy"]["circuit"]["input"] is None
