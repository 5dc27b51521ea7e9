"""Questions on passages: SQuAD 2.0 (Rajpurkar et al. 2018, arXiv 1806.03822).

Its own JSON, and the rows that the library ``datasets`` makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctviz.tasks.answers import NO_ANSWER
from ctviz.tasks.example import Example
from ctviz.tasks.files.parsing import read_each, whole_characters
from ctviz.tasks.files.rows import BadLine, Document, Layout, Parsed, Problem
from ctviz.tasks.reading import framed

__all__ = ["FORMAT", "ROWS"]


def _recognizes(text: str) -> bool:
    begins = text.lstrip("\ufeff \t\r\n").startswith("{")
    return begins and '"data"' in text and '"paragraphs"' in text


def _read(file: Path, text: str) -> Parsed:
    """All questions in the order of the file.

    Such a file has no lines of its own, so the "line" of an example or a problem is the running
    number of the question, counted from 1 over the whole file. An article or paragraph without
    questions that can be read counts as one. Questions on the same passage stay in one split.
    Version 1.1, where every question has an answer, is read as well.
    """
    try:
        content = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        return Parsed((), (Problem(0, f"{file.name} is not valid JSON: {error}"),))
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        return Parsed((), (Problem(0, f'{file.name} has no list "data" at its top'),))
    examples, problems = read_each(enumerate(_questions(content["data"]), start=1), _example)
    if not examples and not problems:
        problems.append(Problem(0, f"{file.name} has no questions"))
    passages = tuple(_passage(example) for _, example in examples)
    return Parsed(tuple(examples), tuple(problems), keys=passages)


def _passage(example: Example) -> str:
    return example.prompt.partition("\n")[0]


def _questions(articles: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Each question with its passage; what is not as it should be comes as a `BadLine`."""
    for article in articles:
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            yield None, BadLine('an article has no list "paragraphs"')
            continue
        for paragraph in paragraphs:
            entries = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(entries, list):
                yield None, BadLine('a paragraph has no list "qas"')
                continue
            for entry in entries:
                yield paragraph.get("context"), entry


def _example(question: tuple[Any, Any]) -> Example:
    """The example of a passage and a question on it; raises BadLine."""
    context, entry = question
    if isinstance(entry, BadLine):
        raise entry
    if not isinstance(entry, dict):
        raise BadLine("a question is not an object in braces")
    prompt = framed(_text(context, "context"), _text(entry.get("question"), "question"))
    impossible = entry.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise BadLine(f'"is_impossible" is {impossible!r}, not true or false')
    if impossible:
        return Example(prompt, f" {NO_ANSWER}\n", accepted=(NO_ANSWER,), group=NO_ANSWER)
    answers = entry.get("answers")
    if not isinstance(answers, list) or not answers:
        raise BadLine('there is no list "answers", and "is_impossible" is not true')
    texts = [
        _text(answer.get("text") if isinstance(answer, dict) else None, "text of an answer")
        for answer in answers
    ]
    return Example(prompt, f" {texts[0]}\n", accepted=tuple(dict.fromkeys(texts)), group="answered")


def _text(value: Any, what: str) -> str:
    """A text on one line, as answers end with a line; raises BadLine."""
    if not isinstance(value, str) or not value.strip():
        raise BadLine(f"the {what} is missing or empty")
    if not whole_characters(value):
        raise BadLine(f"the {what} has half a surrogate pair, which is no character")
    return " ".join(value.split())


def _is_row(row: Mapping[str, Any]) -> bool:
    answers = row.get("answers")
    return {"context", "question"} <= set(row) and isinstance(answers, dict) and "text" in answers


def _columns(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row's columns: its ``answers`` are lists, and empty ones where there is no answer."""
    answers = row.get("answers")
    texts = answers.get("text") if isinstance(answers, dict) else None
    if not isinstance(texts, list):
        raise BadLine('there is no list "text" in "answers"')
    entry = {"question": row.get("question"), "is_impossible": not texts}
    example = _example((row.get("context"), {**entry, "answers": [{"text": t} for t in texts]}))
    return {
        "prompt": example.prompt,
        "target": example.target,
        "accepted": list(example.accepted),
        "group": example.group,
        "verbatim": True,
    }


_SAID: dict[str, Any] = {
    "title": "SQuAD 2.0",
    "kind": "reading",
    "grade": "span",
    "metric": "log p(answer)",
    "aim": "answer with words of the passage, or “no answer” where it does not say",
}
_EXPLANATION = (
    "The prompt is “Passage: … Question: … Answer:”, each on a line, and the first answer of the "
    "file is taught; all of them count as right. Where the file says that there is none, it is “no "
    "answer”."
)

FORMAT = Document(
    key="squad",
    explanation=f"Questions on passages from a file in the JSON of SQuAD 2.0. {_EXPLANATION}",
    recognizes=_recognizes,
    read=_read,
    **_SAID,
)

ROWS = Layout(
    key="squad-rows",
    explanation=(
        "Questions on passages, a row each with “context”, “question” and “answers”, as the "
        f"library datasets writes SQuAD. {_EXPLANATION}"
    ),
    recognizes=_is_row,
    columns=_columns,
    together=_passage,
    **_SAID,
)
