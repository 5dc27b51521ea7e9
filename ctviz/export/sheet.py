"""The sheet that a picture is drawn on: its size, its colours as matplotlib takes them, its text.

Texts are measured before they are drawn, with the font that they are drawn in.
"""

from __future__ import annotations

import functools

from matplotlib import get_data_path
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from ctviz.export.theme import Rgb

__all__ = ["INCHES", "Color", "clean", "panel", "rgba", "wrapped", "write"]

INCHES = (12.8, 7.2)
Color = tuple[float, float, float, float]


def panel(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """An empty area of the figure without frame and ticks."""
    axes = figure.add_axes(place)
    axes.set_axis_off()
    return axes


def rgba(rgb: Rgb, alpha: float = 1.0) -> Color:
    """A colour of a theme, as matplotlib takes it."""
    return (rgb[0] / 255, rgb[1] / 255, rgb[2] / 255, alpha)


def write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    size: float,
    color: Rgb,
    *,
    room: float,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Text on the figure's own coordinates, cut to ``room`` (a share of its width)."""
    figure.text(
        x,
        y,
        _fit(text, room * INCHES[0] * 72, size, weight),
        fontsize=size,
        fontweight=weight,
        color=rgba(color),
        ha=align,
        va="baseline",
    )


def clean(text: str) -> str:
    """One line of signs that the font has."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:1000]).split())
    return "".join(c if _font("normal").get_char_index(ord(c)) else "□" for c in line)


def wrapped(text: str, room: float, size: float, most: int) -> list[str]:
    """A text broken between words into at most that many lines of ``room`` points."""
    words, lines = text.split(" "), [""]
    for at, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip(" ") if lines[-1] else word
        if not lines[-1] or _fit(longer, room, size, "normal") == longer:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = " ".join([lines[-1], *words[at:]])
            break
    return lines


def _fit(text: str, room: float, size: float, weight: str) -> str:
    """A text cut to ``room`` points, with an ellipsis if anything is missing."""
    widths = [size * _advance(sign, weight) for sign in text]
    if sum(widths) <= room:
        return text
    left, kept = room - size * _advance("…", weight), 0
    while kept < len(widths) and widths[kept] <= left:
        left -= widths[kept]
        kept += 1
    return f"{text[:kept].rstrip()}…"


@functools.cache
def _advance(sign: str, weight: str) -> float:
    """How far a sign moves the pen, as a share of the font's size."""
    font = _font(weight)
    font.set_size(100, 72)
    return float(font.load_char(ord(sign)).linearHoriAdvance) / 65536 / 100


@functools.cache
def _font(weight: str) -> FT2Font:
    """The font that texts are drawn in."""
    name = "DejaVuSans-Bold.ttf" if weight == "bold" else "DejaVuSans.ttf"
    return FT2Font(f"{get_data_path()}/fonts/ttf/{name}")
