"""Lesson 7: the induction circuit, whose answer is known."""

from __future__ import annotations

from ctviz.lessons.facts import Facts, bound, drawn, many, percent, plain, ratio, signed, words
from ctviz.lessons.lesson import AtStep, Lesson, LessonStep, Question, Selected
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.views.view import View

__all__ = ["LESSON"]

KNOWN = KNOWN_ANSWERS["induction"]
PREVIOUS, FINDER = KNOWN.roles  # the previous-token head, the induction head
NOTE = f"{PREVIOUS}->{FINDER}<k>"
PROBE = 0


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps: the mechanism, then the circuit built up edge by edge, in order of |score|."""
    graph, end = facts.graph, facts.last
    true = set(KNOWN.true_edges)
    found = next(step for step in facts.steps if true <= set(facts.circuit(step)))
    prompt = facts.probe(PROBE, end)
    tokens = [token.strip() for token in prompt.tokens]
    asked, answer = tokens[-1], prompt.answer.strip()
    two = next(step for step in facts.steps if len(facts.circuit(step)) == 2)
    lost = range(two + 1, found)
    spare = [edge for edge in facts.circuit(end) if edge not in true]
    largest_spare = max(abs(facts.score(edge, end)) for edge in spare)
    strong, weak = facts.circuit(found)[0], facts.circuit(found)[-1]
    looked, share = facts.looks_at(FINDER, PROBE, end)
    faithful = {step: facts.metric("faithfulness", step) for step in facts.steps}
    return (
        LessonStep(
            text=(
                "How does one know that a method finds the right circuit? By giving it a model "
                "whose circuit is known. This one was not trained: its weights were set by hand, "
                "so that it continues a text as before. In\n\n"
                f"“{words(prompt)} …”\n\n"
                f"“{asked}” stood there once already, and “{answer}” followed it. The model says "
                f"“{answer}” again, with a probability of {percent(prompt.top[0][1])}. Out of its "
                f"{graph.n_edges} edges, {len(true)} do this."
            ),
            view=View(step=found, level="model"),
        ),
        LessonStep(
            text=(
                "It takes two heads. The first has a dull job: at each word it looks one word "
                "back, and notes there which word that was. It is a [[previous-token head]]."
            ),
            view=View(step=found),
            until=Selected(PREVIOUS),
            ask=f"Select `{PREVIOUS}` and look at its attention pattern.",
            hint=(
                f"The {drawn(PREVIOUS)}. The pattern is below the lists of edges: each row looks "
                "at the word before its own, a line beside the diagonal."
            ),
        ),
        LessonStep(
            text=(
                f"The second uses the notes. At the last word, “{asked}”, the [[induction head]] "
                f"`{FINDER}` asks: where is a note that says “{asked}”? It looks at “{looked}” "
                f"with {percent(share)} of its attention, the word that followed, and copies it "
                "to the output."
            ),
            view=View(step=found, nodes=(PREVIOUS,)),
            until=Question(
                options=(
                    "From its query",
                    "From its keys, which the first head wrote",
                    "From its values",
                ),
                right="From its keys, which the first head wrote",
                why=(
                    f"Yes: the edge `{NOTE}`. One head reading another's writing through its keys "
                    "is called K-composition."
                ),
                wrong={
                    "From its query": "The query is what the last word asks for. What is noted "
                    "stands at the places that are searched.",
                    "From its values": "Values are what is copied once it has looked. Where to "
                    "look is decided before.",
                },
            ),
            ask="Where does it know from which word stood before each place?",
        ),
        LessonStep(
            text=(
                "Now take the circuit apart and put it together again. In this run the model does "
                f"not change: its [[learning rate]] is {plain(facts.run.config.learning_rate)}. "
                "What grows is the number of edges, one more a step, in the order of their "
                f"scores. At first there is `{facts.circuit(facts.first)[0]}` alone. A way out, "
                "but nothing comes in: "
                f"[[faithfulness]] {ratio(faithful[facts.first])}."
            ),
            view=View(step=facts.first),
            until=AtStep(two, two),
            ask=f"Go to step {two}, where there are two edges.",
            hint="The right arrow key goes one snapshot on.",
        ),
        LessonStep(
            text=(
                f"Faithfulness {ratio(faithful[two])}, with two edges! Is that the circuit? Look: "
                "nothing tells the head where to look. It works by a coincidence of the test. "
                "Query and keys both come from the [[counterfactual prompt]], in which two word "
                "pairs have changed places and the *other* one is asked for. Both are wrong in "
                "the same way, so that they match at the right place.\n\n"
                "A perfect number, and the chip above the graph is content, but the mechanism is "
                "missing. This is why one looks at more than one circuit size."
            ),
            view=View(step=two),
        ),
        LessonStep(
            text=(
                "Add an edge, and it breaks. With the query from the real prompt and the notes "
                "still from the other one, the head looks for the right word among the wrong "
                f"notes. For {many(len(lost), 'step')} faithfulness is "
                f"{ratio(max(faithful[step] for step in lost))}. More edges "
                "made it worse: edges work together, and their scores need not add up."
            ),
            view=View(step=lost[0], marks="start"),
            until=AtStep(found),
            ask="Go on until it works again.",
            hint="The curve of faithfulness shows where.",
        ),
        LessonStep(
            text=(
                f"Step {found}: all {len(true)} true edges are there, no false one, and "
                f"faithfulness is {ratio(faithful[found])}. Follow it: words go into both heads, "
                f"`{PREVIOUS}` passes its notes to the keys of `{FINDER}`, and that one writes "
                "the answer.\n\n"
                f"Further steps add what is not there. The next edges have scores of less than "
                f"{bound(largest_spare)}, which is rounding."
            ),
            view=View(step=found, marks="start"),
        ),
        LessonStep(
            text=(
                "Two limits, which one can only see with a known answer. The scores are "
                f"estimates: `{weak}` gets {signed(facts.score(weak, found))}, and `{strong}` "
                f"{signed(facts.score(strong, found))}, though corrupting either one alone turns "
                "the answer around completely. The estimate follows a straight line, and an "
                "attention pattern that is nearly settled is flat.\n\n"
                f"And where `{PREVIOUS}` looks depends on positions, which are the same in both "
                "prompts. So its query and key do not show up, though without them nothing works: "
                "only what differs between the prompts can be seen."
            ),
            view=View(step=end, nodes=(FINDER, PREVIOUS)),
        ),
    )


LESSON = Lesson(
    key="induction",
    title="The induction circuit: a known answer",
    learns="A circuit that is known by construction, found again edge by edge, with surprises.",
    minutes=5,
    run="sample-induction",
    steps=steps,
)
