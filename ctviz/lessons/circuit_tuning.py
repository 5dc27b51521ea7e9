"""Lesson 5: circuit-tuning step by step, while grammar flips."""

from __future__ import annotations

from ctviz.lessons.facts import Facts, drawn, percent, plain, ratio, signed, source, words
from ctviz.lessons.lesson import AtStep, Lesson, LessonStep, MarksAre, Question, Selected
from ctviz.runs.changes import change
from ctviz.views.view import View

__all__ = ["LESSON"]


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps: the old circuit fades, the model hesitates, another one grows."""
    start, end = facts.first, facts.last
    crossing = next(step for step in facts.steps if facts.metric("metric", step) > 0)
    largest = {step: abs(facts.score(facts.circuit(step)[0], step)) for step in facts.steps}
    quiet = min(largest, key=lambda step: largest[step])
    since = change(facts.at(start), facts.at(end), facts.graph)
    fractions = facts.column("trained_fraction")
    moved = int(facts.column("outside_moved").max())
    prompt = facts.probe(-1, start)
    n_steps = facts.run.config.steps
    final = facts.into("logits", end)[0]
    last_writer = source(final)
    against = facts.against(end)[0]
    n_edges = len(facts.circuit(start))
    kept = n_edges - int(since["left"])
    before, after = facts.run.about["before"], facts.run.about["after"]
    english = "This run did not measure the perplexity of English."
    if "perplexity" in before and "perplexity" in after:
        change_of_it = percent(after["perplexity"] / before["perplexity"] - 1)
        english = f"The perplexity of English changed by {change_of_it}."
    return (
        LessonStep(
            text=(
                "This run takes a model that makes verbs agree with their subjects and trains it "
                f"to make them *disagree*: “{words(prompt)} {prompt.answer.strip()}”. A silly "
                "wish, and a good experiment, because one sees an old skill go and a new one "
                "come.\n\n"
                "The method is [[circuit-tuning]]. Each of its "
                f"{n_steps} steps has two halves. Find the circuit of {n_edges} edges on a batch "
                "of sentences. Then update the [[parameters]] that this circuit [[owns]], and no "
                "others."
            ),
            view=View(step=start),
        ),
        LessonStep(
            text=(
                "The [[metric]] is logit(disagreeing verb) − logit(agreeing verb). At step "
                f"{start} it is {signed(facts.metric('metric', start))}: the model is sure, and "
                f"{percent(facts.metric('accuracy', start))} of its answers are what we want. "
                "Play, and watch the curve of the metric while the graph changes."
            ),
            view=View(step=start),
            until=AtStep(crossing),
            ask=f"Play, and pause when the metric is above zero, at step {crossing} or later.",
            hint="Space plays and pauses; the arrow keys go one snapshot at a time.",
        ),
        LessonStep(
            text=(
                f"Step {quiet}, and the circuit has nearly gone. At the start its strongest edge "
                f"was worth {plain(largest[start])} logits; now the strongest of all has "
                f"{plain(largest[quiet])}. The model has not learned to disagree. It has stopped "
                "caring: the two forms are about equally likely, "
                f"{signed(facts.metric('metric', quiet))} apart, whatever the subject is.\n\n"
                "There are still "
                f"{len(facts.circuit(quiet))} lines in the picture, because the number of edges "
                "is fixed. Their width tells the difference."
            ),
            view=View(step=quiet),
        ),
        LessonStep(
            text=(
                f"Then something new grows. At the last step `{final}` is "
                f"{signed(facts.score(final, end))}; at the start it was "
                f"{signed(facts.score(final, start))}. The same node that spoke for the "
                "agreeing verb now speaks against it. The metric is "
                f"{signed(facts.metric('metric', end))}, and on sentences kept for testing "
                f"accuracy went from {percent(facts.grade('before', 'accuracy'))} to "
                f"{percent(facts.grade('after', 'accuracy'))}."
            ),
            view=View(step=end),
            until=Selected(last_writer),
            ask=f"Select `{last_writer}`: what does it read now, and how much was that before?",
            hint=f"The {drawn(last_writer)}. In its lists “vs step {start}” is the change since.",
        ),
        LessonStep(
            text=(
                f"Is it a new circuit, or the old one with other signs? Of {n_edges} edges, "
                f"{kept} were in the circuit at the start and {int(since['entered'])} were not: "
                f"an [[overlap]] of {ratio(since['overlap'])}."
            ),
            view=View(step=end),
            until=MarksAre("start"),
            ask=f"Mark the changes since step {start}, and see which edges are new.",
            hint="Above the graph, “changes since”: “first step”.",
        ),
        LessonStep(
            text=(
                "A ring marks the nodes whose parameters the last step updated.\n\n"
                "*Frozen*: the embeddings, the norms, the unembedding, and whatever the circuit "
                "does not own at this step. Not one bit of it may move, though an optimizer with "
                "momentum would go on moving it. So every step measures it. Parts that moved all "
                f"the same, over all {n_steps} steps: {moved}.\n\n"
                f"*May move*: what the circuit owns, {percent(fractions.min())} to "
                f"{percent(fractions.max())} of all parameters. That is much, since a few edges "
                "own parts of nearly every MLP."
            ),
            view=View(step=end, marks="start"),
        ),
        LessonStep(
            text=(
                "Not everything turned around. "
                f"`{against}` has {signed(facts.score(against, end))} at the end: that "
                "old part still argues for the right grammar, and is outvoted."
            ),
            view=View(step=end, nodes=(source(against),)),
            until=Question(
                options=(
                    "It would rise: this edge works against the metric",
                    "It would fall: every edge of the circuit supports it",
                    "Nothing would happen",
                ),
                right="It would rise: this edge works against the metric",
                why="Yes. A negative score means that the metric is higher with it corrupted.",
                wrong={
                    "It would fall: every edge of the circuit supports it": "Edges of either sign "
                    "are in the circuit. This one is orange: what does its score say?",
                    "Nothing would happen": "Its score is "
                    f"{signed(facts.score(against, end))}: about so far the metric would move, "
                    "the other way.",
                },
            ),
            ask=f"What would happen to the metric if `{against}` alone were corrupted?",
        ),
        LessonStep(
            text=(
                "What did it cost? On neutral text the model moved "
                f"{plain(facts.grade('after', 'retention_kl'))} nats a token away from the "
                f"untuned one ([[forgetting]]). Its accuracy on other tasks went from "
                f"{plain(facts.metric('other_accuracy', start))} to "
                f"{plain(facts.metric('other_accuracy', end))} on dev examples, as the curve says, "
                f"and from {plain(facts.grade('before', 'other_accuracy'))} to "
                f"{plain(facts.grade('after', 'other_accuracy'))} on test examples, as Compare "
                f"does. {english}\n\n"
                "Was the circuit the right thing to tune? In this project's study of a larger "
                "model, random parts of the same size learned this as well; the circuit drifted "
                "less. One run is an example; a comparison with controls is evidence."
            ),
            view=View(step=end),
        ),
    )


LESSON = Lesson(
    key="tuning",
    title="Circuit-tuning while grammar flips",
    learns="How a skill fades, another grows, and what is guaranteed not to move.",
    minutes=5,
    run="sample-sva-flip",
    steps=steps,
)
