"""The two-layer model's tokenizer: four dozen things, each one token, and nothing else."""

from __future__ import annotations

from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ctviz.english.lexicon import nouns

__all__ = ["CONTEXT", "WORDS", "new_tokenizer"]

WORDS: Final[tuple[str, ...]] = tuple(noun.singular for noun in nouns("object"))
END_OF_TEXT: Final = "<|endoftext|>"
UNKNOWN: Final = "<|unknown|>"
CONTEXT: Final = 32


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that knows `WORDS`, after a space or first in a text; all else is one token too.

    Ids: 0 is the end of text, 1 what is not known, then come the words in their order.
    """
    tokens = [END_OF_TEXT, UNKNOWN, *(f"Ġ{word}" for word in WORDS)]
    vocabulary = {text: i for i, text in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        unk_token=UNKNOWN,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
