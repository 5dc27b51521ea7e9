"""What reaches the terminal: a result as text or JSON, progress, words for numbers."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from typing import Any

INTERRUPTED = 130  # exit code of what somebody stopped from the keyboard


def answer(options: argparse.Namespace, result: dict[str, Any], text: str) -> int:
    print(json.dumps(_strict(result), ensure_ascii=False) if options.json else text)
    return 0


def report(text: str) -> None:
    """A line of progress, to standard error."""
    print(text, file=sys.stderr)


def quiet_libraries() -> None:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # our own error says it all


def signed(value: float) -> str:
    return f"{value:+z.3f}"


def give_or_take(error: float | None) -> str:
    return "" if error is None else f" ± {error:.3f}"


def size(count: int) -> str:
    """Bytes for people."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _strict(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
