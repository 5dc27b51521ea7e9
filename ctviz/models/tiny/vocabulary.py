"""The bundled model's own small tokenizer: byte-level pairs learnt from its corpus."""

import itertools
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ctviz.english.lexicon import NAMES, word_forms
from ctviz.errors import UnsupportedModel
from ctviz.models.tiny.corpus import documents

VOCABULARY_SIZE: Final = 2048
END_OF_TEXT: Final = "<|endoftext|>"
SAMPLE_DOCUMENTS: Final = 6_000

# A year is cut into its century and its two last digits: " 17" + "32".
_TWO_DIGITS: Final = Regex(r" ?\d{1,2}")


def single_tokens() -> tuple[str, ...]:
    """The texts that must be one token each: words after a space, names, two-digit numbers."""
    return (
        *(f" {word}" for word in word_forms()),
        *(name.text for name in NAMES),
        *(f"{number:02d}" for number in range(100)),
    )


def train_tokenizer(*, seed: int, context: int) -> PreTrainedTokenizerFast:
    """Learn the tokenizer from a sample of the corpus.

    Any text can be encoded, since single bytes are tokens. Learning stops by itself once every
    word of the corpus is one token, at about 1,800 tokens.

    Raises:
        UnsupportedModel: a word of the lexicon is more than one token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_TWO_DIGITS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    sample = itertools.islice(documents(seed), SAMPLE_DOCUMENTS)
    tokenizer.train_from_iterator(itertools.chain(sample, single_tokens()), trainer)
    check_single_tokens(tokenizer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def check_single_tokens(tokenizer: Tokenizer) -> None:
    """Make sure that every word of the lexicon is one token.

    Raises:
        UnsupportedModel: some are not; the message shows which.
    """
    split = [text for text in single_tokens() if len(tokenizer.encode(text).ids) != 1]
    if split:
        shown = ", ".join(repr(text) for text in split[:10])
        raise UnsupportedModel(
            f"{len(split)} words of the lexicon are more than one token in a vocabulary of "
            f"{tokenizer.get_vocab_size():,}: {shown}. Drop words from ctviz/english/lexicon.py "
            f"or raise VOCABULARY_SIZE (now {VOCABULARY_SIZE:,})."
        )
