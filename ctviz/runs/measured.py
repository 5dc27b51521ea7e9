"""On what the numbers of a run stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctviz.runs.config import TuneConfig
from ctviz.tasks.files.rows import counted

__all__ = ["measured_on"]


def measured_on(about: Mapping[str, Any], config: TuneConfig) -> tuple[str, str]:
    """On what edges were scored and circuits judged; runs of before this was kept counted the dev
    examples, with or without a pair. Where a task has no pairs, it is prompts and their targets.
    """
    if "pairs" not in about:
        both = counted(about["examples"], "dev example")
        return both, both
    pairs = about["pairs"]
    what = pairs.get("what", "pair")
    return (
        counted(pairs["scored"], f"{config.scored_on} {what}"),
        counted(pairs["judged"], f"dev {what}"),
    )
