"""Files of one's own as tasks.

A name is a file, optionally with the file's names for our columns (`ctviz.tasks.files.columns`)::

    data/pairs.jsonl
    verbs.csv?text=sentence&answer=right&foil=wrong

JSONL, JSON, CSV and the original files of WinoBias, GSM8K and SQuAD can be read. `file_task` takes
a file only if every line of it is good; `ctviz.tasks.files.check` says what is wrong with one.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctviz.errors import BadTask, UnknownName
from ctviz.tasks.example import Example
from ctviz.tasks.files import columns
from ctviz.tasks.files.parsing import text_of
from ctviz.tasks.files.rows import Format, Parsed, counted
from ctviz.tasks.task import SPLITS, Split, Task

__all__ = ["FileSource", "OpenFile", "divided", "file_task", "is_file", "open_file", "path_of"]

LARGEST = 50_000_000  # bytes
BEGINNING = 20_000  # characters that tell a format
SHOWN = 3  # problems in an error message
FEWEST = 10  # prompts that can be divided into three splits
_ENDING = re.compile(r"\.(jsonl|json|csv|txt|txt\.dev|txt\.test)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class OpenFile:
    """A file that has been read, with everything that is wrong with it.

    ``splits`` has the split of each example of ``parsed``: the one that the file names, or one that
    its prompt decides.
    """

    name: str
    file: Path
    format: Format
    parsed: Parsed
    splits: tuple[Split, ...]

    @property
    def grade(self) -> str:
        """A key of `ctviz.tasks.task.GRADES`."""
        return self.parsed.grade or self.format.grade

    @property
    def good(self) -> int:
        """Lines that give examples and have no problem."""
        bad = {problem.line for problem in self.parsed.problems}
        return len({line for line, _ in self.parsed.examples} - bad)

    @property
    def bad(self) -> int:
        """Lines that have a problem."""
        return len({problem.line for problem in self.parsed.problems} - {0})

    def refuse_problems(self) -> None:
        """Raises BadTask unless every line is good and there is one."""
        problems = self.parsed.problems
        if not problems and self.parsed.examples:
            return
        whole = [problem.text for problem in problems if not problem.line]
        if whole:
            raise BadTask(f"{self.file} cannot be used: {' '.join(whole)}")
        if not problems:
            raise BadTask(f"{self.file} has no examples.")
        shown = "; ".join(f"line {p.line}: {p.text}" for p in problems[:SHOWN])
        raise BadTask(
            f"{self.file} has {counted(self.good, 'good line')} and {self.bad:,} with problems. "
            f"{shown}{'; ...' if len(problems) > SHOWN else '.'} `ctviz check "
            f"{_quoted(self.name)}` shows all of them and can write a file without them."
        )


@dataclass(frozen=True, slots=True)
class FileSource:
    """The examples of a file: those of a split in an order that the seed decides."""

    opened: OpenFile

    @property
    def text(self) -> str:
        """The file, and how much is in it."""
        sizes = Counter(self.opened.splits)
        listed = ", ".join(f"{sizes[split]:,} {split}" for split in SPLITS)
        return f"{self.opened.file.name}: {listed}"

    def examples(self, name: str, level: str, n: int, split: Split, seed: int) -> list[Example]:
        """As for every source; raises BadTask if the split is empty."""
        rows = zip(self.opened.parsed.examples, self.opened.splits, strict=True)
        found = list({example: None for (_, example), part in rows if part == split})
        if not found:
            total = len(self.opened.splits)
            raise BadTask(
                f"None of the {counted(total, 'example')} of {self.opened.file} is in {split}. "
                + (
                    f"Its column split must name some lines {split}."
                    if self.opened.parsed.splits
                    else f"Give it at least {FEWEST} different prompts, or a column split with "
                    f"{', '.join(SPLITS)}."
                )
            )
        random.Random(f"{split} {seed}").shuffle(found)
        return found[:n]


def is_file(name: str) -> bool:
    """Whether a task's name is that of a file: it ends as one, columns left aside."""
    return _ENDING.search(name.partition("?")[0]) is not None


def path_of(name: str) -> Path:
    """The file behind a name, columns left aside; it need not be there."""
    return Path(name.partition("?")[0]).expanduser()


