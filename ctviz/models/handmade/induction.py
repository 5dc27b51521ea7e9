"""The model `induction`: a previous-token head and an induction head, and nothing else that counts.

Subspaces: ``word`` the current word, ``position`` where it stands, ``previous`` the word before it
(written by a0.h1), ``said`` what the unembedding reads (written by a1.h2), ``spare`` what two more
heads write and nobody reads. It works in the first 15 positions, which have codes.
"""

from __future__ import annotations

from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from ctviz.english import FEW_THINGS
from ctviz.models.handmade.sketch import ONE_BACK, Sketch
from ctviz.models.handmade.vocabulary import new_tokenizer

__all__ = ["build"]

SHARPNESS = 5.0


def build() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    """The model and its tokenizer; always the same."""
    tokenizer = new_tokenizer(FEW_THINGS)
    sketch = Sketch(
        tokenizer,
        spaces=("word", "position", "previous", "said", "spare"),
        layers=2,
        heads=4,
        seed=0,
    )
    sketch.embed_words(FEW_THINGS, "word")
    sketch.embed_positions("position")
    sketch.attend(
        "a0.h1",
        query=("position", ONE_BACK),
        key="position",
        sharpness=SHARPNESS,
        copy=("word", "previous"),
    )
    sketch.attend(
        "a1.h2",
        query=("word", None),
        key="previous",
        sharpness=SHARPNESS,
        copy=("word", "said"),
    )
    sketch.silence("a0.h0", "a0.h2", "m0", "a1.h0", "a1.h3", "m1")
    sketch.divert("spare", "a0.h3", "a1.h1")
    sketch.unembed_words(FEW_THINGS, "said", logit=12.0)
    return sketch.model, tokenizer
