"""Tiny random models, the specimens of each supported family: no download, float64."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

if "PYTEST_XDIST_WORKER" in os.environ:  # workers that wait for each other's threads take forever
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ctviz.models.anatomy import Anatomy
from ctviz.models.families import FAMILIES
from ctviz.serving.client import Engine
from ctviz.tasks.batch import Batch

VOCABULARY = 97
SPECIMENS = {
    name: (family.model_type, settings)
    for family in FAMILIES.values()
    for name, settings in family.specimens.items()
}


def random_model(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> PreTrainedModel:
    """A model whose every parameter, biases and norms included, is random and matters."""
    torch.manual_seed(seed)
    family, settings = SPECIMENS[name]
    ends = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, **{**ends, **settings})
    model = AutoModelForCausalLM.from_config(config).eval()
    for label, parameter in model.named_parameters():
        norm = parameter.ndim == 1 and "weight" in label
        torch.nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    return model.to(dtype)


def random_batch(*, examples: int = 5, seed: int = 1, answers: int = 1) -> Batch:
    """Random prompts of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    last = torch.tensor([6, 5, 6, 3, 4] * examples)[:examples]
    draw = lambda *shape: torch.randint(1, VOCABULARY, shape, generator=generator)  # noqa: E731
    answer = draw(examples, answers)
    return Batch(
        clean=draw(examples, 7),
        corrupt=draw(examples, 7),
        last=last,
        answer=answer,
        foil=(answer[:, -1] + 1 + draw(examples) % 90) % VOCABULARY,
    )


@pytest.fixture(params=sorted(SPECIMENS))
def anatomy(request: pytest.FixtureRequest) -> Anatomy:
    """Each family in turn, all of its specimens."""
    return Anatomy(random_model(request.param))


@pytest.fixture
def batch() -> Batch:
    """Five random pairs."""
    return random_batch()


@pytest.fixture
def double_throughout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models' own casts to float32, in norms and softmax, keep float64 here."""
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@contextlib.contextmanager
def stopped(engine: Engine) -> Iterator[Callable[[], None]]:
    """Hold an engine's process so that it cannot answer; what is yielded kills it."""
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    yield lambda: os.kill(pid, signal.SIGKILL)
