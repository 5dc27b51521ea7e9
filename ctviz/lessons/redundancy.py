"""Lesson 4: node redundancy and intrinsic dimension."""

from __future__ import annotations

import numpy as np

from ctviz.circuits.graph import kind_of
from ctviz.lessons.facts import Facts, drawn, percent
from ctviz.lessons.lesson import EstimatorIs, HeatIs, Lesson, LessonStep, Question
from ctviz.views.view import View

__all__ = ["LESSON"]


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps: one head counted by hand, then the heatmap by both estimators."""
    graph, start, end = facts.graph, facts.first, facts.last
    heads = [node for node in graph.nodes if kind_of(node) == "head"]
    deep = [node for node in heads if facts.degrees(node) == max(map(facts.degrees, heads))]
    node = min(deep, key=lambda one: facts.redundancy(one, "circuit", start))
    degrees, needed = facts.degrees(node), facts.needed(node, "circuit", start)
    sources = degrees // 3
    share = facts.redundancy(node, "circuit", start)
    by_mass = facts.needed(node, "mass", start)
    gaps = facts.at(start).redundancy["circuit"] - facts.at(start).redundancy["mass"]
    apart = graph.nodes[int(np.nanargmax(gaps))]
    apart_needed = facts.needed(apart, "mass", start)
    apart_shares = {key: facts.redundancy(apart, key, start) for key in ("circuit", "mass")}
    moves = {
        key: (facts.mean_redundancy(key, start), facts.mean_redundancy(key, end))
        for key in ("circuit", "mass")
    }
    opposite = (moves["circuit"][1] - moves["circuit"][0]) * (
        moves["mass"][1] - moves["mass"][0]
    ) < 0
    return (
        LessonStep(
            text=(
                "How much of what a node hears does it need? This lesson counts. Take "
                f"`{node}`, the {drawn(node)}. Everything before it in the model can write to it: "
                f"{sources} nodes, each into its query, its key and its value. That makes "
                f"{degrees} incoming [[edges]] in the full graph, the node's "
                "[[degrees of freedom]], called D.\n\n"
                "This is a fact about the model's shape. It is the same for every task."
            ),
            view=View(step=start, nodes=(node,), level="model"),
        ),
        LessonStep(
            text=(
                "A task needs only some of them. The simplest way to say which: those inside the "
                f"circuit. For `{node}` that is {needed}, and this number d is its "
                "[[intrinsic dimension]] for the task.\n\n"
                "The share that it could do without is its [[node redundancy]]: (D − d) / D. It "
                "is 0 if every input is needed and 1 if none is."
            ),
            view=View(step=start, nodes=(node,)),
            until=Question(
                options=(percent(needed / degrees), percent(share), f"{degrees - needed} %"),
                right=percent(share),
                why=f"Yes: ({degrees} − {needed}) / {degrees}. The inspector says the same.",
                wrong={
                    percent(needed / degrees): "That is d / D, the share that it needs. Redundancy "
                    "is the share that it could do without.",
                    f"{degrees - needed} %": "That is D − d, a number of edges. Divide it by D.",
                },
            ),
            ask=f"With D = {degrees} and d = {needed}, how redundant is `{node}`?",
        ),
        LessonStep(
            text=(
                "The heatmap has this number for every node: layers upwards, heads across, then "
                "the MLP. A cell can be clicked like a node. Near the input most nodes have few "
                "inputs, so one edge more or less changes their redundancy a lot; further up it "
                "takes many.\n\n"
                "For heads the number mixes three things. There is a view that tells them apart."
            ),
            view=View(step=start),
            until=HeatIs("qkv"),
            ask="Show query, key and value of each head by themselves.",
            hint="“q k v”, above the heatmap.",
        ),
        LessonStep(
            text=(
                "“Inside the circuit” has a weakness: it depends on how large one makes the "
                "circuit. A second estimator asks inside the node alone. Add up the sizes of all "
                "scores of its incoming edges, its [[mass]]; then take the fewest edges that "
                "carry 90 % of it. That number is d. "
                f"For `{node}` it is {by_mass} instead of {needed}."
            ),
            view=View(step=start, nodes=(node,)),
            until=EstimatorIs("mass"),
            ask="Switch the heatmap to the other estimator.",
            hint="“mass 90 %”, above the heatmap.",
        ),
        LessonStep(
            text=(
                f"The two can disagree as far as it goes. `{apart}` has "
                f"{facts.needed(apart, 'circuit', start)} of its {facts.degrees(apart)} incoming "
                f"edges in the circuit: redundancy {percent(apart_shares['circuit'])}. "
                f"By mass it needs {apart_needed}: {percent(apart_shares['mass'])}.\n\n"
                "Both are right. The first asks: do its edges matter to the model? They do not. "
                "The second asks: of the little that it does, how spread out is it? That is why "
                "the estimator is always named beside the number."
            ),
            view=View(step=start, nodes=(apart,), estimator="mass"),
        ),
        LessonStep(
            text=(
                "Training moves these numbers. A third view of the heatmap lays them out over "
                "the whole run: one row for each node, one column for each snapshot. Look for "
                "rows that change where others stay."
            ),
            view=View(step=end),
            until=HeatIs("steps"),
            ask="Show redundancy over all steps at once.",
            hint="“over steps”, above the heatmap.",
        ),
        LessonStep(
            text=(
                f"On average over the nodes, redundancy by circuit goes from "
                f"{percent(moves['circuit'][0])} to {percent(moves['circuit'][1])} in this run, "
                f"and by mass from {percent(moves['mass'][0])} to {percent(moves['mass'][1])}"
                + (
                    ": in opposite directions. “Tuning makes the model more redundant” would be "
                    "true or false depending on the estimator, so do not say it without one."
                    if opposite
                    else ". Both move the same way here; that need not be so in another run."
                )
            ),
            view=View(step=end, heat="steps"),
        ),
        LessonStep(
            text=(
                "Redundant does not mean useless. It is a claim that can be put to the test: "
                "corrupt exactly the edges that are called redundant, all at once, and look at "
                "what happens to the behaviour. This is an [[audit]]. Many small scores can add "
                "up, and two edges can each be unneeded only as long as the other is there.\n\n"
                "The other end of it can be tried here: select a node on Watch, press Inspect, and "
                "read under “Switched off” what corrupting all edges out of it does."
            ),
            view=View(step=end),
        ),
    )


LESSON = Lesson(
    key="redundancy",
    title="Redundancy and intrinsic dimension",
    learns="How many of its inputs a node needs, two ways to count, and why they disagree.",
    minutes=5,
    run="sample-sva-flip",
    steps=steps,
)
