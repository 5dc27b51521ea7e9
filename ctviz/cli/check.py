"""The command that checks a file of one's own."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer, quiet_libraries
from ctviz.errors import BadTask, CtvizError
from ctviz.tasks import Task, find_task
from ctviz.tasks.files.check import FIXES, HELPS, Preview, Report, check
from ctviz.tasks.files.rows import counted
from ctviz.tasks.task import SPLITS


def add_commands(commands: Commands) -> None:
    check = add_command(
        commands, "check", check_command, "Check a file of your own, and correct it."
    )
    check.add_argument("file", metavar="FILE[?column=theirs&...]", help="JSONL, JSON, CSV, ...")
    check.add_argument("--model", default="tiny", help="whose tokenizer reads it (tiny)")
    check.add_argument("--fix", metavar="OUT.jsonl", help="write a corrected file")
    check.add_argument(
        "--how", metavar="drop,pad", help="ways to correct it: drop, pad or both (drop)"
    )


def check_command(options: argparse.Namespace) -> int:
    """Say what is wrong with a file and, if asked, write one without that.

    Returns 0 if the file, or the one that was written, can be used.
    """
    if options.how and not options.fix:
        raise CtvizError(
            "--how says how to correct the file: name the corrected file with --fix too."
        )
    quiet_libraries()
    from ctviz.models.reader import open_reader

    reader = open_reader(options.model)
    report = check(
        options.file,
        reader.tokenizer,
        longest=reader.longest,
        vocabulary=reader.vocabulary,
        notes=reader.notes,
    )
    result = _result(report, options)
    usable = options.file
    if options.fix:
        how = set(filter(None, (options.how or "drop").split(",")))
        usable = str(Path(options.fix).expanduser())
        if Path(usable).suffix != ".jsonl":
            raise CtvizError(
                f"--fix is {options.fix}, but a corrected file is JSONL: end it .jsonl."
            )
        result["written"] = {
            "file": usable,
            "examples": report.write_fixed(Path(usable), how),
            "how": sorted(how),
        }
    clean = bool(options.fix) or not report.problems
    paired = any(each.example.pair for each in report.checked)
    result["untunable"], result["unusable"] = _unusable(usable, paired) if clean else ("", "")
    result["usable"] = clean and not result["unusable"]
    answer(options, result, "\n".join(_lines(report, result)))
    return 0 if result["usable"] else 1


def _result(report: Report, options: argparse.Namespace) -> dict[str, Any]:
    sizes = Counter(each.split for each in report.checked if each.problem is None)
    return {
        "file": options.file,
        "format": report.format,
        "model": options.model,
        "good": report.good,
        "splits": {split: sizes[split] for split in SPLITS},
        "problems": [asdict(problem) for problem in report.problems],
        "fixes": {fix or "none": count for fix, count in report.fixes.items()},
        "notes": list(report.notes),
        "preview": [asdict(each) for each in report.previews],
        "written": None,
    }


def _lines(report: Report, result: dict[str, Any]) -> list[str]:
    sizes = ", ".join(f"{n:,} {split}" for split, n in result["splits"].items())
    found = counted(len(report.problems), "problem") if report.problems else "nothing wrong"
    lines = [
        f"{result['file']}: {report.title}, "
        f"{counted(report.good, 'good example')} ({sizes}), {found}"
    ]
    for problem in report.problems:
        where = f"line {problem.line}" if problem.line else "file"
        lines.append(f"  {where}: {problem.text} [{HELPS[problem.fix]}]")
    lines += [f"note: {note}" for note in report.notes]
    if report.previews:
        lines.append(f"tokens of {result['model']}, with | between them:")
    for each in report.previews:
        lines += _preview_lines(each)
    written = result["written"]
    if written:
        how = " and ".join(written["how"])
        lines.append(
            f"written: {written['file']}, {counted(written['examples'], 'example')} ({how})"
        )
    elif report.problems:
        lines += _offers(report)
    if result["unusable"]:
        lines.append(f"cannot be used yet: {result['unusable']}")
    elif result["untunable"]:
        lines.append(f"can be discovered on, but not tuned on: {result['untunable']}")
    return lines


def _preview_lines(each: Preview) -> list[str]:
    def cut(tokens: tuple[str, ...]) -> str:
        return "|".join(token.replace("\n", "\\n") for token in tokens)

    after = f"{cut(each.answer)} >< {cut(each.foil)}" if each.foil else cut(each.answer)
    lines = [f"  line {each.line}: {cut(each.prompt)} -> {after}"]
    if each.corrupt and each.corrupt != each.prompt:
        lines.append(f"    counterfactual: {cut(each.corrupt)}")
    return lines


def _offers(report: Report) -> list[str]:
    """What --fix could do."""
    count = report.fixes
    if count[""]:
        return [f"{counted(count[''], 'problem')} must be corrected by hand."]
    lines = [
        f"--fix OUT.jsonl: {FIXES['drop']} ({counted(count['drop'] + count['pad'], 'problem')})"
    ]
    if count["pad"]:
        how = "pad,drop" if count["drop"] else "pad"
        lines.append(
            f"--fix OUT.jsonl --how {how}: {FIXES['pad']} ({counted(count['pad'], 'pair')})"
        )
    return lines


def _unusable(name: str, paired: bool) -> tuple[str, str]:
    """Why a file without a problem can still not be tuned on, and why it cannot be used at all.

    That is a split without an example. Without pairs there is nothing but tuning.
    """
    task = find_task(name)
    wrong = _empty(task)
    rest = task.untrained() if paired else task
    return wrong, _empty(rest) if wrong else ""


def _empty(task: Task) -> str:
    try:
        for split in SPLITS:
            task.examples(1, split=split)
    except BadTask as error:
        return str(error)
    return ""
