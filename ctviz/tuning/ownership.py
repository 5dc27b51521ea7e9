"""Which parameters a circuit owns, and an optimizer that moves those and not one bit more.

A *unit* is the smallest group of parameters that a circuit can own:

====================  ================================================================
``a{l}.h{h}<q>``      a head's slice of W_Q and of its bias; owned if the slot is read
``a{l}.h{h}<k>, <v>`` the same of W_K, W_V (``a{l}.g{g}<k>`` for a shared head)
``a{l}.h{h}<out>``    a head's rows of the output projection; owned if the head writes
``m{l}<in>``          an MLP's input (and gate) projection with bias; owned if it reads
``m{l}<out>``         an MLP's output projection with bias; owned if it writes
``m{l}.b{n}<in>``     where MLPs are cut, the same for the neurons of one block
``m{l}.b{n}<out>``    and their rows of the output projection
====================  ================================================================

Embeddings, norms, the unembedding and the attention output bias (which no head owns alone; of a cut
MLP its output bias as well) belong to no unit and stay frozen. (Circuit-tuning, arXiv 2502.06106.)

**The promise.** A parameter that is not owned at a step does not move at that step, not by one bit.
Zeroed gradients would not do: momentum, Adam's moments and weight decay move a parameter whose
gradient is zero. Here each unit is a tensor of its own for torch's optimizer (a view into the
model's weight), and one that is not owned has no gradient at all, which torch's optimizers skip.

**Optimizer state.** A unit's momentum, moments and step count are frozen with it while it is out of
the circuit, and go on from there when it comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctviz.circuits.scores import Circuit
from ctviz.models.anatomy import Anatomy
from ctviz.models.parts import LinearModule

__all__ = [
    "MotionMeter",
    "Part",
    "Unit",
    "UnitOptimizer",
    "circuit_units",
    "owned_fraction",
    "owned_units",
    "whole_units",
]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A rectangle of one parameter: ``parameter[index]``."""

    parameter: Tensor
    index: tuple[slice, ...]

    @property
    def view(self) -> Tensor:
        """The part of the weight itself, detached: writing to it writes to the model."""
        return self.parameter.detach()[self.index]


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The smallest group of parameters that is owned or not owned as a whole."""

    name: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(part.view.numel() for part in self.parts)


def circuit_units(anatomy: Anatomy) -> list[Unit]:
    """Every unit that a circuit of this model can own, layer by layer."""
    graph, d_head = anatomy.graph, anatomy.d_head
    units: list[Unit] = []

    def columns(module: LinearModule, wanted: slice) -> tuple[Part, ...]:
        """Some outputs of a linear module, with their biases."""
        index = (wanted,) if isinstance(module, nn.Linear) else (slice(None), wanted)
        parts = [Part(module.weight, index)]
        if module.bias is not None:
            parts.append(Part(module.bias, (wanted,)))
        return tuple(parts)

    def rows(module: LinearModule, unit: int, width: int) -> tuple[Part, ...]:
        """A unit's inputs of a linear module, whose bias is nobody's alone."""
        own = slice(unit * width, (unit + 1) * width)
        index = (slice(None), own) if isinstance(module, nn.Linear) else (own,)
        return (Part(module.weight, index),)

    def whole(*modules: LinearModule) -> tuple[Part, ...]:
        return tuple(Part(p, ()) for m in modules for p in (m.weight, m.bias) if p is not None)

    for layer, block in enumerate(anatomy.blocks):
        for slot in graph.slots:
            if slot.layer == layer and slot.kind in "qkv":
                projection = block.projection(slot.kind)
                owned = columns(projection.module, projection.columns(slot.unit))
                units.append(Unit(slot.name, owned))
        for head in range(graph.n_heads):
            own = rows(block.attention_out, head, d_head)
            units.append(Unit(f"a{layer}.h{head}<out>", own))
        if not block.mlp_parts:
            units.append(Unit(f"m{layer}<in>", whole(*block.mlp_in)))
            units.append(Unit(f"m{layer}<out>", whole(block.mlp_out)))
            continue
        for unit, node in enumerate(graph.mlp_nodes(layer)):
            into = [columns(part.module, part.columns(unit)) for part in block.mlp_parts]
            units.append(Unit(f"{node}<in>", tuple(part for parts in into for part in parts)))
            units.append(Unit(f"{node}<out>", rows(block.mlp_out, unit, anatomy.mlp_block)))
    return units


def whole_units(anatomy: Anatomy) -> list[Unit]:
    """One unit a parameter tensor, embeddings and norms included: for full fine-tuning."""
    return [Unit(name, (Part(p, ()),)) for name, p in anatomy.model.named_parameters()]


def owned_units(circuit: Circuit) -> list[str]:
    """Names of the units that a circuit owns: its readers' inputs and its writers' outputs."""
    names = []
    for slot in circuit.readers():
        if slot != "logits":
            names.append(slot if "<" in slot else f"{slot}<in>")
    names += [f"{source}<out>" for source in circuit.writers() if source != "input"]
    return names


def owned_fraction(anatomy: Anatomy, circuit: Circuit) -> float:
    """The parameters that a circuit owns, by all parameters of the model."""
    sizes = {unit.name: unit.size for unit in circuit_units(anatomy)}
    owned = sum(sizes[name] for name in owned_units(circuit))
    return owned / sum(parameter.numel() for parameter in anatomy.model.parameters())


class UnitOptimizer:
    """A torch optimizer over units, of which only the owned ones take part in a step.

    torch's fused optimizers are many times as fast as the others, but take it for granted that a
    tensor lies in one piece. A part that does not (some columns of a weight) is handed to them as a
    copy, which is then written back.
    """

    def __init__(
        self, units: Sequence[Unit], make: Callable[[list[Tensor]], torch.optim.Optimizer]
    ) -> None:
        self.units = {unit.name: unit for unit in units}
        self._parts = {unit.name: [_Moved(part) for part in unit.parts] for unit in units}
        self.optimizer = make([part.tensor for parts in self._parts.values() for part in parts])
        self._parameters = {part.parameter for unit in units for part in unit.parts}
        self.owned: tuple[str, ...] = ()

    def ask(self) -> None:
        """Let every parameter that a unit is part of ask for a gradient, moving or not."""
        for parameter in self._parameters:
            parameter.requires_grad_(True)

    def own(self, names: Iterable[str]) -> None:
        """Let exactly these units move at the next step; other weights ask for no gradient."""
        for name in self.owned:
            for part in self._parts[name]:
                part.tensor.grad = None
        self.owned = tuple(dict.fromkeys(names))
        moving = {part.parameter for part in self.parts}
        for parameter in self._parameters:
            parameter.requires_grad_(parameter in moving)
            parameter.grad = None

    @property
    def parts(self) -> list[Part]:
        """The parts of parameters that the next step may move."""
        return [part for name in self.owned for part in self.units[name].parts]

    def add(self, gradients: Mapping[Part, Tensor]) -> None:
        """Add to the gradients of parts, for a step that was not reached by ``backward``."""
        for name in self.owned:
            for moved in self._parts[name]:
                if moved.part in gradients:
                    moved.add(gradients[moved.part])

    def state(self) -> dict[str, Tensor]:
        """The optimizer's memory of each unit that was ever owned, by ``unit/part/key``."""
        found = {}
        for name, parts in self._parts.items():
            for index, part in enumerate(parts):
                for key, value in self.optimizer.state.get(part.tensor, {}).items():
                    found[f"{name}/{index}/{key}"] = value
        return found

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for path, value in state.items():
            name, index, key = path.rsplit("/", 2)
            self.optimizer.state[self._parts[name][int(index)].tensor][key] = value

    @property
    def n_owned(self) -> int:
        """Number of parameters that the next step may move."""
        return sum(self.units[name].size for name in self.owned)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the steps to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, *, max_norm: float | None = None) -> float:
        """Move the owned units by their gradients; returns the gradients' norm before clipping.

        Nothing moves if that norm is not a finite number.
        """
        taking = [part for name in self.owned for part in self._parts[name] if part.take()]
        tensors = [part.tensor for part in taking]
        limit = float("inf") if max_norm is None else max_norm
        norm = float(torch.nn.utils.clip_grad_norm_(tensors, limit)) if tensors else 0.0
        if math.isfinite(norm):
            self.optimizer.step()
            for part in taking:
                part.write_back()
        for name in self.owned:
            for part in self._parts[name]:
                part.tensor.grad = None
                part.part.parameter.grad = None
        return norm


