"""Which parameters a tuning step may move: the methods that are compared.

Each method is asked, before every step, for the units that it owns. What it must remember to go on
after an interruption is its state.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctviz.circuits.scores import Circuit, Scores
from ctviz.circuits.selection import SELECTIONS
from ctviz.errors import EmptyCircuit
from ctviz.models.anatomy import Anatomy
from ctviz.runs.config import TuneConfig
from ctviz.tasks.batch import Batch
from ctviz.tuning.lora import adapter_units
from ctviz.tuning.ownership import (
    Unit,
    circuit_units,
    owned_units,
    whole_units,
)

__all__ = ["Method", "Owned", "make_method", "select_circuit"]

Discover = Callable[[Batch], Scores]


@dataclass(frozen=True, slots=True)
class Owned:
    """Names of the units that a step may move, and the circuit that owns them, if one does."""

    units: tuple[str, ...]
    circuit: Circuit | None = None


class Method(ABC):
    """``units`` are all that the method can ever own."""

    units: list[Unit]

    @abstractmethod
    def own(self, step: int, batch: Batch | None) -> Owned:
        """What moves at a step, counted from 1, on a batch of pairs (None without any)."""

    def state(self) -> dict[str, Tensor]:
        """What to remember."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027 - most remember nothing
        """Go on from what `state` returned."""


def make_method(anatomy: Anatomy, config: TuneConfig, discover: Discover, first: Batch) -> Method:
    """The method of a config. ``first`` are the pairs on which a circuit is discovered only once;
    ``discover`` scores the edges on a batch."""
    if config.method == "full":
        return _Everything(whole_units(anatomy))
    if config.method == "lora":
        return _Everything(adapter_units(anatomy, config.lora_rank, config.seed))
    kind = {"random": _RandomUnits, "circuit-and-random": _CircuitAndRandomUnits}
    return kind.get(config.method, _CircuitUnits)(anatomy, config, discover, first)


def select_circuit(scores: Scores, config: TuneConfig, step: int) -> Circuit:
    """The circuit of a config from the scores at a step, counted from 1 (0 is as 1).

    Raises EmptyCircuit if no \\|score\\| is above the threshold.
    """
    selection = SELECTIONS[config.select]
    if selection.amount == "edges":
        return selection.choose(scores, config.edges_at(max(1, step)))
    circuit = selection.choose(scores, config.threshold)
    if not circuit.n_edges:
        raise EmptyCircuit(
            f"At step {step} no edge has a |score| above the threshold {config.threshold:g}: the "
            f"largest is {np.abs(scores.values).max():.3g}. Lower the threshold, or select a "
            "number of edges."
        )
    return circuit


class _Everything(Method):
    """Whatever there is to move: full fine-tuning, or the adapters of LoRA."""

    def __init__(self, units: list[Unit]) -> None:
        self.units = units
        self._owned = Owned(tuple(unit.name for unit in units))

    def own(self, step: int, batch: Batch | None) -> Owned:
        """All units."""
        return self._owned


class _CircuitUnits(Method):
    """What the circuit owns, discovered again every so many steps, or once."""

    def __init__(
        self, anatomy: Anatomy, config: TuneConfig, discover: Discover, first: Batch
    ) -> None:
        self.units = circuit_units(anatomy)
        self._graph, self._config, self._discover = anatomy.graph, config, discover
        self._first, self._once = first, config.method == "frozen-circuit"
        self._circuit: Circuit | None = None

    def own(self, step: int, batch: Batch | None) -> Owned:
        """The units of the circuit; raises EmptyCircuit if it owns none."""
        config = self._config
        due = batch is not None and not self._once and (step - 1) % config.rediscover == 0
        if due or self._circuit is None:
            pairs = self._first if self._once or batch is None else batch
            self._circuit = select_circuit(self._discover(pairs), config, step)
        return Owned(_units_of(self._circuit, step), self._circuit)

    def state(self) -> dict[str, Tensor]:
        """The circuit that is in use."""
        return {} if self._circuit is None else {"circuit": torch.from_numpy(self._circuit.mask)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take it over."""
        if "circuit" in state:
            self._circuit = Circuit(self._graph, state["circuit"].cpu().numpy().astype(bool))


class _CircuitAndRandomUnits(_CircuitUnits):
    """What the circuit owns, and some units that the first circuit does not own, drawn once."""

    def __init__(
        self, anatomy: Anatomy, config: TuneConfig, discover: Discover, first: Batch
    ) -> None:
        super().__init__(anatomy, config, discover, first)
        self._added: tuple[str, ...] | None = None

    def own(self, step: int, batch: Batch | None) -> Owned:
        """The circuit's units, and those that were drawn; raises EmptyCircuit as the circuit."""
        owned = super().own(step, batch)
        if self._added is None:
            outside = {u.name: u.size for u in self.units if u.name not in owned.units}
            wanted = round(self._config.random_share * sum(outside.values()))
            drawn = set(_drawn(outside, wanted, f"{self._config.seed} added"))
            self._added = tuple(name for name in outside if name in drawn)  # as `state` has them
        return Owned(tuple(dict.fromkeys((*owned.units, *self._added))), owned.circuit)

    def state(self) -> dict[str, Tensor]:
        """The circuit that is in use, and which of ``units`` were drawn."""
        if self._added is None:
            return super().state()
        rows = [row for row, unit in enumerate(self.units) if unit.name in self._added]
        return super().state() | {"added": torch.tensor(rows, dtype=torch.int64)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take them over."""
        super().load_state(state)
        if "added" in state:
            self._added = tuple(self.units[row].name for row in state["added"].tolist())


class _RandomUnits(Method):
    """Units drawn at random until they have as many parameters as the first circuit owns."""

    def __init__(
        self, anatomy: Anatomy, config: TuneConfig, discover: Discover, first: Batch
    ) -> None:
        self.units = circuit_units(anatomy)
        self._sizes = {unit.name: unit.size for unit in self.units}
        self._config, self._discover, self._first = config, discover, first
        self._wanted = 0

    def own(self, step: int, batch: Batch | None) -> Owned:
        """The same units until they are drawn again; raises EmptyCircuit as the circuit would."""
        if not self._wanted:
            circuit = select_circuit(self._discover(self._first), self._config, step)
            self._wanted = sum(self._sizes[name] for name in _units_of(circuit, step))
        draw = (step - 1) // self._config.rediscover
        return Owned(_drawn(self._sizes, self._wanted, f"{self._config.seed} {draw}"))

    def state(self) -> dict[str, Tensor]:
        """How many parameters to draw."""
        return {"wanted": torch.tensor(self._wanted)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take it over."""
        self._wanted = int(state["wanted"])


def _drawn(sizes: Mapping[str, int], wanted: int, seed: str) -> tuple[str, ...]:
    """Units in random order whose sizes come as near to a number of parameters as they can."""
    order = list(sizes)
    random.Random(seed).shuffle(order)
    chosen, size = [], 0
    for name in order:
        if abs(size + sizes[name] - wanted) < abs(size - wanted):
            chosen.append(name)
            size += sizes[name]
    return tuple(chosen)


def _units_of(circuit: Circuit, step: int) -> tuple[str, ...]:
    names = tuple(owned_units(circuit))
    if not names:
        raise EmptyCircuit(
            f"The circuit of step {step} owns no parameter that could be tuned: its "
            f"{circuit.n_edges} edge(s) lead from input to logits only. Take more edges."
        )
    return names
