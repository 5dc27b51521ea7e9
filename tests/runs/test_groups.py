"""Named groups of nodes, kept with a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctviz.errors import DamagedRun
from ctviz.runs import open_run
from ctviz.runs.groups import MOST_LETTERS, NodeGroup, change_groups, read_groups
from tests.small_runs import write


def group(name: str, *nodes: str) -> dict:
    return {"name": name, "nodes": list(nodes)}


def test_groups_come_back_with_the_run(tmp_path: Path) -> None:
    run = write(tmp_path / "mine" / "one")
    assert read_groups(run, tmp_path / "mine") == ()
    change_groups(run, tmp_path / "mine", {"add": group("movers <b>", "a1.h0", "m1")})
    again = open_run("one", tmp_path / "mine")
    assert read_groups(again, tmp_path / "mine") == (NodeGroup("movers <b>", ("a1.h0", "m1")),)
    assert (run.folder / "groups.json").is_file()


def test_a_run_that_ships_is_not_written_to(tmp_path: Path) -> None:
    run = write(tmp_path / "shipped" / "sample")
    before = sorted(path.name for path in run.folder.iterdir())
    change_groups(run, tmp_path / "mine", {"add": group("g", "a1.h0", "m1")})
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
    for one in sent:
        change_groups(run, mine, {"add": one})
    (kept,) = read_groups(run, mine)
    assert kept.nodes == ("m0", "m1")
    assert len(kept.name) == MOST_LETTERS
    assert kept.name.isprintable()
    change_groups(run, mine, {})
    assert read_groups(run, mine) == (kept,)


def test_two_windows_do_not_undo_each_other(tmp_path: Path) -> None:
    run, mine = write(tmp_path / "one"), tmp_path
    first, second = group("alpha", "m0", "a0.h0"), group("beta", "m1", "a1.h1")
    change_groups(run, mine, {"add": first})
    change_groups(run, mine, {"add": second})  # sent by a window that has not seen the first
    assert [g.name for g in read_groups(run, mine)] == ["alpha", "beta"]
    change_groups(run, mine, {"drop": group("whatever", "a0.h0", "m0")})
    assert [g.name for g in read_groups(run, mine)] == ["beta"]


@pytest.mark.parametrize("content", ["[]", '{"groups": 3}', '{"groups": [{"name": "x"}]}', "{"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    run = write(tmp_path / "one")
    (run.folder / "groups.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedRun, match=r"groups\.json"):
        read_groups(run, tmp_path)


def test_the_file_is_plain(tmp_path: Path) -> None:
    run = write(tmp_path / "one")
    change_groups(run, tmp_path, {"add": group("g", "m0", "m1")})
    kept = json.loads((run.folder / "groups.json").read_text(encoding="utf-8"))
    assert kept == {"groups": [{"name": "g", "nodes": ["m0", "m1"]}]}
