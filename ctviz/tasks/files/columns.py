"""Files of one's own with named columns: JSONL, a list in JSON, or CSV with a header.

Three layouts, told apart by their columns::

    clean, answer, foil [, corrupt]    two continuations of a prompt, and its counterfactual
    text, answer, foil [, corrupt]     whole sentences in which the answer stands as a word
    prompt, target                     for tuning only: there is nothing to compare

Without ``corrupt`` the counterfactual is the clean prompt itself, so that corrupting edges with it
changes nothing; mean and zero ablation do not need it.

In the second layout an example's prompt is the text in front of the answer. ``answer`` and ``foil``
may be lists of equal length, in the order in which the answers stand in the text: one example each.
An answer that stands at more than one possible place is a problem, unless ``corrupt``, here the
whole sentence with the foils in place of the answers, tells which one is meant.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files.alignment import pairs_in
from ctviz.tasks.files.parsing import Row, rows_of, whole_characters
from ctviz.tasks.files.rows import BadLine, Parsed, Problem, counted
from ctviz.tasks.spacing import takes_space
from ctviz.tasks.task import GRADES, SPLITS, Split

__all__ = ["OWN", "as_columns", "read"]

OWN: dict[str, str] = {
    "clean": "the prompt",
    "corrupt": "its counterfactual: as many tokens, and the foil is right after it",
    "answer": "what should come next",
    "foil": "what should not",
    "text": "a whole sentence in which the answer stands as a word",
    "prompt": "what the model is given, if not clean",
    "target": "what tuning teaches it to say, if not the answer",
    "choices": "list: continuations to choose among, the right one first, if not answer and foil",
    "accepted": "list: answers in free text that count as right, if not the target",
    "split": "train, dev or test; without it 80, 10 and 10 % by the prompt",
    "group": "a part of the task that is also counted by itself",
    "grade": f"how answers are judged: {', '.join(GRADES)}",
    "verbatim": "true: put in no spaces and no line breaks",
}
_LAYOUTS = (("clean", "answer", "foil"), ("text", "answer", "foil"), ("prompt", "target"))
_PAIR = ("clean", "corrupt", "answer", "foil")

_JOINING = "=([{<\"'“‘„«-–/\\_@#$€£^~*+"  # after these, text often goes on without a space
_SUFFIXES = frozenset(["ing", "ed", "es", "s", "er", "est", "ly", "ness", "ment", "ion", "tion"])

Choice = TypeVar("Choice", bound=str)


def read(file: Path, text: str, mapping: Mapping[str, str]) -> Parsed:
    """The examples of a file; ``mapping`` gives the file's names for our columns.

    Raises nothing: a file without the columns that are needed has a problem at line 0.
    """
    rows = list(rows_of(file, text))
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    problems = [Problem(row.line, row.problem) for row in rows if row.problem]
    if not columns:
        return Parsed((), tuple(problems) or (Problem(0, "It holds no examples."),))
    layout, wrong = _layout(file, columns, mapping)
    if wrong:
        return Parsed((), (Problem(0, wrong),))
    theirs = {own: mapping.get(own, own) for own in OWN}
    present = {own: name for own, name in theirs.items() if name in columns}
    collected = _Collected(layout, present, problems)
    for row in rows:
        if not row.problem:
            collected.add(row)
    return collected.parsed()


def as_columns(example: Example) -> dict[str, Any]:
    """The columns from which `read` makes exactly this example; no split, no grade."""
    pair = example.pair
    if pair is None:
        columns: dict[str, Any] = {"prompt": example.prompt, "target": example.target}
    else:
        columns = {
            "clean": pair.clean,
            "corrupt": pair.corrupt,
            "answer": pair.answer,
            "foil": pair.foil,
        }
    if example.group:
        columns["group"] = example.group
    usual = _example(columns)
    columns |= {
        name: getattr(example, name)
        for name in ("prompt", "target")
        if getattr(example, name) != getattr(usual, name)
    }
    columns |= {
        name: list(getattr(example, name))
        for name in ("choices", "accepted")
        if getattr(example, name) != getattr(usual, name)
    }
    if _example(columns) != example:
        columns["verbatim"] = True
    return columns


@dataclass(slots=True)
class _Counts:
    """On how many lines something was done, or is so; ``spaced``: the first words of each kind."""

    spaced: int = 0
    doubtful: int = 0
    shown: str = ""
    ended: int = 0
    trailing: int = 0

    def add(self, given: Mapping[str, Any], example: Example) -> None:
        """Compare a line with the example that was made of it."""
        pair = example.pair
        made = {"target": example.target}
        if pair is not None:
            made |= {"answer": pair.answer, "foil": pair.foil}
        put = [
            text
            for own, text in made.items()
            if given.get(own) and text[0] == " " != str(given[own])[0]
        ]
        if put:
            prompt = example.prompt if pair is None else pair.clean
            doubtful = prompt[-1] in _JOINING or any(t.strip() in _SUFFIXES for t in put)
            self.spaced += 1
            self.doubtful += doubtful
            if not self.shown or (doubtful and self.doubtful == 1):
                self.shown = f"{prompt[-1]}{put[0].rstrip()}"
        self.ended += pair is None and not str(given["target"]).endswith(example.target[-1])
        self.trailing += (example.prompt if pair is None else pair.clean).endswith(" ")


@dataclass(slots=True)
class _Collected:
    """The examples of the lines so far: ``present`` has the file's names for our columns."""

    layout: tuple[str, ...]
    present: Mapping[str, str]
    problems: list[Problem]
    found: list[tuple[int, Example]] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    counts: _Counts = field(default_factory=lambda: _Counts())
    grades: dict[str, int] = field(default_factory=dict)  # with the first line of each
    lines: dict[tuple[Example, ...], int] = field(default_factory=dict)  # that give just these
    seen: set[Example] = field(default_factory=set)
    again: int = 0

    def add(self, row: Row) -> None:
        """Read a line; what is wrong with it goes to the problems."""
        values = {own: row.values.get(name) for own, name in self.present.items()}
        try:
            split = _one_of("split", values, SPLITS)
            grade = _one_of("grade", values, GRADES)
            examples = self._examples(values, row.line)
            if not examples:
                return
            same = self.lines.setdefault(tuple(examples), row.line)
            if same != row.line:
                raise BadLine(f"same as line {same}")
        except BadLine as error:
            self.problems.append(Problem(row.line, str(error)))
            return
        self.grades.setdefault(grade or "", row.line)
        for example in examples:
            if example in self.seen:
                self.again += 1
                continue
            self.seen.add(example)
            self.found.append((row.line, example))
            self.keys.append(examples[0].prompt)
            if split:
                self.splits.append(split)

    def parsed(self) -> Parsed:
        """All of them, with what is wrong with the file as a whole."""
        chosen = sum(bool(example.choices) for _, example in self.found)
        grade = next(iter(self.grades), "") or ("choice" if chosen == len(self.found) else "span")
        self.problems += [Problem(0, wrong) for wrong in self._grade_problems(grade, chosen)]
        return Parsed(
            examples=tuple(self.found),
            problems=tuple(sorted(self.problems, key=lambda problem: problem.line)),
            notes=tuple(_notes(self.found, self.counts, self.again, grade)),
            splits=tuple(self.splits),
            keys=tuple(self.keys),
            grade=grade,
        )

    def _examples(self, values: Mapping[str, Any], line: int) -> list[Example]:
        """The examples of a line; adds a problem for each answer of a sentence that gives none."""
        if self.layout[0] == "text":
            group = _string("group", values["group"]) if values.get("group") else ""
            found = _from_text(values)
            self.problems += [Problem(line, wrong) for wrong in found if isinstance(wrong, str)]
            return [replace(Example.of(p), group=group) for p in found if isinstance(p, Pair)]
        if self.layout[0] == "prompt":
            values = {own: value for own, value in values.items() if own not in _PAIR}
        example = _example(values)
        if "corrupt" in values and example.pair is not None:
            _corrupt(values)
        self.counts.add(values, example)
        return [example]

    def _grade_problems(self, grade: str, chosen: int) -> Iterator[str]:
        """What is wrong with the grade of a file; ``chosen`` of its examples have choices."""
        if len(self.grades) > 1:
            which = ", ".join(f"{grade} (line {line})" for grade, line in self.grades.items())
            yield f"All lines must have the same grade, but there are {which}."
        elif chosen < len(self.found) and (
            grade in ("choice", "bias") or (chosen and "grade" not in self.present)
        ):
            yield (
                f"Only {chosen:,} of {len(self.found):,} examples have choices: give all of them "
                "some, or say exact or span in a column grade."
            )


