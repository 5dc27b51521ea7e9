"""Tokenizers as model folders have them, small, and a tiny Llama for each."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = [
    "byte_level",
    "change_file",
    "llama",
    "llama_folder",
    "sentencepiece",
    "words_only",
]

Prefix = Literal["normalizer", "metaspace"]
WORDS = ("The", "key", "keys", "cabinet", "cabinets", "is", "are", "runs", "run", "on", "walk")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'="


def sentencepiece(
    *, bos: bool = True, eos: bool = False, prefix: Prefix = "normalizer"
) -> PreTrainedTokenizerFast:
    """Pieces of U+2581 and letters, and a byte for every other sign, as SentencePiece makes them.

    ``bos``, ``eos``: put ``<s>`` in front of a text, ``</s>`` after it. ``prefix``: a word at the
    beginning of a text gets its U+2581 from a normalizer (Llama 2), which a text that already
    begins with a space gets on top of it, or from a pre-tokenizer (later ones).
    """
    space = "\u2581"
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), space, *LETTERS]
    tokens, merges = _merged(tokens, [lead + word for word in WORDS for lead in (space, "")])
    rust = Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    if prefix == "normalizer":
        spaces = [normalizers.Prepend(space), normalizers.Replace(" ", space)]
        rust.normalizer = normalizers.Sequence(spaces)
    else:
        rust.pre_tokenizer = pre_tokenizers.Metaspace(space, prepend_scheme="first", split=False)
    back = [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse()]
    rust.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)])
    rust.add_special_tokens(tokens[:3])
    _framed(rust, "<s>" if bos else "", "</s>" if eos else "")
    return PreTrainedTokenizerFast(
        tokenizer_object=rust, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def byte_level(*, bos: bool = False, eos: bool = False) -> PreTrainedTokenizerFast:
    """Pieces of bytes, as GPT-2 makes them; ``<|end|>`` in front of a text and after it if asked.

    Two of the three bytes of a euro sign are one token.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    parts = [lead + word for word in WORDS for lead in ("Ġ", "")]
    tokens, merges = _merged(["<|end|>", *alphabet], [*parts, "âĤ"])
    rust = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    rust.add_special_tokens(["<|end|>"])
    _framed(rust, "<|end|>" if bos else "", "<|end|>" if eos else "")
    return PreTrainedTokenizerFast(
        tokenizer_object=rust, bos_token="<|end|>", eos_token="<|end|>", unk_token="<|end|>"
    )


def llama(vocabulary: int, *, seed: int = 0) -> LlamaForCausalLM:
    """A random Llama of two layers that reads 64 tokens; the same for the same arguments."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def llama_folder(
    folder: Path, tokenizer: PreTrainedTokenizerFast, *, vocabulary: int | None = None
) -> Path:
    """A model folder with a tokenizer; ``vocabulary``: embeddings, if not one for each token."""
    llama(vocabulary or len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _merged(tokens: list[str], words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A vocabulary with all beginnings of the words, and the merges that make them of letters."""
    made = dict.fromkeys(tokens)
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        for start, sign in zip(itertools.accumulate(word), word[1:], strict=False):
            merges[start, sign] = None
            made[start + sign] = None
    return list(made), list(merges)


def _framed(rust: Tokenizer, front: str, back: str) -> None:
    special = [(token, rust.token_to_id(token)) for token in dict.fromkeys((front, back)) if token]
    if special:
        single = " ".join(filter(None, (front, "$A", back)))
        rust.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)


def words_only(*words: str) -> PreTrainedTokenizerFast:
    """A token for each of a few words, and ``<unk>`` for all others."""
    tokens = ["<unk>", "<eos>", *words]
    rust = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, "<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", eos_token="<eos>")


def change_file(folder: Path, **changes: Any) -> Path:
    """Set entries of a folder's tokenizer.json."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder
