"""Training the bundled model from scratch, in a quarter of an hour on two processor cores.

1. Learn a tokenizer from a sample of the corpus.
2. Cut the endless stream of documents into rows of 64 tokens.
3. Train a four-layer GPT-2 on them with AdamW, a warm-up and a level and then falling rate.
4. Measure it on held-out combinations of words, and write an ordinary Hugging Face folder.
"""

import argparse
import json
import logging
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import tokenizers
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ctviz.errors import OutOfRange
from ctviz.models.checkpoints import log_spaced, move_files, save_checkpoint
from ctviz.models.tiny.card import evaluate
from ctviz.models.tiny.corpus import SHARES, documents
from ctviz.models.tiny.vocabulary import train_tokenizer

logger = logging.getLogger(__name__)

CONTEXT: Final = 64
LAYERS: Final = 4
HEADS: Final = 4
WIDTH: Final = 128

STEPS: Final = 6000
BATCH: Final = 32
# Copying from context is learnt late and all at once, and a lower rate delays it by far.
LEARNING_RATE: Final = 3e-3
WARM_UP: Final = 200
WEIGHT_DECAY: Final = 0.1
REPORT_EVERY: Final = 100
FIRST_CHECKPOINT: Final = 30  # after step 0


def train(
    out: Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    threads: int | None = None,
    log: Callable[[str], None] = logger.info,
    items: int = 500,
    checkpoints: int = 0,
) -> dict[str, Any]:
    """Train the bundled model into folder `out` and return its card.

    `checkpoints`: how many of them are kept in `out` as well, log-spaced; they change nothing.

    The same seed, steps and thread count give the same weights, bit for bit, on one machine.
    `items` is how many held-out items of each kind are measured for the card. Nothing is
    written before training is done; files of the same names in `out` are replaced.

    Raises:
        OutOfRange: `steps` or `items` is below 1, or `checkpoints` is 1 or below 0.
    """
    if checkpoints == 1 or checkpoints < 0:
        raise OutOfRange("checkpoints", checkpoints, 2, None)
    for what, value in (("steps", steps), ("items", items)):
        if value < 1:
            raise OutOfRange(what, value, 1, None)
    threads_before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        tokenizer = train_tokenizer(seed=seed, context=CONTEXT)
        log(f"tokenizer: {len(tokenizer):,} tokens")
        model = new_model(tokenizer, seed=seed)
        wanted = log_spaced(min(FIRST_CHECKPOINT, steps), steps, checkpoints) if checkpoints else ()
        with tempfile.TemporaryDirectory(dir=_parent(out), prefix=f".{out.name}-") as name:
            folder = Path(name)
            for step in fit(model, rows(tokenizer, seed=seed), steps=steps, log=log):
                if step in wanted:
                    save_checkpoint(model, tokenizer, folder, step)
            return _save(out, folder, model, tokenizer, seed=seed, steps=steps, items=items)
    finally:
        torch.set_num_threads(threads_before)


def new_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> GPT2LMHeadModel:
    """The untrained model, with weights that depend on the seed alone."""
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def rows(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> Iterator[list[int]]:
    """Yield rows of 64 token ids, packed with documents, without end.

    Half of the rows start with <|endoftext|> and half right with a sentence, so that a prompt
    works with and without it; a quarter of all rows start at an arbitrary token instead.
    """
    rng = random.Random(f"rows {seed}")
    end = tokenizer.eos_token_id
    stream = _encoded(tokenizer, documents(seed))
    while True:
        row = [end] if rng.random() < 0.5 else []
        skipped = rng.randrange(1, CONTEXT // 2) if rng.random() < 0.25 else 0
        while len(row) < CONTEXT + skipped:
            row += [*next(stream), end]
        yield row[skipped : skipped + CONTEXT]


def _encoded(tokenizer: PreTrainedTokenizerFast, texts: Iterator[str]) -> Iterator[list[int]]:
    encode = tokenizer.backend_tokenizer.encode_batch
    while True:
        yield from (encoding.ids for encoding in encode([next(texts) for _ in range(256)]))


def fit(
    model: GPT2LMHeadModel,
    source: Iterator[list[int]],
    *,
    steps: int,
    log: Callable[[str], None],
) -> Iterator[int]:
    """Train `model` in place on `steps` batches of rows; yields each step that was taken, 0 before
    the first."""
    # Biases and norms are one-dimensional; only matrices are decayed.
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    model.train()
    yield 0
    for step in range(1, steps + 1):
        batch = torch.tensor([next(source) for _ in range(BATCH)])  # [rows, tokens]
        # <|endoftext|> doubles as padding; here it is always text, so nothing is masked.
        mask = torch.ones_like(batch)
        logits = model(batch, attention_mask=mask, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if step % REPORT_EVERY == 0 or step == steps:
            log(f"step {step:,} of {steps:,}: loss {loss.item():.3f}")
        yield step
    model.eval()


def _rate(step: int, steps: int) -> float:
    """The learning rate as a share of its peak: warm-up, level to the middle, half a cosine."""
    warm_up = min(WARM_UP, max(1, steps // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    progress = max(0.0, 2 * step / steps - 1)
    return 0.02 + 0.49 * (1 + math.cos(math.pi * progress))


def _parent(out: Path) -> Path:
    """The folder that `out` is in, made if need be."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _save(
    out: Path,
    folder: Path,
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    steps: int,
    items: int,
) -> dict[str, Any]:
    """Write the model beside its checkpoints in `folder`, measure it, and put all into `out`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = {
        "name": "tiny",
        "architecture": "GPT-2",
        "parameters": sum(p.numel() for p in model.parameters()),
        "layers": LAYERS,
        "heads": HEADS,
        "width": WIDTH,
        "context": CONTEXT,
        "vocabulary": len(tokenizer),
        "data": {
            "description": (
                "English sentences that ctviz generates (ctviz.english); about a tenth of "
                "the word combinations are held out and occur only in the evaluation."
            ),
            "sentence_shares": SHARES,
            "tokens_seen": steps * BATCH * CONTEXT,
        },
        "training": {
            "seed": seed,
            "steps": steps,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
        },
        "held_out_evaluation": evaluate(folder, items=items),
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    text = json.dumps(card, indent=2) + "\n"
    (folder / "card.json").write_text(text, encoding="utf-8")
    move_files(folder, out)
    return card


def main(arguments: list[str] | None = None) -> int:
    """Run the training from a terminal."""
    parser = argparse.ArgumentParser(description="Train the bundled tiny model.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--checkpoints", type=int, default=0, help="how many to keep as well")
    parser.add_argument("--threads", type=int, default=None, help="processor threads")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    train(
        options.out,
        seed=options.seed,
        steps=options.steps,
        threads=options.threads,
        checkpoints=options.checkpoints,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
