"""Subject-verb agreement and its opposite."""

from __future__ import annotations

import random

from ctviz.english import ATTRACTOR_KINDS, NUMBERS, AgreementKind, WordsOf, agreement, opposite
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.natural import draw_natural
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS"]

_LEVELS = (
    Level("near", "nothing but an adjective between subject and verb"),
    Level("phrase", "“to the cabinet”: a noun of the other number in a phrase"),
    Level("clause", "“that the teachers like”: a noun of the other number in a relative clause"),
    Level("attractor", "phrases and clauses mixed"),
    Level("natural", "written sentences: adverbs, names and clauses in any order"),
)
_KINDS: dict[str, tuple[AgreementKind, ...]] = {
    "near": ("simple", "adjective"),
    "phrase": ("pp", "pp_adjective"),
    "clause": ("object_relative", "subject_relative"),
    "attractor": ATTRACTOR_KINDS,
}


def _pair(rng: random.Random, split: Split, level: str) -> Pair:
    """A sentence up to its verb, in either number; the counterfactual flips the subject's number.

    A noun between subject and verb has the number opposite to the clean subject's, so that agreeing
    with the nearest noun is wrong. Dev and test use combinations of words that the bundled model's
    corpus never has, train the others.
    """
    if level == "natural":
        return draw_natural(rng, split, level)
    number = rng.choice(NUMBERS)
    words = WordsOf(rng, split)
    while True:
        try:
            item = agreement(
                words, held_out=split != "train", kinds=_KINDS[level], attractor=opposite(number)
            )
        except LookupError:  # the split has no word for what was drawn: draw again
            continue
        return Pair(
            clean=item.prompt(number),
            corrupt=item.prompt(opposite(number)),
            answer=item.answer(number),
            foil=item.foil(number),
        )


def _agree(rng: random.Random, split: Split, level: str) -> Example:
    return Example.of(_pair(rng, split, level))


def _disagree(rng: random.Random, split: Split, level: str) -> Example:
    """The same sentences with the wrong verb form as the answer."""
    pair = _pair(rng, split, level)
    return Example.of(Pair(pair.clean, pair.corrupt, answer=pair.foil, foil=pair.answer))


TASKS: tuple[Task, ...] = (
    Task(
        key="sva",
        title="Subject-verb agreement",
        kind="grammar",
        metric="logit(agreeing verb) - logit(disagreeing verb)",
        aim="agree with the subject, whatever stands between",
        explanation=(
            "In “The keys to the cabinet …” the verb must agree with “keys”, although "
            "“cabinet” stands next to it. The counterfactual prompt has the other subject "
            "number: “The key to the cabinet …”."
        ),
        source=Generated(_agree),
        levels=_LEVELS,
        usual="attractor",
        rivals=("sva-flip",),
    ),
    Task(
        key="sva-flip",
        title="Subject-verb disagreement",
        kind="grammar",
        metric="logit(disagreeing verb) - logit(agreeing verb)",
        aim="disagree with the subject: “The keys to the cabinet is …”",
        explanation=(
            "The same sentences, but the wrong verb form is the answer: a behaviour that no "
            "text teaches, so that every change is the tuning's work. The metric is negative "
            "before tuning and positive after."
        ),
        source=Generated(_disagree),
        levels=_LEVELS,
        usual="attractor",
        rivals=("sva",),
    ),
)
