"""Lesson 6: is this circuit any good? Faithfulness, random circuits, noise."""

from __future__ import annotations

from ctviz.lessons.facts import Facts, percent, plain, ratio, signed
from ctviz.lessons.lesson import AtStep, Lesson, LessonStep, Question
from ctviz.runs import open_run
from ctviz.runs.trust import UNDEFINED
from ctviz.views.view import View

__all__ = ["LESSON"]

OTHER = "sample-two-layer"


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps: a good circuit at the start, and the step at which the number means nothing."""
    start, end = facts.first, facts.last
    full, empty = facts.metric("metric", start), facts.metric("metric_corrupt", start)
    faithful = facts.metric("faithfulness", start)
    alone = empty + faithful * (full - empty)
    size = len(facts.circuit(start))
    worst = max(facts.steps, key=lambda step: facts.metric("faithfulness_error", step))
    worst_full, worst_empty = facts.metric("metric", worst), facts.metric("metric_corrupt", worst)
    doubtful = {step: len(facts.inside_noise(step)) for step in facts.steps}
    noisiest = max(doubtful, key=lambda step: doubtful[step])
    times, quiet = facts.turnover()
    weak = facts.inside_noise(noisiest)[0]

    other = Facts(open_run(OTHER, facts.run.folder.parent))  # whose random circuits carry much

    def span(step: int) -> str:
        """Faithfulness at a step, with its standard error."""
        error = plain(facts.metric("faithfulness_error", step))
        return f"{plain(facts.metric('faithfulness', step))} ± {error}"

    return (
        LessonStep(
            text=(
                f"Ask for {size} edges and you get {size} edges. The picture looks convincing "
                "even where nothing has been found, since something is always largest. So before "
                "telling a story about a circuit, ask three things: does it do the job alone, "
                "would any other edges do as well, and would other sentences have given the same "
                "answer?"
            ),
            view=View(step=start),
        ),
        LessonStep(
            text=(
                "*Does it do the job alone?* Let the circuit's edges carry the real sentence, and "
                "everything else the [[counterfactual prompt]]. The whole model has a metric of "
                f"{signed(full)}. With everything corrupted it is {signed(empty)}. With only the "
                f"circuit left, it is {signed(alone)}. So of the whole distance the circuit "
                f"covers {percent(faithful)}. This is its [[faithfulness]]:\n\n"
                "(m(circuit) − m(empty)) / (m(full) − m(empty))"
            ),
            view=View(step=start),
        ),
        LessonStep(
            text=(
                "*Would other edges do as well?* That is why the curve of faithfulness has a "
                f"dashed line. It is the faithfulness of [[random circuits|{facts.randomly}]]: "
                f"{ratio(facts.metric('random_faithfulness', start))} at this step. The chip "
                "above the graph puts the comparison into words, at steps where there is one to "
                "make.\n\n"
                "It is not always zero. In the sample of a model of two layers, at step "
                f"{other.last}, {other.randomly} carry "
                f"{ratio(other.metric('random_faithfulness', other.last))} on average, and the "
                f"best of them {ratio(other.metric('random_high', other.last))}, where the "
                f"circuit carries {ratio(other.metric('faithfulness', other.last))}. So the best "
                "of them decides what the chip says."
            ),
            view=View(step=start),
            until=Question(
                options=(
                    "That it is nearly perfect",
                    "That most edges of the model matter",
                    "Little: edges drawn at random do nearly as well",
                ),
                right="Little: edges drawn at random do nearly as well",
                why=(
                    "Yes. With a circuit that is large enough, nearly any choice is faithful. The "
                    "difference from random circuits is what was found."
                ),
                wrong={
                    "That it is nearly perfect": "0.95 alone would say so. But edges drawn at "
                    "random reach 0.93: what did the search add?",
                    "That most edges of the model matter": "Rather that it hardly matters which "
                    "ones are kept, as long as there are so many.",
                },
            ),
            ask=(
                "Suppose a circuit had a faithfulness of 0.95 and random ones of its size 0.93. "
                "What would you know about it?"
            ),
        ),
        LessonStep(
            text=(
                "*Would other sentences give the same?* Every number here is a mean over "
                f"{facts.run.about['examples']} of them, with a [[standard error]]: at this step "
                f"{span(start)}. Small enough to trust.\n\nIt is not always so. While the model "
                "gives up its old skill, there is a step at which this number makes no sense at "
                "all."
            ),
            view=View(step=start),
            until=AtStep(worst, worst),
            ask=f"Go to step {worst} and read the chip there.",
            hint="Arrow keys or the slider; the snapshots lie beside one another.",
        ),
        LessonStep(
            text=(
                f"The chip says “{UNDEFINED}”, and the curve has a gap. "
                f"What was measured is {span(worst)}: a ratio whose error is larger than itself. "
                f"The reason is below the line. The whole model has {signed(worst_full)} here and "
                f"with everything corrupted {signed(worst_empty)}. There is no distance left to "
                "cover, and dividing by nearly nothing gives nearly anything.\n\n"
                "The circuit is not bad at this step. There is nothing here for a circuit to "
                "explain. Look at the top and the bottom of a fraction before you believe it."
            ),
            view=View(step=worst),
        ),
        LessonStep(
            text=(
                "The same question goes for single edges. At step "
                f"{noisiest}, {doubtful[noisiest]} of the {len(facts.circuit(noisiest))} edges in "
                "the circuit have a score of less than two standard errors, such as "
                f"`{weak}` with {signed(facts.score(weak, noisiest))} ± "
                f"{plain(facts.error(weak, noisiest))}. With other sentences they might not be in "
                f"the circuit, or have the other sign.\n\nThe same goes for change. From one "
                f"snapshot to the next, edges entered or left {times} times in this run; {quiet} "
                "times the score had moved by no more than [[noise]]."
            ),
            view=View(step=noisiest),
        ),
        LessonStep(
            text=(
                "What faithfulness does not say. It does not say that the circuit is "
                "[[complete]]: the rest of the model may be able to do the task too. It does not "
                "say that it is [[minimal]]: some edges may be there for nothing. And it depends "
                "on the counterfactual: what is the same in both prompts cannot be seen.\n\n"
                f"At the end of this run it is {span(end)}, beside "
                f"{ratio(facts.metric('random_faithfulness', end))} for {facts.randomly}."
            ),
            view=View(step=end),
        ),
        LessonStep(
            text=(
                "So quote a circuit with four things: the task and its counterfactual, the number "
                "of edges, the faithfulness with its error, and that of random circuits. All four "
                "are one hover away on this page. Read them before the picture, in this run and in "
                "one that you make yourself on the page Run."
            ),
            view=View(step=end),
        ),
    )


LESSON = Lesson(
    key="faithfulness",
    title="Is this circuit any good?",
    learns="Faithfulness, the control by random circuits, and when a number means nothing.",
    minutes=5,
    run="sample-sva-flip",
    steps=steps,
)