def open_file(name: str) -> OpenFile:
    """Read a file, good lines and bad ones.

    The format is the first that recognizes the file, or named columns, which it always is if the
    name says what columns are called. Raises BadTask for a file that cannot be read as text
    (missing, a folder, empty, binary, not UTF-8, larger than 50 MB) and UnknownName for a column
    that is not one of ours; all else is in the problems.
    """
    mapping, file = _mapping(name, name.partition("?")[2]), path_of(name)
    if file.is_dir():
        raise BadTask(f"{file} is a folder, not a file.")
    if not file.is_file():
        beside = sorted(f.name for f in file.parent.glob("*") if is_file(f.name))
        near = difflib.get_close_matches(file.name, beside, n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise BadTask(f"There is no file {file}.{meant}")
    state = file.stat()
    if state.st_size > LARGEST:
        raise BadTask(
            f"{file} has {state.st_size / 1e6:,.0f} MB; a file may have {LARGEST // 1_000_000} MB. "
            "Use a part of its lines."
        )
    return _opened(name, file, mapping, (state.st_mtime_ns, state.st_size))


def file_task(name: str) -> Task:
    """The task that a file makes; raises BadTask if any line of it has a problem.

    A user never trains on a part of a file without having asked for it.
    """
    opened = open_file(name)
    opened.refuse_problems()
    form = opened.format
    count = len(opened.parsed.examples)
    notes = f" {' '.join(opened.parsed.notes)}" if opened.parsed.notes else ""
    return Task(
        key=_slug(opened.file),
        title=f"{form.title}: {opened.file.name}",
        kind=form.kind,
        metric=form.metric,
        aim=form.aim,
        explanation=(
            f"{form.explanation} {opened.file.name} holds {counted(count, 'example')}.{notes}"
        ),
        source=FileSource(opened),
        grade=opened.grade,
        shared=(
            "what the file's column split makes them share"
            if opened.parsed.splits
            else "whatever different prompts of the file have in common"
        ),
        file=name,
    )


def divided(keys: Sequence[str]) -> tuple[Split, ...]:
    """The split of each key: 80 % of them in train, 10 % in dev, 10 % in test, by a hash.

    A key always falls into the same split, whatever the others are, unless that would leave a split
    of a small file empty: then the keys are divided by the order of their hashes.
    """
    shares = {key: _share(key) for key in keys}
    part: dict[str, Split] = {
        key: "train" if share < 0.8 else "dev" if share < 0.9 else "test"
        for key, share in shares.items()
    }
    if len(shares) >= FEWEST and len(set(part.values())) < len(SPLITS):
        ranked = sorted(shares, key=lambda key: (shares[key], key), reverse=True)
        tenth = len(ranked) // 10
        for rank, key in enumerate(ranked):
            part[key] = "test" if rank < tenth else "dev" if rank < 2 * tenth else "train"
    return tuple(part[key] for key in keys)


@functools.lru_cache(maxsize=4)
def _opened(
    name: str, file: Path, mapping: tuple[tuple[str, str], ...], stamp: tuple[int, int]
) -> OpenFile:
    """The file as it was at ``stamp``, time of change and size."""
    text = text_of(file)
    known = () if mapping else _formats()
    form = next((each for each in known if each.recognizes(text[:BEGINNING])), None)
    if form is None:
        parsed = columns.read(file, text, dict(mapping))
        form = _columns_format(parsed)
    else:
        parsed = form.read(file, text)
    keys = parsed.keys or [example.prompt for _, example in parsed.examples]
    return OpenFile(name, file, form, parsed, parsed.splits or divided(keys))


def _formats() -> tuple[Format, ...]:
    """The formats that are recognized, in the order in which they are asked."""
    from ctviz.tasks.files import gsm8k, squad, winobias

    return (winobias.FORMAT, gsm8k.FORMAT, squad.FORMAT)


def _columns_format(parsed: Parsed) -> Format:
    """Named columns; what they are good for depends on whether there are pairs."""
    pairs = any(example.pair is not None for _, example in parsed.examples)
    return Format(
        key="columns",
        title="Own file",
        kind="own",
        grade="choice" if pairs else "span",
        metric="logit(answer) - logit(foil)" if pairs else "no pairs, so nothing to compare",
        aim="say the answer of each line" if pairs else "say the target of each line",
        explanation=(
            "A file of your own: after each prompt, the answer is compared with the foil."
            if pairs
            else "A file of your own: after each prompt, the model is taught the target."
        ),
        recognizes=lambda text: True,
        read=lambda file, text: columns.read(file, text, {}),
    )


def _mapping(name: str, query: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        own, equals, theirs = part.partition("=")
        if own not in columns.OWN:
            raise UnknownName(
                "column", own, columns.OWN, hint="After ? stands OURS=THEIRS, joined by &."
            )
        if not equals or not theirs:
            raise BadTask(f"{name}: after {own}= the name of a column of the file is missing.")
        if own in found:
            raise BadTask(f"{name}: {own} is given twice.")
        found[own] = theirs
    return tuple(found.items())


def _share(key: str) -> float:
    digest = hashlib.sha256(f"split of {key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _slug(file: Path) -> str:
    """A short name that any file system takes."""
    plain = re.sub(r"[^a-z0-9]+", "-", _ENDING.sub("", file.name).lower()).strip("-")
    return plain[:40].rstrip("-") or "file"


def _quoted(name: str) -> str:
    """A name as it is typed into a shell."""
    return f'"{name}"' if re.search(r"[?&*\s]", name) else name
