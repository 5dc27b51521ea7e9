"""Files of one's own as tasks.

A name is a file, optionally with the file's names for our columns (`ctviz.tasks.files.columns`)::

    data/pairs.jsonl
    verbs.csv?text=sentence&answer=right&foil=wrong

What other tools write is recognized where its layout is unmistakable. `file_task` takes a file only
if every line of it is good; `ctviz.tasks.files.check` says what is wrong with one.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctviz.errors import BadTask, UnknownName
from ctviz.tasks.example import Example
from ctviz.tasks.files import columns
from ctviz.tasks.files.content import ENDINGS, content_of
from ctviz.tasks.files.rows import Document, Format, Layout, Parsed, counted
from ctviz.tasks.task import FEW, SPLITS, Split, Task

__all__ = [
    "ENDINGS",
    "FileSource",
    "OpenFile",
    "divided",
    "file_task",
    "halved",
    "is_file",
    "open_file",
    "path_of",
    "refuse_ending",
]

LARGEST = 50_000_000  # bytes
BEGINNING = 20_000  # characters that tell a format
SHOWN = 3  # problems in an error message
FEWEST = 10  # prompts that can be divided into three splits
ENOUGH = 64  # examples of a split, more of which discovery does not ask for by itself
_ENDING = re.compile(rf"\.({'|'.join(map(re.escape, ENDINGS))})$", re.IGNORECASE)


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
    def keys(self) -> Sequence[str]:
        """A text for each example; those that share it stay in one split."""
        return self.parsed.keys or [example.prompt for _, example in self.parsed.examples]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of its examples: those of ``parsed``, and on how few numbers rest."""
        return (*self.parsed.notes, *_few(self), *_repeated(self))

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
    """The examples of a file: those of a split in an order that the seed decides.

    With ``in_halves`` they are divided by `halved` instead of by `OpenFile.splits`, and test is the
    half that dev is.
    """

    opened: OpenFile
    in_halves: bool = False

    @property
    def text(self) -> str:
        """The file, and how much is in it."""
        listed = ", ".join(f"{self.size(split):,} {split}" for split in SPLITS)
        return f"{self.opened.file.name}: {listed}"

    def size(self, split: Split | None) -> int:
        """How many examples a split has, or the whole file."""
        return len(self._of(split))

    def untrained(self) -> FileSource:
        """In halves, if the file names no splits and one of them would be small."""
        opened = self.opened
        small = any(self.size(split) < ENOUGH for split in SPLITS)
        return replace(self, in_halves=small and not opened.parsed.splits)

    def examples(self, name: str, level: str, n: int, split: Split, seed: int) -> list[Example]:
        """As for every source, a prompt that was there already last.

        Raises BadTask if the split is empty.
        """
        found = self._of(split)
        if not found:
            opened = self.opened
            what = (
                f"Its column split must name some lines {split}."
                if opened.parsed.splits
                else "Give it at least two different prompts."
                if self.in_halves
                else f"Give it at least {FEWEST} different prompts, or a column split with "
                f"{', '.join(SPLITS)}."
            )
            raise BadTask(
                f"None of the {counted(len(opened.splits), 'example')} of {opened.file} is in "
                f"{split}. {what}"
            )
        random.Random(f"{split} {seed}").shuffle(found)
        first = {example.prompt: example for example in reversed(found)}
        return sorted(found, key=lambda example: first[example.prompt] is not example)[:n]

    def _of(self, split: Split | None) -> list[Example]:
        """The examples of a split, or all of them."""
        opened = self.opened
        splits = halved(opened.keys) if self.in_halves else opened.splits
        asked = "dev" if self.in_halves and split == "test" else split
        rows = zip(opened.parsed.examples, splits, strict=True)
        return list({row[1]: None for row, part in rows if asked in (None, part)})


def is_file(name: str) -> bool:
    """Whether a task's name is that of a file: it ends as one, columns left aside."""
    return _ENDING.search(name.partition("?")[0]) is not None


def path_of(name: str) -> Path:
    """The file behind a name, columns left aside; it need not be there."""
    return Path(name.partition("?")[0]).expanduser()


def refuse_ending(name: str) -> None:
    """Raise BadTask for a file that is there but ends as none that is read."""
    file = path_of(name)
    if is_file(name) or not file.is_file():
        return
    endings = ", ".join(f".{ending}" for ending in ENDINGS)
    packed = file.suffix.lower() in (".gz", ".bz2", ".xz", ".zst", ".zip")
    what = "Unpack it" if packed else "Save it in one of these, or rename it"
    raise BadTask(
        f"{file} is a file, but its ending {file.suffix or '(none)'} is not one that is read: "
        f"{endings}. {what}."
    )


