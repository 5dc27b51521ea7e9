"""Numbers as people read them, as ``ctviz/player/numbers.js`` has them in the browser."""

from __future__ import annotations

import math

__all__ = ["number", "percent"]


def number(value: float) -> str:
    """Up to three significant digits and a real minus sign, as the player writes it."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001:
        digits, power = f"{size:.0e}".split("e")
        text = f"{digits}e−{-int(power)}"
    else:
        places = 4 if size < 0.01 else 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
        text = f"{size:.{places}f}"
    return f"{'−' if value < 0 else ''}{text}"


def percent(share: float) -> str:
    """A share as a percentage; what is not whole is not rounded to 0 % or 100 %."""
    value = 100 * share
    if 99.5 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return "below 0.1 %" if 0 < value < 0.1 else f"{value:.{1 if 0 < value < 0.5 else 0}f} %"
