"""A training of two processes under DDP, as a person would write it: alone, then recorded.

Run by torchrun: ``ddp_training.py OUT``. The first process saves what the weights have become.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM, AutoTokenizer

import ctviz
from tests.short_series import BRIEF

TINY = Path(ctviz.__file__).parent / "data" / "tiny"
TEXT = "The keys to the cabinet are here."


def train(out: Path, watching: ctviz.Recorder | None) -> None:
    rank = distributed.get_rank()
    torch.manual_seed(rank)
    model = DistributedDataParallel(AutoModelForCausalLM.from_pretrained(TINY).train())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    ids = AutoTokenizer.from_pretrained(TINY).encode(TEXT)
    batch = torch.tensor([ids[: 5 + rank]])  # each process has its own
    with watching or nullcontext():
        for step in range(1, 5):
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if watching:
                watching.snapshot(model, step, loss=float(loss.detach()))
    if rank == 0:
        torch.save(model.module.state_dict(), out / f"{'recorded' if watching else 'alone'}.pt")


def main(out: Path) -> None:
    distributed.init_process_group("gloo")
    train(out, None)
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    train(out, ctviz.Recorder("sva", tokenizer=tokenizer, every=2, out=out / "runs", **BRIEF))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
