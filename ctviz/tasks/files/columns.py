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

import csv
import difflib
import io
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files.rows import Parsed, Problem, counted, lines_of, whole_characters
from ctviz.tasks.task import GRADES, Split

__all__ = ["OWN", "as_columns", "read"]

LONGEST = 100_000  # characters of a line
MOST_PLACES = 200  # at which a sentence's answers could stand, before it counts as unclear

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


class _Bad(Exception):
    """What is wrong with the line at hand."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A line's values by column, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    problem: str = ""


@dataclass(slots=True)
class _Counts:
    """On how many lines something was done, or is so."""

    spaced: int = 0
    ended: int = 0
    trailing: int = 0

    def add(self, given: Mapping[str, Any], example: Example) -> None:
        """Compare a line with the example that was made of it."""
        pair = example.pair
        made = {"target": example.target}
        if pair is not None:
            made |= {"answer": pair.answer, "foil": pair.foil}
        self.spaced += any(
            text[0] == " " != str(given[own])[0] for own, text in made.items() if given.get(own)
        )
        self.ended += pair is None and not str(given["target"]).endswith(example.target[-1])
        self.trailing += (example.prompt if pair is None else pair.clean).endswith(" ")


def read(file: Path, text: str, mapping: Mapping[str, str]) -> Parsed:
    """The examples of a file; ``mapping`` gives the file's names for our columns.

    Raises nothing: a file without the columns that are needed has a problem at line 0.
    """
    rows = list(_rows(file, text))
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    problems = [Problem(row.line, row.problem) for row in rows if row.problem]
    if not columns:
        return Parsed((), tuple(problems) or (Problem(0, "It holds no examples."),))
    layout, wrong = _layout(file, columns, mapping)
    if wrong:
        return Parsed((), (Problem(0, wrong),))
    theirs = {own: mapping.get(own, own) for own in OWN}
    present = {own for own, name in theirs.items() if name in columns}
    counts = _Counts()
    found: list[tuple[int, Example]] = []
    splits: list[Split] = []
    keys: list[str] = []
    grades: dict[str, int] = {}
    seen_lines: dict[tuple[Example, ...], int] = {}
    seen: set[Example] = set()
    again = 0
    for row in rows:
        if row.problem:
            continue
        values = {own: row.values.get(theirs[own]) for own in present}
        try:
            split = _one_of("split", values, present, get_args(Split))
            grade = _one_of("grade", values, present, GRADES)
            examples = _examples(layout, values, present, counts, row.line, problems)
            if not examples:
                continue
            same = seen_lines.setdefault(tuple(examples), row.line)
            if same != row.line:
                raise _Bad(f"same as line {same}")
        except _Bad as error:
            problems.append(Problem(row.line, str(error)))
            continue
        grades.setdefault(grade, row.line)
        for example in examples:
            if example in seen:
                again += 1
                continue
            seen.add(example)
            found.append((row.line, example))
            keys.append(examples[0].prompt)
            if split:
                splits.append(split)  # type: ignore[arg-type]
    chosen = sum(bool(example.choices) for _, example in found)
    grade = next(iter(grades), "") or ("choice" if chosen == len(found) else "span")
    if len(grades) > 1:
        which = ", ".join(f"{grade} (line {line})" for grade, line in grades.items())
        problems.append(Problem(0, f"All lines must have the same grade, but there are {which}."))
    elif chosen < len(found) and (
        grade in ("choice", "bias") or (chosen and "grade" not in present)
    ):
        problems.append(
            Problem(
                0,
                f"Only {chosen:,} of {len(found):,} examples have choices: give all of them "
                "some, or say exact or span in a column grade.",
            )
        )
    return Parsed(
        examples=tuple(found),
        problems=tuple(sorted(problems, key=lambda problem: problem.line)),
        notes=tuple(_notes(found, counts, again, grade)),
        splits=tuple(splits),
        keys=tuple(keys),
        grade=grade,
    )


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


# Lines


def _rows(file: Path, text: str) -> Iterator[_Row]:
    begin = text.lstrip()[:1]
    if file.suffix.lower() == ".csv":
        return _csv_rows(text)
    if begin == "[":
        return _list_rows(text)
    if begin == "{":
        return (
            iter([_Row(0, {}, whole)]) if (whole := _one_object(file, text)) else _jsonl_rows(text)
        )
    return iter([_Row(0, {}, "It holds neither JSON objects, one a line, nor a list of them.")])


def _one_object(file: Path, text: str) -> str:
    """What is wrong with a .json file that is one object over many lines; empty if it is not."""
    if file.suffix.lower() != ".json" or "\n" not in text.strip():
        return ""
    try:
        json.loads(text)
    except (ValueError, RecursionError):  # one object a line, then
        return ""
    return "It is one JSON object; needed is a list of objects, or one object a line."


def _row(line: int, size: int, value: Any) -> _Row:
    if size > LONGEST:
        return _Row(line, {}, f"{size:,} characters; a line may have {LONGEST:,}")
    if not isinstance(value, dict):
        return _Row(line, {}, f"a JSON object is needed, not {json.dumps(value)[:40]}")
    return _Row(line, value)


def _jsonl_rows(text: str) -> Iterator[_Row]:
    for line, content in lines_of(text):
        if len(content) > LONGEST:  # not worth parsing
            yield _row(line, len(content), {})
            continue
        try:
            yield _row(line, len(content), json.loads(content))
        except json.JSONDecodeError as error:
            yield _Row(line, {}, f"not valid JSON: {error.msg} at character {error.colno}")
        except (ValueError, RecursionError) as error:  # a huge number, too many brackets
            yield _Row(line, {}, f"not readable as JSON: {error}")


def _list_rows(text: str) -> Iterator[_Row]:
    """The entries of a list with the line on which each begins."""
    decoder = json.JSONDecoder()
    blank = re.compile(r"\s*")
    at = text.index("[") + 1
    line, counted = 1, 0
    first = True
    while True:
        at = blank.match(text, at).end()  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, at), at
        if text[at : at + 1] == "]" and first:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield _Row(error.lineno, {}, f"not valid JSON: {error.msg}; nothing after it was read")
            return
        except (ValueError, RecursionError) as error:
            yield _Row(line, {}, f"not readable as JSON: {error}; nothing after it was read")
            return
        yield _row(line, end - at, value)
        first = False
        at = blank.match(text, end).end()  # type: ignore[union-attr]
        if text[at : at + 1] != ",":
            break
        at += 1
    rest = text[at + 1 :]
    if text[at : at + 1] != "]" or rest.strip():
        line += text.count("\n", counted, at)
        wrong = (
            "something follows the list" if text[at : at + 1] == "]" else "',' or ']' is missing"
        )
        yield _Row(line, {}, f"not valid JSON: {wrong}; nothing after it was read")


def _csv_rows(text: str) -> Iterator[_Row]:
    """The records of a CSV file with the line on which each begins; , ; or tab between cells."""
    header_line = text.lstrip().partition("\n")[0]
    between = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Row(line, {}, f"not valid CSV: {error}; nothing after it was read")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            continue
        if len(cells) != len(header):
            yield _Row(line, {}, f"{len(cells)} cells, but the header has {len(header)}")
            continue
        yield _row(line, sum(map(len, cells)), dict(zip(header, cells, strict=True)))


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


def _one_of(
    own: str, values: Mapping[str, Any], present: set[str], allowed: Collection[str]
) -> str:
    if own not in present:
        return ""
    value = values[own]
    if value in (None, ""):
        raise _Bad(f"no {own}, although other lines have one")
    if not isinstance(value, str) or value not in allowed:
        raise _Bad(f"{own} is {value!r}, but must be {', '.join(allowed)}")
    return value


def _string(own: str, value: Any) -> str:
    """A text that says something."""
    if value is None:
        raise _Bad(f"{own} is missing")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _Bad(f"{own} is {json.dumps(value)[:40]}, but must be text")
    if not value.strip():
        raise _Bad(f"{own} is empty")
    if not whole_characters(value):
        raise _Bad(f"{own} has half a surrogate pair, which is no character")
    return value


def _strings(own: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Bad(f"{own} must be a list of texts")
    return tuple(_string(f"{own}[{i}]", each) for i, each in enumerate(value))


def _truth(own: str, value: Any) -> bool:
    if value in (None, "", False, 0) or str(value).lower() in ("false", "no", "0"):
        return False
    if value is True or str(value).lower() in ("true", "yes", "1"):
        return True
    raise _Bad(f"{own} is {value!r}, but must be true or false")


# Examples


def _examples(
    layout: tuple[str, ...],
    values: Mapping[str, Any],
    present: set[str],
    counts: _Counts,
    line: int,
    problems: list[Problem],
) -> list[Example]:
    """The examples of a line; adds a problem for each answer of a sentence that gives none."""
    if layout[0] == "text":
        group = _string("group", values["group"]) if values.get("group") else ""
        found = _from_text(values, _corrupt(values) if "corrupt" in present else "")
        problems += [Problem(line, wrong) for wrong in found if isinstance(wrong, str)]
        return [replace(Example.of(p), group=group) for p in found if isinstance(p, Pair)]
    if layout[0] == "prompt":
        values = {own: value for own, value in values.items() if own not in _PAIR}
    example = _example(values)
    if "corrupt" in present and example.pair is not None:
        _corrupt(values)
    counts.add(values, example)
    return [example]


def _example(values: Mapping[str, Any]) -> Example:
    """The example of a line with a pair or, without one, with prompt and target.

    Unless it is to be taken verbatim, what follows a prompt gets a space in front where there is
    none, and a target that is to be generated a line break at its end.
    """
    verbatim = _truth("verbatim", values.get("verbatim"))
    has = {own for own, value in values.items() if value not in (None, "")}

    def continued(before: str, text: str) -> str:
        spaced = verbatim or before[-1].isspace() or not text[0].isalnum()
        return text if spaced else f" {text}"

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
            raise _Bad(f"answer and foil are the same ({answer!r})")
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
        raise _Bad("no corrupt, although other lines have one")
    return _string("corrupt", values["corrupt"])


def _from_text(values: Mapping[str, Any], corrupt: str) -> list[Pair | str]:
    """A pair for each answer in a sentence, or what is wrong with that answer."""
    text = _string("text", values["text"])
    answers, foils = (
        [_string(own, each).strip() for each in (given if isinstance(given, list) else [given])]
        for own, given in (("answer", values["answer"]), ("foil", values["foil"]))
    )
    if len(answers) != len(foils):
        raise _Bad(f"{len(answers)} answers, but {len(foils)} foils")
    if not answers:
        raise _Bad("answer is empty")
    starts = _starts(text, answers, "text")
    others: list[int] = []
    if corrupt:
        starts, others = _aligned(text, answers, corrupt, foils)
    elif starts != _starts(text, answers, "text", last=True):
        raise _Bad(
            f"{_listed(answers)} can stand at more than one place in text; name a column corrupt "
            "with the whole sentence, the foils in place of the answers"
        )
    found: list[Pair | str] = []
    for at, (answer, foil) in enumerate(zip(answers, foils, strict=True)):
        if answer == foil:
            found.append(f"answer and foil are the same ({answer!r})")
            continue
        clean, answer, foil = _cut(text, starts[at], answer, foil)
        other = _cut(corrupt, others[at], foils[at], answers[at])[0] if corrupt else clean
        if not clean.strip() or not other.strip():
            found.append(f"nothing stands in front of {answer.strip()!r}")
        else:
            found.append(Pair(clean, other, answer, foil))
    return found


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words))


def _places(text: str, word: str) -> list[int]:
    """Where a word stands in a text by itself, not as a part of a longer one."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w$", word) else ""
    return [m.start() for m in re.finditer(before + re.escape(word) + after, text)]