class _Moved:
    """A part of a parameter as the optimizer sees it: a view of it, or a copy in one piece."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.view = part.view
        self.tensor = self.view if self.view.is_contiguous() else self.view.contiguous()

    def add(self, gradient: Tensor) -> None:
        """Add to the part's own gradient."""
        if self.tensor.grad is None:
            self.tensor.grad = gradient.contiguous()
        else:
            self.tensor.grad += gradient

    def take(self) -> bool:
        """Take over the part's weights and gradient; False if it has no gradient."""
        whole = self.part.parameter.grad
        if whole is not None:
            self.add(whole[self.part.index])
        if self.tensor.grad is None:
            return False
        if self.tensor is not self.view:
            with torch.no_grad():
                self.tensor.copy_(self.view)
        return True

    @torch.no_grad()
    def write_back(self) -> None:
        if self.tensor is not self.view:
            self.view.copy_(self.tensor)


class MotionMeter:
    """Counts, after a step, what moved although the step did not own it.

    Looks at every parameter of the model, norms and embeddings included, as units and whatever of
    the parameters is in no unit. Instead of a copy of the model it keeps two fingerprints of each
    (an exclusive or of all bits, and the norm): a change of a single number always shows in the
    first.
    """

    def __init__(self, anatomy: Anatomy, units: Iterable[Unit]) -> None:
        self._views = {unit.name: [part.view for part in unit.parts] for unit in units}
        inside = {part.parameter for unit in units for part in unit.parts}
        for name, parameter in anatomy.model.named_parameters():
            if parameter not in inside:
                self._views[name] = [parameter.detach()]
        self._seen = {name: self._look(views) for name, views in self._views.items()}

    def moved(self, owned: Iterable[str]) -> list[str]:
        """What changed since the last call outside ``owned``: names of units and parameters."""
        expected, found = set(owned), []
        for name, views in self._views.items():
            now = self._look(views)
            if now != self._seen[name] and name not in expected:
                found.append(name)
            self._seen[name] = now
        return found

    @staticmethod
    def _look(views: list[Tensor]) -> list[tuple[int, float]]:
        return [_fingerprint(view) for view in views]


def _fingerprint(tensor: Tensor) -> tuple[int, float]:
    if tensor.device.type == "mps":  # torch.hash_tensor is not there
        tensor = tensor.cpu()
    norm = torch.linalg.vector_norm(tensor)
    bits = tensor
    whole = 8 // tensor.element_size()  # numbers in a word: many times as fast as one by one
    if (
        tensor.ndim
        and tensor.stride(-1) == 1
        and not any(
            n % whole for n in (tensor.shape[-1], tensor.storage_offset(), *tensor.stride()[:-1])
        )
    ):
        bits = tensor.view(torch.int64)
    return int(torch.hash_tensor(bits).view(torch.int64)), float(norm)
