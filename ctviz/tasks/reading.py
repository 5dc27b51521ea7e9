"""Questions about short passages, answered with words of the passage or not at all."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ctviz.english import NAMES, nouns, part_of
from ctviz.english.lexicon import adjectives
from ctviz.tasks.answers import NO_ANSWER
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS", "framed"]

_LEVELS = (
    Level("one-fact", "one person, two places and two things"),
    Level("two-people", "two people who take something somewhere; two parts of it are asked with"),
    Level("distractor", "three such events that share people, things or places"),
)
_UNKNOWN = f" {NO_ANSWER}"
_UNKNOWN_SHARE = 1 / 3

_TIMES = tuple(
    f"{preposition} {word}"
    for preposition, words in (
        ("on", "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
        ("in", "January February March April May June July August September October"),
        ("in", "November December spring summer autumn winter"),
        ("at", "noon night midnight dawn sunset Christmas Easter"),
    )
    for word in words.split()
)


def framed(passage: str, question: str) -> str:
    """The prompt that all tasks with a passage and a question share; the answer follows it."""
    return f"Passage: {passage}\nQuestion: {question}\nAnswer:"


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A noun or name, as questions say it, and the adjective that the passage adds, or ""."""

    noun: str
    adjective: str = ""

    @property
    def text(self) -> str:
        """The phrase without its article, as the passage says it."""
        return f"{self.adjective} {self.noun}".lstrip()

    @property
    def spans(self) -> tuple[str, ...]:
        """The answers that name it, the passage's own words first; names have no article."""
        if self.noun[0].isupper():
            return (self.noun,)
        return tuple(dict.fromkeys((f"the {self.text}", f"the {self.noun}")))


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one split."""

    people: tuple[str, ...]
    objects: tuple[str, ...]
    places: tuple[str, ...]
    adjectives: tuple[str, ...]
    times: tuple[str, ...]

    def phrases(self, rng: random.Random, n: int) -> list[_Phrase]:
        """Different things, all of them with different adjectives or none with any."""
        found = [_Phrase(noun) for noun in rng.sample(self.objects, n)]
        if rng.random() < 0.5:
            return found
        chosen = rng.sample(self.adjectives, n)
        return [replace(one, adjective=word) for one, word in zip(found, chosen, strict=True)]


@functools.cache
def _words(split: Split) -> _Words:
    return _Words(
        people=tuple(name.text for name in NAMES if part_of(name.text) == split),
        objects=_of(split, tuple(noun.singular for noun in nouns("object"))),
        places=_of(split, tuple(noun.singular for noun in nouns("place"))),
        adjectives=_of(split, adjectives("object")),
        times=tuple(time for time in _TIMES if part_of(time.split()[1]) == split),
    )


def _of(split: Split, words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if part_of(word) == split)


def _asked(
    rng: random.Random,
    question: str,
    answers: Sequence[str],
    said: str,
    unsaid: str,
    exchanged: str = "",
    other: str = "",
) -> Example:
    """A question about ``said``, where it has an answer, or about ``unsaid``, where it has none.

    Either is the other's counterfactual. For half of the questions with an answer it is
    ``exchanged`` instead, if there is such a passage: ``other`` is the answer there.
    """
    answer = f" {answers[0]}"
    if rng.random() < _UNKNOWN_SHARE:
        pair = Pair(framed(unsaid, question), framed(said, question), _UNKNOWN, answer)
        return Example(pair.clean, f"{_UNKNOWN}\n", pair, accepted=(NO_ANSWER,), group=NO_ANSWER)
    corrupt, foil = (unsaid, _UNKNOWN)
    if exchanged and rng.random() < 0.5:
        corrupt, foil = exchanged, f" {other}"
    pair = Pair(framed(said, question), framed(corrupt, question), answer, foil)
    return Example(pair.clean, f"{answer}\n", pair, accepted=tuple(answers), group="answered")


# One person

_WENT = (
    "{who} went from the {start} to the {end}{extra}.",
    "{who} left the {start}{extra} and went to the {end}.",
    "{who} walked to the {end}{extra} and came from the {start}.",
)
_TOOK = (
    "{who} took the {taken} along and left the {left} at home.",
    "{who} left the {left} at home but took the {taken} along.",
)
_QUESTIONS_OF_ONE = {
    "start": "Where did {who} come from?",
    "end": "Where did {who} go?",
    "taken": "What did {who} take along?",
    "left": "What did {who} leave at home?",
    "time": "When did {who} go?",
    "company": "Who went with {who}?",
}
_OTHER = {"start": "end", "end": "start", "taken": "left", "left": "taken"}


def _one_fact(rng: random.Random, words: _Words) -> Example:
    """A person who goes from one place to another one, with one thing and without another one.

    The passage also says when or with whom. Its counterfactual exchanges the places or the things,
    is about somebody else, or says with whom instead of when, or when instead of with whom.
    """
    who, somebody, company = rng.sample(words.people, 3)
    places = [_Phrase(place) for place in rng.sample(words.places, 2)]
    slots = dict(zip(_OTHER, [*places, *words.phrases(rng, 2)], strict=True))
    time = rng.choice(words.times)
    extras = {"time": f" {time}", "company": f" with {company}"}
    went, took = rng.choice(_WENT), rng.choice(_TOOK)

    def passage(who: str, said: str, slots: dict[str, _Phrase]) -> str:
        filled = {name: phrase.text for name, phrase in slots.items()}
        return f"{went} {took}".format(who=who, extra=extras[said], **filled)

    asked = rng.choice(list(_QUESTIONS_OF_ONE))
    question = _QUESTIONS_OF_ONE[asked].format(who=who)
    if asked in extras:
        answers = (time, time.split()[1]) if asked == "time" else (company,)
        said = passage(who, asked, slots)
        unsaid = passage(who, "company" if asked == "time" else "time", slots)
        return _asked(rng, question, answers, said, unsaid)
    extra = rng.choice(list(extras))
    other = _OTHER[asked]
    exchanged = {**slots, asked: slots[other], other: slots[asked]}
    return _asked(
        rng,
        question,
        slots[asked].spans,
        passage(who, extra, slots),
        passage(somebody, extra, slots),
        passage(who, extra, exchanged),
        slots[other].spans[0],
    )


# Two or three events

_EVENTS = (
    "{who} took the {what} to the {where}.",
    "{who} went to the {where} with the {what}.",
    "{who} brought the {what} along to the {where}.",
    "At the {where}, {who} arrived with the {what}.",
    "The {what} came to the {where} with {who}.",
)
_QUESTIONS = {
    "who": "Who took the {what} to the {where}?",
    "what": "What did {who} take to the {where}?",
    "where": "Where did {who} take the {what}?",
}


def _events(rng: random.Random, words: _Words, n: int) -> Example:
    """Two or three times, somebody takes something somewhere.

    Two of the three are in the question and the third is the answer. Of three events, two have the
    first part of the question in common and two the second one, so that both are needed. Where
    there is no answer, both parts occur, but not together.
    """
    drawn = {
        "who": [_Phrase(name) for name in rng.sample(words.people, n)],
        "what": words.phrases(rng, n),
        "where": [_Phrase(place) for place in rng.sample(words.places, n)],
    }
    asked = rng.choice(list(drawn))
    one, two = (slot for slot in drawn if slot != asked)
    event = rng.randrange(n)
    if n == 2:
        said = [(0, 0), (1, 1)]
        unsaid = rng.choice([[(0, 1), (1, 0)], [(1, 0), (0, 1)]])
    else:
        said = rng.sample([(0, 0), (0, 1), (1, 0)], 3)
        unsaid = [(1, 1) if index == event else parts for index, parts in enumerate(said)]
    patterns = rng.choices(_EVENTS, k=n)

    def passage(parts: Sequence[tuple[int, int]], answers: Sequence[_Phrase]) -> str:
        return " ".join(
            pattern.format(**{one: drawn[one][i].text, two: drawn[two][j].text, asked: answer.text})
            for pattern, (i, j), answer in zip(patterns, parts, answers, strict=True)
        )

    answers = drawn[asked]
    other = rng.choice([index for index in range(n) if index != event])
    exchanged = list(answers)
    exchanged[event], exchanged[other] = answers[other], answers[event]
    i, j = said[event]
    return _asked(
        rng,
        _QUESTIONS[asked].format(**{one: drawn[one][i].noun, two: drawn[two][j].noun}),
        answers[event].spans,
        passage(said, answers),
        passage(unsaid, answers),
        passage(said, exchanged),
        answers[other].spans[0],
    )


def _read(rng: random.Random, split: Split, level: str) -> Example:
    words = _words(split)
    if level == "one-fact":
        return _one_fact(rng, words)
    return _events(rng, words, 2 if level == "two-people" else 3)


TASKS: tuple[Task, ...] = (
    Task(
        key="reading",
        title="Reading comprehension",
        kind="reading",
        grade="span",
        metric="logit(right answer) - logit(answer to the other passage)",
        aim="answer with words of the passage, or “no answer” where it does not say",
        explanation=(
            "“Passage: Anna took the ring to the castle. Tom went to the river with the lamp. "
            "Question: What did Anna take to the castle? Answer:” goes on with “the ring”. A third "
            "of the questions have no answer in the passage, such as “What did Anna take to the "
            "river?”, and “no answer” is right. In the counterfactual passage two things, people "
            "or places have changed places, or what was asked for is no longer said."
        ),
        source=Generated(_read),
        levels=_LEVELS,
        shared="the sentence patterns and their verbs; no name, place, thing or time",
    ),
)
