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

__all__ = ["ABSENT", "NONE", "Ids", "is_absent", "is_whole", "unclear"]

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
_WHOLE: Final = re.compile(r"\d+(?:\.0+)?")


def is_absent(value: Any) -> bool:
    """Whether a value is none: nothing, or a number that is not finite."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number from 0 on, or a text that is nothing else."""
    if isinstance(value, str):
        return _WHOLE.fullmatch(value) is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 and float(value).is_integer()


def whole_columns(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Those of our columns for words in which there is nothing but whole numbers."""
    for own in _WORDS:
        values = [row[own] for row in rows if not is_absent(row.get(own))]
        if values and all(map(is_whole, values)):
            yield own


def unclear(
    rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], told: str, *, typed: bool
) -> str:
    """What to ask of numbers where words are meant; "" if it is clear what they are.

    It is in a file in which most prompts have numbers as well, unless the file's own name for a
    column (``names``) is one of token ids; and in a file that tells text from numbers (``typed``)
    for texts of one or two digits, or that are to be taken verbatim. ``told`` is the file's name up
    to ``ids=``.
    """
    whole = [own for own in whole_columns(rows) if not (typed and _is_text(rows, own))]
    prompts = [str(row.get("clean") or row.get("prompt") or "") for row in rows]
    numeric = 2 * sum(bool(re.search(r"\d", prompt)) for prompt in prompts) >= len(prompts)
    asked = [own for own in whole if not numeric or _ID_NAME.search(names.get(own, own))]
    if not asked:
        return ""
    theirs = " and ".join(names.get(own, own) for own in asked)
    example = next(row[asked[0]] for row in rows if not is_absent(row.get(asked[0])))
    return (
        f"{theirs} {'hold' if len(asked) > 1 else 'holds'} nothing but whole numbers, such as "
        f"{example}, where words are meant. If they are token ids, say of which model's tokenizer: "
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
        ids = [own for own in _WORDS if is_whole(values.get(own))]
        if not ids:
            return values
        prompt = values.get("clean") or values.get("prompt") or ""
        before = self._cut(str(prompt))
        found = {own: self._text(own, int(float(values[own])), before, str(prompt)) for own in ids}
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
