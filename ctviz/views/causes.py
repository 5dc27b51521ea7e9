"""Which updates were needed, in words: the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctviz.circuits.graph import Graph, kind_of
from ctviz.runs.cause_sentence import cause_sentence, gain_words, share
from ctviz.runs.causes import OTHER, Causes, NodeCause
from ctviz.views.encoding import short

__all__ = ["cause_lines", "cause_of_node", "node_name", "pack_causes"]

METRICS = {
    "logit_difference": "logit(answer) - logit(foil)",
    "log_probability": "log p(target), in nats",
}
BEST = 10  # nodes that the terminal lists


def node_name(node: str) -> str:
    """What a person reads for a node: a group of heads is said to be one."""
    if node == OTHER:
        return "other (embeddings, norms, what belongs to no node)"
    return f"{node} (shared keys and values)" if ".g" in node else node


def cause_lines(found: Causes, *, recorded: bool = False) -> list[str]:
    """All that was found, for a terminal; ``recorded``: of a recording, which was not tuned."""
    lines = [cause_sentence(found)]
    on = f"{found.test_examples} {found.checked_on} examples"
    lines.append(
        f"gain in {METRICS[found.metric]} until step {found.step}: "
        f"{gain_words(found.test_gain, found.test_gain_error)} on {on}, "
        f"{gain_words(found.gain, found.gain_error)} on the {found.examples} {found.chosen_on} "
        "examples that nodes were chosen on"
    )
    if found.in_sample:
        lines.append(f"in sample: {found.in_sample} of the {on} are among these")
    if found.needed is not None:
        low, high = found.random_range or (float("nan"), float("nan"))
        lines.append(
            f"needed: {len(found.needed_nodes)} of {len(found.nodes)} nodes carry "
            f"{share(found.gain_carried)} (± {share(found.needed.error)}) on {on}; "
            f"{len(found.random)} random sets of as many parameters "
            f"{share(found.random_gain_carried)} ({share(low)} to {share(high)})"
        )
    before, after = ("the first", f"step {found.step}") if recorded else ("untuned", "tuned")
    table = [(before, found.untuned), (after, found.tuned), ("needed alone", found.needed)]
    table += [(f"random alone, draw {n}", each) for n, each in enumerate(found.random, 1)]
    table.append(("without the idle", found.without_idle))
    lines.append(f"{'on ' + on:24}{found.judged_by:>12}{'KL elsewhere':>14}{'parameters':>14}")
    for name, each in table:
        if each is not None:
            lines.append(f"{name:24}{each.grade:>12.3f}{each.kl:>14.4f}{each.parameters:>14,}")
    best = sorted(found.nodes, key=lambda each: -abs(each.carried))[:BEST]
    lines.append(
        f"the {len(best)} nodes whose updates carry most alone, in units of the metric (of "
        f"{found.node_gain:+.3f}, on {found.node_examples} {found.chosen_on} examples):"
    )
    for node in best:
        marks = ", needed" if node.needed else ""
        lines.append(
            f"  {node_name(node.node)}: alone {node.carried:+.3f} ± {node.carried_error:.3f}, "
            f"lost without it {node.lost:+.3f} ± {node.lost_error:.3f}{marks}"
        )
    return lines


def cause_of_node(measured: Mapping[int, Causes], step: int, node: str, graph: Graph) -> list[str]:
    """What the measurement nearest to a step says of a node's update, and of that of the keys and
    values that a head shares, as sentences; none if nothing was measured or the node not updated.
    """
    if not measured:
        return []
    nearest = min(measured, key=lambda at: (abs(at - step), at))
    found = measured[nearest]
    names = {node: "Its update"}
    if graph.group_size > 1 and kind_of(node) == "head":
        layer, _, head = node.partition(".h")
        group = f"{layer}.g{int(head) // graph.group_size}"
        names[group] = f"The update of {group}, its keys and values,"
    said = [_of_node(found, each, names[each.node]) for each in found.nodes if each.node in names]
    return [f"{text} Measured at step {nearest}." for text in said]


def pack_causes(found: Causes) -> dict[str, Any]:
    """What the player is sent: the sentence, and of each node the shares of the gain that its
    update carries alone and that are lost without it, as far as anything was learned."""
    gain = found.node_gain
    return {
        "step": found.step,
        "sentence": cause_sentence(found),
        "source": f"measured on {found.node_examples} {found.chosen_on} examples with the weights "
        f"of step {found.step}",
        "nodes": {
            each.node: [short(each.carried / gain, 4), short(each.lost / gain, 4)]
            for each in found.nodes
            if found.learned
        },
    }


def _of_node(found: Causes, cause: NodeCause, what: str) -> str:
    if not found.learned:
        return (
            f"{what} alone changes the metric by {cause.carried:+.3f}, taking it back by "
            f"{-cause.lost:+.3f}; nothing was learned that can be told from noise."
        )
    text = (
        f"{what} alone carries {share(cause.carried / found.node_gain)} of the gain; without it "
        f"{share(cause.lost / found.node_gain)} is lost."
    )
    if cause.needed:
        return f"{text} It is one of the {len(found.needed_nodes)} that are enough together."
    return f"{text} It is one of those that can all be taken back." if cause.idle else text
