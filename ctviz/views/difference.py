"""What the second of two models does differently, in words: the same in a terminal, on a page and
in the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ctviz.runs import Run
from ctviz.runs.cause_sentence import gain_words, share
from ctviz.runs.changes import edge_changes
from ctviz.runs.difference import Difference, Swapped
from ctviz.tasks import find_task
from ctviz.tasks.files.rows import counted
from ctviz.views.causes import METRICS, node_name

__all__ = ["claim_sentence", "difference_sentences", "edge_table", "model_names", "moved_table"]

MOST = 10  # rows of a table


def model_names(found: Difference) -> tuple[str, str]:
    """What the two are called: their names, without folders where these still tell them apart."""
    short = Path(found.first).name or found.first, Path(found.second).name or found.second
    return short if short[0] != short[1] else (found.first, found.second)


def difference_sentences(run: Run, found: Difference) -> list[str]:
    """All that was found, the most important first."""
    first, second = model_names(found)
    task = find_task(run.config.task)
    judged = found.judged_by.replace("_", " ")
    said = [
        f"{task.title}: on {found.examples} test examples the {judged} is "
        f"{found.first_grade:.3f} with {first} and {found.second_grade:.3f} with {second} "
        f"({found.better} is better)."
    ]
    if found.only_second is not None:
        said.append(
            f"{second} is right on {found.only_second} that {first} gets wrong, and wrong on "
            f"{found.only_first} that {first} gets right; both are right on {found.both} and wrong "
            f"on {found.neither}."
        )
    what = f"{METRICS[found.metric]} is {found.first_metric:+.3f} and {found.second_metric:+.3f}"
    change = gain_words(found.gain, found.gain_error)
    noise = "" if found.differs else ", which is within two standard errors"
    said.append(f"On {found.pairs} of them, {what}: a difference of {change}{noise}.")
    said.append(_weights(found, first, second))
    said += _edges(run, found, first)
    if found.claims:
        said.append(_claims(found, first, second))
    if found.unmoved:
        names = _listed(found.unmoved)
        said.append(
            f"{len(found.unmoved)} nodes do otherwise although their parameters are the same, as "
            f"they read what others write differently: {names}."
        )
    said.append(
        f"On text that has nothing to do with the task, {second} is {found.kl:.3g} nats a token "
        f"from {first} (KL)."
    )
    return said


def _weights(found: Difference, first: str, second: str) -> str:
    if not found.differing:
        return f"{first} and {second} have the very same weights."
    differing = share(found.differing / found.parameters)
    return f"Parts that differ in their weights hold {differing} of the parameters."


def _edges(run: Run, found: Difference, first: str) -> list[str]:
    table = edge_table(run, found, most=None)
    counts = table["state"].value_counts()
    if table.empty:
        return []
    entered, left, grew, shrank, turned, noise = (
        int(counts.get(state, 0))
        for state in ("entered", "left", "strengthened", "weakened", "reversed", "noise")
    )
    return [
        f"Of the circuit of {first} {left} edges are not in the other's, which has {entered} that "
        f"are new; of those in both {grew} are stronger, {shrank} weaker, {turned} of the opposite "
        f"sign and {noise} the same within noise (two standard errors of the difference)."
    ]


def _claims(found: Difference, first: str, second: str) -> str:
    """How many of the nodes that differ most are checked to matter, beside random ones."""
    holds = [each for each in found.claims if each.matters]
    nodes = (
        f"The {len(found.claims)} nodes whose edges differ most"
        if len(found.claims) > 1
        else ("The one node whose edges differ beyond noise")
    )
    text = (
        f"{nodes}: {_listed([each.node for each in found.claims])}. With the parameters that they "
        f"have in {first} put into {second}, one node at a time, {len(holds)} of "
        f"{len(found.claims)} change measurably what {second} does"
    )
    if holds:
        most = max(holds, key=lambda each: abs(each.lost))
        text += f", most of all {most.node} ({_moved(found, -most.lost, most.lost_error)})"
    if found.claims_lost is not None and len(found.claims) > 1:
        text += f"; all together {_moved(found, -found.claims_lost, found.claims_lost_error)}"
    if found.random_lost is not None:
        text += (
            f". {_begun(counted(len(found.random), 'node'))} drawn at random of the others that "
            f"differ: {_moved(found, -found.random_lost, found.random_lost_error)}"
        )
    return f"{text}."


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def claim_sentence(found: Difference, claim: Swapped) -> str:
    """What one node's swap says."""
    first, second = model_names(found)
    way = "stronger" if claim.growth > 0 else "weaker"
    text = (
        f"{node_name(claim.node)}: {claim.edges} of its edges differ beyond noise, by "
        f"{claim.change:.3f} in all, on the whole {way} in {second}. "
        f"{second} with {first}'s parameters of it: the metric moves by "
        f"{_moved(found, -claim.lost, claim.lost_error)}. {first} with {second}'s: "
        f"{_moved(found, claim.carried, claim.carried_error)}."
    )
    if claim.matters and found.differs and claim.lost * found.gain < 0:
        return f"{text} In {second} it works against the difference."
    if claim.matters and found.differs:
        return f"{text} It carries {share(claim.lost / found.gain)} of what sets the two apart."
    if claim.matters:
        return f"{text} It changes what {second} does, though the two cannot be told apart."
    if claim.suffices:
        return f"{text} It can move {first}, but {second} does as well without it."
    return f"{text} Not confirmed: what it does differently is not needed, or not its own."


def _moved(found: Difference, value: float, error: float | None) -> str:
    """A change of the metric, and what share of the difference it is where there is one, negative
    where it leads back."""
    text = gain_words(value, error)
    return f"{text}, {share(value / found.gain)} of the difference" if found.differs else text


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = list(names[:MOST])
    return ", ".join([*shown, "…"] if len(names) > MOST else shown)


def edge_table(run: Run, found: Difference, *, most: int | None = MOST) -> pd.DataFrame:
    """The edges of either circuit, those that differ most first, beyond noise before within.

    Columns as of `ctviz.runs.changes.edge_changes`.
    """
    snapshots = {each.step: each for each in run.snapshots()}
    graph = run.graph
    assert graph is not None, "a recording that was measured has its graph"
    table = edge_changes(snapshots[found.first_step], snapshots[found.second_step], graph)
    size = (table["after"] - table["before"]).abs()
    order = table.assign(_noise=table["state"] == "noise", _size=-size)
    order = order.sort_values(["_noise", "_size"], kind="stable")
    return order[table.columns].head(most if most is not None else len(order))


def moved_table(run: Run, found: Difference) -> pd.DataFrame:
    """The nodes whose parameters differ most: ``node``, ``moved``, norm of the difference by norm
    of the first one's."""
    second = next(each for each in run.snapshots() if each.step == found.second_step)
    graph = run.graph
    assert graph is not None, "a recording that was measured has its graph"
    if second.moved is None:
        return pd.DataFrame({"node": [], "moved": []})
    table = pd.DataFrame({"node": graph.nodes, "moved": second.moved.astype(float)}).dropna()
    return table[table["moved"] > 0].sort_values("moved", ascending=False).head(MOST)