def _in_order(text: str, words: Sequence[str]) -> list[list[int]]:
    """For each word, the places that leave room for the words before it and after it.

    A word with nothing in front of it has no prompt, so the text's beginning does not count as a
    place unless the words do not fit otherwise. Empty lists if they do not fit at all.
    """
    opening = len(text) - len(text.lstrip())
    every = [_places(text, word) for word in words]
    for places in ([[at for at in each if at > opening] for each in every], every):
        end = 0
        for k, word in enumerate(words):
            places[k] = [at for at in places[k] if at >= end]
            end = places[k][0] + len(word) if places[k] else len(text) + 1
        begin = len(text) + 1
        for k in reversed(range(len(words))):
            places[k] = [at for at in places[k] if at + len(words[k]) <= begin]
            begin = places[k][-1] if places[k] else -1
        if all(places):
            return places
    return [[] for _ in words]


def _starts(text: str, words: Sequence[str], name: str, *, last: bool = False) -> list[int]:
    """The first (or last) places at which words stand in a text, in their order."""
    places = _in_order(text, words)
    if not all(places):
        how = ", in this order" if len(words) > 1 else ""
        raise _Bad(f"{_listed(words)} not found in {name} as a word{how}")
    return [each[-1 if last else 0] for each in places]


def _aligned(
    text: str, answers: Sequence[str], corrupt: str, foils: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Where the answers stand in a text and the foils in its counterfactual.

    Of all possible places those that cut both into pieces of the most similar lengths, spaces not
    counted; of several that are equally good, the first.
    """
    _starts(corrupt, foils, "corrupt")
    ways = []
    for where, words in ((text, answers), (corrupt, foils)):
        every = itertools.product(*_in_order(where, words))
        some = list(itertools.islice(every, MOST_PLACES + 1))
        if len(some) > MOST_PLACES:
            raise _Bad(f"{_listed(words)} can stand at more than {MOST_PLACES} places")
        cuts = [
            (list(starts), _pieces(where, starts, words))
            for starts in some
            if all(a + len(w) <= b for a, w, b in zip(starts, words, starts[1:], strict=False))
        ]
        ways.append(cuts)
    best = min(
        itertools.product(*ways),
        key=lambda both: sum(
            abs(a - b) for a, b in zip(both[0][1], both[1][1], strict=True)
        ),  # min takes the first of equals
    )
    return best[0][0], best[1][0]


def _pieces(text: str, starts: Sequence[int], words: Sequence[str]) -> list[int]:
    """The lengths of what stands before, between and after words, without spaces."""
    ends = [0, *(at + len(word) for at, word in zip(starts, words, strict=True))]
    begins = [*starts, len(text)]
    return [len("".join(text[a:b].split())) for a, b in zip(ends, begins, strict=True)]


def _cut(text: str, at: int, answer: str, foil: str) -> tuple[str, str, str]:
    """The text in front of an answer, and answer and foil as they go on from it.

    A single space in front of the answer belongs to both. An answer such as "'re" goes on without
    one, and then a foil that is a word of its own gets one ("we've", "we has").
    """
    attached = {word: word[0] in "'’" for word in (answer, foil)}
    if text[at - 1 : at] == " ":
        before, space = text[: at - 1], " "
    else:
        before, space = text[:at], ""
    if attached[answer] and not attached[foil]:
        return before, space + answer, f" {foil}"
    return before, space + answer, foil if attached[foil] else space + foil


def _notes(
    found: Sequence[tuple[int, Example]], counts: _Counts, again: int, grade: str
) -> Iterator[str]:
    if counts.spaced:
        yield (
            f"On {counted(counts.spaced, 'line')} a space was put in front of an answer, a foil or "
            "a target, because the prompt does not end with one."
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
