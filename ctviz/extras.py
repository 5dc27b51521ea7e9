"""The parts of ctviz that only some need, and the error that names the one that is missing.

``pyproject.toml`` lists what each brings. Whoever starts something that needs one asks for it
first, so that nobody waits for a model only to read that a package is missing.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

from ctviz.errors import MissingExtra

__all__ = ["EXTRAS", "Extra", "lacking", "need"]

Extra = Literal["gguf", "lm-eval", "lora", "pictures", "reference", "test"]
EXTRAS: dict[Extra, tuple[str, ...]] = {
    "gguf": ("accelerate", "gguf"),
    "lm-eval": ("lm_eval",),
    "lora": ("peft",),
    "pictures": ("matplotlib", "PIL"),
    "reference": ("transformer_lens",),
    "test": ("playwright",),
}
"""What ctviz itself imports of each extra."""


def lacking(extra: Extra) -> tuple[str, ...]:
    """Packages of an extra that cannot be imported here; nothing is imported to find out."""
    return tuple(name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None)


def need(extra: Extra, what: str) -> None:
    """Raise MissingExtra unless the packages of an extra are here; ``what`` needs them."""
    if missing := lacking(extra):
        raise MissingExtra(extra, what, missing)
