"""How far weights have gone from those that were loaded, without a second copy of the model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ctviz.errors import CtvizError
from ctviz.models import untuned
from ctviz.models.loading import Loaded, load
from ctviz.models.untuned import Untuned
from tests.field.models import TINY, adapter, change_weights, llama, renamed, tiny_copy
from tests.random_models import SPECIMENS, random_model


@pytest.fixture
def never_again(monkeypatch):
    """The model is not loaded a second time."""

    def load_again(*_, **__):
        raise AssertionError("loaded a second time")

    monkeypatch.setattr(untuned, "load", load_again)


@torch.no_grad()
def check(loaded: Loaded) -> None:
    """Move every second parameter; distance and size are those of a copy that was kept."""
    was = Untuned(loaded)
    before = {name: p.double().clone() for name, p in loaded.model.named_parameters()}
    for index, parameter in enumerate(loaded.model.parameters()):
        if index % 2:
            parameter.view(-1)[::3] += 0.01 * index
    now = {name: parameter.detach() for name, parameter in loaded.model.named_parameters()}
    found = dict(was.moved(now))
    assert list(found) == list(now)
    for index, (name, tensor) in enumerate(now.items()):
        distance = float((tensor.double() - before[name]).square().sum())
        size = float(before[name].square().sum())
        assert found[name] == pytest.approx((distance, size), rel=1e-4)
        assert was.differs(name, tensor) == bool(index % 2) == (found[name].distance > 0)


@pytest.mark.usefixtures("never_again")
@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_by_the_file_of_each_family(tmp_path, name):
    random_model(name).save_pretrained(tmp_path / "m")
    check(load(tmp_path / "m", tokenizer="tiny"))


@pytest.mark.usefixtures("never_again")
def test_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(untuned, "PIECE", 1000)
    check(load("tiny"))


@pytest.mark.usefixtures("never_again")
@pytest.mark.parametrize("prefix", ["_orig_mod.", "base_model.model."])
def test_behind_a_prefix(tmp_path, prefix):
    check(load(renamed(tiny_copy(tmp_path / "m"), lambda name: prefix + name)))


@pytest.mark.usefixtures("never_again")
def test_names_of_the_base_model(tmp_path):
    folder = renamed(tiny_copy(tmp_path / "m"), lambda name: name.removeprefix("transformer."))
    check(load(folder))


@pytest.mark.usefixtures("never_again")
def test_a_tied_matrix_under_both_of_its_names(tmp_path):
    def both(weights):
        return weights | {"lm_head.weight": weights["transformer.wte.weight"].clone()}

    check(load(change_weights(tiny_copy(tmp_path / "m"), both)))


@pytest.mark.usefixtures("never_again")
def test_shards_and_half_precision(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(llama(tmp_path / "m")).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "m", max_shard_size="50KB")
    (tmp_path / "m" / "model.safetensors").unlink(missing_ok=True)
    assert len(list((tmp_path / "m").glob("*.safetensors"))) > 1
    check(load(tmp_path / "m"))


def test_what_no_file_holds_is_loaded_again(tmp_path, monkeypatch):
    """The weights of an adapter that was merged on loading."""
    times = []
    monkeypatch.setattr(untuned, "load", lambda *a, **k: times.append(a) or load(*a, **k))
    merged = {"target_modules": ["c_attn"], "fan_in_fan_out": True}
    check(load(adapter(tmp_path / "a", TINY, **merged)))
    assert len(times) == 1


@pytest.mark.usefixtures("never_again")
def test_a_part_within_the_names(tmp_path):
    folder = renamed(tiny_copy(tmp_path / "m"), lambda n: n.replace(".h.", "._orig_mod.h."))
    check(load(folder))


def test_a_tensor_of_the_same_name_with_other_numbers_does_not_count(tmp_path):
    """Two square matrices that change places between loading and looking: nothing is computed."""
    loaded = load(llama(tmp_path / "m"))
    was = Untuned(loaded)
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    one, other = (f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1))
    tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()
    save_file(tensors, file, metadata={"format": "pt"})
    now = {name: parameter.detach() for name, parameter in loaded.model.named_parameters()}
    with pytest.raises(CtvizError, match=r"was sha256:.* when it was loaded and is sha256:.* now"):
        dict(was.moved(now))


@pytest.mark.usefixtures("never_again")
def test_a_transposed_matrix_of_a_file_does_not_count(tmp_path):
    loaded = load(tiny_copy(tmp_path / "m"))
    was = Untuned(loaded)
    square = "transformer.h.0.attn.c_proj.weight"
    change_weights(tmp_path / "m", lambda w: w | {square: w[square].T.contiguous()})
    now = {square: dict(loaded.model.named_parameters())[square].detach()}
    with pytest.raises(AssertionError, match="a second time"):
        dict(was.moved(now))
