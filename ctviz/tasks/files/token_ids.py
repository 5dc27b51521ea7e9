"""Numbers where words are meant: token ids of some model, or numbers that are to be said.

A file of token ids is read by saying whose they are: ``FILE?ids=gpt2`` makes text of them with the
tokenizer of that model. ``FILE?ids=none`` says that numbers are words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ctviz.tasks.files.rows import BadLine

__all__ = ["ABSENT", "NONE", "Ids", "is_absent", "number_columns", "number_in", "unclear"]

NONE: Final = "none"
"""What ``ids`` says where numbers are words."""
ABSENT: Final = frozenset(
    (
        *("nan", "NaN", "NAN", "-nan", "-NaN", "<NA>", "NA", "N/A", "#N/A", "NaT", "None", "null"),
        *("NULL", "inf", "-inf", "Infinity", "-Infinity"),
    )
)
"""How tools write that there is no value, or one that is no number."""
_WORDS: Final = ("answer", "foil", "target")  # columns in which a word is meant
_ID_NAME: Final = re.compile(r"(?:^|_)(?:idx|idxs|ids?|tokens?)$", re.IGNORECASE)
_NUMBER: Final = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?"
# as tools print one number: in a list, or as a tensor or an array
_WRITTEN: Final = re.compile(
    rf"({_NUMBER})|(?:(?:tensor|array)\()?\[? *({_NUMBER}) *\]?(?:, *\w+=[\w.:']+)*\)|"
    rf"\[ *({_NUMBER}) *\]",
    re.IGNORECASE,
)


def is_absent(value: Any) -> bool:
    """Whether a value is none: nothing, or a number that is not finite."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def number_in(value: Any) -> float | None:
    """The number that a value is, also one that is written as text or alone in a list; else None.

    >>> number_in("318"), number_in("tensor(318)"), number_in([318.0]), number_in(" is")
    (318.0, 318.0, 318.0, None)
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        found = _WRITTEN.fullmatch(value)
        return float(next(filter(None, found.groups()))) if found else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number from 0 on, and so may be a token's id."""
    number = number_in(value)
    return number is not None and number >= 0 and number.is_integer()


def number_columns(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Those of our columns for words of which most values are numbers."""
    for own in _WORDS:
        values = [row[own] for row in rows if not is_absent(row.get(own))]
        if values and 2 * sum(number_in(value) is not None for value in values) > len(values):
            yield own


def unclear(
    rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], told: str, *, typed: bool
) -> str:
    """What to ask of numbers where words are meant; "" if it is clear what they are.

    It is in a file in which most prompts have numbers as well, unless the file's own name for a
    column (``names``) is one of token ids, of which one is then enough; and in a file that tells
    text from numbers (``typed``) for texts of one or two digits, or that are to be taken verbatim.
    ``told`` is the file's name up to ``ids=``.
    """
    numbers = {
        own: [row[own] for row in rows if number_in(row.get(own)) is not None] for own in _WORDS
    }
    most = [own for own in number_columns(rows) if not (typed and _is_text(rows, own))]
    prompts = [str(row.get("clean") or row.get("prompt") or "") for row in rows]
    numeric = 2 * sum(bool(re.search(r"\d", prompt)) for prompt in prompts) >= len(prompts)
    asked = [
        own
        for own in _WORDS
        if (numbers[own] and _ID_NAME.search(names.get(own, own))) or (own in most and not numeric)
    ]
    if not asked:
        return ""
    theirs = " and ".join(names.get(own, own) for own in asked)
    given = [row[own] for own in asked for row in rows if not is_absent(row.get(own))]
    what = "nothing but whole numbers" if all(map(is_whole, given)) else "numbers"
    return (
        f"{theirs} {'hold' if len(asked) > 1 else 'holds'} {what}, such as "
        f"{numbers[asked[0]][0]}, where words are meant. If they are token ids, say of which "
        f"model's tokenizer: "
        f"{told}ids=MODEL (EAP-IG's own files are often made for gpt2). If the numbers themselves "
        f"are to be said: {told}ids={NONE}"
    )


def _is_text(rows: Sequence[Mapping[str, Any]], own: str) -> bool:
    given = [row for row in rows if not is_absent(row.get(own))]
    return all(
        isinstance(row[own], str) and (len(row[own]) <= 2 or row.get("verbatim")) for row in given
    )


class Ids:
    """A tokenizer that makes text of token ids.

    Raises what `ctviz.models.reader.open_reader` raises.
    """

    def __init__(self, model: str) -> None:
        from ctviz.models.reader import open_reader  # it imports transformers

        self.model = model
        self.tokenizer = open_reader(model).tokenizer

    def words(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """A line with text in place of the ids in its answer, foil and target.

        Raises BadLine unless the tokenizer makes exactly these ids of that text after the prompt.
        """
        ids = {own: n for own in _WORDS if (n := number_in(values.get(own))) is not None}
        if not ids:
            return values
        for own, number in ids.items():
            if not is_whole(number):
                raise BadLine(f"{own} is {values[own]}, which is no token's id")
        prompt = values.get("clean") or values.get("prompt") or ""
        before = self._cut(str(prompt))
        found = {own: self._text(own, int(n), before, str(prompt)) for own, n in ids.items()}
        return {**values, **found, "verbatim": True}

    def _cut(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _text(self, own: str, number: int, before: list[int], prompt: str) -> str:
        try:
            whole = str(self.tokenizer.decode([*before, number]))
        except (IndexError, OverflowError):
            whole = ""
        text = whole.removeprefix(str(self.tokenizer.decode(before)))
        if not text.strip() or self._cut(prompt + text) != [*before, number]:
            raise BadLine(
                f"{own} is {number}, but the tokenizer of {self.model} has no such token that "
                "could go on after the prompt: the ids may be those of another model"
            )
        return text
