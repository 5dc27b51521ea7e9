"""A model's tokenizer, such that it cuts text as the model was trained with.

Some classes of transformers build their own rules of cutting and take only the vocabulary from
tokenizer.json; where the two do not agree, those of the file are used, and it is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ctviz.errors import MissingModel, UnsupportedModel
from ctviz.models.explaining import said
from ctviz.models.known import KNOWN
from ctviz.models.places import Place, place_of, tokenizer_place
from ctviz.models.stored import at_revision, stored_file, stored_json
from ctviz.models.weight_files import check_files

__all__ = ["given_tokenizer", "own_tokenizer"]

Read = tuple[PreTrainedTokenizerBase, tuple[str, ...]]

PROBES = (  # what tokenizers cut differently: digits, spaces, signs, other scripts, endings
    "The year 2023, 650841823 and 12.5%",
    "don't HELLO World's we'll",
    "two  spaces   three\n\n\tlines \r\n end ",
    "naïve ﬁne ½ ① Ａ café",
    "日本語です שלום नमस्ते 😀👍🏽",
    "x=1;foo_bar(a[0])!= <b>…“q”—",
)


def own_tokenizer(name: str, place: Place, *, offline: bool = False) -> Read:
    """The tokenizer of a model, from where it lies, and what is to be said of it; ``offline``: on
    this machine's disk.

    Raises MissingModel, where there is none, and UnsupportedModel.
    """
    try:
        found, notes = _read(name, place.tokenizer, offline=offline)
    except _NoTokenizer as error:
        about = stored_json(place.weights, "config.json").get("_name_or_path")
        trained = f" ({about})" if about else ""
        trainer = (
            ": it is a Trainer's checkpoint, which was saved without one"
            if stored_file(place.weights, "trainer_state.json")
            else ""
        )
        raise MissingModel(
            f"{name} has no tokenizer{trainer}. Copy the files of the tokenizer that it was "
            f"trained with{trained} into the folder (tokenizer.json and tokenizer_config.json; "
            "tokenizer.save_pretrained writes them), or in Python give it as tokenizer=."
        ) from error
    return found, place.notes + notes


def given_tokenizer(asked: str | os.PathLike[str] | PreTrainedTokenizerBase) -> Read:
    """A tokenizer that is in memory, or by the name or folder of one, and what is to be said.

    Raises MissingModel and UnsupportedModel.
    """
    if isinstance(asked, PreTrainedTokenizerBase):
        _check_steady(asked, f"This {type(asked).__name__}")
        return asked, ()
    if not isinstance(asked, str | os.PathLike):
        raise UnsupportedModel(
            f"A tokenizer of type {type(asked).__name__} cannot be taken. Give one of "
            "transformers, or the name or folder of one."
        )
    name = os.fspath(asked)
    folder = Path(name).expanduser()
    elsewhere = folder.is_dir() and name not in KNOWN
    where, _ = tokenizer_place(str(folder) if elsewhere else place_of(name).tokenizer or name)
    return _read(name, where)


class _NoTokenizer(MissingModel):
    """There is no tokenizer where one was looked for."""


def _read(name: str, where: str | None, *, offline: bool = False) -> Read:
    missing = (
        f"{where or name} has no tokenizer. Give one as tokenizer=: a tokenizer, or the name or "
        "folder of one."
    )
    if where is None:
        raise _NoTokenizer(missing)
    with said(f"The tokenizer {name!r}", where):
        check_files(where)
        repo, revision = at_revision(where)
        found = AutoTokenizer.from_pretrained(
            repo,
            revision=revision or "main",
            trust_remote_code=False,
            local_files_only=offline,
        )
        if len(found) <= len(found.all_special_tokens):  # transformers makes one up from nothing
            raise _NoTokenizer(missing)
        _check_steady(found, f"The tokenizer {name!r}")
        file = stored_file(where, "tokenizer.json")
        notes = _follow(found, file) if file is not None else ()
    return cast(PreTrainedTokenizerBase, found), notes


def _check_steady(tokenizer: Any, what: str) -> None:
    """Raise UnsupportedModel for a tokenizer that cuts a text differently each time."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    dropout = getattr(backend and backend.model, "dropout", None)
    if dropout:
        raise UnsupportedModel(
            f"{what} cuts text at random (BPE dropout {dropout:g}, as in training), so no number "
            'would come twice. Set "dropout" to null under "model" in tokenizer.json (in Python, '
            "tokenizer.backend_tokenizer.model.dropout = None)."
        )


def _follow(tokenizer: Any, file: Path) -> tuple[str, ...]:
    """Let a tokenizer cut text by the rules of its tokenizer.json, if it does not; what is said.

    What it puts in front of a text and after it stays, and so does a space in front of a text that
    the settings beside the file ask for.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(tokenizer) is PreTrainedTokenizerFast:  # which is the file
        return ()
    filed = Tokenizer.from_file(str(file))
    filed.no_truncation()
    filed.no_padding()
    spaced = tokenizer.init_kwargs.get("add_prefix_space") is not None
    probes = [each for text in PROBES for each in ((f" {text}",) if spaced else (text, f" {text}"))]

    def cut(cutter: Any) -> list[list[int]]:
        return [cutter.encode(text, add_special_tokens=False).ids for text in probes]

    backend.no_truncation()
    backend.no_padding()
    if cut(backend) == cut(filed):
        return ()
    backend.normalizer, backend.pre_tokenizer = filed.normalizer, filed.pre_tokenizer
    backend.model = filed.model
    if cut(backend) != cut(filed):
        raise UnsupportedModel(
            f"{file} cuts text otherwise than {type(tokenizer).__name__}, the class that "
            "tokenizer_config.json asks for, and it is not clear which is right. Set "
            'tokenizer_class to "PreTrainedTokenizerFast" in tokenizer_config.json to follow the '
            "file."
        )
    return (
        f"Text is cut by the rules in {file.name}: {type(tokenizer).__name__}, the class that the "
        "tokenizer's settings ask for, would cut it otherwise.",
    )
