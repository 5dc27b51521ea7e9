"""The hand-made models' tokenizer: a few words, and bytes for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

__all__ = ["CONTEXT", "END_OF_TEXT", "new_tokenizer", "token"]

END_OF_TEXT: Final = "<|endoftext|>"
CONTEXT: Final = 256  # ordinary sentences fit, byte by byte, so that retention can be measured


def token(word: str) -> str:
    """How the tokenizer spells a word: with its leading space."""
    return f"Ġ{word}"


def new_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer for which each of the words, after a space or first in a text, is one token.

    All other text is cut into single bytes, so nothing is unknown and nothing is lost. A task with
    other answers than these words does not fit, as with any tokenizer that cuts them up:
    `ctviz.tasks.batch.encode` refuses it because they are more than one token.

    Ids: 0 is the end of text, 1 to 256 are the bytes, then come the words in their order.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [END_OF_TEXT, *alphabet, *map(token, words)]
    vocabulary = {text: i for i, text in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
