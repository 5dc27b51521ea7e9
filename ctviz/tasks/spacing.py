"""Whether a space belongs between a prompt and what follows it."""

from __future__ import annotations

import unicodedata

__all__ = ["takes_space"]

# Scripts that are written without spaces between words, as Unicode's names begin; what is wide
# (Chinese, Japanese and their signs) is told by its width.
_UNSPACED = ("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE ", "TAI ")


def takes_space(prompt: str, text: str) -> bool:
    """Whether a text needs a space in front that is not there: it begins with a letter or a digit,
    the prompt does not end in white space, and neither side of the boundary is in a script that
    has no spaces. Both must not be empty.

    >>> takes_space("The keys", "are"), takes_space("The keys", ","), takes_space("东京在", "日本")
    (True, False, False)
    """
    before, after = prompt[-1], text[0]
    spaced = before.isspace() or not after.isalnum()
    return not spaced and not _unspaced(before) and not _unspaced(after)


def _unspaced(sign: str) -> bool:
    name = unicodedata.name(sign, "")
    wide = unicodedata.east_asian_width(sign) in ("W", "F") or name.startswith("HALFWIDTH KATAKANA")
    korean = name.startswith("HANGUL")  # wide, but has spaces
    return name.startswith(_UNSPACED) or (
        wide and not korean and unicodedata.category(sign) not in ("So", "Sk")  # no emoji
    )
