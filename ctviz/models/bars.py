"""The progress bars of the libraries below, taken as what they say: how far a job is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import transformers.modeling_gguf_pytorch_utils
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from ctviz.progress import listened, parts

__all__ = ["bytes_bar", "reading_weights"]

gguf: Any = transformers.modeling_gguf_pytorch_utils


def bytes_bar(advance: Callable[..., None]) -> type[tqdm[Any]]:
    """A class of bars for `huggingface_hub.snapshot_download` that show nothing.

    ``advance`` is called with the bytes that were written and how many are expected in all, from
    whichever thread writes them. What it raises ends the download; the hub keeps what there is.
    """

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            # of its two bars of bytes one counts the network's and one the disk's
            self._counts = options.get("unit") == "B" and "Download" not in options.get("desc", "")
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self._counts and n:
                advance(n, total=self.total)
            return None

    return Bar


@contextmanager
def reading_weights() -> Iterator[None]:
    """Tick at each tensor that transformers reads or makes."""
    if not listened():
        yield
        return

    def ticking(factory: Callable[..., Any], arguments: tuple[Any, ...], options: Any) -> Any:
        if arguments and hasattr(arguments[0], "__len__"):
            return parts(arguments[0])
        return factory(*arguments, **options)

    former, of_gguf = transformers_logging.set_tqdm_hook(ticking), gguf.tqdm
    gguf.tqdm = lambda items, **_: parts(items)  # the one bar that does not ask the hook
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(former)
        gguf.tqdm = of_gguf
