"""The model `induction-mlp`: induction finds a word, and an MLP says its opposite.

Subspaces: ``name`` and ``word`` the current name or word, ``position`` where it stands,
``previous`` the name before it (written by a0.h2), ``found`` the word that followed the current
name (written by a1.h0, read by m1), ``said`` what the unembedding reads (written by m1), ``spare``
what other nodes write and nobody reads.
"""

from __future__ import annotations

from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from ctviz.english import FEW_PEOPLE, OPPOSITES
from ctviz.models.handmade.sketch import ONE_BACK, Sketch
from ctviz.models.handmade.vocabulary import new_tokenizer

__all__ = ["build"]

SHARPNESS = 5.0


def build() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """The model and its tokenizer; always the same."""
    words = [word for pair in OPPOSITES for word in pair]
    opposite = {i: i ^ 1 for i in range(len(words))}  # 0 <-> 1, 2 <-> 3, ...
    tokenizer = new_tokenizer([*FEW_PEOPLE, *words])
    sketch = Sketch(
        tokenizer,
        spaces=("name", "word", "position", "previous", "found", "said", "spare"),
        layers=2,
        heads=4,
        seed=1,
        activation="relu",
    )
    sketch.embed_words(FEW_PEOPLE, "name")
    sketch.embed_words(words, "word")
    sketch.embed_positions("position")
    sketch.attend(
        "a0.h2",
        query=("position", ONE_BACK),
        key="position",
        sharpness=SHARPNESS,
        copy=("name", "previous"),
    )
    sketch.attend(
        "a1.h0",
        query=("name", None),
        key="previous",
        sharpness=SHARPNESS,
        copy=("word", "found"),
    )
    sketch.translate("m1", reads="found", writes="said", table=opposite, threshold=0.4)
    sketch.silence("a0.h0", "a0.h3", "a1.h1", "a1.h2")
    sketch.divert("spare", "a0.h1", "m0", "a1.h3")
    sketch.unembed_words(words, "said", logit=12.0)
    return sketch.model, tokenizer
