"""Lessons that drive the real player on shipped runs: pure data, no model and no page."""

from ctviz.lessons import (
    circuit_tuning,
    faithfulness,
    forming,
    heads_and_mlps,
    induction,
    reading_the_graph,
    redundancy,
    what_a_circuit_is,
)
from ctviz.lessons.lesson import Lesson

__all__ = ["LESSONS"]

LESSONS: dict[str, Lesson] = {
    lesson.key: lesson
    for lesson in (
        what_a_circuit_is.LESSON,
        reading_the_graph.LESSON,
        heads_and_mlps.LESSON,
        redundancy.LESSON,
        circuit_tuning.LESSON,
        faithfulness.LESSON,
        induction.LESSON,
        forming.LESSON,
    )
}
"""All lessons by key, in the order in which they are best read."""
