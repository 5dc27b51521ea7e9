"""The text of a lesson as markdown in which the words of the glossary explain themselves."""

from __future__ import annotations

import re

from ctviz.lessons.glossary import Term, find_term

__all__ = ["MARK", "explained", "literal", "marked_terms"]

MARK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]]+))?\]\]")


def marked_terms(text: str) -> list[Term]:
    """The terms that a text marks with ``[[...]]``; raises UnknownName."""
    return [find_term(found[1]) for found in MARK.finditer(text)]


def explained(text: str, *, prefix: str) -> str:
    """Our own markdown with each ``[[term]]`` turned into a word that shows its definition.

    The word can be focused, and names its definition as its description; the style sheet of the
    page shows it on hover and focus. ``prefix`` keeps the ids of several texts on a page apart.
    """
    count = 0

    def one(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        term, name = find_term(found[1]), f"{prefix}-{count}"
        source = f'<i class="ct-source">{literal(term.source)}</i>' if term.source else ""
        return (
            f'<span class="ct-term" tabindex="0" aria-describedby="{name}">'
            f"{literal(found[2] or found[1])}"
            f'<span class="ct-tip" role="tooltip" id="{name}"><b>{literal(term.name)}</b> '
            f"{literal(term.definition)}{source}</span></span>"
        )

    return MARK.sub(one, text)


def literal(text: str) -> str:
    """Text that is the same in HTML and in markdown: whatever is not a letter, a digit or a space
    becomes a character reference, which neither of them takes for markup."""
    return re.sub(r"[^\w ]|_", lambda sign: f"&#{ord(sign[0])};", text)
