"""What is wrong with a file of examples for a model, and a file without that."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from ctviz.errors import BadTask, RunExists, UnknownName
from ctviz.files import write_bytes
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files import divided, open_file
from ctviz.tasks.files.columns import as_columns
from ctviz.tasks.files.rows import Fix, Problem, counted
from ctviz.tasks.task import Split
from ctviz.tasks.tokens import Cut, Tokenizer, Tokens, pair_problem, prompt_notes, text_problem

__all__ = ["FIXES", "HELPS", "Preview", "Report", "check"]

SHOWN = 3  # examples in the preview

FIXES: dict[str, str] = {
    "drop": "leave the examples out",
    "pad": (
        "put end-of-text tokens in front of the shorter prompt. The model then reads something at "
        "its beginning that ordinary text does not have, in one of the two prompts only, and part "
        "of what discovery finds may be about that; prompts that differ in nothing but one word "
        "are better"
    ),
}
HELPS: dict[Fix, str] = {"": "by hand", "drop": "drop", "pad": "pad or drop"}  # what helps


@dataclass(frozen=True, slots=True)
class Preview:
    """An example as a model's tokenizer sees it, each token as text.

    ``prompt`` has the first tokens that answer and foil share; ``answer`` and ``foil`` are what is
    left and compared at their first token. An example without a pair has its target as ``answer``
    and no ``foil`` and ``corrupt``.
    """

    line: int
    prompt: tuple[str, ...]
    corrupt: tuple[str, ...]
    answer: tuple[str, ...]
    foil: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Checked:
    """An example with its line and split, what is wrong with it, and the padded one if that helps.

    ``parts`` is None for an example without a pair.
    """

    line: int
    split: Split
    example: Example
    parts: Cut | None
    problem: Problem | None
    padded: Example | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a check found: ``problems`` in the order of the lines, and what else is to be said.

    Plain values, so that another process can answer it. ``format`` and ``title``: the file's, see
    `ctviz.tasks.files.rows.Format`. ``grade``: a key of `ctviz.tasks.task.GRADES`. ``divided``:
    whether the file says which examples belong to a split, or stay together in one. ``previews``
    are the first examples without a problem.
    """

    file: Path
    format: str
    title: str
    grade: str
    divided: bool
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    previews: tuple[Preview, ...]
    checked: tuple[_Checked, ...]

    @property
    def good(self) -> int:
        """Examples without a problem."""
        return sum(each.problem is None for each in self.checked)

    @property
    def fixes(self) -> dict[Fix, int]:
        """How many problems each way to fix them solves; ``""``: those that nothing solves."""
        every: tuple[Fix, ...] = get_args(Fix)
        return {fix: sum(problem.fix == fix for problem in self.problems) for fix in every}

    def fixed(self, how: set[str]) -> list[Example]:
        """The examples with their problems solved in the ways ``how``, keys of `FIXES`.

        With ``pad``, unequal prompts are padded; with ``drop``, all other examples with a problem
        are left out. Raises BadTask if a problem is left or no example, and UnknownName.
        """
        return [each.example for each in self._fixed(how)]

    def write_fixed(self, path: Path, how: set[str]) -> int:
        """Write `fixed` as JSONL and return the number of examples.

        Reading it gives the same examples without a problem, in the splits that the file names if
        it names any. Raises RunExists
        if something is at ``path`` already, and what `fixed` raises.
        """
        rows = self._fixed(how)
        if path.exists():
            raise RunExists(f"{path} is there already. Name another file.")
        columns = [as_columns(row.example) for row in rows]
        splits = tuple(row.split for row in rows)
        # where the file says nothing of splits, what is left is divided anew
        if self.divided and divided([row.example.prompt for row in rows]) != splits:
            columns = [
                {**each, "split": split} for each, split in zip(columns, splits, strict=True)
            ]
        usual = "choice" if all(row.example.choices for row in rows) else "span"
        if self.grade != usual:
            columns = [{**each, "grade": self.grade} for each in columns]
        lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in columns)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, "".join(lines).encode())
        return len(rows)

    def _fixed(self, how: set[str]) -> list[_Checked]:
        for each in sorted(how):
            if each not in FIXES:
                raise UnknownName("fix", each, FIXES)
        left = [
            problem
            for problem in self.problems
            if not problem.fix
            or ("drop" not in how and not (problem.fix == "pad" and "pad" in how))
        ]
        if left:
            where = f"line {left[0].line}: " if left[0].line else ""
            solve = " The fix drop leaves them out." if all(each.fix for each in left) else ""
            raise BadTask(
                f"{self.file}: {counted(len(left), 'problem')} would be left. First: {where}"
                f"{left[0].text}.{solve}"
            )
        rows: dict[Example, _Checked] = {}
        for row in self.checked:
            if row.problem is None:
                rows.setdefault(row.example, row)
            elif "pad" in how and row.padded is not None:
                rows.setdefault(row.padded, replace(row, example=row.padded))
        if not rows:
            raise BadTask(f"{self.file}: no example would be left.")
        return list(rows.values())


