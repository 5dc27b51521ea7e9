"""The weights that a model was loaded with, for a comparison later on, without keeping a copy.

Instead of the numbers a hash of each parameter is kept. The numbers are read again from the model's
files, some rows at a time, and they count only if they have that hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ctviz.errors import CtvizError
from ctviz.files import written
from ctviz.models.loading import Loaded, load
from ctviz.models.places import place_of
from ctviz.models.weight_files import tensor_heads, weight_files

__all__ = ["Moved", "Untuned"]

PIECE = 2**21  # numbers that are looked at at a time, unless a single row has more
TRIED = 3  # tensors of a file that go by another name than the parameter


class Moved(NamedTuple):
    """How far a parameter has gone: squared distance from what it was, and what that was squared,
    both summed over its numbers."""

    distance: float
    size: float


class _Stored(NamedTuple):
    """A tensor of a safetensors file."""

    file: Path
    shape: tuple[int, ...]


class Untuned:
    """What the parameters of a model are when this is made, before anything moves them.

    They are called as in ``loaded.model.named_parameters()`` then.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._model, self._origin = loaded.name, loaded.origin
        inner = f"{loaded.model.base_model_prefix}."
        parameters = dict(loaded.model.named_parameters())
        self._was = {name: _hash(parameter) for name, parameter in parameters.items()}
        self._found: dict[str, tuple[str, Path, tuple[int, int] | None]] = {}
        tied: dict[int, list[str]] = {}
        for name, parameter in loaded.model.named_parameters(remove_duplicate=False):
            tied.setdefault(id(parameter), []).extend([name, name.removeprefix(inner)])
        self._called = {name: tied[id(parameter)] for name, parameter in parameters.items()}
        self._known = {name for names in tied.values() for name in names}

    @property
    def fingerprint(self) -> str:
        """A hash of all of them, with their names."""
        return hashlib.sha256(repr(sorted(self._was.items())).encode()).hexdigest()

    def differs(self, name: str, now: Tensor) -> bool:
        """Whether a tensor is another one than the parameter of that name was."""
        return _hash(now) != self._was[name]

    def moved(self, now: Mapping[str, Tensor]) -> Iterator[tuple[str, Moved]]:
        """How far some parameters have gone, by name.

        Raises CtvizError if the model of that name is no longer the one that was loaded.
        """
        files = self._files()
        again: dict[str, Tensor] = {}
        for name, tensor in now.items():
            found = self._by_file(files, name, tensor)
            if found is None:
                # The files hold other tensors than the model: fused, converted or merged with an
                # adapter on loading. Then there is no way but to load it a second time.
                again = again or self._loaded_again()
                found, _ = _compared(tensor, _pieces(again[name]))
            yield name, found

    def were(self, now: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """What some parameters were, on the CPU, by name, one at a time.

        Raises CtvizError as `moved` does.
        """
        files = self._files()
        again: dict[str, Tensor] = {}
        for name, tensor in now.items():
            found = self._whole_by_file(files, name, tensor)
            if found is None:
                again = again or self._loaded_again()
                found = again[name]
            yield name, found

    def _whole_by_file(self, files: Mapping[str, _Stored], name: str, now: Tensor) -> Tensor | None:
        """None if no file has the numbers that the parameter was loaded with."""
        for stored in self._stored_names(files, name, tuple(now.shape)):
            file = files[stored].file
            place = stored, file, written(file)
            try:
                pieces = list(_read(file, stored, now))
            except (OSError, SafetensorError):
                continue
            found = torch.cat(pieces) if now.ndim else pieces[0]
            if self._found.get(name) == place or _hash(found) == self._was[name]:
                self._found[name] = place  # the file as it is now need not be hashed again
                return found
        return None

    def _by_file(self, files: Mapping[str, _Stored], name: str, now: Tensor) -> Moved | None:
        """None if no file has the numbers that the parameter was loaded with."""
        for stored in self._stored_names(files, name, tuple(now.shape)):
            try:
                found, seen = _compared(now, _read(files[stored].file, stored, now))
            except (OSError, SafetensorError):
                continue
            if seen == self._was[name]:
                return found
        return None

    def _stored_names(
        self, files: Mapping[str, _Stored], name: str, shape: tuple[int, ...]
    ) -> list[str]:
        """What a file may call a parameter: as the model does, by any name of a tied one and with
        or without the model's own prefix, or in another way, of which those that end alike are
        tried first."""
        parts = name.split(".")[::-1]

        def unlike(other: str) -> int:
            pairs = zip(parts, other.split(".")[::-1], strict=False)
            return -sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

        known = self._called[name]
        others = [each for each in files if each not in self._known]
        tried = [*known, *sorted(others, key=unlike)[:TRIED]]
        return [each for each in tried if each in files and files[each].shape == shape]

    def _files(self) -> dict[str, _Stored]:
        """The tensors of the model's files, by their names there."""
        try:
            return {
                name: _Stored(file, tuple(head["shape"]))
                for file in weight_files(place_of(self._model).weights)
                for name, head in tensor_heads(file).items()
            }
        except (OSError, CtvizError):
            return {}  # loading it again says what is wrong

    def _loaded_again(self) -> dict[str, Tensor]:
        again = load(self._model, device="cpu")
        if again.origin != self._origin:
            raise CtvizError(
                f"{self._model} was {self._origin} when it was loaded and is {again.origin} now, "
                "so it cannot be said how far the weights have gone from it."
            )
        return {name: parameter.detach() for name, parameter in again.model.named_parameters()}


def _read(file: Path, name: str, like: Tensor) -> Iterator[Tensor]:
    """A tensor of a file in pieces, in another one's type; both are of one shape."""
    for rows in _rows(like):
        # opened anew, since what was read of an open file counts as memory of the process
        with safe_open(file, framework="pt") as opened:
            piece = opened.get_slice(name)[rows] if like.ndim else opened.get_tensor(name)
            yield piece.to(like.dtype)


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    for rows in _rows(tensor):
        yield (tensor[rows] if tensor.ndim else tensor).detach().cpu()


def _rows(tensor: Tensor) -> list[slice]:
    """A tensor in pieces along its first dimension."""
    if tensor.ndim == 0:
        return [slice(0, 1)]
    each = max(1, PIECE * len(tensor) // max(1, tensor.numel()))
    return [slice(at, at + each) for at in range(0, len(tensor), each)]


def _compared(now: Tensor, before: Iterable[Tensor]) -> tuple[Moved, str]:
    """How far a tensor is from another one, in the same pieces, and the hash of that one."""
    distance = size = 0.0
    digest = hashlib.sha256()
    for own, piece in zip(_pieces(now), before, strict=True):
        _update(digest, piece)
        distance += float((own - piece).square().sum())
        size += float(piece.square().sum())
    return Moved(distance, size), digest.hexdigest()


def _hash(tensor: Tensor) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(tensor):
        _update(digest, piece)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, piece: Tensor) -> None:
    numbers: Any = piece.contiguous().reshape(-1).view(torch.uint8).numpy()
    digest.update(numbers)
