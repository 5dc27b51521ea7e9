"""The fixtures that every folder of tests can ask for."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # workers that wait for each other's threads take forever
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator

import pytest
import torch

from ctviz.models.anatomy import Anatomy
from ctviz.tasks.batch import Batch
from tests.random_models import CUT, SPECIMENS, random_batch, random_model


@pytest.fixture(autouse=True, scope="module")
def _own_baselines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the fixtures of one module measure of untuned models is kept for them alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTVIZ_BASELINES", str(tmp_path_factory.mktemp("baselines")))
        yield


@pytest.fixture(autouse=True)
def _no_baselines(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    """A test knows nothing of what others have measured, as they may have replaced parts."""
    monkeypatch.setenv("CTVIZ_BASELINES", str(tmp_path_factory.mktemp("baselines")))


@pytest.fixture(params=sorted(SPECIMENS))
def anatomy(request: pytest.FixtureRequest) -> Anatomy:
    """Each family in turn, all of its specimens; as `WHOLE_AND_CUT` names them if asked for."""
    whole = Anatomy(random_model(request.param.removesuffix(CUT)))
    return whole.cut_into(whole.neurons // 4) if request.param.endswith(CUT) else whole


@pytest.fixture
def batch() -> Batch:
    """Five random pairs."""
    return random_batch()


@pytest.fixture
def double_throughout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models' own casts to float32, in norms and softmax, keep float64 here."""
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