# Columns


def _layout(
    file: Path, columns: Sequence[str], mapping: Mapping[str, str]
) -> tuple[tuple[str, ...], str]:
    """The layout of a file with these columns, or what is missing."""
    listed = ", ".join(columns[:20]) + (" ..." if len(columns) > 20 else "")
    for own, theirs in mapping.items():
        if theirs not in columns:
            near = difflib.get_close_matches(theirs, columns, n=3, cutoff=0.5)
            meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            return (), f"There is no column {theirs!r} for {own}.{meant} Its columns: {listed}."
    have = {own for own in OWN if mapping.get(own, own) in columns}
    # what was asked for by name goes before what the file happens to have
    layouts = sorted(_LAYOUTS, key=lambda layout: -sum(own in mapping for own in layout))
    for layout in layouts:
        if have.issuperset(layout):
            return layout, ""
    like = {own: difflib.get_close_matches(own, columns, n=1, cutoff=0.5) for own in OWN}
    nearest = min(layouts, key=lambda layout: sum(1 - 2 * bool(like[own]) for own in layout))
    offers = [f"{own}={(like[own] or ['COLUMN'])[0]}" for own in nearest if own not in have]
    needed = " or ".join(", ".join(layout) for layout in _LAYOUTS)
    header = (
        " (of a CSV file, the first line must name them)" if file.suffix.lower() == ".csv" else ""
    )
    return (), (
        f"Its columns are {listed}; needed are {needed}{header}. If they have other names, say "
        f"which: {file.name}?{'&'.join(offers)}"
    )


