"""Files of examples to be read as tasks, and a tokenizer of a few words to check them with."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ctviz.tasks.example import Example
from ctviz.tasks.files import open_file

__all__ = ["THINGS", "FewWords", "examples", "jsonl", "pairs", "problems"]

THINGS = ("hat", "coat", "door", "cup", "lamp", "shoe", "bag", "ring", "boat", "bird")


def pairs(n: int) -> list[dict[str, str]]:
    """Rows with a counterfactual that differs in one word, and no spaces in front of answers."""
    return [
        {
            "clean": f"{i} keys to the {THINGS[i % 10]}",
            "corrupt": f"{i} key to the {THINGS[i % 10]}",
            "answer": "are",
            "foil": "is",
        }
        for i in range(n)
    ]


def jsonl(path: Path, rows: list) -> str:
    path.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows),
        encoding="utf-8",
    )
    return str(path)


def problems(name: str) -> dict[int, str]:
    return {problem.line: problem.text for problem in open_file(name).parsed.problems}


def examples(name: str) -> list[Example]:
    return [example for _, example in open_file(name).parsed.examples]


class FewWords:
    """A tokenizer of whole words and signs that puts nothing in front and has an end of text."""

    eos_token = "<end>"
    unk_token_id = None

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(
        self, text: str, /, *, add_special_tokens: bool, verbose: bool
    ) -> dict[str, list[int]]:
        ids = []
        for word in re.findall(r"<end>| ?\w+| ?[^\w\s<]+|\s", text):
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return {"input_ids": ids}

    def decode(self, ids: list[int], /) -> str:
        return "".join(self.words[i] for i in ids)

    def convert_ids_to_tokens(self, ids: int, /) -> str:
        return self.words[ids]
