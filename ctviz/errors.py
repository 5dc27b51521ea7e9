"""Everything that ctviz raises on purpose.

CtvizError
 ├── UnknownName         a model, task, method, node or run that does not exist (LookupError)
 ├── OutOfRange          a number outside what the model, graph or run allows   (ValueError)
 ├── UnsupportedModel    a model of a family that has no architecture table     (ValueError)
 ├── MissingExtra        a package that only some parts of ctviz need           (ImportError)
 ├── MissingModel        weights that are not on this machine yet               (FileNotFoundError)
 │    └── Unreachable    the hub does not answer, or keeps a model to itself    (ConnectionError)
 ├── BadTask             a task that cannot be made into a batch for this model (ValueError)
 ├── BadCircuitFile      a circuit of another tool that cannot be read          (ValueError)
 ├── UndefinedMetric     a ratio whose denominator is zero, or a NaN            (ArithmeticError)
 │    └── Diverged       tuning made a loss, gradient or metric infinite or NaN (FloatingPointError)
 ├── EmptyCircuit        a circuit without edges, or that owns no parameter     (ValueError)
 ├── DiskFull            a file that could not be written                       (OSError)
 ├── DamagedRun          a file of a run directory that cannot be read          (ValueError)
 ├── EngineFailed        a model that a page could not run                      (RuntimeError)
 └── RunExists           something that would be overwritten                    (FileExistsError)

Each message says what was asked, what is true, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadCircuitFile",
    "BadTask",
    "CtvizError",
    "DamagedRun",
    "DiskFull",
    "Diverged",
    "EmptyCircuit",
    "EngineFailed",
    "MissingExtra",
    "MissingModel",
    "OutOfRange",
    "RunExists",
    "UndefinedMetric",
    "UnknownName",
    "Unreachable",
    "UnsupportedModel",
]


class CtvizError(Exception):
    """Root of every error that ctviz raises on purpose."""


class UnknownName(CtvizError, LookupError):
    """A name was asked for that does not exist; the message lists near misses and what does.

    >>> str(UnknownName("task", "svaa", ["sva", "sva-flip"]))
    "There is no task 'svaa'. Did you mean 'sva' or 'sva-flip'? Known tasks: sva, sva-flip."
    """

    def __init__(self, kind: str, asked: str, known: Iterable[str], *, hint: str = "") -> None:
        self.kind, self.asked, self.known = kind, asked, tuple(known)
        near = difflib.get_close_matches(asked.lower(), self.known, n=3, cutoff=0.5)
        parts = [f"There is no {kind} {asked!r}."]
        if near:
            parts.append(f"Did you mean {' or '.join(repr(name) for name in near)}?")
        if self.known:
            shown = ", ".join(self.known[:20])
            more = len(self.known) - 20
            plural = f"{kind}es" if kind.endswith("x") else f"{kind}s"
            parts.append(f"Known {plural}: {shown}{f', and {more} more' if more > 0 else ''}.")
        if hint:
            parts.append(hint)
        super().__init__(" ".join(parts))


class OutOfRange(CtvizError, ValueError):
    """A number outside the range that the model, graph or run allows.

    >>> str(OutOfRange("edges", 900, 1, 479))
    'edges is 900, but must be from 1 to 479.'
    """

    def __init__(
        self, what: str, asked: float, low: float, high: float | None, *, hint: str = ""
    ) -> None:
        bound = f"from {low:,} to {high:,}" if high is not None else f"at least {low:,}"
        super().__init__(f"{what} is {asked:,}, but must be {bound}.{f' {hint}' if hint else ''}")


class UnsupportedModel(CtvizError, ValueError):
    """The model's family has no architecture table, or the model breaks an assumption of it."""


class MissingExtra(CtvizError, ImportError):
    """Something was asked for that needs packages which a plain installation does not bring.

    >>> str(MissingExtra("lora", "LoRA", ["peft"]))
    "LoRA needs peft, which is not installed here. Run `pip install 'ctviz[lora]'`."
    """

    def __init__(self, extra: str, what: str, packages: Iterable[str]) -> None:
        self.extra = extra
        missing = " and ".join(packages)
        super().__init__(
            f"{what} needs {missing}, which is not installed here. "
            f"Run `pip install 'ctviz[{extra}]'`."
        )


class MissingModel(CtvizError, FileNotFoundError):
    """The model's weights are not on this machine yet; the message names the command to run."""


class Unreachable(MissingModel, ConnectionError):
    """A model of the hub cannot be had from here: there is no network, or it is gated."""


class BadTask(CtvizError, ValueError):
    """The task yields no usable example for this model, or an example is malformed."""


class BadCircuitFile(CtvizError, ValueError):
    """A circuit file that is missing or breaks its format; the message names file and edge."""


class UndefinedMetric(CtvizError, ArithmeticError):
    """A number was asked for that does not exist, such as faithfulness when clean = corrupt."""


class Diverged(UndefinedMetric, FloatingPointError):
    """Tuning has made the loss, a gradient or the metric a number that is not finite."""


class EmptyCircuit(CtvizError, ValueError):
    """A circuit has no edges, or none of them belongs to a parameter that could be tuned."""


class DiskFull(CtvizError, OSError):
    """A file could not be written, most often because the disk is full; the message names it."""


class DamagedRun(CtvizError, ValueError):
    """A file of a run directory is missing, half-written or malformed; the message names it."""


class EngineFailed(CtvizError, RuntimeError):
    """What a page asked of a model failed, or the process that runs the model ended."""


class RunExists(CtvizError, FileExistsError):
    """Something is already where a result should go; nothing is overwritten without being asked."""