def _one_of(own: str, values: Mapping[str, Any], allowed: Collection[Choice]) -> Choice | None:
    """A line's choice in one of our columns; None if the file has no such column."""
    if own not in values:
        return None
    value = values[own]
    if value in (None, ""):
        raise BadLine(f"no {own}, although other lines have one")
    found = next((each for each in allowed if each == value), None)
    if found is None:
        raise BadLine(f"{own} is {value!r}, but must be {', '.join(allowed)}")
    return found


def _string(own: str, value: Any) -> str:
    """A text that says something."""
    if value is None:
        raise BadLine(f"{own} is missing")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadLine(f"{own} is {json.dumps(value)[:40]}, but must be text")
    if not value.strip():
        raise BadLine(f"{own} is empty")
    if not whole_characters(value):
        raise BadLine(f"{own} has half a surrogate pair, which is no character")
    return value


def _strings(own: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadLine(f"{own} must be a list of texts")
    return tuple(_string(f"{own}[{i}]", each) for i, each in enumerate(value))


def _truth(own: str, value: Any) -> bool:
    if value in (None, "", False, 0) or str(value).lower() in ("false", "no", "0"):
        return False
    if value is True or str(value).lower() in ("true", "yes", "1"):
        return True
    raise BadLine(f"{own} is {value!r}, but must be true or false")


# Examples


def _example(values: Mapping[str, Any]) -> Example:
    """The example of a line with a pair or, without one, with prompt and target.

    Unless it is to be taken verbatim, what follows a prompt gets a space in front where there is
    none, and a target that is to be generated a line break at its end.
    """
    verbatim = _truth("verbatim", values.get("verbatim"))
    has = {own for own, value in values.items() if value not in (None, "")}

    def continued(before: str, text: str) -> str:
        return f" {text}" if not verbatim and takes_space(before, text) else text

    if has.isdisjoint(("clean", "answer", "foil")) and has.issuperset(("prompt", "target")):
        prompt = _string("prompt", values["prompt"])
        target = continued(prompt, _string("target", values["target"]))
        if not verbatim and not target.endswith("\n"):
            target += "\n"
        usual = Example(prompt, target, accepted=(target.strip(),))
    else:
        own = ("clean", "answer", "foil")
        clean, answer, foil = (_string(name, values.get(name)) for name in own)
        corrupt = _string("corrupt", values["corrupt"]) if "corrupt" in has else clean
        pair = Pair(clean, corrupt, continued(clean, answer), continued(clean, foil))
        if pair.answer == pair.foil:
            raise BadLine(f"answer and foil are the same ({answer!r})")
        usual = Example.of(pair)
        if "prompt" in has:
            usual = replace(usual, prompt=_string("prompt", values["prompt"]))
        if "target" in has:
            target = continued(usual.prompt, _string("target", values["target"]))
            usual = replace(usual, target=target)
    if "choices" in has:
        choices = _strings("choices", values["choices"])
        usual = replace(usual, choices=tuple(continued(usual.prompt, each) for each in choices))
    if "accepted" in has:
        usual = replace(usual, accepted=_strings("accepted", values["accepted"]))
    return replace(usual, group=_string("group", values["group"])) if "group" in has else usual


def _corrupt(values: Mapping[str, Any]) -> str:
    if values["corrupt"] in (None, ""):
        raise BadLine("no corrupt, although other lines have one")
    return _string("corrupt", values["corrupt"])


def _from_text(values: Mapping[str, Any]) -> list[Pair | str]:
    """A pair for each answer in a sentence, or what is wrong with that answer."""
    text = _string("text", values["text"])
    answers, foils = (
        [_string(own, each).strip() for each in (given if isinstance(given, list) else [given])]
        for own, given in (("answer", values["answer"]), ("foil", values["foil"]))
    )
    if len(answers) != len(foils):
        raise BadLine(f"{len(answers)} answers, but {len(foils)} foils")
    if not answers:
        raise BadLine("answer is empty")
    return pairs_in(text, answers, foils, _corrupt(values) if "corrupt" in values else "")


def _notes(
    found: Sequence[tuple[int, Example]], counts: _Counts, again: int, grade: str
) -> Iterator[str]:
    if counts.spaced:
        yield (
            f"On {counted(counts.spaced, 'line')} a space was put in front of an answer, a foil or "
            f"a target, because the prompt does not end with one ({counts.shown!r}). A column "
            "verbatim that says true leaves text as it is."
        )
    if counts.doubtful:
        yield (
            f"On {counts.doubtful:,} of these the prompt ends in a sign that is often followed "
            "without a space, or the text looks like the end of a word: are they right?"
        )
    if counts.trailing:
        yield (
            f"{counted(counts.trailing, 'prompt ends', 'prompts end')} in a space. Most models "
            "read a space as the beginning of the next word: leave it out there."
        )
    if counts.ended:
        yield (
            f"On {counted(counts.ended, 'line')} a line break was put after the target: it says "
            "that the answer is over."
        )
    if again:
        yield (
            f"{counted(again, 'example is', 'examples are')} the same as one in front of it, and "
            "not counted again."
        )
    pairs = [example.pair for _, example in found if example.pair is not None]
    same = sum(pair.clean == pair.corrupt for pair in pairs)
    if same:
        yield (
            f"{same:,} of {counted(len(pairs), 'pair')} have no counterfactual prompt: corrupting "
            "with it changes nothing there, so discover with mean or zero ablation."
        )
    if found and not pairs:
        yield (
            "No pairs: circuits are discovered on the log-probability of the target, by mean or "
            "zero ablation."
        )
    lines = sum("\n" in example.target.strip() for _, example in found)
    if grade in ("exact", "span") and lines:
        yield (
            f"{counted(lines, 'target has', 'targets have')} several lines, but only the first "
            "line said is judged."
        )
