"""Which revisions of a hub's model are a series: by name, pattern or number. Without torch.

Those who publish a training as revisions name its steps in them (Pythia ``step512``, OLMo
``stage1-step1000-tokens5B``): these are the steps of the clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import log

from ctviz.errors import CtvizError, MissingModel, UnknownName, Unreachable
from ctviz.models.known import hub_id
from ctviz.runs.series import Member, Series

__all__ = ["log_spaced", "of_revisions", "step_in"]

STEP = re.compile(r"(?:step|checkpoint|ckpt|iter|epoch)[-_]?(\d+)([KkMm](?![A-Za-z]))?")
TIMES = {"": 1, "k": 1_000, "m": 1_000_000}
SHOWN = 8  # names in a message


def of_revisions(
    model: str,
    wanted: Sequence[str] = (),
    *,
    at_most: int = 0,
    tokenizer: str = "",
    keep_downloads: bool = False,
) -> Series:
    """Revisions of a hub's model, in the order of the steps that their names have.

    ``wanted``: names and patterns (``step*``), all that have a step if there are none; a pattern
    takes those with a step where there are such. ``at_most``: so many of them, evenly spread over
    the logarithm of the step, the first and the last among them; 0: all. If not all names have a
    step, they stand in the order in which they are given and are called by their names.
    ``keep_downloads``: what a recording downloads of them stays in the hub's cache.

    Raises UnknownName for a name that is no revision, Unreachable, naming what is on this machine,
    if the hub does not answer and not all names are here, and CtvizError if it does not make a
    series.
    """
    if at_most == 1 or at_most < 0:
        raise CtvizError(f"A series has at least two members, and {at_most} were asked for.")
    repo = hub_id(model)
    names = _named(repo, wanted)
    if at_most:
        numbered = [name for name in names if step_in(name) is not None]
        if len(numbered) < 2:
            raise CtvizError(f"Only names with a step can be spread evenly. {_has(repo, names)}")
        steps = {_step(name): name for name in _one_course(repo, numbered)}
        names = [steps[step] for step in log_spaced(list(steps), at_most)]
    if all(step_in(name) is not None for name in names):
        members = [Member(_step(name), "", f"{repo}@{name}") for name in _one_course(repo, names)]
    else:
        members = [Member(at, name, f"{repo}@{name}") for at, name in enumerate(names)]
    return Series("revisions", tuple(members), tokenizer, keep_downloads)


def step_in(name: str) -> int | None:
    """The training step that a revision's name says; None if it says none.

    >>> step_in("step512"), step_in("stage1-step1000-tokens5B"), step_in("step-50K"), step_in("v2")
    (512, 1000, 50000, None)
    """
    found = STEP.search(name)
    return int(found[1]) * TIMES[(found[2] or "").lower()] if found else None


def log_spaced(steps: Sequence[int], at_most: int) -> list[int]:
    """At most so many of some steps, the first and the last among them, between which they are as
    evenly spread over the logarithm of the step as there are such; step 0 counts as one more.

    >>> log_spaced([0, 1, 2, 4, 8, 16, 32, 64, 100, 1000], 5)
    [0, 1, 8, 100, 1000]
    """
    steps = sorted(set(steps))
    if len(steps) <= at_most:
        return steps
    start = [0] if steps[0] == 0 else []
    later = steps[len(start) :]
    places = at_most - len(start)
    low, high = log(later[0]), log(later[-1])
    if places < 2:
        return [*start, later[-1]]
    chosen = {
        min(later, key=lambda step: abs(log(step) - (low + (high - low) * at / (places - 1))))
        for at in range(places)
    }
    return [*start, *sorted(chosen)]


def _named(repo: str, wanted: Sequence[str]) -> list[str]:
    """The revisions that are asked for, each once."""
    from ctviz.models.hub import revisions_at_hub, revisions_here

    asked = [name for text in wanted for name in text.split(",") if name]
    here = revisions_here(repo)
    if asked and set(asked) <= set(here):
        return list(dict.fromkeys(asked))
    try:
        listed = revisions_at_hub(repo)
    except Unreachable as error:
        if not here:
            raise
        raise Unreachable(
            f"{error} On this machine are of its revisions {', '.join(here)}: name some of these."
        ) from error
    found: dict[str, None] = {}
    for text in asked or ["*"]:
        if text in listed:
            found[text] = None
            continue
        if not re.search(r"[*?\[]", text):
            raise UnknownName("revision", text, listed, hint=f"These are those of {repo}.")
        matching = [name for name in listed if fnmatchcase(name, text)]
        numbered = [name for name in matching if step_in(name) is not None]
        if not matching or (not asked and not numbered):
            what = f"matches {text!r}" if asked else "has a step in its name"
            raise MissingModel(
                f"No revision of {repo} {what}. {_has(repo, listed)} Name the revisions one by one."
            )
        found |= dict.fromkeys(numbered or matching)
    return list(found)


def _one_course(repo: str, names: Sequence[str]) -> list[str]:
    """Names in the order of their steps; raises CtvizError if two stand for the same one."""
    found: dict[int, str] = {}
    for name in names:
        other = found.setdefault(_step(name), name)
        if other != name:
            raise CtvizError(
                f"{other} and {name} of {repo} both stand for step {_step(name)}: take a pattern "
                f"that fits one of them alone, such as {_pattern(other)!r}."
            )
    return [found[step] for step in sorted(found)]


def _step(name: str) -> int:
    found = step_in(name)
    assert found is not None
    return found


def _pattern(name: str) -> str:
    """A pattern for names that begin like this one."""
    found = STEP.search(name)
    assert found is not None
    return f"{name[: found.start(1)]}*"


def _has(repo: str, names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{repo} has {', '.join(names[:SHOWN]) or 'none'}{more}."
