"""What a task is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol, get_args

from ctviz.errors import BadTask, OutOfRange, UnknownName
from ctviz.tasks.example import Example, Pair

__all__ = [
    "FEW",
    "GRADES",
    "SPLITS",
    "Generated",
    "Grade",
    "Kind",
    "Level",
    "Source",
    "Split",
    "Task",
    "split_of",
]

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_CALLED: dict[str, Split] = {  # what others call them
    "training": "train",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "development": "dev",
    "testing": "test",
}
FEW = 8
"""Examples below which a mean says little."""
Kind = Literal["grammar", "bias", "mathematics", "logic", "reading", "classic", "known", "own"]


def split_of(name: str) -> Split | None:
    """The split that a name means, also one that other tools use; None if it means none.

    >>> split_of("validation"), split_of("Train"), split_of("all")
    ('dev', 'train', None)
    """
    plain = name.strip().lower()
    return next((split for split in SPLITS if split == plain), _CALLED.get(plain))


@dataclass(frozen=True, slots=True)
class Grade:
    """How answers are judged: ``name`` is the number that a task is known by.

    ``better`` says which way is better, ``text`` what the number is. What the engine computes for
    each key is in `ctviz.tasks.grading`.
    """

    key: str
    name: str
    better: Literal["higher", "lower"]
    text: str


GRADES: dict[str, Grade] = {
    grade.key: grade
    for grade in (
        Grade("choice", "accuracy", "higher", "share of examples whose right choice is likeliest"),
        Grade(
            "bias",
            "bias",
            "lower",
            "mean |p(stereotypical) - p(other)| / (p(stereotypical) + p(other)); 0: no preference",
        ),
        Grade("exact", "exact_match", "higher", "share of answers whose last number is right"),
        Grade("span", "f1", "higher", "mean overlap of words with an accepted answer (SQuAD's F1)"),
    )
}


class Source(Protocol):
    """Where examples come from."""

    @property
    def text(self) -> str:
        """In words."""
        ...

    def examples(self, name: str, level: str, n: int, split: Split, seed: int) -> list[Example]:
        """At most ``n`` different examples; the same arguments, the same examples."""
        ...

    def size(self, split: Split | None) -> int | None:
        """How many examples a split has, or all of them; None where they are made up as needed."""
        ...

    def untrained(self) -> Source:
        """The same examples, divided as they may be where nothing is trained."""
        ...


@dataclass(frozen=True, slots=True)
class Generated:
    """Examples that a function draws: ``draw(rng, split, level)``.

    No prompt comes twice with the same target, and a prompt that comes with another target comes
    after all new ones: the errors of means count examples as independent, which the same prompt
    with another foil is not. Of each of ``targets`` different ones there are equally many, as long
    as there are prompts; 0 leaves them to chance.
    """

    draw: Callable[[random.Random, Split, str], Example]
    text: str = "generated"
    targets: int = 0

    def examples(self, name: str, level: str, n: int, split: Split, seed: int) -> list[Example]:
        """As for every `Source`; fewer than ``n`` if there are no more."""
        return list(_drawn(self, name, level, n, split, seed))

    def _made(self, name: str, level: str, n: int, split: Split, seed: int) -> list[Example]:
        rng = random.Random(f"{name} {level} {split} {seed}")
        most = -(-n // self.targets) if self.targets else n  # of one target
        new: dict[str, Example] = {}
        again: dict[tuple[str, str], Example] = {}
        times: Counter[str] = Counter()
        since = 0  # draws without a new prompt
        while len(new) < n and since <= 100 + 10 * len(new):
            example = self.draw(rng, split, level)
            since += 1
            first = new.get(example.prompt)
            if first is None and times[example.target] < most:
                new[example.prompt] = example
                times[example.target] += 1
                since = 0
            elif first is not None and example.target != first.target:
                again.setdefault((example.prompt, example.target), example)
        if self.targets and len(new) < n:
            return self._even(list(new.values()), min(times.values()))
        return [*new.values(), *again.values()][:n]

    @staticmethod
    def _even(examples: list[Example], most: int) -> list[Example]:
        """Those of each target that come first, at most ``most``."""
        times: Counter[str] = Counter()
        kept = []
        for example in examples:
            times[example.target] += 1
            if times[example.target] <= most:
                kept.append(example)
        return kept

    def size(self, split: Split | None) -> int | None:
        """None: they are drawn as needed."""
        return None

    def untrained(self) -> Generated:
        """The same: the splits have words of their own."""
        return self


@lru_cache(maxsize=64)
def _drawn(
    source: Generated, name: str, level: str, n: int, split: Split, seed: int
) -> tuple[Example, ...]:
    """What a source draws; a run asks for the same examples more than once."""
    return tuple(source._made(name, level, n, split, seed))


@dataclass(frozen=True, slots=True)
class Level:
    """A difficulty of a task."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """Something that a model can do, or be taught to do.

    ``metric`` says in words what logit(answer) - logit(foil) means here; ``aim`` what tuning does;
    ``explanation`` is for the page. ``grade`` is a key of `GRADES`. ``levels`` are its
    difficulties, easiest first; ``level`` is the one that is used, ``usual`` unless another one was
    asked for. ``shared`` says what the splits have in common where they share content words after
    all. ``rivals`` are tasks that get worse by necessity when this one is learned.
    ``repeats``: words on whose repetition heads are scored where this task is measured
    (`ctviz.inspection.repeats`); none: they are not.
    ``file`` is the name that a file of one's own was opened by.
    """

    key: str
    title: str
    kind: Kind
    metric: str
    aim: str
    explanation: str
    source: Source
    grade: str = "choice"
    levels: tuple[Level, ...] = ()
    usual: str = ""
    level: str = ""
    shared: str = ""
    rivals: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    file: str = ""

    def __post_init__(self) -> None:
        if self.levels and not self.usual:
            object.__setattr__(self, "usual", self.levels[0].key)
        if not self.level:
            object.__setattr__(self, "level", self.usual)

    @property
    def name(self) -> str:
        """What `ctviz.tasks.find_task` finds it by: its key, and its level unless the usual one.

        A task of one's own is found by the name of its file.
        """
        if self.file:
            return self.file
        return self.key if self.level == self.usual else f"{self.key}:{self.level}"

    @property
    def slug(self) -> str:
        """Its key and level as part of a file name."""
        return self.key if self.level == self.usual else f"{self.key}-{self.level}"

    @property
    def judged_by(self) -> Grade:
        """How answers are judged."""
        return GRADES[self.grade]

    def at(self, level: str) -> Task:
        """The same task at another level; raises UnknownName."""
        known = [each.key for each in self.levels]
        if level not in known:
            raise UnknownName(f"level of {self.key}", level, known)
        return replace(self, level=level)

    def examples(self, n: int, *, split: Split, seed: int = 0) -> list[Example]:
        """``n`` different examples, fewer if the task has no more; the same seed, the same ones.

        The splits share no content words, or what ``shared`` says.
        """
        if n < 1:
            raise OutOfRange("examples", n, 1, None)
        return self.source.examples(self.key, self.level, n, split, seed)

    def size(self, split: Split | None = None) -> int | None:
        """How many examples a split of a file has, or the whole file; None if they are drawn."""
        return self.source.size(split)

    def untrained(self) -> Task:
        """The same task where nothing is trained, so that little has to be held back.

        A small file without splits of its own is divided into two halves: train to find something
        on, dev to judge it on, and test is dev. Anything else stays as it is.
        """
        return replace(self, source=self.source.untrained())

    def pairs(self, n: int, *, split: Split, seed: int = 0) -> list[Pair]:
        """The pairs of ``n`` examples, each clean prompt once; raises BadTask if they have none."""
        examples = self.examples(n, split=split, seed=seed)
        every = [example.pair for example in examples if example.pair is not None]
        found = list({pair.clean: pair for pair in reversed(every)}.values())[::-1]
        if not found:
            raise BadTask(
                f"The examples of {self.key} have no counterfactual pairs (clean, corrupt, answer, "
                "foil) to discover a circuit on. They can be tuned on, with mean or zero ablation."
            )
        return found
