"""Sums and differences of small numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ctviz.english import part_of
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS"]


@dataclass(frozen=True, slots=True)
class _Sum:
    """Numbers to be added up; from the second on, each has a sign in front ("+" or "-")."""

    numbers: tuple[int, ...]
    signs: tuple[str, ...]

    @property
    def running(self) -> tuple[int, ...]:
        """The result after each number."""
        results = [self.numbers[0]]
        for sign, number in zip(self.signs, self.numbers[1:], strict=True):
            results.append(results[-1] + number if sign == "+" else results[-1] - number)
        return tuple(results)

    @property
    def result(self) -> int:
        return self.running[-1]

    @property
    def prompt(self) -> str:
        """The text up to the result.

        It does not begin with a number: models without a token for the beginning of a text spend
        their first token on that, and lose the first number.
        """
        rest = "".join(f" {s} {n}" for s, n in zip(self.signs, self.numbers[1:], strict=True))
        return f"Calculate: {self.numbers[0]}{rest} ="

    @property
    def split(self) -> str:
        """The split it belongs to: the same for these numbers in any order, with any signs."""
        return part_of(" + ".join(str(number) for number in sorted(self.numbers)))

    def with_number(self, place: int, number: int) -> _Sum:
        """The same with another number at one place."""
        return _Sum((*self.numbers[:place], number, *self.numbers[place + 1 :]), self.signs)


# Smallest and largest number, how many numbers, and the signs between them.
_LIMITS: dict[str, tuple[int, int, int, str]] = {
    "add-1": (0, 9, 2, "+"),
    "add-2": (10, 99, 2, "+"),
    "mixed": (10, 99, 2, "+-"),
    "three": (1, 49, 3, "+-"),
}


def _counterfactual(problem: _Sum, smallest: int, largest: int) -> _Sum | None:
    """A problem of the same split with one number changed, and a different result.

    All numbers have as many digits as in the problem, the result too. Always the same one for a
    problem; None if there is none.
    """
    places = range(len(problem.numbers))
    changes = [(place, new) for place in places for new in range(smallest, largest + 1)]
    random.Random(problem.prompt).shuffle(changes)
    for place, new in changes:
        other = problem.with_number(place, new)
        if (
            len(str(new)) == len(str(problem.numbers[place]))
            and other.result != problem.result
            and min(other.running) >= 0
            and len(str(other.result)) == len(str(problem.result))
            and other.split == problem.split
        ):
            return other
    return None


def _calculate(rng: random.Random, split: Split, level: str) -> Example:
    """A problem with the one counterfactual that always comes with it.

    So there are as many different examples as there are problems.
    """
    smallest, largest, n, signs = _LIMITS[level]
    while True:
        numbers = tuple(rng.randint(smallest, largest) for _ in range(n))
        problem = _Sum(numbers, tuple(rng.choice(signs) for _ in range(n - 1)))
        if problem.split != split or min(problem.running) < 0:
            continue
        other = _counterfactual(problem, smallest, largest)
        if other is not None:
            break
    return Example(
        prompt=problem.prompt,
        target=f" {problem.result}\n",
        pair=Pair(problem.prompt, other.prompt, f" {problem.result}", f" {other.result}"),
        accepted=(str(problem.result),),
    )


TASKS: tuple[Task, ...] = (
    Task(
        key="arithmetic",
        title="Arithmetic",
        kind="mathematics",
        metric="logit(result) - logit(result of other numbers), at the first digit that differs",
        aim="give the result of a sum or difference of small numbers",
        explanation=(
            "“Calculate: 17 + 25 =” goes on with “42”. The model answers freely until the end of "
            "the line, and the last number that it wrote is compared. In the counterfactual prompt "
            "one number is another one of as many digits: “Calculate: 17 + 45 =”. With one-digit "
            "numbers there are only 100 problems, about 60 of them for training."
        ),
        source=Generated(_calculate),
        grade="exact",
        levels=(
            Level("add-1", "one digit plus one digit: “7 + 5 =”; 100 problems in all"),
            Level("add-2", "two digits plus two digits: “17 + 25 =”"),
            Level("mixed", "two digits, plus or minus: “52 - 17 =”"),
            Level("three", "three numbers below 50: “12 + 30 - 7 =”"),
        ),
        usual="add-2",
        shared="single numbers; no two problems of the same numbers, whatever their order",
    ),
)
