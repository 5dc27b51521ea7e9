"""Recall of a function's arguments in its docstring."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ctviz.english import NOUNS, part_of
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS"]

_LEVELS = (
    Level("three", "three arguments, the first of them documented"),
    Level("four", "four arguments, one or two of them documented"),
    Level("five", "five arguments, one to three of them documented"),
)
_ARGUMENTS_OF = {"three": 3, "four": 4, "five": 5}

# Each is one token after a space in the vocabulary of SmolLM2.
_NAMES = """data path name size mode index value key count width height depth text line page user
    file folder image color label title start stop step limit offset scale rate weight shape target
    source output input model layer batch seed host port token query table column row field event
    handler parent child node edge graph tree root level order rank score mask filter format prefix
    suffix pattern message error code status result config options timeout version type kind group
    item list items files last first next load state action reward policy agent angle speed mass
    force length radius center origin point vector matrix axis range total average minimum maximum
    delay duration date time zone year month day hour password email address country currency price
    amount tax discount unit buffer stream channel signal frame window screen menu link url method
    header body session client server request response cache memory device thread process queue
    stack task job"""
_ARGUMENTS = tuple(_NAMES.split())
_WORDS = tuple(noun.singular for noun in NOUNS if noun.singular not in _ARGUMENTS)


def _next_argument(rng: random.Random, split: Split, level: str) -> Example:
    """A function header and the start of its docstring, up to the next argument's name.

    At least two arguments are not documented yet, and the answer is the first of them. In the
    counterfactual prompt it has changed places, in the header, with another one of them, the foil.
    (Heimersheim & Janiak 2023, "A circuit for Python docstrings in a 4-layer attention-only
    transformer".)
    """
    n = _ARGUMENTS_OF[level]
    arguments = rng.sample([word for word in _ARGUMENTS if part_of(word) == split], n)
    documented = rng.randint(1, n - 2)
    words = rng.sample([word for word in _WORDS if part_of(word) == split], documented + 3)
    name, *title = words[:3]
    lines = [
        f'    """{" ".join(title)}',
        "",
        *(f"    :param {arguments[i]}: {words[3 + i]}" for i in range(documented)),
        "    :param",
    ]

    def prompt(header: Sequence[str]) -> str:
        return "\n".join([f"def {name}(self, {', '.join(header)}):", *lines])

    other = rng.randrange(documented + 1, n)
    exchanged = list(arguments)
    exchanged[documented], exchanged[other] = arguments[other], arguments[documented]
    answer, foil = f" {arguments[documented]}", f" {arguments[other]}"
    rest = [f" {word}" for word in arguments if f" {word}" not in (answer, foil)]
    pair = Pair(prompt(arguments), prompt(exchanged), answer, foil)
    return Example(pair.clean, answer, pair, choices=(answer, foil, *rest))


TASKS: tuple[Task, ...] = (
    Task(
        key="docstring",
        title="Docstring arguments",
        kind="classic",
        metric="logit(next argument) - logit(a later argument)",
        aim="document the arguments in the order of the header",
        explanation=(
            "In “def load(self, size, files, mode):” with a docstring that has “:param size: …” "
            "and then “:param”, the next word is “files”: the argument that follows the documented "
            "ones in the header. In the counterfactual prompt the header says “size, mode, "
            "files”. All arguments of the header are choices, so naming any of them is no help."
        ),
        source=Generated(_next_argument),
        levels=_LEVELS,
        shared="the form of header and docstring; no word in it",
    ),
)
