"""Deduction from facts and rules about people: true, false, or not to be known."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ctviz.english import ADJECTIVES, NAMES, part_of
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS", "Claim", "Rule", "verdict"]

_LEVELS = (
    Level("depth-0", "a fact is asked back, contradicted or missing; no rules"),
    Level("depth-1", "one rule leads from the fact to the statement"),
    Level("depth-2", "two rules, one after the other, in any order in the text"),
    Level("depth-3", "three rules, one after the other, in any order in the text"),
)
_VERDICTS = ("true", "false", "unknown")

# What the lexicon has for people is too little for three rules in dev and test. All are one token
# in the vocabulary of SmolLM2.
_MORE_ADJECTIVES = """kind rude shy wise fair cold warm bright rough smart quick slow weak gentle
    honest polite sharp sweet cool fast friendly serious careful patient curious bold mild neat
    modest cruel wild pale thin short fit sick healthy lonely bitter jealous nervous silent fierce
    humble loyal noble wealthy silly careless selfish generous cheerful grateful creative anxious
    lucky stubborn plain free sleepy talented skilled eager upset afraid active tidy firm"""
_ADJECTIVES = tuple(
    dict.fromkeys(
        [adjective.text for adjective in ADJECTIVES if "person" in adjective.kinds]
        + _MORE_ADJECTIVES.split()
    )
)


class Claim(NamedTuple):
    """That a word is or is not true of somebody."""

    word: str
    holds: bool

    @property
    def opposite(self) -> Claim:
        """The same word, the other way round."""
        return Claim(self.word, not self.holds)

    @property
    def text(self) -> str:
        """What stands after "is" or "are"."""
        return self.word if self.holds else f"not {self.word}"


class Rule(NamedTuple):
    """If the first is true of somebody, so is the second."""

    premise: Claim
    conclusion: Claim


def verdict(facts: Iterable[Claim], rules: Iterable[Rule], statement: Claim) -> str:
    """Whether a statement about somebody is "true", "false" or "unknown" by the facts about them.

    A statement follows if its opposite leads to a contradiction; every rule may also be used
    backwards ("not calm, so not big"). With one premise a rule this finds all that follows. Facts
    and rules must not contradict each other.

    >>> verdict([Claim("big", True)], [Rule(Claim("big", True), Claim("shy", False))],
    ...         Claim("shy", True))
    'false'
    """
    facts = tuple(facts)
    steps = [
        step
        for premise, conclusion in rules
        for step in ((premise, conclusion), (conclusion.opposite, premise.opposite))
    ]

    def impossible(claim: Claim) -> bool:
        known = {*facts, claim}
        todo = list(known)
        while todo:
            reached = todo.pop()
            for premise, conclusion in steps:
                if premise == reached and conclusion not in known:
                    known.add(conclusion)
                    todo.append(conclusion)
        return any(one.opposite in known for one in known)

    if impossible(statement.opposite):
        return "true"
    return "false" if impossible(statement) else "unknown"


def _chain(words: Sequence[str], end: Claim, gap: tuple[int, str] | None) -> list[Rule]:
    """Rules from each word to the next and from the last one to ``end``.

    With a gap, the rule of that number has another word as its premise, so that nothing leads to
    the rules after it.
    """
    rules = []
    for index, word in enumerate(words):
        premise = gap[1] if gap is not None and gap[0] == index else word
        follows = end if index + 1 == len(words) else Claim(words[index + 1], True)
        rules.append(Rule(Claim(premise, True), follows))
    return rules


def _deduce(rng: random.Random, split: Split, level: str) -> Example:
    """Two people, of whom the same statement has different verdicts.

    Each of them starts a chain of rules of the same length; one chain ends in the statement, the
    other one in its opposite, and a chain with a gap ends nowhere. So the words and the rules alone
    do not give the answer: it depends on who is which. In the counterfactual prompt the two names
    have changed places in the facts.
    """
    depth = int(level.removeprefix("depth-"))
    names = rng.sample([name.text for name in NAMES if part_of(name.text) == split], 2)
    verdicts = rng.sample(_VERDICTS, 2)  # of the one who is asked for, and of the other one
    words = rng.sample([word for word in _ADJECTIVES if part_of(word) == split], 2 * depth + 2)
    statement = Claim(words.pop(), rng.random() < 0.5)
    spare = words.pop()

    ends = [statement if said == "true" else statement.opposite for said in verdicts]
    if "unknown" in verdicts:
        unknown = verdicts.index("unknown")
        ends[unknown] = ends[1 - unknown].opposite

    facts: list[Claim] = []
    rules: list[Rule] = []
    for said, end in zip(verdicts, ends, strict=True):
        chain, words = words[:depth], words[depth:]
        gap = (rng.randrange(depth), spare) if depth and said == "unknown" else None
        loose = Claim(spare, end.holds) if said == "unknown" else end
        facts.append(Claim(chain[0], True) if depth else loose)
        rules += _chain(chain, end, gap)
    assert [verdict([fact], rules, statement) for fact in facts] == verdicts
    rng.shuffle(rules)
    first = rng.randrange(2)

    def prompt(people: Sequence[str]) -> str:
        told = [f"{name} is {fact.text}." for name, fact in zip(people, facts, strict=True)]
        if first:
            told.reverse()
        told += [f"If someone is {p.text}, they are {c.text}." for p, c in rules]
        return f"Facts: {' '.join(told)} Question: {names[0]} is {statement.text}. Answer:"

    answer, foil = (f" {said}" for said in verdicts)
    rest = [f" {said}" for said in _VERDICTS if said not in verdicts]
    pair = Pair(prompt(names), prompt(names[::-1]), answer, foil)
    return Example(pair.clean, answer, pair, choices=(answer, foil, *rest), group=verdicts[0])


TASKS: tuple[Task, ...] = (
    Task(
        key="logic",
        title="Deduction",
        kind="logic",
        metric="logit(right verdict) - logit(verdict on the other person)",
        aim="say whether a statement follows, is contradicted, or cannot be known",
        explanation=(
            "“Facts: Anna is big. Tom is shy. If someone is big, they are calm. If someone is shy, "
            "they are not calm. Question: Anna is calm. Answer:” goes on with “true”. What neither "
            "follows nor is contradicted is “unknown”, and each of the three is right for a third "
            "of the examples. In the counterfactual prompt the two names have changed places in "
            "the facts: “Tom is big. Anna is shy.”"
        ),
        source=Generated(_deduce),
        levels=_LEVELS,
        usual="depth-1",
        shared="the sentence patterns; no name or adjective",
    ),
)
