"""Colours of a replay and of pictures, from the table that the player reads (`ctviz.look`)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

from ctviz.look import Rgb, look, rgb

__all__ = ["THEMES", "Rgb", "Theme", "ThemeName", "legend_at", "mix"]

LOOK = look()
MIXES, SCALE, LABELS = LOOK["mixes"], LOOK["redundancy"], LOOK["labels"]
STEPS: int = SCALE["steps"]  # fine, because the scale is steep near 100 %
ThemeName = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Background, text and accent of a page, and what the player makes of them."""

    dark: bool
    bg: Rgb
    text: Rgb
    accent: Rgb
    supports: Rgb
    against: Rgb

    @property
    def muted(self) -> Rgb:
        """Secondary text."""
        return mix(self.text, self.bg, MIXES["muted"])

    @property
    def faint(self) -> Rgb:
        """Outlines."""
        return mix(self.text, self.bg, MIXES["faint"])

    @property
    def line(self) -> Rgb:
        """Rules and frames."""
        return mix(self.bg, self.text, MIXES["line"])

    @property
    def band(self) -> Rgb:
        """Every other layer's background."""
        return mix(self.bg, self.text, MIXES["band"]["dark" if self.dark else "light"])

    @property
    def undefined(self) -> Rgb:
        """Nodes without a redundancy."""
        return mix(self.bg, self.text, MIXES["undefined"])

    def fill(self, redundancy: float) -> Rgb:
        """Colour of a redundancy from 0 to 1; of NaN, that of undefined ones."""
        if math.isnan(redundancy):
            return self.undefined
        return _fill(self.dark, round(min(1.0, max(0.0, redundancy)) * STEPS))

    def label(self, redundancy: float) -> Rgb:
        """Colour of text on that fill."""
        if math.isnan(redundancy):
            return self.text
        r, g, b = ((v / 255) ** 2.2 for v in self.fill(redundancy))
        light = 0.2126 * r + 0.7152 * g + 0.0722 * b
        return rgb(LABELS["dark" if light > LABELS["darkFrom"] else "light"])

    def variables(self) -> dict[str, str]:
        """The variables that the player reads, as Streamlit sets them."""
        return {
            "--st-background-color": _css(self.bg),
            "--st-text-color": _css(self.text),
            "--st-primary-color": _css(self.accent),
            "--st-font": '"Source Sans", "Source Sans Pro", system-ui, sans-serif',
            "--st-code-font": "ui-monospace, Consolas, monospace",
        }


def _theme(name: ThemeName) -> Theme:
    colors = {key: rgb(value) for key, value in LOOK["themes"][name].items()}
    return Theme(
        dark=name == "dark",
        bg=colors["background"],
        text=colors["text"],
        accent=colors["accent"],
        supports=colors["supports"],
        against=colors["against"],
    )


THEMES: dict[ThemeName, Theme] = {"light": _theme("light"), "dark": _theme("dark")}


def mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """The colour at that share of the way from one to the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def legend_at(redundancy: float) -> float:
    """Where a redundancy lies on the legend, 0 to 1 from left to right."""
    return 1 - math.sqrt(1 - redundancy)


@functools.cache
def _fill(dark: bool, place: int) -> Rgb:
    need = math.sqrt(1 - place / STEPS)
    ends = SCALE["dark" if dark else "light"]
    lightness, chroma = (at + by * need for at, by in (ends["lightness"], ends["chroma"]))
    return _oklch(lightness, chroma, SCALE["hue"])


def _css(color: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _oklch(lightness: float, chroma: float, hue: float) -> Rgb:
    """OKLCH to sRGB."""
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short
    return _byte(red), _byte(green), _byte(blue)


def _byte(linear: float) -> int:
    """A linear channel as an sRGB byte."""
    c = min(1.0, max(0.0, linear))
    return round(255 * (12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055))