def open_file(name: str) -> OpenFile:
    """Read a file, good lines and bad ones.

    The format is the first that recognizes the file, or named columns, which it always is if the
    name says what columns are called. Raises BadTask for a file that cannot be read as text
    (missing, a folder, another ending, empty, binary, not UTF-8, larger than 50 MB), UnknownName
    for a column that is not one of ours, and what `ctviz.models.reader.open_reader` raises for
    the model of ``ids``; all else is in the problems.
    """
    mapping, file = _mapping(name, name.partition("?")[2]), path_of(name)
    if file.is_dir():
        raise BadTask(f"{file} is a folder, not a file.")
    refuse_ending(name)
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
    notes = f" {' '.join(opened.notes)}" if opened.notes else ""
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


def _few(opened: OpenFile) -> Iterator[str]:
    source = FileSource(opened)
    if not opened.parsed.examples or min(source.size(split) for split in SPLITS) >= FEW:
        return
    held = ", ".join(f"{source.size(split):,} in {split}" for split in SPLITS)
    halves = source.untrained()
    paired = any(example.pair for _, example in opened.parsed.examples)
    where = (
        f" Where nothing is trained (discover, evaluate, curve, audit), it is halved instead: "
        f"{halves.size('train'):,} to find a circuit on and {halves.size('dev'):,} to judge it on."
        if paired and halves.in_halves and halves.size("train")
        else ""
    )
    yield (
        f"Few examples: of {source.size(None):,} there are {held}, and a mean over fewer than "
        f"{FEW} says little.{where}"
    )


def _repeated(opened: OpenFile) -> Iterator[str]:
    prompts = Counter(example.prompt for _, example in opened.parsed.examples)
    again = prompts.total() - len(prompts)
    if again:
        yield (
            f"{counted(again, 'example has', 'examples have')} the prompt of another one. A "
            "circuit is found and judged on each prompt once; tuning takes all of them."
        )


def halved(keys: Sequence[str]) -> tuple[Split, ...]:
    """The split of each key where nothing is trained: half of them train, half of them dev.

    A key is in one split, and which one a hash decides; of an odd number the one more is in dev.
    """
    times = Counter(keys)
    ranked = sorted(times, key=lambda key: (_share(key), key))
    part: dict[str, Split] = {}
    taken = 0
    for key in ranked:
        part[key] = "train" if taken + times[key] <= len(keys) // 2 else "dev"
        taken += times[key] if part[key] == "train" else 0
    if len(part) > 1 and "train" not in part.values():
        part[ranked[0]] = "train"
    return tuple(part[key] for key in keys)


@functools.lru_cache(maxsize=4)
def _opened(
    name: str, file: Path, mapping: tuple[tuple[str, str], ...], stamp: tuple[int, int]
) -> OpenFile:
    """The file as it was at ``stamp``, time of change and size."""
    content, given = content_of(file), dict(mapping)
    ids = given.pop("ids", "")
    known = () if given else _documents()
    document = next((each for each in known if each.recognizes(content.text[:BEGINNING])), None)
    form: Format
    if document is not None:
        form, parsed = document, document.read(file, content.text)
    else:
        known_rows = () if given else _layouts()
        layout = next((each for each in known_rows if each.recognizes(content.first)), None)
        parsed = columns.read(content, columns.Reading(given, layout, ids))
        form = layout or _columns_format(parsed)
    opened = OpenFile(name, file, form, parsed, parsed.splits)
    return opened if parsed.splits else replace(opened, splits=divided(opened.keys))


def _documents() -> tuple[Document, ...]:
    """The formats with a text of their own, in the order in which they are asked."""
    from ctviz.tasks.files import squad, winobias

    return (winobias.FORMAT, squad.FORMAT)


def _layouts() -> tuple[Layout, ...]:
    """The layouts of rows that are recognized, in the order in which they are asked."""
    from ctviz.tasks.files import (
        auto_circuit,
        chat,
        gsm8k,
        instructions,
        mib,
        minimal_pairs,
        squad,
        stereoset,
    )

    return (
        auto_circuit.LAYOUT,
        mib.LAYOUT,
        gsm8k.LAYOUT,
        squad.ROWS,
        chat.LAYOUT,
        instructions.LAYOUT,
        minimal_pairs.BLIMP,
        minimal_pairs.CROWS_PAIRS,
        stereoset.LAYOUT,
    )


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
    )


def _mapping(name: str, query: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        own, equals, theirs = part.partition("=")
        if own not in columns.OWN and own != "ids":
            raise UnknownName(
                "column",
                own,
                columns.OWN,
                hint="After ? stands OURS=THEIRS, joined by &, or ids=MODEL for token ids.",
            )
        if not equals or not theirs:
            what = "a model" if own == "ids" else "a column of the file"
            raise BadTask(f"{name}: after {own}= the name of {what} is missing.")
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
