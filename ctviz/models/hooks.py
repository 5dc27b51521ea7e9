"""Hooks that live exactly as long as a ``with`` block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["Hook", "hooked", "replaced"]

Hook = tuple[nn.Module, Callable[[Tensor], Any]]


@contextmanager
def hooked(
    *, before: Sequence[Hook] = (), after: Sequence[Hook] = (), innermost: bool = False
) -> Iterator[None]:
    """Call functions on the input or the output of modules inside the block, and never after it.

    ``before``: (module, function of its first input); ``after``: (module, function of its output).
    What a function returns takes the tensor's place; None leaves it as it is. Functions of outputs
    are called after those that are there already, or if ``innermost`` before them: they see what
    the module itself gives. The hooks vanish also after an exception.
    """
    handles = []

    def first(function: Callable[[Tensor], Any]) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                new = function(args[0])
                return None if new is None else ((new, *args[1:]), kwargs)
            name = "hidden_states"
            new = function(kwargs[name])
            return None if new is None else (args, {**kwargs, name: new})

        return hook

    def output(function: Callable[[Tensor], Any]) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> Tensor | None:
            replaced: Tensor | None = function(result)
            return replaced

        return hook

    try:
        for module, function in before:
            handles.append(module.register_forward_pre_hook(first(function), with_kwargs=True))
        for module, function in after:
            handles.append(module.register_forward_hook(output(function), prepend=innermost))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced(modules: Sequence[nn.Module], result: Any) -> Iterator[None]:
    """Inside the block the modules compute nothing and return ``result``."""
    try:
        for module in modules:
            module.forward = lambda *_, **__: result
        yield
    finally:
        for module in modules:
            vars(module).pop("forward", None)
