"""What to run: the settings of discovery and tuning, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ctviz.errors import OutOfRange, UnknownName
from ctviz.tasks import find_task

__all__ = [
    "ABLATIONS",
    "ATTRIBUTIONS",
    "METHODS",
    "METRICS",
    "Ablation",
    "Attribution",
    "Method",
    "Metric",
    "Optimizer",
    "TuneConfig",
]

Method = Literal["circuit", "full"]
Optimizer = Literal["adamw", "sgd"]
METHODS: tuple[Method, ...] = get_args(Method)
Ablation = Literal["counterfactual", "mean", "zero"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
Attribution = Literal["eap", "eap-ig", "exact"]
ATTRIBUTIONS: tuple[Attribution, ...] = get_args(Attribution)
Metric = Literal["logit_difference", "probability_difference", "log_probability", "kl"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """Settings of one tuning run.

    ``method``: ``circuit`` updates only what the circuit of the step's own batch owns; ``full``
    updates every parameter. ``edges``: size of the circuit; ``examples``: dev pairs on which
    snapshots are computed; ``snapshot_every``: steps between snapshots, 0 for about 20 a run.

    Raises OutOfRange and UnknownName for values that no model could satisfy; the number of edges
    is checked again when the model is known.
    """

    model: str
    task: str
    method: Method = "circuit"
    steps: int = 60
    edges: int = 60
    batch_size: int = 16
    learning_rate: float = 3e-4
    optimizer: Optimizer = "adamw"
    weight_decay: float = 0.0
    max_norm: float = 1.0
    ablation: Ablation = "counterfactual"
    examples: int = 32
    snapshot_every: int = 0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        find_task(self.task)
        for name, asked, known in (
            ("method", self.method, METHODS),
            ("optimizer", self.optimizer, get_args(Optimizer)),
            ("ablation", self.ablation, ABLATIONS),
        ):
            if asked not in known:
                raise UnknownName(name, asked, known)
        for what, low, high in (
            ("steps", 1, 100_000),
            ("edges", 1, None),
            ("batch_size", 1, 4096),
            ("examples", 2, 4096),
            ("snapshot_every", 0, self.steps),
            ("learning_rate", 0.0, 1.0),
            ("weight_decay", 0.0, 1.0),
            ("max_norm", 0.0, None),
        ):
            value = getattr(self, what)
            if not (value >= low and (high is None or value <= high)):
                raise OutOfRange(what, value, low, high)

    @property
    def every(self) -> int:
        """Steps between snapshots."""
        return self.snapshot_every or max(1, round(self.steps / 20))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``run.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TuneConfig:
        """The settings in a dict; raises UnknownName for a name that is not a setting."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UnknownName("setting", name, known)
        return cls(**values)