def check(
    name: str,
    tokenizer: Tokenizer,
    *,
    longest: int | None,
    vocabulary: int | None = None,
    notes: tuple[str, ...] = (),
) -> Report:
    """Read a file and try every example on a model's tokenizer.

    ``longest`` is the number of tokens that the model reads, None if that is not bounded;
    ``vocabulary`` the number of tokens for which it has an embedding, None if that is not known.
    ``notes``: what is to be said of the tokenizer. `ctviz.models.reader.open_reader` has all of
    these of a model. Raises what `ctviz.tasks.files.open_file` raises; whatever is wrong with the
    file's content is in the report.
    """
    opened, tokens = open_file(name), Tokens(tokenizer, vocabulary)
    parsed = opened.parsed
    checked = tuple(
        _checked(line, split, example, tokens, longest)
        for (line, example), split in zip(parsed.examples, opened.splits, strict=True)
    )
    problems = [
        replace(problem, fix="drop") if problem.line else problem for problem in parsed.problems
    ]
    problems += [row.problem for row in checked if row.problem is not None]
    return Report(
        file=opened.file,
        format=opened.format.key,
        title=opened.format.title,
        grade=opened.grade,
        divided=bool(parsed.splits or parsed.keys),
        problems=tuple(sorted(problems, key=lambda problem: problem.line)),
        notes=(*opened.notes, *notes, *_notes(checked, tokens)),
        previews=tuple(
            itertools.islice((_preview(row, tokens) for row in checked if not row.problem), SHOWN)
        ),
        checked=checked,
    )


def _preview(row: _Checked, tokens: Tokens) -> Preview:
    def texts(ids: list[int]) -> tuple[str, ...]:
        return tuple(tokens.text(each) for each in ids)

    parts, example = row.parts, row.example
    if parts is None:
        target = tokens.continuation(example.prompt, example.target)
        return Preview(row.line, texts(tokens.prompt(example.prompt)), (), texts(target), ())
    return Preview(
        line=row.line,
        prompt=texts(parts.clean + parts.shared),
        corrupt=texts(parts.corrupt + parts.shared),
        answer=texts(parts.answer),
        foil=texts(parts.foil),
    )


def _checked(
    line: int, split: Split, example: Example, tokens: Tokens, longest: int | None
) -> _Checked:
    parts = None if example.pair is None else tokens.cut(example.pair)
    wrong = pair_problem(parts, longest=longest) if parts else ""
    wrong = wrong or text_problem(example, tokens, longest)
    if wrong:
        return _Checked(line, split, example, parts, Problem(line, wrong, "drop"))
    if parts is None or len(parts.clean) == len(parts.corrupt):
        return _Checked(line, split, example, parts, None)
    text = (
        f"clean has {counted(len(parts.clean), 'token')} and corrupt {len(parts.corrupt):,}, but "
        "both must have the same number"
    )
    padded = _padded(example, parts, tokens)
    fix: Fix = "drop" if padded is None else "pad"
    return _Checked(line, split, example, parts, Problem(line, text, fix), padded)


def _padded(example: Example, parts: Cut, tokens: Tokens) -> Example | None:
    """The example with end-of-text tokens in front of the shorter prompt of its pair.

    The prompt that is trained on stays as it is. None if the tokenizer has no such token, or makes
    something else of its text.
    """
    pair, end = example.pair, tokens.tokenizer.eos_token
    if pair is None or not end:
        return None
    more = len(parts.corrupt) - len(parts.clean)
    padded = Pair(
        clean=end * max(more, 0) + pair.clean,
        corrupt=end * max(-more, 0) + pair.corrupt,
        answer=pair.answer,
        foil=pair.foil,
    )
    after = tokens.cut(padded)
    same = len(after.clean) == len(after.corrupt) == max(len(parts.clean), len(parts.corrupt))
    return replace(example, pair=padded) if same and not pair_problem(after) else None


def _notes(checked: tuple[_Checked, ...], tokens: Tokens) -> Iterator[str]:
    rows = [row for row in checked if row.problem is None]
    parts = [row.parts for row in rows if row.parts is not None]
    prompts = {row.example.prompt for row in rows}
    pairs = [row.example.pair for row in rows if row.example.pair is not None]
    prompts |= {text for pair in pairs for text in (pair.clean, pair.corrupt)}
    yield from prompt_notes(tokens, sorted(prompts))
    shared = sum(bool(each.shared) for each in parts)
    if shared:
        yield (
            f"In {counted(shared, 'example')} answer and foil begin with the same tokens for "
            "this model; those count to the prompt, and the next ones are compared."
        )
    for name in ("answer", "foil"):
        said = [getattr(pair, name) for pair in pairs]
        cuts = [getattr(each, name) for each in parts]
        later = [(text, ids) for text, ids in zip(said, cuts, strict=True) if len(ids) > 1]
        if later:
            text, ids = later[0]
            rest = ", tuning teaches them" if name == "answer" else ""
            yield (
                f"In {counted(len(later), 'example')} the {name} has more tokens after the one "
                f"that is compared, such as {tokens.text(ids[0])!r} of {text!r}; discovery does "
                f"not look at them{rest}."
            )
