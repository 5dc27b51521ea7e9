"""Lesson 3: attention heads and MLPs."""

from __future__ import annotations

from ctviz.lessons.facts import Facts, drawn, percent, plain, source, words
from ctviz.lessons.lesson import AtStep, Lesson, LessonStep, Question, Selected
from ctviz.views.view import View

__all__ = ["LESSON"]

PROBE = 0


def steps(facts: Facts) -> tuple[LessonStep, ...]:
    """Its steps: the head that finds the subject, then the path to the prediction."""
    start, end = facts.first, facts.last
    head = facts.strongest_head(start)
    prompt = facts.probe(PROBE, start)
    subject, share = facts.looks_at(head, PROBE, start)
    later, later_share = facts.looks_at(head, PROBE, end)
    value = next(edge for edge in facts.into(head, start) if edge.endswith("<v>"))
    path = facts.path(start)
    first_mlp = path[1]
    carried = [edge for edge in facts.circuit(start) if source(edge) == first_mlp]
    last = path[-2]
    direct = float(prompt.attribution[facts.graph.node(last)])
    way = " → ".join(f"`{node}`" for node in path)
    seen: dict[str, float] = {}  # how much of its attention goes to each word
    for token, weight in zip(prompt.tokens, facts.looks(head, PROBE, start), strict=True):
        seen[token.strip()] = seen.get(token.strip(), 0.0) + float(weight)
    return (
        LessonStep(
            text=(
                "A transformer has two kinds of parts. [[Attention heads]] move information: at "
                "each word a head decides which earlier words to look at, and copies something "
                "from there. [[MLPs]] compute: each works at one word, with what has been "
                "gathered there, and cannot see other words.\n\n"
                "So whatever needs two words needs a head. [[Agreement]] does: the verb has to "
                "know about a noun that stands somewhere else."
            ),
            view=View(step=start),
        ),
        LessonStep(
            text=(
                f"Of all heads, `{head}` (the {drawn(head)}) has the strongest edges. The "
                "inspector shows its [[attention pattern]] for a fixed sentence, one row for each "
                "word that looks and one column for each word looked at. The bottom row is the "
                "last word, where the verb is predicted.\n\n"
                f"The sentence: “{words(prompt)} …”"
            ),
            view=View(step=start, nodes=(head,)),
            until=Question(
                options=tuple(seen),
                right=subject,
                wrong={
                    word: f"It gives “{word}” {percent(seen[word])}. Look for the darkest cell of "
                    "the bottom row."
                    for word in seen
                    if word != subject
                },
                why=(
                    f"Yes: {percent(share)} of its attention goes to “{subject}”, the subject. "
                    "That is the word that decides the verb."
                ),
            ),
            ask=f"From the last word, which word does `{head}` look at most?",
            hint=(
                "Scroll the inspector down: the pattern is below the lists of edges. Read the "
                "bottom row of the one on the left. The stronger the mark, the more."
            ),
        ),
        LessonStep(
            text=(
                "Two questions decide what a head does. *Where to look* is the match of a "
                "[[query]], from the word that looks, with the [[keys]] of all words before it. "
                "*What to bring* is the [[value]] of the words looked at.\n\n"
                f"Edges say which of the two a node serves. The strongest edge into `{head}` that "
                f"is a value is `{value}`, {plain(abs(facts.score(value, start)))} logits: what "
                f"`{source(value)}` knows about the subject is what gets carried to the end of "
                "the sentence."
            ),
            view=View(step=start, nodes=(head, source(value))),
        ),
        LessonStep(
            text=(
                f"`{first_mlp}` is an MLP that stands near the input. {len(carried)} of the "
                f"{len(facts.circuit(start))} edges of this circuit start there, more than "
                "at any other node. What it makes of each word is what most of the later nodes of "
                "the circuit read."
            ),
            view=View(step=start),
            until=Selected(first_mlp),
            ask=f"Select `{first_mlp}` and look at where its edges lead.",
            hint=f"The {drawn(first_mlp)}, at the right.",
        ),
        LessonStep(
            text=(
                f"At the other end stands `{last}`. Its edge to the logits is the strongest of "
                "those that end there. For this sentence it adds "
                f"{plain(direct)} logits to “{prompt.answer.strip()}” over "
                f"“{prompt.foil.strip()}” by itself: a minus means that it speaks for "
                f"“{prompt.foil.strip()}”, the right form. This is called "
                "[[direct logit attribution]]. "
                "Note who decides: not the head that found the subject, but an MLP that reads "
                "what the head brought."
            ),
            view=View(step=start, nodes=(last,)),
        ),
        LessonStep(
            text=(
                "Follow the strongest edge back from the logits, then the strongest into that "
                f"node, and so on:\n\n{way}\n\n"
                "Read it aloud: words are read in, worked on, moved to where the verb belongs, "
                "and turned into a preference for one form. It is one path of many, and to call "
                "it the whole story would be wrong; but each step of it has a score."
            ),
            view=View(step=start, nodes=path),
        ),
        LessonStep(
            text=(
                "Heads can change their mind. This run trains the model to make verbs *disagree*. "
                f"Keep `{head}` selected, scroll the inspector down to its patterns, go to the "
                "end, and compare the two: now and at the start."
            ),
            view=View(step=start, nodes=(head,), marks="start"),
            until=AtStep(end),
            ask="Go to the last step.",
            hint="Press play, or the End key.",
        ),
        LessonStep(
            text=(
                f"From the last word, `{head}` now looks most at “{later}” "
                f"({percent(later_share)}), where before it was “{subject}” ({percent(share)}). "
                "Its name and its place are the same, its work is not. A label such as “the "
                "subject head” is a claim about one model at one time; attention alone does not "
                "prove it either, since what is looked at need not be used. Scores and patterns "
                "together make a case."
            ),
            view=View(step=end, nodes=(head,), marks="start"),
        ),
    )


LESSON = Lesson(
    key="heads",
    title="Attention heads and MLPs",
    learns="Who moves information, who computes, and the path from a word to a prediction.",
    minutes=5,
    run="sample-sva-flip",
    steps=steps,
)
