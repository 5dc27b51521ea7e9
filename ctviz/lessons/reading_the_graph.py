"""Lesson 2: reading the graph."""

from __future__ import annotations

from ctviz.lessons.facts import Facts, drawn, many, plain, signed, source
from ctviz.lessons.lesson import AtStep, Lesson, LessonStep, MarksAre, Question, Selected
from ctviz.runs.changes import edge_changes
from ctviz.views.view import View

__all__ = ["LESSON"]


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps, over the whole of the sample run."""
    graph, start, end = facts.graph, facts.first, facts.last
    before, after = facts.circuit(start), facts.circuit(end)
    flipped = next(edge for edge in after if facts.score(edge, start) < 0 < facts.score(edge, end))
    head = facts.strongest_head(start)
    into = facts.into(head, start)
    slots = {kind: [edge for edge in into if edge.endswith(f"<{kind}>")] for kind in "qkv"}
    one = next(edges[0] for edges in slots.values() if edges)
    writer = source(facts.into("logits", end)[0])
    changes = edge_changes(facts.at(start), facts.at(end), graph)["state"].value_counts()
    count = {state: int(changes.get(state, 0)) for state in ("entered", "left", "noise")}
    return (
        LessonStep(
            text=(
                "The graph is laid out as the model works: `input` at the bottom, `logits` on "
                "top, one row for each [[layer]]. The heads of a layer stand side by side, and "
                "its [[MLP]] to the right of them, a little higher, because it reads what they "
                "wrote. Nodes never move.\n\n"
                "A circle shows only its head, and the layer stands at the left. A name in a "
                "list has both, counted from 0: `a2.h1` is `h1` of layer 2, the third row; `m2` "
                "is that layer's MLP."
            ),
            view=View(step=start, level="model"),
            until=Question(
                options=("layer 0, head 3", "layer 3, head 0", "the third MLP"),
                right="layer 3, head 0",
                why="Yes: first the layer, then the head.",
                wrong={
                    "layer 0, head 3": "That would be `a0.h3`: the layer comes first.",
                    "the third MLP": "The name of an MLP begins with an m; a is for attention.",
                },
            ),
            ask="What is `a3.h0`?",
        ),
        LessonStep(
            text=(
                "Width is the size of an edge's [[score]], colour its sign. Blue *supports*: "
                "corrupt this edge, and the [[metric]] goes down. Orange *works against*: it goes "
                "up.\n\n"
                f"At this step {len(facts.against(start))} of the {len(before)} edges work "
                "against. That is no mistake. The metric of this run rewards the *wrong* verb "
                "form, since the model is about to be trained to say it, and so far it says the "
                "right one. What makes it right works against the metric."
            ),
            view=View(step=start),
        ),
        LessonStep(
            text=(
                "Below the graph is the clock. Play with the space bar, step with the arrow keys, "
                "jump with Home and End. The bars above the slider show at which steps much of "
                "the circuit turned over; N jumps to the next such step. Graph, heatmap and "
                f"curves show the same step.\n\nOnly {len(facts.against(end))} of "
                f"{len(after)} edges work against the metric at the end."
            ),
            view=View(step=start),
            until=AtStep(end),
            ask="Go to the last step and look at the colours.",
            hint="Press play, or the End key.",
        ),
        LessonStep(
            text=(
                f"Take `{flipped}`: {signed(facts.score(flipped, start))} at step {start}, "
                f"{signed(facts.score(flipped, end))} here. The same two nodes, the other "
                "meaning.\n\n"
                "Select a node and what does not touch it fades. The inspector opens and "
                "lists what it reads and writes, with scores, and how they differ from "
                f"step {start}. Shift-click selects several, Escape clears."
            ),
            view=View(step=end),
            until=Selected(writer),
            ask=f"Select `{writer}`, which writes most to the logits here.",
            hint=f"Click the {drawn(writer)}, or type its name into “Find a node”.",
        ),
        LessonStep(
            text=(
                "A head has three inputs, and an edge says which one it feeds by where it enters: "
                "at the left the [[query]] (what am I looking for?), in the middle the [[key]] "
                "(what do I offer?), at the right the [[value]] (what is carried over?).\n\n"
                f"Back at step {start}, `{head}` gets {many(len(slots['q']), 'edge')} of the "
                f"circuit into its query, {len(slots['k'])} into its key and {len(slots['v'])} "
                f"into its value. In names it is the letter at the end: `{one}`."
            ),
            view=View(step=start, nodes=(head,)),
            camera=head,  # near enough for the letters at its inputs
        ),
        LessonStep(
            text=(
                "What changed? A glow marks edges that [[entered]] the circuit, dots those that "
                "[[left]] it; lines that grew or shrank are marked too. By default the comparison "
                f"is with the snapshot shown before. Since step {start}, {count['entered']} edges "
                f"have entered and {count['left']} have left."
            ),
            view=View(step=end),
            until=MarksAre("start"),
            ask=f"Mark the changes since step {start} instead.",
            hint="Above the graph, “changes since”: “first step”.",
        ),
        LessonStep(
            text=(
                "Not every change is one. A score is a mean over a handful of sentences, and with "
                "other sentences it would be a little different. So each has a [[standard error]], "
                "and a change of less than two of them (two of the difference, to be exact) is "
                "[[noise]] and gets no mark. For example "
                f"`{after[0]}` is {signed(facts.score(after[0], end))} ± "
                f"{plain(facts.error(after[0], end))}.\n\n"
                f"Of the edges in the circuit at both ends, {count['noise']} changed by no more "
                "than noise."
            ),
            view=View(step=end, marks="start"),
        ),
        LessonStep(
            text=(
                "Two habits of this page. Any number tells where it comes from when you point at "
                "it: which run, step, method and examples. And on the page *Watch* the address "
                "bar always holds what you see, so that you can send somebody the same picture."
            ),
            view=View(step=end, marks="start", nodes=(writer,)),
        ),
    )


LESSON = Lesson(
    key="graph",
    title="Reading the graph",
    learns="What width, colour, place and marks of an edge mean, and how to move in time.",
    minutes=5,
    run="sample-sva-flip",
    steps=steps,
)
