"""The sentence that says what a newcomer sees, from what the run has stored."""

from __future__ import annotations

from ctviz.runs.trust import span
from ctviz.views.timeline import Timeline

__all__ = ["first_sight"]


def first_sight(timeline: Timeline) -> str:
    """What the last snapshot of a training shows, as Markdown; empty if there is none.

    Without a faithfulness that can be trusted it says how many edges there are, and no more.
    """
    if not timeline.steps:
        return ""
    inside, every = int(timeline.circuit[-1].sum()), timeline.graph.n_edges
    edges = f"{inside:,} of {every:,} edges of a tiny model"
    skill = timeline.title[:1].lower() + timeline.title[1:]
    sure = timeline.trust and timeline.trust[-1].state in ("faithful", "over")
    if timeline.quality is None or not sure:
        return f"The **circuit** of a skill: {edges}, for {skill}. Press play."
    share = span(float(timeline.quality[-1, 0]), float(timeline.quality[-1, 2]))
    return f"A **circuit** is born: {edges} carry {share} of {skill}. Press play to see how."
