"""What a lesson is made of: plain data, no page and no model.

A lesson's steps are made from the stored run that it shows (`ctviz.lessons.facts.Facts`), so that
every number in its text is read from the run when the text is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from ctviz.circuits.graph import kind_of
from ctviz.lessons.facts import Facts
from ctviz.views.view import Estimator, Heat, Marks, Shown, View

__all__ = [
    "AnyHead",
    "AtStep",
    "Condition",
    "EdgesAtMost",
    "EstimatorIs",
    "HeatIs",
    "Lesson",
    "LessonStep",
    "MapIs",
    "MarksAre",
    "Prediction",
    "Question",
    "Selected",
    "SwitchOff",
    "Turn",
    "seconds",
]

READING = 200  # words a minute
LOOKING, ACTING = 5, 20  # seconds: for the picture of a step, for what the reader is asked to do


class Condition(Protocol):
    """Something that a reader brings about in the player."""

    def met(self, view: View) -> bool:
        """Whether what the browser shows is what was asked for."""
        ...

    def done_for(self, view: View) -> View:
        """The nearest view in which it is met, for a reader who wants to be shown."""
        ...


@dataclass(frozen=True, slots=True)
class Selected:
    """One node, by name, is among the selected ones."""

    node: str

    def met(self, view: View) -> bool:
        """Whether it is selected."""
        return self.node in view.nodes

    def done_for(self, view: View) -> View:
        """The same picture with that node alone selected."""
        return replace(view, nodes=(self.node,))


@dataclass(frozen=True, slots=True)
class AnyHead:
    """Some attention head is selected. ``example`` is the one that a reader is shown."""

    example: str

    def met(self, view: View) -> bool:
        """Whether a head is among the selected nodes."""
        return any(kind_of(node) == "head" for node in view.nodes)

    def done_for(self, view: View) -> View:
        """The same picture with the example selected."""
        return replace(view, nodes=(self.example,))


@dataclass(frozen=True, slots=True)
class AtStep:
    """The training step that is shown lies in a range, both ends included."""

    at_least: int
    at_most: int | None = None

    def met(self, view: View) -> bool:
        """Whether it does."""
        if view.step is None:
            return False
        return self.at_least <= view.step and (self.at_most is None or view.step <= self.at_most)

    def done_for(self, view: View) -> View:
        """The same picture at the first step of the range."""
        return replace(view, step=self.at_least)


@dataclass(frozen=True, slots=True)
class EdgesAtMost:
    """So many edges are shown, or fewer."""

    most: int

    def met(self, view: View) -> bool:
        """Whether that is so; all edges of the circuit are never few."""
        return view.edges is not None and view.edges <= self.most

    def done_for(self, view: View) -> View:
        """The same picture with just so many edges."""
        return replace(view, edges=self.most)


@dataclass(frozen=True, slots=True)
class EstimatorIs:
    """The heatmap shows redundancy by this estimator."""

    estimator: Estimator

    def met(self, view: View) -> bool:
        """Whether it does."""
        return view.estimator == self.estimator

    def done_for(self, view: View) -> View:
        """The same picture by that estimator."""
        return replace(view, estimator=self.estimator)


@dataclass(frozen=True, slots=True)
class HeatIs:
    """The heatmap is of this kind."""

    heat: Heat

    def met(self, view: View) -> bool:
        """Whether it is."""
        return view.heat == self.heat

    def done_for(self, view: View) -> View:
        """The same picture with that heatmap."""
        return replace(view, heat=self.heat)


@dataclass(frozen=True, slots=True)
class MapIs:
    """The heatmap is of this number of the nodes."""

    map: Shown

    def met(self, view: View) -> bool:
        """Whether it is."""
        return view.map == self.map

    def done_for(self, view: View) -> View:
        """The same picture with that map."""
        return replace(view, map=self.map)


@dataclass(frozen=True, slots=True)
class MarksAre:
    """Changes are marked against this snapshot."""

    marks: Marks

    def met(self, view: View) -> bool:
        """Whether they are."""
        return view.marks == self.marks

    def done_for(self, view: View) -> View:
        """The same picture with those marks."""
        return replace(view, marks=self.marks)


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is answered on the page. ``right`` is one of ``options``; ``why`` says why it
    is right, and is shown once it was chosen. ``wrong``: what each of the others misses."""

    options: tuple[str, ...]
    right: str
    why: str
    wrong: Mapping[str, str] = field(hash=False)

    def __post_init__(self) -> None:
        if self.right not in self.options or len(set(self.options)) != len(self.options):
            raise ValueError(f"{self.right!r} must be one of {self.options}, which must differ.")
        if set(self.wrong) != set(self.options) - {self.right}:
            raise ValueError(f"Each option but {self.right!r} must have a hint of its own.")

    def met(self, choice: str | None) -> bool:
        """Whether the choice is the right one."""
        return choice == self.right


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question whose answer the reader cannot know yet: any of ``options`` will do, and a later
    step that ``recalls`` says it again."""

    options: tuple[str, ...]

    def met(self, choice: str | None) -> bool:
        """Whether one was chosen."""
        return choice is not None


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """A node is switched off in the model itself, as it was at each of some steps: it writes zero,
    and the page says what is left of the metric on the run's dev pairs."""

    node: str
    steps: tuple[int, ...]


Turn = Condition | Question | Prediction | SwitchOff


@dataclass(frozen=True, slots=True)
class LessonStep:
    """One step: what is said, what is shown, and what the reader is asked to do, if anything.

    ``text``: markdown of ours, with ``[[term]]`` for words of the glossary. ``camera``: ``all``, or
    names of nodes joined by commas. ``ask`` says what to do, or is the question; ``hint`` where.
    ``recalls``: whether what the reader has predicted is said again in front of the text.
    """

    text: str
    view: View
    camera: str = "all"
    until: Turn | None = None
    ask: str = ""
    hint: str = ""
    recalls: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson. ``key`` names it in links; ``learns`` says in a sentence what one learns; ``run``
    is the id of the shipped run that it shows; ``steps`` makes its steps from that run."""

    key: str
    title: str
    learns: str
    minutes: Literal[3, 4, 5]
    run: str
    steps: Callable[[Facts], tuple[LessonStep, ...]]


def seconds(steps: tuple[LessonStep, ...]) -> float:
    """How long a reader takes: the words, a look at each picture, and what there is to do."""
    total = 0.0
    for step in steps:
        words = f"{step.text} {step.ask} {step.hint}"
        if isinstance(step.until, Question | Prediction):
            words += f" {' '.join(step.until.options)}"
        if isinstance(step.until, Question):
            words += f" {step.until.why}"
        total += 60 * len(words.split()) / READING + LOOKING
        total += ACTING if step.until is not None else 0
    return total
