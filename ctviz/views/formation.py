"""Tasks in the course of one training: when their circuits form, and what these share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctviz.runs.formation import Course, sharing
from ctviz.runs.series import series_of
from ctviz.views.compared import Side, drawn
from ctviz.views.naming import task_name

__all__ = ["MEANING", "course", "formation_words"]

MEANING = (
    "A circuit has formed at the first step at which it shares at least half of the edges in it or "
    "in the last one with the last one. A grade is half way at the first step at which half of its "
    "gain is made; a gain within two standard errors is none."
)


def course(side: Side) -> Course:
    """What a side that is a recording with a snapshot says of its task."""
    timeline, config = drawn(side), side.run.config
    grades = side.metrics.set_index("step").reindex(timeline.steps)
    measured = side.judged_by in grades
    return Course(
        run=side.run.id,
        task=task_name(side.run),
        graph=timeline.graph,
        steps=tuple(timeline.steps),
        grade=grades[side.judged_by].to_numpy(float)
        if measured
        else np.full(len(timeline.steps), np.nan),
        graded=side.judged_by,
        rises=side.run.about.get("task", {}).get("better") != "lower",
        examples=config.graded_examples or timeline.examples,
        circuits=timeline.circuit,
        names={each.step: each.name for each in series_of(side.run).members if each.name},
    )


def formation_words(courses: Sequence[Course]) -> str:
    """Which circuit forms first, when grades are half way, and what is shared at the end."""
    formed = "; ".join(f"{each.task} at {each.called(each.formed)}" for each in courses)
    start = min(each.formed for each in courses)
    first = [each.task for each in courses if each.formed == start]
    if len(first) == len(courses):
        order = f"The circuits form together ({formed})."
    else:
        verb = "forms" if len(first) == 1 else "form"
        order = f"{' and '.join(first)} {verb} first ({formed})."
    graded = "; ".join(
        f"{each.task} {f'at {each.called(each.learned)}' if each.learned is not None else 'never'}"
        for each in courses
    )
    most = max(sharing(courses), key=lambda found: float(found.edges[-1]))
    whose = " and ".join(most.tasks)
    return (
        f"{order} Their grades are half way: {graded}. At the end the circuits of {whose} share "
        f"{most.edges[-1]:.0%} of their edges (by chance {most.by_chance[-1]:.1%}) and "
        f"{most.nodes[-1]:.0%} of their heads and MLPs"
        + (", the most of all pairs." if len(courses) > 2 else ".")
    )
