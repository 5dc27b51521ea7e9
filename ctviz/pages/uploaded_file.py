"""A file of one's own on the page Run: take it, show what is wrong with it, mend it."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pandas as pd
import streamlit as st

from ctviz import paths
from ctviz.errors import BadTask, CtvizError, RunExists
from ctviz.files import write_bytes, written
from ctviz.pages.prompts import plain, preview_html
from ctviz.pages.session import engine
from ctviz.tasks import find_task
from ctviz.tasks.example import Example
from ctviz.tasks.files import ENDINGS, LARGEST
from ctviz.tasks.files.check import FIXES, HELPS, Report
from ctviz.tasks.files.columns import OWN
from ctviz.tasks.files.rows import counted
from ctviz.tasks.files.winobias import partner_name
from ctviz.tasks.task import SPLITS

__all__ = [
    "UploadedFile",
    "ask_for_file",
    "has_counterfactuals",
    "keep",
    "keep_pair",
    "mend",
    "show_file",
    "show_problems",
]

FORMS = (
    "One example a line (JSONL; JSON, CSV, TSV, Parquet and Excel do as well), in one of three "
    "forms:"
)
SAMPLE = """{"clean": "The keys", "corrupt": "The key", "answer": "are", "foil": "is"}
{"text": "The keys are here.", "answer": "are", "foil": "is"}
{"prompt": "2 + 2 =", "target": "4"}"""
GOOD_FOR = (
    "`corrupt` may be missing. The last form has nothing to compare, so the probability of the "
    "target stands for it. Files of WinoBias, GSM8K, SQuAD, BLiMP, CrowS-Pairs, StereoSet, MIB, "
    "EAP-IG and auto-circuit, and chat messages, are recognized; the two of WinoBias, pro and "
    "anti, belong together: upload both at once, the one to be used first."
)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """The file that is in use: as it was uploaded, or mended, and then ``said`` says how."""

    file: Path
    title: str
    said: str = ""
    original: UploadedFile | None = None


def keep(content: bytes, title: str) -> Path:
    """Store an upload among the runs, by its name and content; what is there is never replaced.

    Raises DiskFull.
    """
    stem, ending = _split(title)
    folder, digest = paths.runs().resolve() / "tasks", hashlib.sha256(content).hexdigest()
    for length in (8, 16, 64):
        file = folder / f"{stem}-{digest[:length]}{ending}"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(file, content)
            return file
        if file.is_file() and file.read_bytes() == content:
            return file
    raise RunExists(f"{file} is there already, with another content. Rename your file.")


def keep_pair(content: bytes, title: str, partner: bytes) -> Path:
    """Store an upload with its partner beside it, called the same but pro for anti or anti for pro,
    in a folder of their own; raises DiskFull, and CtvizError if its name is too long."""
    stem, ending = _split(title)
    name = f"{stem}{ending}"
    other = partner_name(name)
    if not other:
        raise CtvizError(f"The name of {title} is too long. Rename both files.")
    digest = hashlib.sha256(content + b"\0" + partner).hexdigest()[:16]
    folder = paths.runs().resolve() / "tasks" / f"{stem}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    for each, written_as in ((partner, other), (content, name)):
        if not (folder / written_as).is_file():
            write_bytes(folder / written_as, each)
    return folder / name


def mend(own: UploadedFile, report: Report, how: set[str]) -> UploadedFile:
    """A mended copy beside the file; raises what `Report.write_fixed` raises, and DiskFull."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "mended.jsonl"
        left = report.write_fixed(written, how)
        stem = _split(own.title)[0]
        title = f"{stem}-corrected.jsonl"
        file = keep(written.read_bytes(), title)
    padded = report.fixes["pad"] if "pad" in how else 0
    parts = [f"{counted(padded, 'pair')} padded"] if padded else []
    dropped = report.fixes["drop"] + report.fixes["pad"] - padded
    if dropped and "drop" in how:
        parts.append(f"{counted(dropped, 'bad line')} left out")
    said = f"{' and '.join(parts)}; {counted(left, 'example')} in the corrected file.".capitalize()
    return UploadedFile(file, title, said, own)


def has_counterfactuals(examples: Iterable[Example]) -> bool:
    """Whether edges can be corrupted with the counterfactual prompts of some of the examples."""
    return any(e.pair is not None and e.pair.clean != e.pair.corrupt for e in examples)


def ask_for_file() -> tuple[UploadedFile | None, str]:
    """Upload and columns; returns the file in use and the name of the task that it makes."""
    given = st.file_uploader(
        "File, or the two of WinoBias",
        type=list(ENDINGS),
        accept_multiple_files=True,
        key="upload",
        on_change=lambda: st.session_state.pop("own", None),
        max_upload_size=LARGEST // 1_000_000,
        label_visibility="collapsed",
    )
    own: UploadedFile | None = st.session_state.get("own")
    if own is None and given:
        first, *others = given
        if others and [other.name for other in others] != [partner_name(first.name)]:
            st.error(
                "Give one file; or WinoBias's two, whose names differ only by pro and anti: the "
                "second says which pronoun stands for the other gender."
            )
            return None, ""
        try:
            if others:
                file = keep_pair(first.getvalue(), first.name, others[0].getvalue())
            else:
                file = keep(first.getvalue(), first.name)
            own = UploadedFile(file, first.name)
        except (CtvizError, OSError) as error:
            st.error(plain(str(error)))
            return None, ""
        st.session_state["own"] = own
    if own is None or own.original is not None:  # a corrected file has the usual columns
        return own, str(own.file) if own else ""
    columns = st.text_input(
        "Columns, if they have other names",
        placeholder="text=clean_text&answer=clean_verbs",
        key="columns",
        persist_state="session",
        help="OURS=THEIRS, joined by &; ids=MODEL reads token ids of a model as words. Ours: "
        + "; ".join(f"**{name}** {plain(text)}" for name, text in OWN.items()),
    )
    columns = columns.strip().lstrip("?")
    return own, f"{own.file}?{columns}" if columns else str(own.file)


