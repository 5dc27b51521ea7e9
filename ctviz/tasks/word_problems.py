"""Word problems of one to three steps, with the working written out."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Final

from ctviz.english import NAMES, Name, Noun, WordsOf, nouns
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS"]

_GROUPS: Final = ("piles", "rows", "sets")
_MORE: Final = (
    "{She} buys {n} more.",
    "{She} finds {n} more.",
    "{She} gets {n} more.",
    "{Other} gives {her} {n} more.",
)
_LESS: Final = (
    "{She} loses {n}.",
    "{She} sells {n}.",
    "{She} gives {n} to {Other}.",
    "{Other} borrows {n}.",
)
_TOGETHER: Final = "{Other} has {n}. How many {things} do they have together?"
_SHARED: Final = "{n} people share them equally. How many {things} does each of them get?"
# Smallest and largest number of a beginning, of how many groups there are and what each of them
# holds, of a change, of what somebody else has and of how many people share.
_FIRST: Final = (4, 40)
_SMALL: Final = (2, 9)
_STEP: Final = (2, 25)


@dataclass(frozen=True, slots=True)
class _Step:
    """A sentence with one number, and what that number does: one of + - * /."""

    sign: str
    text: str
    limits: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Story:
    """A word problem: who has how many of what, and what happens then.

    ``numbers`` are the number to begin with and one for each step.
    """

    person: Name
    other: Name
    thing: Noun
    groups: str
    steps: tuple[_Step, ...]
    numbers: tuple[int, ...] = ()

    @property
    def results(self) -> tuple[int, ...]:
        """What there is in the beginning and after each step; 0 for what is not a whole number."""
        found = [self.numbers[0]]
        for step, n in zip(self.steps, self.numbers[1:], strict=True):
            whole = found[-1] // n if found[-1] % n == 0 else 0
            found.append(
                {"+": found[-1] + n, "-": found[-1] - n, "*": found[-1] * n, "/": whole}[step.sign]
            )
        return tuple(found)

    @property
    def sensible(self) -> bool:
        """Whether there are always several things, and never a hundred."""
        return all(2 <= result < 100 for result in self.results)

    def _said(self, text: str, n: int) -> str:
        """A sentence with its number; the name again where a pronoun could mean either person."""
        name, female = self.person.text, self.person.gender == "female"
        either = self.other.gender == self.person.gender and any(
            "{Other}" in step.text for step in self.steps
        )
        return text.format(
            n=n,
            She=name if either else "She" if female else "He",
            she=name if either else "she" if female else "he",
            her=name if either else "her" if female else "him",
            Person=name,
            Other=self.other.text,
            things=self.thing.plural,
        )

    @property
    def prompt(self) -> str:
        """The question, up to where the working begins."""
        first, *numbers = self.numbers
        steps = list(zip(self.steps, numbers, strict=True))
        if self.steps[0].sign == "*":
            text = f"{{Person}} has {numbers[0]} {self.groups} of {{n}} {{things}}."
            steps = steps[1:]
        else:
            text = "{Person} has {n} {things}."
        sentences = [self._said(text, first)]
        sentences += [self._said(step.text, n) for step, n in steps]
        if "?" not in sentences[-1]:
            sentences.append(self._said("How many {things} does {she} have now?", 0))
        return f"Question: {' '.join(sentences)}\nAnswer:"

    @property
    def working(self) -> str:
        """What comes after the prompt, up to the final number."""
        sentences = []
        for index, (step, n) in enumerate(zip(self.steps, self.numbers[1:], strict=True)):
            before, after = self.results[index : index + 2]
            who = {_TOGETHER: "Together they have", _SHARED: "Each of them gets"}.get(
                step.text, "Then" if index else "{She} has"
            )
            # Groups come first in the question: 3 piles of 4 are 3 * 4.
            one, two = (n, before) if step.sign == "*" else (before, n)
            what = "" if index else f" {self.thing.plural}"
            sentences.append(f"{self._said(who, n)} {one} {step.sign} {two} = {after}{what}.")
        return f" {' '.join(sentences)} The answer is"

    @property
    def shape(self) -> str:
        """Prompt and working with 0 for each digit."""
        return re.sub(r"\d", "0", self.prompt + self.working)

    def numbered(self, rng: random.Random) -> _Story:
        """The same story with numbers that make sense."""
        grouped = self.steps[0].sign == "*"
        while True:
            numbers = [rng.randint(*(_SMALL if grouped else _FIRST))]
            numbers += [rng.randint(*step.limits) for step in self.steps]
            story = replace(self, numbers=tuple(numbers))
            if story.sensible:
                return story


def _story(rng: random.Random, split: Split, n_steps: int) -> _Story:
    """A story of that many steps: groups or not, then changes, then perhaps another kind of end."""
    words = WordsOf(rng, split)
    person, other = words.sample(NAMES, 2)
    grouped, ending = rng.random() < 0.3, rng.choice((None, None, _TOGETHER, _SHARED))
    if grouped and ending and n_steps == 1:
        ending = None
    steps = [_Step("*", "", _SMALL)] if grouped else []
    # What somebody else had before giving or borrowing would not be clear in the end.
    fitting = {
        sign: [text for text in texts if ending != _TOGETHER or "{Other}" not in text]
        for sign, texts in (("+", _MORE), ("-", _LESS))
    }
    for _ in range(n_steps - len(steps) - (ending is not None)):
        sign = rng.choice("+-")
        text = rng.choice(fitting[sign])
        fitting[sign].remove(text)
        steps.append(_Step(sign, text, _STEP))
    if ending == _TOGETHER:
        steps.append(_Step("+", ending, _STEP))
    elif ending == _SHARED:
        steps.append(_Step("/", ending, _SMALL))
    thing = words.choice(nouns("object"))
    return _Story(person, other, thing, rng.choice(_GROUPS), tuple(steps))


def _solve(rng: random.Random, split: Split, level: str) -> Example:
    """A story, and the same story with other numbers of as many digits."""
    plan = _story(rng, split, int(level))
    while True:
        clean = plan.numbered(rng)
        for _ in range(100):
            corrupt = plan.numbered(rng)
            if corrupt.shape == clean.shape and corrupt.results[-1] != clean.results[-1]:
                answer, foil = clean.results[-1], corrupt.results[-1]
                if len(str(answer)) == len(str(foil)):
                    return Example(
                        prompt=clean.prompt,
                        target=f"{clean.working} {answer}.\n",
                        pair=Pair(
                            clean.prompt + clean.working,
                            corrupt.prompt + corrupt.working,
                            f" {answer}",
                            f" {foil}",
                        ),
                        accepted=(str(answer),),
                    )


TASKS: tuple[Task, ...] = (
    Task(
        key="word-problems",
        title="Word problems with their working",
        kind="mathematics",
        metric="logit(answer) - logit(answer to other numbers), after a working that is right",
        aim="work out a small word problem step by step and give the answer",
        explanation=(
            "“Anna has 5 cups. She buys 4 more. How many cups does she have now?” is answered with "
            "“She has 5 + 4 = 9 cups. The answer is 9.” Only the last number counts. A circuit is "
            "discovered on the step from the working to the answer: the prompt goes on up to “The "
            "answer is”, and the counterfactual one is the same story with other numbers, worked "
            "out just as well."
        ),
        source=Generated(_solve),
        grade="exact",
        levels=(
            Level("1", "one step"),
            Level("2", "two steps"),
            Level("3", "three steps"),
        ),
        shared="the sentence patterns and the numbers; no name and no thing",
    ),
)
