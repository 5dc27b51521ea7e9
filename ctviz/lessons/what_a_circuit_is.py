"""Lesson 1: what a circuit is."""

from __future__ import annotations

from ctviz.lessons.facts import Facts, many, percent, plain, signed, source, words
from ctviz.lessons.lesson import AnyHead, EdgesAtMost, Lesson, LessonStep, Question
from ctviz.views.view import View

__all__ = ["LESSON"]

FEW = 5  # edges


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps, from the tiny model before any tuning."""
    graph, start = facts.graph, facts.first
    prompt = facts.probe(-1, start)
    circuit = facts.circuit(start)
    best = circuit[0]
    score = facts.score(best, start)
    share = len(circuit) / graph.n_edges
    faithful = facts.metric("faithfulness", start)
    random = facts.metric("random_faithfulness", start)
    return (
        LessonStep(
            text=(
                f"Read “{words(prompt)} …” and say the next word: “{prompt.foil.strip()}” or "
                f"“{prompt.answer.strip()}”? You look past the nearer noun to the subject. The "
                "small language model in this picture learned to do the same. Which of its parts "
                "do it, and how do they work together? The answer is called a [[circuit]].\n\n"
                "The picture is the model, from the bottom to the top: text comes in at "
                f"`input`, passes {many(graph.n_layers, 'layer')} and leaves at `logits` as a "
                "prediction of the next [[token]].\n\n"
                "One thing first. This run goes on to teach the model mistakes. So its [[metric]] "
                "measures the *wrong* verb form: logit(disagreeing verb) − logit(agreeing verb), "
                f"now {signed(facts.metric('metric', start))}. Whatever makes agreement work "
                "counts as *working against* this metric, and is orange."
            ),
            view=View(step=start, level="model"),
        ),
        LessonStep(
            text=(
                f"The circles, `h0` to `h{graph.n_heads - 1}` in each layer, are "
                "[[attention heads]], which move information from word to word. The boxes `MLP` "
                "are [[MLPs]], which work on one word at a time. In lists the name of a "
                "[[node]] has its layer too: head 1 of layer 2 is called `a2.h1`, and the MLP "
                "beside it `m2`.\n\n"
                "All nodes share one channel, the [[residual stream]]. Each reads from it what "
                "earlier nodes wrote, and adds something of its own. Nothing else connects them."
            ),
            view=View(step=start),
            until=AnyHead(facts.strongest_head(start)),
            ask="Select any attention head.",
            hint="Click any circle.",
        ),
        LessonStep(
            text=(
                "A line is an [[edge]]: the way from one node to a later one that reads what it "
                f"wrote. Even this small model has {graph.n_edges} of them, since every node can "
                "read every earlier one. Most carry nothing that matters for this task. To find "
                "those that do, each edge is put to a test.\n\n"
                "Take the same sentence with the subject in the other number, the "
                "[[counterfactual prompt]]. Let everything run on the original, but let this one "
                "edge deliver what it would have delivered there. How much less is the metric "
                "then? That is the edge's [[score]]."
            ),
            view=View(step=start, edges=FEW),
        ),
        LessonStep(
            text=(
                f"The edge of the largest score is `{best}`, with {signed(score)}. With it "
                f"[[corrupted]], the metric would be {plain(abs(score))} [[logits]] higher, "
                f"estimated as a mean over {facts.run.about['examples']} sentences. A logit more "
                "or less is a factor of about 2.7 in the odds of one word against the other.\n\n"
                "The wider a line, the larger its score. This one is orange because it speaks for "
                "the right form, while the metric counts the wrong one. Blue edges support the "
                "metric."
            ),
            view=View(step=start, nodes=(source(best),), edges=1),
        ),
        LessonStep(
            text=(
                "Now sort all edges by the size of their score and keep the largest "
                f"{len(circuit)}. That is {percent(share)} of the model, and it is what this "
                "page calls the circuit. The number is a choice of whoever made the run: there is "
                "no sharp border between edges that matter and edges that do not. The slider "
                "above the graph lets you feel that: it shows fewer of them, the strongest first."
            ),
            view=View(step=start),
            until=EdgesAtMost(FEW * 2),
            ask=f"Show only the {FEW * 2} strongest edges, or fewer.",
            hint="Drag the slider “Edges shown”, or focus it and use the arrow keys.",
        ),
        LessonStep(
            text=(
                "Does the circuit do the job alone? Feed everything outside of it the "
                "counterfactual prompt, so that only its edges know the real sentence. Then this "
                f"circuit keeps {percent(faithful)} of what the whole model does. "
                f"{len(circuit)} edges drawn at random keep {percent(max(random, 0.0))} "
                f"({facts.randomly}). This is [[faithfulness]], and a later lesson is about it."
            ),
            view=View(step=start),
            until=Question(
                options=(
                    "the neurons that fire for a word",
                    "a set of edges that carries one behaviour",
                    "one layer of the model",
                ),
                right="a set of edges that carries one behaviour",
                why="Yes. It says which part passes what on to which other part, for one task.",
                wrong={
                    "the neurons that fire for a word": "It is about what parts pass on to one "
                    "another, not about single neurons: what are the lines in the picture?",
                    "one layer of the model": "Its lines lead from the bottom of the picture to "
                    "the top, through all layers.",
                },
            ),
            ask="So what is a circuit?",
        ),
        LessonStep(
            text=(
                "What it is not: a circuit belongs to one task, one model and one kind of "
                "counterfactual. Ask about another task and other edges matter. It also does not "
                "say *how* a node does its work, only which nodes the work passes through.\n\n"
                "And it is not fixed: while a model is trained, edges enter the circuit and leave "
                "it. Press play if you like, and see. To watch that is what this tool is for."
            ),
            view=View(step=start, edges=FEW * 2),
        ),
    )


LESSON = Lesson(
    key="circuit",
    title="What a circuit is",
    learns="Which parts of a model make one decision, and how one finds out.",
    minutes=5,
    run="sample-sva-flip",
    steps=steps,
)
