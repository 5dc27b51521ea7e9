"""Files of one's own with named columns: JSONL, JSON, CSV, a Parquet file or an Excel workbook.

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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files import eap_ig
from ctviz.tasks.files.alignment import pairs_in
from ctviz.tasks.files.content import Content
from ctviz.tasks.files.parsing import whole_characters
from ctviz.tasks.files.rows import BadLine, Layout, Parsed, Problem, counted
from ctviz.tasks.files.token_ids import (
    ABSENT,
    NONE,
    Ids,
    is_absent,
    number_columns,
    unclear,
)
from ctviz.tasks.spacing import takes_space
from ctviz.tasks.task import GRADES, SPLITS, Split, split_of

__all__ = ["OWN", "Reading", "as_columns", "read"]

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
# What others call our columns.
_CALLED: dict[str, tuple[str, ...]] = {
    "corrupt": ("corrupted", "counterfactual", "corrupted_prompt", "counterfactual_prompt"),
    "answer": ("correct", "right", "good", "correct_answer", "label"),
    "foil": ("incorrect", "wrong", "bad", "wrong_answer", "incorrect_answer", "distractor"),
    "text": ("sentence",),
    "prompt": ("question", "instruction", "input", "query"),
    "target": ("completion", "output", "response", "answer", "label"),
}
_PAIR = ("clean", "corrupt", "answer", "foil")

_JOINING = "=([{<\"'“‘„«-–/\\_@#$€£^~*+"  # after these, text often goes on without a space
_SUFFIXES = frozenset(["ing", "ed", "es", "s", "er", "est", "ly", "ness", "ment", "ion", "tion"])

Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file's rows are read: ``mapping`` gives its names for our columns, ``layout`` makes
    rows of another tool into ours, ``ids`` says what numbers are (`ctviz.tasks.files.token_ids`).
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    layout: Layout | None = None
    ids: str = ""

    def told(self, content: Content) -> str:
        """The file's name with what is said behind it, as far as one more word can follow."""
        said = [f"{own}={theirs}" for own, theirs in self.mapping.items()]
        return f"{content.file.name}?{''.join(f'{each}&' for each in said)}"


def read(content: Content, how: Reading) -> Parsed:
    """The examples of a file.

    A file without the columns that are needed has a problem at line 0. Raises what
    `ctviz.models.reader.open_reader` raises where ids are a model's.
    """
    problems = [Problem(row.line, row.problem) for row in content.rows if row.problem]
    names = content.columns
    if not names:
        nothing = " ".join(("It holds no examples.", *content.notes))
        return Parsed((), tuple(problems) or (Problem(0, nothing),))
    notes = list(content.notes)
    present: dict[str, str] = {}
    kind: tuple[str, ...] = _LAYOUTS[0]
    if how.layout is None:
        known = {own: name for own, name in eap_ig.names(names).items() if own not in names}
        mapping = {**known, **how.mapping}
        kind, wrong = _layout(content, names, mapping)
        if wrong:
            return Parsed((), (Problem(0, wrong),))
        theirs = {own: mapping.get(own, own) for own in OWN}
        present = {own: name for own, name in theirs.items() if name in names}
        notes += _mapped(kind, present, how.mapping)
    else:
        notes += how.layout.notes([row.values for row in content.rows if not row.problem])
    lines: list[tuple[int, Mapping[str, Any]]] = []
    for row in content.rows:
        if row.problem:
            continue
        try:
            lines.append((row.line, _values(row.values, present, how.layout)))
        except BadLine as error:
            problems.append(Problem(row.line, str(error)))
    if kind[0] != "text":  # there, answers are words of the sentence
        values = [each for _, each in lines]
        asked = unclear(values, present, how.told(content), typed=content.typed)
        if asked and not how.ids:
            return Parsed((), (Problem(0, asked),))
        notes += _numbers(values, how.ids)
    together = how.layout.together if how.layout else lambda example: example.prompt
    collected = _Collected(kind, problems, notes, together)
    ids = Ids(how.ids) if how.ids not in ("", NONE) else None
    for line, each in lines:
        collected.add(line, each, ids)
    return collected.parsed()


def _values(
    row: Mapping[str, Any], present: Mapping[str, str], layout: Layout | None
) -> Mapping[str, Any]:
    """A row by our columns, None for a value that is none; raises BadLine for a text that says so.

    What is to be taken verbatim may be such a text.
    """
    if layout is None:
        values = {own: row.get(name) for own, name in present.items()}
    else:
        values = {"grade": layout.grade, **layout.columns(row)}
        values |= {"split": row["split"]} if "split" in row else {}
    values = {
        own: value if value == "" or not is_absent(value) else None for own, value in values.items()
    }
    for own, value in values.items():
        absent = isinstance(value, str) and value in ABSENT
        if absent and own != "verbatim" and not _truth("verbatim", values.get("verbatim")):
            raise BadLine(
                f"{own} is {value!r}, which stands for a missing value; if that word is meant, put "
                "a space in front, or say verbatim"
            )
    return values


def _mapped(
    kind: tuple[str, ...], present: Mapping[str, str], asked: Mapping[str, str]
) -> Iterator[str]:
    """A note on names that were taken for ours without being asked to."""
    taken = [
        f"{name} as {own}"
        for own, name in present.items()
        if own != name and own not in asked and own in ("corrupt", *kind)
    ]
    if taken:
        yield f"Read as EAP-IG names its columns: {', '.join(taken)}."


