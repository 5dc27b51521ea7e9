"""How a model's tokenizer cuts prompts, answers and foils, and what it cannot use. Without torch:
a file of examples is checked without it, and `ctviz.tasks.batch` and `ctviz.tasks.texts` make
tensors of what is cut here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer as Rust

from ctviz.circuits.choices import Metric
from ctviz.errors import MissingModel
from ctviz.models.known import resolve
from ctviz.tasks.example import Example, Pair

__all__ = [
    "Cut",
    "LightTokenizer",
    "Tokenizer",
    "Tokens",
    "open_tokenizer",
    "pair_problem",
    "text_problem",
    "too_long",
]


class Tokenizer(Protocol):
    """What is needed of a tokenizer; Hugging Face's tokenizers are called like this too."""

    @property
    def eos_token(self) -> Any:
        """The text of the token that ends a text; None if there is none."""
        ...

    def __call__(self, text: Any, /, *, add_special_tokens: bool) -> Any:
        """The ids of a text, as ``["input_ids"]``."""
        ...

    def decode(self, ids: Any, /) -> Any:
        """The text of ids."""
        ...


@dataclass(frozen=True, slots=True)
class LightTokenizer:
    """A model's ``tokenizer.json``, called like a Hugging Face tokenizer."""

    rust: Rust
    eos_token: str | None

    def __call__(self, text: str, /, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """The ids of a text, as ``["input_ids"]``."""
        return {"input_ids": self.rust.encode(text, add_special_tokens=add_special_tokens).ids}

    def decode(self, ids: Sequence[int], /) -> str:
        """The text of ids, special tokens included."""
        return self.rust.decode(list(ids), skip_special_tokens=False)


def open_tokenizer(model: str) -> LightTokenizer:
    """The tokenizer of a model by name, folder or hub id, from this machine's disk.

    Raises UnknownName for a name that is none, and MissingModel if the tokenizer is not here.
    """
    where = resolve(model)
    file = _stored(where, "tokenizer.json")
    if file is None:
        raise MissingModel(
            f"The tokenizer of {model} is not on this machine, and checking a file needs it. "
            f"`ctviz models fetch {model}` brings a known model, discovering on it a model of the "
            "hub; a local folder needs a tokenizer.json."
        )
    rust = Rust.from_file(str(file))
    rust.no_truncation()
    rust.no_padding()
    return LightTokenizer(rust, _eos(where, rust))


def _stored(where: str, name: str) -> Path | None:
    """A file of a model folder, or of a hub model in the hub's cache; None if it is not there."""
    if Path(where).expanduser().is_dir():
        file = Path(where).expanduser() / name
        return file if file.is_file() else None
    if where.count("/") != 1:  # the folder of a model that has not been built yet
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(where, name)
    return Path(found) if isinstance(found, str) else None


def _eos(where: str, rust: Rust) -> str | None:
    """The end-of-text token that the model's settings name; None without one."""
    about = _settings(where, "tokenizer_config.json").get("eos_token")
    if isinstance(about, dict):  # an older way to write it
        about = about.get("content")
    if isinstance(about, str):
        return about
    number = _settings(where, "config.json").get("eos_token_id")
    if isinstance(number, list):
        number = number[0] if number else None
    return rust.id_to_token(number) if isinstance(number, int) else None


def _settings(where: str, name: str) -> Mapping[str, Any]:
    file = _stored(where, name)
    if file is None:
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


@dataclass(frozen=True, slots=True)
class Cut:
    """A pair as token ids.

    ``shared`` are the first tokens that answer and foil have in common; they count to the prompt.
    ``answer`` and ``foil`` are what is left of both.
    """

    clean: list[int]
    corrupt: list[int]
    shared: list[int]
    answer: list[int]
    foil: list[int]


class Tokens:
    """A tokenizer that remembers what it has cut."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.known: dict[tuple[str, bool], list[int]] = {}

    def _ids(self, text: str, *, special: bool) -> list[int]:
        key = (text, special)
        if key not in self.known:
            self.known[key] = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        return self.known[key]

    def prompt(self, text: str) -> list[int]:
        """The ids of a prompt, with what the tokenizer puts in front of every text."""
        return self._ids(text, special=True)

    def continuation(self, text: str) -> list[int]:
        """The ids of what comes after a prompt."""
        return self._ids(text, special=False)

    def cut(self, pair: Pair) -> Cut:
        """The ids of a pair, divided where answer and foil part."""
        answer, foil = self.continuation(pair.answer), self.continuation(pair.foil)
        both = zip(answer, foil, strict=False)
        alike = next((at for at, (a, f) in enumerate(both) if a != f), min(len(answer), len(foil)))
        return Cut(
            clean=self.prompt(pair.clean),
            corrupt=self.prompt(pair.corrupt),
            shared=answer[:alike],
            answer=answer[alike:],
            foil=foil[alike:],
        )


def pair_problem(
    parts: Cut, *, metric: Metric = "logit_difference", longest: int | None = None
) -> str:
    """Why a pair cannot be used, whatever the lengths of its prompts; empty if it can.

    ``longest`` is the number of tokens that the model reads, None if that is not bounded. For the
    metric ``log_probability`` the foil is not looked at.
    """
    if not parts.clean:
        return "clean has no tokens"
    answer = parts.shared + parts.answer
    if not answer:
        return "the answer has no tokens"
    length = max(len(parts.clean), len(parts.corrupt)) + len(answer) - 1
    if metric == "logit_difference":
        if not parts.shared and not parts.foil:
            return "the foil has no tokens"
        if not parts.answer and not parts.foil:
            return "answer and foil are the same tokens"
        if not parts.answer or not parts.foil:
            one, other = ("foil", "answer") if parts.answer else ("answer", "foil")
            return f"the {one}'s tokens are the beginning of the {other}'s: they differ in none"
        length -= len(parts.answer) - 1
    if longest is not None and length > longest:
        return f"the prompt has {length:,} tokens, but the model reads at most {longest:,}"
    return ""


def text_problem(example: Example, tokens: Tokens, longest: int | None = None) -> str:
    """Why an example cannot be trained on; empty if it can."""
    for what, ids in (
        ("prompt", tokens.prompt(example.prompt)),
        ("target", tokens.continuation(example.target)),
    ):
        if not ids:
            return f"the {what} has no tokens"
    return too_long(example, tokens, longest)


def too_long(example: Example, tokens: Tokens, longest: int | None) -> str:
    """Why a model that reads ``longest`` tokens cannot be trained or judged on an example, or "".

    What counts is the prompt with its target, and with each of its choices.
    """
    said = max(len(tokens.continuation(text)) for text in (example.target, *example.choices))
    length = len(tokens.prompt(example.prompt)) + said
    if longest is not None and length > longest:
        return f"prompt and target have {length:,} tokens, but the model reads at most {longest:,}"
    return ""
