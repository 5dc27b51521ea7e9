"""Lesson 8: an induction head forms, in a model that is trained from scratch."""

from __future__ import annotations

from ctviz.circuits.graph import kind_of
from ctviz.lessons.facts import Facts, drawn, percent, signed, words
from ctviz.lessons.lesson import (
    AtStep,
    Lesson,
    LessonStep,
    Prediction,
    Question,
    Selected,
    SwitchOff,
)
from ctviz.views.view import View

__all__ = ["LESSON", "Formed"]

PROBE = 0
CAN = 0.8  # accuracy; guessing between answer and foil gives one half


class Formed:
    """When it happened, and which heads it was. Steps are those of snapshots.

    ``before``: the last at which the model cannot do the task; ``begun``: the first at which it
    mostly can; ``settled``: the first at which it always can. ``previous``: the head that looks one
    word back; ``finder``: the one that copies; ``rival``: another that looks where that one does.
    """

    def __init__(self, facts: Facts) -> None:
        self.begun = next(s for s in facts.steps if facts.metric("accuracy", s) > CAN)
        self.before = facts.steps[facts.steps.index(self.begun) - 1]
        self.settled = next(s for s in facts.steps if facts.metric("accuracy", s) == 1)
        end = facts.last
        self.previous = facts.best_head("previous", end)
        self.finder = facts.best_head("copying", end)
        heads = [node for node in facts.graph.nodes if kind_of(node) == "head"]
        others = [node for node in heads if node != self.finder]
        self.rival = max(others, key=lambda node: facts.head("matching", node, end))

    @property
    def note(self) -> str:
        """The edge by which the finder reads what the other head wrote."""
        return f"{self.previous}->{self.finder}<k>"

    @property
    def edges(self) -> tuple[str, ...]:
        """Those of the induction circuit, in the order in which the information goes."""
        return (
            f"input->{self.previous}<v>",
            f"input->{self.finder}<q>",
            self.note,
            f"input->{self.finder}<v>",
            f"{self.finder}->logits",
        )


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps: a prediction, the run, the two heads, and a test of them."""
    found = Formed(facts)
    first, end = facts.first, facts.last
    before, begun, settled = found.before, found.begun, found.settled
    previous, finder, rival = found.previous, found.finder, found.rival
    early, late = facts.steps[len(facts.steps) // 4], facts.steps[2 * len(facts.steps) // 3]
    prompt, later = facts.probe(PROBE, first), facts.probe(PROBE, end)
    asked, answer = prompt.tokens[-1].strip(), prompt.answer.strip()

    def share(score: str, node: str, step: int) -> str:
        return percent(facts.head(score, node, step))

    def accuracy(step: int) -> str:
        return percent(facts.metric("accuracy", step))

    return (
        LessonStep(
            text=(
                "The induction circuit of lesson 7 was built by hand. Does training find it too? "
                "This model has two layers of [[attention heads]] and no MLPs. It learns from rows "
                "of words that come again and again.\n\n"
                f"“{words(prompt)} …”\n\n"
                f"“{answer}” followed “{asked}” before. At step {first} it would say "
                f"“{prompt.top[0][0].strip()}”, with {percent(prompt.top[0][1])}: a guess."
            ),
            view=View(step=first, level="model"),
            until=Prediction(
                options=(
                    f"At once, before step {early}",
                    f"At once, between steps {early} and {late}",
                    f"At once, after step {late}",
                    "Little by little",
                )
            ),
            ask="When will it learn to go on?",
            hint="Just guess.",
        ),
        LessonStep(
            text=(
                "Now watch the curves below the graph: *Task metric*, and *Best head on repeats*, "
                "what heads do with words that come again."
            ),
            view=View(step=first, level="model"),
            until=AtStep(end),
            ask=f"Play the training to its end, step {end}.",
            hint="The space bar plays and stops.",
        ),
        LessonStep(
            text=(
                f"For {before} steps it learns next to nothing of this: it prefers the right word "
                f"in {accuracy(before)} of the examples, where guessing gives half. Then it takes "
                f"{settled - before} steps to {accuracy(settled)}. Such a jump is called a "
                f"[[phase change]]. At the end “{answer}” has {percent(later.top[0][1])}."
            ),
            view=View(step=end, level="model"),
            recalls=True,
        ),
        LessonStep(
            text=(
                "Which heads did it? The map *one back* shows how much each looks at the word "
                f"before. At step {before} the model cannot do the task, but one head has begun."
            ),
            view=View(step=before, map="previous", level="model"),
            until=Selected(previous),
            ask="Select the head that looks one word back most.",
            hint=f"The strongest cell of the map, or the {drawn(previous)}.",
        ),
        LessonStep(
            text=(
                f"It becomes a [[previous-token head]]: {share('previous', previous, before)}, "
                f"then {share('previous', previous, begun)} at step {begun}. The second one comes "
                "after it: it needs notes to find. Its score is [[prefix matching]]: from a word "
                "said again, how much does a head look at the word that *followed* it? "
                f"`{finder}`: {share('matching', finder, before)} at step {before}, "
                f"{share('matching', finder, begun)} at step {begun}, "
                f"{share('matching', finder, end)} at the end. It is the [[induction head]].\n\n"
                f"But `{rival}` has {share('matching', rival, end)} as well."
            ),
            view=View(step=end, map="matching", nodes=(finder,), level="model"),
            until=Question(
                options=(
                    "By what they write: copying, and their edges",
                    "By which of them began first",
                    "Each does one half",
                ),
                right="By what they write: copying, and their edges",
                why=(
                    f"Yes. `{finder}` has a score for copying of {share('copying', finder, end)}, "
                    f"`{rival}` of {share('copying', rival, end)}. And `{finder}->logits` scores "
                    f"{signed(facts.score(f'{finder}->logits', end))}, `{rival}->logits` "
                    f"{signed(facts.score(f'{rival}->logits', end))}."
                ),
                wrong={
                    "By which of them began first": "What comes first need not do the work in the "
                    "end. Look at what each of them writes now.",
                    "Each does one half": "Then both would copy, and both would write to the "
                    "logits. Compare the two.",
                },
            ),
            ask="How can one tell which of the two does the work?",
        ),
        LessonStep(
            text=(
                f"The two find each other by the edge `{found.note}`: the second one's keys are "
                f"what the first one wrote. It scores {signed(facts.score(found.note, before))} at "
                f"step {before}, {signed(facts.score(found.note, begun))} at step {begun}, "
                f"{signed(facts.score(found.note, end))} at the end.\n\n"
                f"The {len(found.edges)} strongest edges are now those of the circuit that was "
                "built by hand. Nobody told the model."
            ),
            view=View(step=end, nodes=(previous, finder), edges=len(found.edges)),
        ),
        LessonStep(
            text=(
                "Scores are estimates: test it. If the second head needs the first one's notes, "
                f"the task breaks when `{previous}` is switched off, but only after the two have "
                "met. This runs the model itself."
            ),
            view=View(step=end, nodes=(previous, finder), edges=len(found.edges)),
            until=SwitchOff(previous, (before, end)),
            ask="What is left of the metric?",
            hint="Before and after. The first time takes some seconds.",
        ),
        LessonStep(
            text=(
                f"Before, nothing is lost: nobody uses what `{previous}` writes. After, everything "
                "is. Two heads, each of no use alone: hence the jump.\n\n"
                "This is one small model and one seed, and a penalty on what heads write let one "
                "of each layer do the work: else all of a layer learn the same. But in language "
                "models, too, induction heads form in a short stretch of training, with a bump "
                "in the loss, as Olsson et al. found."
            ),
            view=View(step=end, nodes=(previous, finder), level="model"),
        ),
    )


LESSON = Lesson(
    key="forming",
    title="An induction head forms",
    learns="How two heads learn to work together, nearly at once, and how one can test that.",
    minutes=5,
    run="sample-two-layer",
    steps=steps,
)