def show_file(own: UploadedFile | None, name: str, model: str) -> Report | None:
    """What is in the file, and how a model's tokenizer cuts it; None if it cannot be checked."""
    if own is None:
        st.markdown(FORMS)
        st.code(SAMPLE, language="json", wrap_lines=True)
        st.markdown(GOOD_FOR)
        return None
    if not model:
        st.info("Name the model first: its tokenizer checks the file.")
        return None
    try:
        report = _report(name, model, written(own.file))
    except (CtvizError, OSError) as error:
        st.error(plain(str(error)))
        return None
    if own.original is not None:
        _say_mended(own, own.original)
    st.markdown(_summary(own, report))
    for note in report.notes:
        st.caption(plain(note))
    if report.previews:
        st.caption(f"As the tokenizer of {plain(model)} cuts it")
        st.html(preview_html(report.previews))
    return report


def show_problems(own: UploadedFile, name: str, report: Report) -> bool:
    """What is wrong and what can be done about it; whether the file can be used as it is."""
    if report.problems:
        _table(report)
        _offer_fixes(own, report)
        return False
    try:
        for split in SPLITS:
            find_task(name).examples(1, split=split)
    except BadTask as error:
        st.error(plain(str(error)))
        return False
    return True


@st.cache_resource(max_entries=4, show_spinner="Trying every line on the tokenizer …")
def _report(name: str, model: str, stamp: tuple[int, int] | None) -> Report:
    """The check of a file as it was ``written``."""
    return cast(Report, engine().ask("check_file", name, model))


def _split(title: str) -> tuple[str, str]:
    """A name's stem and ending, of characters that neither file systems nor task names mind."""
    found = re.search(r"(\.txt)?\.\w+$", title)
    ending = found.group().lower() if found else ""
    stem = re.sub(r"[^\w.-]+", "-", title[: len(title) - len(ending)]).strip("-.")
    return stem[:60] or "file", ending


def _say_mended(own: UploadedFile, original: UploadedFile) -> None:
    st.success(plain(own.said), icon=":material/healing:")
    one, two = st.columns(2)
    one.download_button(
        "Download corrected file",
        own.file.read_bytes(),
        own.title,
        mime="application/jsonl",
        on_click="ignore",
        icon=":material/download:",
        width="stretch",
    )
    if two.button("Back to original", icon=":material/undo:", width="stretch"):
        st.session_state["own"] = original
        st.rerun()


def _summary(own: UploadedFile, report: Report) -> str:
    sizes = Counter(each.split for each in report.checked if each.problem is None)
    parts = [f"**{counted(report.good, 'good example')}**"]
    if report.good:
        parts.append(", ".join(f"{sizes[split]:,} {split}" for split in SPLITS))
    if report.problems:
        parts.append(f"**{counted(len(report.problems), 'problem')}** (below)")
    return f"{plain(own.title)}: {' · '.join(parts)}"


def _table(report: Report) -> None:
    """Every problem with its line, in a table that scrolls."""
    table = pd.DataFrame(
        {
            "line": [str(each.line) if each.line else "file" for each in report.problems],
            "problem": [each.text for each in report.problems],
            "how to fix it": [HELPS[each.fix] for each in report.problems],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        height=min(38 + 35 * len(table), 248),
        column_config={
            "line": st.column_config.TextColumn(width=60),
            "how to fix it": st.column_config.TextColumn(width=100),
        },
    )


def _offer_fixes(own: UploadedFile, report: Report) -> None:
    """A button for each way that leaves no problem."""
    count = report.fixes
    if count[""]:
        st.info(
            "What has to be corrected by hand is in the table. Change the file and upload it "
            "again, or say which of its columns are meant."
        )
        return
    bad = counted(count["drop"], "bad line")
    ways: list[tuple[str, set[str]]] = []
    if count["pad"]:
        pad = f"Pad {counted(count['pad'], 'pair')}"
        ways.append(
            (f"{pad}, drop {bad}", {"pad", "drop"}) if count["drop"] else (pad, {"pad"}),
        )
    ways.append((f"Drop {counted(count['drop'] + count['pad'], 'bad line')}", {"drop"}))
    for (label, how), column in zip(ways, st.columns(len(ways)), strict=True):
        if column.button(label, width="stretch", icon=":material/healing:"):
            try:
                st.session_state["own"] = mend(own, report, how)
            except (CtvizError, OSError) as error:
                st.error(plain(str(error)))
            else:
                st.rerun()
    if count["pad"]:
        st.caption(f"Padding: {plain(FIXES['pad'])}.")