def _numbers(values: Sequence[Mapping[str, Any]], ids: str) -> Iterator[str]:
    """A note on columns of numbers."""
    numbers = " and ".join(number_columns(values))
    if numbers and ids in ("", NONE):
        yield f"The numbers in {numbers} are taken as what is to be said, not as token ids."
    elif numbers:
        yield f"The numbers in {numbers} are read as token ids of {ids}."


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
    """The examples of the lines so far, of one of `_LAYOUTS`."""

    layout: tuple[str, ...]
    problems: list[Problem]
    notes: list[str]
    together: Callable[[Example], str]
    found: list[tuple[int, Example]] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    counts: _Counts = field(default_factory=lambda: _Counts())
    grades: dict[str, int] = field(default_factory=dict)  # with the first line of each
    called: dict[str, Split] = field(default_factory=dict)  # splits under other names
    lines: dict[tuple[Example, ...], int] = field(default_factory=dict)  # that give just these
    seen: set[Example] = field(default_factory=set)
    again: int = 0

    def add(self, line: int, values: Mapping[str, Any], ids: Ids | None) -> None:
        """Read a line; what is wrong with it goes to the problems."""
        try:
            values = ids.words(values) if ids else values
            split = self._split(values)
            grade = _one_of("grade", values, GRADES)
            examples = self._examples(values, line)
            if not examples:
                return
            same = self.lines.setdefault(tuple(examples), line)
            if same != line:
                raise BadLine(f"same as line {same}")
        except BadLine as error:
            self.problems.append(Problem(line, str(error)))
            return
        self.grades.setdefault(grade or "", line)
        for example in examples:
            if example in self.seen:
                self.again += 1
                continue
            self.seen.add(example)
            self.found.append((line, example))
            self.keys.append(self.together(examples[0]))
            if split:
                self.splits.append(split)

    def _split(self, values: Mapping[str, Any]) -> Split | None:
        """A line's split, under whatever name; None if the file has no such column."""
        named = values.get("split")
        meant = split_of(named) if isinstance(named, str) else None
        if meant and meant != named:
            self.called.setdefault(str(named), meant)
        return _one_of("split", {**values, "split": meant} if meant else values, SPLITS)

    def parsed(self) -> Parsed:
        """All of them, with what is wrong with the file as a whole."""
        chosen = sum(bool(example.choices) for _, example in self.found)
        grade = next(iter(self.grades), "") or ("choice" if chosen == len(self.found) else "span")
        self.problems += [Problem(0, wrong) for wrong in self._grade_problems(grade, chosen)]
        return Parsed(
            examples=tuple(self.found),
            problems=tuple(sorted(self.problems, key=lambda problem: problem.line)),
            notes=(
                *self.notes,
                *(f"Lines of split {theirs} are {ours}." for theirs, ours in self.called.items()),
                *_notes(self.found, self.counts, self.again, grade),
            ),
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
            grade in ("choice", "bias") or (chosen and not any(self.grades))
        ):
            yield (
                f"Only {chosen:,} of {len(self.found):,} examples have choices: give all of them "
                "some, or say exact or span in a column grade."
            )


# Columns


def _layout(
    content: Content, columns: Sequence[str], mapping: Mapping[str, str]
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
    if unusable := eap_ig.missing(columns):
        return (), f"Its columns are {listed}. {unusable}."
    free = [name for name in columns if name not in OWN and name not in mapping.values()]
    like = {own: _alike(own, free) for own in OWN if own not in have}
    nearest = min(
        layouts,
        key=lambda layout: sum(1 - 2 * bool(like[own]) for own in layout if own not in have),
    )
    offers = [f"{own}={name}" for own, name in mapping.items()]
    for own in (*nearest, *(("corrupt",) if "corrupt" not in nearest else ())):
        if own in have or (own == "corrupt" and (nearest == _LAYOUTS[2] or not like[own])):
            continue
        name = next((name for name in like[own] if name in free), "")
        offers.append(f"{own}={name or 'COLUMN'}")
        free = [each for each in free if each != name]
    needed = " or ".join(", ".join(layout) for layout in _LAYOUTS)
    table = content.file.suffix.lower() in (".csv", ".tsv", ".xlsx")
    header = " (the first line must name them)" if table else ""
    return (), (
        f"Its columns are {listed}; needed are {needed}{header}. If they have other names, say "
        f"which: {content.file.name}?{'&'.join(offers)}"
    )


def _alike(own: str, columns: Sequence[str]) -> list[str]:
    """The columns that may be one of ours by their name, the likeliest first."""
    called = [name for name in _CALLED.get(own, ()) if name in columns]
    near = difflib.get_close_matches(own, columns, n=3, cutoff=0.6)
    return list(dict.fromkeys([*called, *near]))


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
    if value is None or (isinstance(value, float) and is_absent(value)):
        raise BadLine(f"{own} is missing")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(int(value) if float(value).is_integer() else value)
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
            f"{same:,} of {counted(len(pairs), 'pair')} {'has' if same == 1 else 'have'} no "
            "counterfactual prompt: corrupting with it changes nothing there, so discover with "
            "mean or zero ablation."
        )
    if found and not pairs:
        yield (
            "No pairs, so it is for tuning: circuits are then discovered on the log-probability of "
            "the target, by mean or zero ablation. `ctviz discover` needs clean, answer and foil."
        )
    lines = sum("\n" in example.target.strip() for _, example in found)
    if grade in ("exact", "span") and lines:
        yield (
            f"{counted(lines, 'target has', 'targets have')} several lines, but only the first "
            "line said is judged."
        )
