"""On what the numbers of a run stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctviz.runs.config import TuneConfig
from ctviz.tasks.files.rows import counted

__all__ = ["MeasuredOn", "measured_on"]


NEUTRAL = "neutral text"


@dataclass(frozen=True, slots=True)
class MeasuredOn:
    """In words: ``scored``, what edges are scored on; ``judged``, what a circuit alone is run on;
    ``metric``, what the metric of the whole model is a mean over; ``neutral``, what the distance
    from the untuned model is taken on. ``judging``: on how many a circuit is run.
    """

    scored: str
    judged: str
    metric: str
    judging: int
    neutral: str = NEUTRAL


def measured_on(about: Mapping[str, Any], config: TuneConfig) -> MeasuredOn:
    """On what the snapshots of a run were measured; ``about`` is its ``run.json``.

    Where a task has no pairs, it is prompts and their targets. Runs of before this was kept counted
    the dev examples, with or without a pair.
    """
    examples = counted(about["examples"], "dev example")
    if "pairs" not in about:
        return MeasuredOn(examples, examples, examples, about["examples"])
    pairs = about["pairs"]
    what = pairs.get("what", "pair")
    return MeasuredOn(
        scored=counted(pairs["scored"], f"{config.scored_on} {what}"),
        judged=counted(pairs["judged"], f"dev {what}"),
        metric=counted(pairs["dev"], f"dev {what}") if "dev" in pairs else examples,
        judging=pairs["judged"],
        neutral=counted(pairs["neutral"], "neutral prompt") if "neutral" in pairs else NEUTRAL,
    )
