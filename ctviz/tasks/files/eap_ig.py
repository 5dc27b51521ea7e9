"""The column names of EAP-IG's CSV files (Hanna et al. 2024, arXiv 2403.17806)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

__all__ = ["missing", "names"]

# Its tasks' names for the ids of answer and foil.
_IDS: Final = (
    ("correct_idx", "incorrect_idx"),
    ("clean_answer_idx", "corrupted_answer_idx"),
    ("country_idx", "corrupted_country_idx"),
)
_UNUSABLE: Final = {
    "plural": (
        "plural says which verbs are right, but the verbs themselves are not in the file: EAP-IG's "
        "code finds them in the model's vocabulary. Add columns answer and foil"
    ),
    "answers_idx": "answers_idx is a list of right tokens, of which one cannot be compared alone",
    "correct_idx": (
        "correct_idx stands alone, with no incorrect_idx to compare it with (in EAP-IG's "
        "greater-than it is the first year, and all later years are right). Add columns answer and "
        "foil"
    ),
}


def names(columns: Collection[str]) -> dict[str, str]:
    """EAP-IG's names for our columns in a file that has ``clean`` and ``corrupted``."""
    if not {"clean", "corrupted"} <= set(columns):
        return {}
    answers = next((pair for pair in _IDS if set(pair) <= set(columns)), ())
    return {"corrupt": "corrupted"} | dict(zip(("answer", "foil"), answers, strict=False))


def missing(columns: Collection[str]) -> str:
    """What a file of EAP-IG lacks for a comparison of two words; "" if it is none of those."""
    if not {"clean", "corrupted"} <= set(columns):
        return ""
    return next((said for name, said in _UNUSABLE.items() if name in columns), "")
