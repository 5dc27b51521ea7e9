"""Names that a person gave to sets of nodes, kept with the run as ``groups.json``.

A run that ships with the project is not written to: its groups lie beside the user's own runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctviz.circuits.graph import Graph
from ctviz.errors import DamagedRun
from ctviz.files import read_json, write_json
from ctviz.runs.directory import Run
from ctviz.runs.kept import kept_file

__all__ = ["MOST_GROUPS", "MOST_LETTERS", "NodeGroup", "change_groups", "read_groups"]

MOST_GROUPS = 40
MOST_LETTERS = 60  # of a name


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes that a person has put together under a name."""

    name: str
    nodes: tuple[str, ...]


def read_groups(run: Run, mine: Path) -> tuple[NodeGroup, ...]:
    """The run's groups; ``mine`` is the folder of the user's runs.

    Nodes that the run's graph does not have are left out. Raises DamagedRun if the file cannot be
    read.
    """
    graph, file = run.graph, kept_file(run, mine, "groups")
    if graph is None or not file.is_file():
        return ()
    try:
        return checked(read_json(file)["groups"], graph)
    except (DamagedRun, KeyError, TypeError, AttributeError) as error:
        known = isinstance(error, DamagedRun)
        why = str(error) if known else f"{file} is not a list of groups: {error!r}."
        raise DamagedRun(
            f"{why} So the named groups are left out; delete the file to make new ones."
        ) from error


def change_groups(run: Run, mine: Path, change: Mapping[str, Any]) -> None:
    """Add a group, or drop one, as the browser says it: the others stay as they are on disk now.

    ``change`` is ``{"add": {"name": text, "nodes": names}}`` or ``{"drop": {...}}``; what is
    dropped is the group of those nodes. Raises DamagedRun if the file cannot be read.
    """
    graph = run.graph
    if graph is None:
        return
    groups = [{"name": g.name, "nodes": list(g.nodes)} for g in read_groups(run, mine)]
    if "drop" in change:
        gone = set(change["drop"]["nodes"])
        groups = [group for group in groups if set(group["nodes"]) != gone]
    if "add" in change:
        groups.append(dict(change["add"]))
    file = kept_file(run, mine, "groups")
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = [{"name": g.name, "nodes": list(g.nodes)} for g in checked(groups, graph)]
    write_json(file, {"groups": kept})


def checked(groups: Iterable[Mapping[str, Any]], graph: Graph) -> tuple[NodeGroup, ...]:
    """Groups of at least two nodes of the graph, no node in two of them, with printable names."""
    known, taken, kept = set(graph.nodes), set[str](), []
    for group in list(groups)[:MOST_GROUPS]:
        name = "".join(c if c.isprintable() else " " for c in str(group["name"])).strip()
        nodes = [n for n in dict.fromkeys(map(str, group["nodes"])) if n in known - taken]
        if len(nodes) > 1:
            taken.update(nodes)
            kept.append(NodeGroup(name[:MOST_LETTERS] or "group", tuple(nodes)))
    return tuple(kept)
