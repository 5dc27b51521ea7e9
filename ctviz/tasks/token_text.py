"""A token as text that can be read, also where it is only a part of a character. Without torch."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Protocol

__all__ = ["Decoder", "token_text"]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # how tokenizers of SentencePiece's kind write a byte
_SPACE = "\u2581"  # and a space
_BYTE_SPACE = "\u0120"  # how byte-level tokenizers write it


class Decoder(Protocol):
    """What is needed of a tokenizer to show its tokens."""

    def decode(self, ids: Any, /) -> Any:
        """The text of ids."""
        ...

    def convert_ids_to_tokens(self, ids: int, /) -> Any:
        """The name of an id in the vocabulary; None if it has none."""
        ...


def token_text(tokenizer: Decoder, token: int) -> str:
    """The text of one token by its id.

    Bytes that are no whole character are shown as SentencePiece writes them: ``<0xE2><0x82>`` are
    the first two of the three bytes of a euro sign. The space in front of a word stays. An id that
    the tokenizer does not have, as models with more embeddings than tokens have some, is shown as
    ``<id 50300>``.
    """
    name = tokenizer.convert_ids_to_tokens(token)
    if name is None:
        return f"<id {token}>"
    text, name = str(tokenizer.decode([token])), str(name)
    if text == name:
        return text
    if byte := _BYTE.fullmatch(name):
        return _readable(bytes([int(byte[1], 16)]))
    cleaned = name.startswith(_BYTE_SPACE) and not text.startswith(" ")  # as some settings ask
    if ("\ufffd" in text or cleaned) and all(sign in _bytes() for sign in name):
        return _readable(bytes(_bytes()[sign] for sign in name))
    if name.startswith(_SPACE) and not text.startswith(" "):
        return name.replace(_SPACE, " ")  # a decoder leaves out the first space of a text
    return text


def _readable(content: bytes) -> str:
    """Bytes as text, each that belongs to no whole character as ``<0xE2>``."""
    text = content.decode("utf-8", "surrogateescape")
    return "".join(
        f"<0x{ord(sign) - 0xDC00:02X}>" if "\udc80" <= sign <= "\udcff" else sign for sign in text
    )


@lru_cache(maxsize=1)
def _bytes() -> dict[str, int]:
    """The byte that each sign stands for in the names of byte-level tokens (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }
