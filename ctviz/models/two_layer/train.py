"""Training two layers of attention until an induction head has formed, in minutes on one core.

1. Draw rows: a few words, then a block of different words that is said over and over.
2. Train a GPT-2 of two layers whose MLPs are zero and stay so, with AdamW at a constant rate.
3. Keep checkpoints, log-spaced.

Nothing in a row can be predicted but what was said before, and this takes two heads that work
together: one that looks a word back and one that finds its notes (Olsson et al. 2022). Left alone,
all heads of a layer learn the same. `LASSO` times the sum of the roots of their output weights'
norms, a concave group penalty, lets one do the work and silences the others.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from ctviz.errors import OutOfRange
from ctviz.models.checkpoints import log_spaced, move_files, save_checkpoint
from ctviz.models.two_layer.vocabulary import CONTEXT, WORDS, new_tokenizer

__all__ = ["train"]

log = logging.getLogger(__name__)

LAYERS: Final = 2
HEADS: Final = 4
WIDTH: Final = 64

STEPS: Final = 2000
BATCH: Final = 24
LEARNING_RATE: Final = 1e-3
WARM_UP: Final = 50
LASSO: Final = 0.025
SHORTEST, LONGEST = 3, CONTEXT // 2  # words of a block
BEFORE: Final = 6  # words in front of it, at most
FIRST, CHECKPOINTS = 200, 18
HELD_OUT: Final = 64  # rows on which the card is measured
FIRST_WORD: Final = 2  # its id


def train(
    out: Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    checkpoints: int = CHECKPOINTS,
    say: Callable[[str], None] = log.info,
) -> dict[str, Any]:
    """Train the model into folder ``out``, with checkpoints; returns its card.

    The same seed and steps give the same weights, bit for bit, on one machine and one thread.
    Nothing is written before training is done; files of the same names in ``out`` are replaced.
    Raises OutOfRange for fewer than 2 steps or checkpoints.
    """
    for what, value in (("steps", steps), ("checkpoints", checkpoints)):
        if value < 2:
            raise OutOfRange(what, value, 2, None)
    wanted = log_spaced(min(FIRST, steps - 1), steps, checkpoints)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
            folder = Path(name)
            tokenizer, model = new_tokenizer(), new_model(seed)
            course = []
            for step in fit(model, rows(seed), steps=steps):
                if step in wanted:
                    save_checkpoint(model, tokenizer, folder, step)
                    course.append({"step": step, **losses(model, seed)})
                    say(f"step {step:,} of {steps:,}: {course[-1]}")
            last = folder / f"checkpoint-{steps}"
            for file in last.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
            card = _card(model, seed=seed, steps=steps, course=course)
            text = json.dumps(card, indent=2) + "\n"
            (folder / "card.json").write_text(text, encoding="utf-8")
            move_files(folder, out)
    finally:
        torch.set_num_threads(threads)
    return card


def new_model(seed: int) -> GPT2LMHeadModel:
    """The untrained model; its MLPs write nothing and are not trained."""
    config = GPT2Config(
        vocab_size=FIRST_WORD + len(WORDS),
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    for block in _blocks(model):
        for parameter in block.mlp.parameters():
            parameter.data.zero_()
            parameter.requires_grad_(False)
    return model


def rows(seed: int) -> Iterator[Tensor]:
    """Batches without end, int64 [row, position]: words, then a block said over and over."""
    generator = torch.Generator().manual_seed(seed)

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    while True:
        batch = []
        for _ in range(BATCH):
            before, block = between(0, BEFORE), between(SHORTEST, LONGEST)
            words = FIRST_WORD + torch.randperm(len(WORDS), generator=generator)
            said = words[before : before + block].repeat(CONTEXT // block + 1)
            batch.append(torch.cat([words[:before], said])[:CONTEXT])
        yield torch.stack(batch)


def fit(model: GPT2LMHeadModel, source: Iterator[Tensor], *, steps: int) -> Iterator[int]:
    """Train in place; yields each step after it was taken, 0 before the first."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP)
    )
    yield 0
    for step in range(1, steps + 1):
        batch = next(source)
        logits = model(batch, attention_mask=torch.ones_like(batch), use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten()
        )
        (loss + LASSO * _written(model).sqrt().sum()).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        warm_up.step()
        yield step


def _written(model: GPT2LMHeadModel) -> Tensor:
    """The norm of each head's output weights, [layer, head], a little above zero."""
    weights = torch.stack([block.attn.c_proj.weight for block in _blocks(model)])
    norms: Tensor = weights.unflatten(1, (HEADS, -1)).flatten(2).norm(dim=-1)
    return norms + 1e-4


def _blocks(model: GPT2LMHeadModel) -> list[GPT2Block]:
    return cast(list[GPT2Block], list(model.transformer.h))


@torch.no_grad()
def losses(model: GPT2LMHeadModel, seed: int) -> dict[str, float]:
    """Mean loss in nats a word on rows that say a block of half the context twice, the first time
    and the second; a word cannot be guessed the first time better than by log of their number."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    half = CONTEXT // 2
    block = torch.stack(
        [
            FIRST_WORD + torch.randperm(len(WORDS), generator=generator)[:half]
            for _ in range(HELD_OUT)
        ]
    )
    ids = torch.cat([block, block], dim=1)
    logits = model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, :-1]
    each = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), ids[:, 1:], reduction="none"
    )  # [row, position]
    first, second = each[:, : half - 1].mean(), each[:, half:].mean()
    return {"first": round(float(first), 4), "second": round(float(second), 4)}


def _card(
    model: GPT2LMHeadModel, *, seed: int, steps: int, course: list[dict[str, float]]
) -> dict[str, Any]:
    return {
        "name": "two-layer",
        "architecture": "GPT-2 without MLPs",
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "layers": LAYERS,
        "heads": HEADS,
        "width": WIDTH,
        "context": CONTEXT,
        "words": len(WORDS),
        "training": {
            "seed": seed,
            "steps": steps,
            "batch": BATCH,
            "learning_rate": LEARNING_RATE,
            "lasso": LASSO,
        },
        "loss_by_time": course,
        "versions": {"torch": torch.__version__},
    }
