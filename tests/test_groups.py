"""Named groups of nodes, kept with a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctviz.errors import DamagedRun
from ctviz.runs import open_run
from ctviz.runs.groups import MOST_GROUPS, MOST_LETTERS, read_groups, write_groups
from ctviz.views.timeline import NodeGroup
from tests.test_runs import write


def group(name: str, *nodes: str) -> dict:
    return {"name": name, "nodes": list(nodes)}


def test_groups_come_back_with_the_run(tmp_path: Path) -> None:
    run = write(tmp_path / "mine" / "one")
    assert read_groups(run, tmp_path / "mine") == ()
    write_groups(run, tmp_path / "mine", [group("movers <b>", "a1.h0", "m1")])
    again = open_run("one", tmp_path / "mine")
    assert read_groups(again, tmp_path / "mine") == (NodeGroup("movers <b>", ("a1.h0", "m1")),)
    assert (run.folder / "groups.json").is_file()


def test_a_run_that_ships_is_not_written_to(tmp_path: Path) -> None:
    run = write(tmp_path / "shipped" / "sample")
    before = sorted(path.name for path in run.folder.iterdir())
    write_groups(run, tmp_path / "mine", [group("g", "a1.h0", "m1")])
    assert sorted(path.name for path in run.folder.iterdir()) == before
    assert read_groups(run, tmp_path / "mine")[0].name == "g"


def test_what_the_browser_sends_is_checked(tmp_path: Path) -> None:
    run, mine = write(tmp_path / "one"), tmp_path
    sent = [
        group("of one node", "m0"),
        group("of unknown nodes", "a9.h9", "m77"),
        group("two\nlines\x07 " + "x" * 10_000, "m0", "m1", "m0"),
        group("again the same nodes", "m0", "m1"),
    ]
    write_groups(run, mine, sent)
    (kept,) = read_groups(run, mine)
    assert kept.nodes == ("m0", "m1")
    assert len(kept.name) == MOST_LETTERS
    assert kept.name.isprintable()
    write_groups(run, mine, [group(str(i), "m0", "m1") for i in range(3 * MOST_GROUPS)])
    assert len(read_groups(run, mine)) == 1


@pytest.mark.parametrize("content", ["[]", '{"groups": 3}', '{"groups": [{"name": "x"}]}', "{"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    run = write(tmp_path / "one")
    (run.folder / "groups.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedRun, match=r"groups\.json"):
        read_groups(run, tmp_path)


def test_the_file_is_plain(tmp_path: Path) -> None:
    run = write(tmp_path / "one")
    write_groups(run, tmp_path, [group("g", "m0", "m1")])
    kept = json.loads((run.folder / "groups.json").read_text(encoding="utf-8"))
    assert kept == {"groups": [{"name": "g", "nodes": ["m0", "m1"]}]}
